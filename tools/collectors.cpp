// SPDX-License-Identifier: GPL-2.0-only
#include "tools/collectors.h"

#include "base/files.h"
#include "base/printable.h"
#include "bpf/probe.h"
#include "collect/block_owners.h"
#include "collect/knob_reader.h"
#include "entity/cgroup_paths.h"
#include "tools/targets.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <ctime>
#include <iterator>
#include <set>
#include <utility>

namespace vtrace {
namespace {

using std::chrono::duration_cast;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

uint64_t ns_between(steady_clock::time_point from, steady_clock::time_point to)
{
    return static_cast<uint64_t>(duration_cast<nanoseconds>(to - from).count());
}

uint64_t own_cpu_ns()
{
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto ns = [](const timeval& t) {
        return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 +
               static_cast<uint64_t>(t.tv_usec) * 1'000;
    };
    return ns(usage.ru_utime) + ns(usage.ru_stime);
}

// Resident pages are the second number of /proc/PID/statm.
uint64_t own_rss_bytes()
{
    const auto statm = read_file("/proc/self/statm");
    uint64_t pages = 0;
    if (statm) {
        const auto fields = split(*statm, ' ');
        if (fields.size() > 1)
            std::from_chars(fields[1].data(), fields[1].data() + fields[1].size(), pages);
    }
    return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Threads on the host: behind the slash in the fourth field of /proc/loadavg.
uint32_t threads_present()
{
    uint32_t threads = 0;
    const auto loadavg = read_file("/proc/loadavg");
    if (!loadavg)
        return 0;
    const size_t slash = loadavg->find('/');
    if (slash != std::string::npos) {
        const char* end = loadavg->data() + loadavg->size();
        std::from_chars(loadavg->data() + slash + 1, end, threads);
    }
    return threads;
}

uint32_t threads_of(uint32_t pid)
{
    struct stat tasks = {};
    const std::string directory = "/proc/" + std::to_string(pid) + "/task";
    // One link for each, and two of the directory itself.
    return ::stat(directory.c_str(), &tasks) == 0 ? static_cast<uint32_t>(tasks.st_nlink) - 2 : 0;
}

HostFacts host_facts()
{
    utsname name{};
    ::uname(&name);
    return {.name = name.nodename, .kernel = name.release};
}

// PIDs in BPF are those of the initial namespace.
Status check_pid_namespace(const std::string& option)
{
    constexpr ino_t kInitialPidNamespace = 0xeffffffc; // PROC_PID_INIT_INO, linux/proc_ns.h
    struct stat st = {};
    if (::stat("/proc/self/ns/pid", &st) == 0 && st.st_ino != kInitialPidNamespace) {
        return Error{.what = option + " is not possible in a PID namespace of its own",
                     .hint = "run vtrace in the PID namespace of the host",
                     .exit = ExitCode::kNotPossible};
    }
    return ok();
}

Status check_pid(int pid)
{
    if (auto checked = check_pid_namespace("--pid"); !checked)
        return checked;
    struct stat st = {};
    const std::string process = "/proc/" + std::to_string(pid);
    if (::stat(process.c_str(), &st) != 0) {
        return Error{.what = "--pid " + std::to_string(pid) + ": no such process",
                     .hint = "`ps -e` lists the processes",
                     .exit = ExitCode::kUsage};
    }
    return ok();
}

// The VM, or the cgroup of all else, that a user asks for.
Status set_target(const ToolOptions& options, const CgroupHierarchy& hierarchy, SchedConfig& config)
{
    if (options.target_kind == "cgroup") {
        const auto cgroup = find_cgroup(hierarchy, options.target);
        if (!cgroup)
            return cgroup.error();
        config.target_cgroup = *cgroup;
        return ok();
    }
    // Without privilege a container may seem not to be there.
    if (auto checked = check_privileges(); !checked)
        return checked;
    const auto found = find_entity(hierarchy, options.target_kind, options.target);
    if (!found)
        return found.error();
    if (found->kind == "vm")
        config.target_vm = found->vm;
    else
        config.target_cgroup = found->cgroup_id;
    return ok();
}

Result<SchedConfig> sched_config(const ToolOptions& options, const Measured& measured,
                                 const CgroupHierarchy& hierarchy)
{
    const SchedParts& parts = measured.sched;
    SchedConfig config{.parts = parts,
                       .by_cgroup = measured.any_rows || !options.group.empty(),
                       .by_vm = measured.any_rows || measured.kvm.any() || options.group == "vm" ||
                                options.target_kind == "vm",
                       .cgroup_v1_cpu = hierarchy.v1,
                       .tgid = options.pid,
                       .slower_ns = static_cast<uint64_t>(options.slower_ms * 1e6),
                       .include_self = options.include_self,
                       .stalls_follow = measured.stalls_follow,
                       .task_storage = has_task_storage(),
                       .entities = hierarchy.cgroups,
                       .threads = threads_present()};
    if (config.by_vm) {
        if (auto checked = check_pid_namespace(measured.any_rows ? "a recording" : "--vm");
            !checked)
            return checked.error();
    }
    // The kernel shows none of the tasks that were there before, and /proc shows other processes.
    if (parts.stacks) {
        if (auto checked = check_pid_namespace("offcputime"); !checked)
            return checked.error();
    }
    if (!options.target.empty()) {
        if (auto set = set_target(options, hierarchy, config); !set)
            return set.error();
    }
    if (!options.comm.empty()) {
        const auto glob = compile_comm_glob(options.comm);
        if (!glob)
            return glob.error();
        config.comm = *glob;
    }
    if (options.pid != 0) {
        if (auto checked = check_pid(options.pid); !checked)
            return checked.error();
    }
    return config;
}

StackConfig stack_config(const ToolOptions& options, const SchedConfig& sched)
{
    constexpr double kNsPerMs = 1e6;
    StackConfig config{.on = sched.parts.stacks,
                       .min_ns = static_cast<uint64_t>(options.min_ms * kNsPerMs),
                       .blocked_only = options.blocked,
                       .task_storage = sched.task_storage,
                       .threads = sched.threads};
    if (std::isfinite(options.max_ms))
        config.max_ns = static_cast<uint64_t>(options.max_ms * kNsPerMs);
    return config;
}

KvmConfig kvm_config(const KvmParts& parts, const SchedConfig& sched)
{
    KvmConfig config{.parts = parts, .target_vm = sched.target_vm};
    if (parts.any()) {
        for (const uint32_t pid : vm_pids().pids)
            config.vm_threads += threads_of(pid);
    }
    return config;
}

Result<BlockConfig> block_config(const ToolOptions& options, const Measured& measured)
{
    BlockConfig config{.parts = measured.block,
                       .slower_ns = static_cast<uint64_t>(options.slower_ms * 1e6),
                       .sample_every = measured.sample_every};
    if (options.device.empty())
        return config;
    const auto disk = find_disk(options.device);
    if (!disk)
        return disk.error();
    if (disk->bio_based)
        return Error{.what = "--dev " + printable(options.device) +
                             ": has no requests, its I/O goes on to other disks or to memory",
                     .hint = "leave --dev out, or give the disk below it",
                     .exit = ExitCode::kNotPossible};
    config.device = disk->number;
    return config;
}

MemoryConfig memory_config(bool on, const SchedConfig& sched)
{
    return {.on = on,
            .by_vm = sched.by_vm,
            .cgroup_v1 = sched.cgroup_v1_cpu,
            .target_vm = sched.target_vm,
            .entities = sched.entities};
}

TcpConfig tcp_config(const ToolOptions& options, const TcpParts& parts)
{
    return {.parts = parts,
            .key = options.peers,
            .slower_ns = static_cast<uint64_t>(options.slower_ms * 1e6)};
}

IrqConfig irq_config(const Measured& measured, const SchedConfig& sched)
{
    return {.parts = measured.irq,
            .softirq_payers = measured.softirq_payers,
            .by_vm = sched.by_vm,
            .target_vm = sched.target_vm,
            .entities = sched.entities};
}

// On a host that is short of CPU the one who measures it must not wait in line, or reports come late.
// Best effort: it takes CAP_SYS_NICE. Its share of a CPU is what --overhead shows.
void raise_priority()
{
    constexpr int kHighest = -20;
    ::setpriority(PRIO_PROCESS, 0, kHighest);
}

// Says what is missing, if that is why the kernel refused the programs.
Error explain_refusal(const Error& error)
{
    if (error.code == EPERM) {
        if (const auto memory = check_locked_memory(); !memory)
            return memory.error();
    }
    const auto missing = missing_sched_fields();
    if (!missing || missing->empty())
        return error;
    std::string names;
    for (const std::string& field : *missing)
        names += (names.empty() ? "" : ", ") + field;
    return {.what = "this kernel does not keep what run-queue wait is read from: " + names,
            .hint = "`vtrace check` lists what it offers",
            .exit = ExitCode::kNotPossible};
}

} // namespace

Result<std::unique_ptr<Collectors>> Collectors::start(const Configs& configs)
{
    const auto& [config, stacks, kvm, block, memory, tcp, irq, drops, netq, hierarchy,
                 with_entities] = configs;
    auto object = BpfObject::open();
    if (!object)
        return object.error();
    std::unique_ptr<Collectors> self(new Collectors(std::move(*object)));
    const StateConfig states{.on = config.parts.states, .by_thread = config.parts.threads};
    const RunqConfig runq{.by_cgroup = config.by_cgroup,
                          .by_vm = config.by_vm,
                          .target_vm = config.target_vm,
                          .entities = config.entities};
    SchedCollector::prepare(self->object_, config);
    if (config.parts.queues)
        RunqCollector::prepare(self->object_, runq);
    StackCollector::prepare(self->object_, stacks);
    StateCollector::prepare(self->object_, states);
    KvmCollector::prepare(self->object_, kvm);
    BlockCollector::prepare(self->object_, block);
    MemoryCollector::prepare(self->object_, memory);
    TcpCollector::prepare(self->object_, tcp);
    IrqCollector::prepare(self->object_, irq);
    DropCollector::prepare(self->object_, drops);
    NetqCollector::prepare(self->object_, netq);
    CgroupWatcher::prepare(self->object_, hierarchy);
    if (config.by_vm)
        VmWatcher::prepare(self->object_);
    if (auto loaded = self->object_.load(); !loaded)
        return loaded.error();

    // Names first: a cgroup made from here on is known by its event, an older one by the scan.
    auto watcher = CgroupWatcher::start(self->object_, hierarchy, with_entities);
    if (!watcher)
        return watcher.error();
    self->watcher_ = std::move(*watcher);
    if (config.by_vm) {
        auto vms = VmWatcher::start(self->object_, hierarchy);
        if (!vms)
            return vms.error();
        self->vms_ = std::move(*vms);
    }
    if (stacks.on) {
        auto started = StackCollector::start(self->object_, stacks);
        if (!started)
            return started.error();
        self->stacks_ = std::move(*started);
    }
    auto sched = SchedCollector::start(self->object_, config, [raw = self.get()](SlowWait wait) {
        raw->slow_.waits.push_back(std::move(wait));
    });
    if (!sched)
        return sched.error();
    self->sched_ = std::move(*sched);
    if (config.parts.queues) {
        auto started = RunqCollector::start(self->object_, runq);
        if (!started)
            return started.error();
        self->runq_ = std::move(*started);
    }
    if (kvm.parts.any()) {
        auto started = KvmCollector::start(self->object_, kvm);
        if (!started)
            return started.error();
        self->kvm_ = std::move(*started);
        if (kvm.parts.memory) {
            const auto mountinfo = read_file("/proc/self/mountinfo");
            if (!mountinfo)
                return mountinfo.error();
            self->vm_memory_.emplace(*mountinfo);
        }
    }
    if (block.parts.any()) {
        auto started =
            BlockCollector::start(self->object_, block, [raw = self.get()](SlowRequest request) {
                raw->slow_.requests.push_back(std::move(request));
            });
        if (!started)
            return started.error();
        self->block_ = std::move(*started);
    }
    if (memory.on) {
        const auto mountinfo = read_file("/proc/self/mountinfo");
        if (!mountinfo)
            return mountinfo.error();
        self->cgroup_memory_.emplace(*mountinfo, config.target_cgroup);
        auto started = MemoryCollector::start(self->object_, memory);
        if (!started)
            return started.error();
        self->memory_ = std::move(*started);
    }
    if (tcp.parts.any()) {
        auto started =
            TcpCollector::start(self->object_, tcp, [raw = self.get()](SlowSession session) {
                raw->slow_.sessions.push_back(std::move(session));
            });
        if (!started)
            return started.error();
        self->tcp_ = std::move(*started);
    }
    if (irq.parts.any()) {
        auto started = IrqCollector::start(self->object_, irq);
        if (!started)
            return started.error();
        self->irq_ = std::move(*started);
    }
    if (drops.on) {
        auto started = DropCollector::start(self->object_, drops);
        if (!started)
            return started.error();
        self->drops_ = std::move(*started);
    }
    if (netq.on) {
        auto started = NetqCollector::start(self->object_, netq);
        if (!started)
            return started.error();
        self->netq_ = std::move(*started);
    }
    if (self->stacks_) {
        if (auto begun = self->stacks_->begin(); !begun)
            return begun.error();
    }
    if (states.on) {
        auto started = StateCollector::start(self->object_, states);
        if (!started)
            return started.error();
        self->states_ = std::move(*started);
    }
    return self;
}

Result<std::unique_ptr<Collectors>> Collectors::start(const ToolOptions& options,
                                                      const Measured& measured,
                                                      steady_clock::time_point process_start)
{
    raise_priority();
    const auto hierarchy = hierarchy_of(controller_of(measured));
    if (!hierarchy)
        return hierarchy.error();
    auto config = sched_config(options, measured, *hierarchy);
    if (!config)
        return config.error();
    auto block = block_config(options, measured);
    if (!block)
        return block.error();
    block->subtree = config->target_cgroup != 0;
    for (const auto& check : {check_privileges, check_btf}) {
        if (auto checked = check(); !checked)
            return checked.error();
    }
    if (measured.kvm.any()) {
        if (auto checked = check_kvm(); !checked)
            return checked.error();
    }
    Configs configs{.sched = *config,
                    .stacks = stack_config(options, *config),
                    .kvm = kvm_config(measured.kvm, *config),
                    .block = *block,
                    .memory = memory_config(measured.memory, *config),
                    .tcp = tcp_config(options, measured.tcp),
                    .irq = irq_config(measured, *config),
                    .drops = drop_config(measured.drops, *hierarchy),
                    .netq = netq_config(measured.netq, *hierarchy),
                    .hierarchy = *hierarchy,
                    .with_entities =
                        measured.any_rows || (!options.group.empty() && options.group != "cgroup")};
    auto self = start(configs);
    if (!self && config->task_storage) {
        // Task storage exists since 5.11, for tracing programs since 5.12.
        configs.sched.task_storage = false;
        configs.stacks.task_storage = false;
        self = start(configs);
    }
    if (!self)
        return explain_refusal(self.error());

    if (options.overhead) {
        auto stats = enable_bpf_stats();
        if (!stats)
            return stats.error();
        (*self)->stats_ = std::move(*stats);
    }
    (*self)->costs_before_ = (*self)->object_.costs((*self)->recursion_before_);
    (*self)->cpu_before_ns_ = own_cpu_ns();
    (*self)->target_cgroup_ = config->target_cgroup;
    (*self)->target_vm_ = config->target_vm;
    (*self)->hierarchy_ = *hierarchy;
    (*self)->knobs_ = measured.knobs;
    if (measured.quotas) {
        const auto mountinfo = read_file("/proc/self/mountinfo");
        if (!mountinfo)
            return mountinfo.error();
        (*self)->quotas_.emplace(*mountinfo, config->target_cgroup);
    }
    if ((*self)->states_) {
        if (auto begun = (*self)->states_->begin((*self)->sched_->slots()); !begun)
            return begun.error();
    }
    (*self)->window_start_ = steady_clock::now();
    (*self)->startup_ns_ = ns_between(process_start, (*self)->window_start_);
    return self;
}

Status Collectors::lead(Collectors& other)
{
    const int after_switch = sched_->after_switch();
    return after_switch >= 0 && other.memory_ ? other.memory_->follow(after_switch) : ok();
}

Status Collectors::scan()
{
    if (auto scanned = watcher_->scan(); !scanned)
        return scanned;
    if (quotas_)
        quotas_->look(watcher_->facts());
    Snapshot before; // the first window's start
    before.cgroups = watcher_->facts();
    if (vm_memory_) {
        before.entities = vms_->vms();
        vm_memory_->read(before);
    }
    if (cgroup_memory_)
        cgroup_memory_->read(before);
    return ok();
}

nanoseconds Collectors::poll_every() const
{
    constexpr auto kOthers = std::chrono::milliseconds(100);
    return block_ ? std::min<nanoseconds>(block_->poll_every(), kOthers) : kOthers;
}

nanoseconds Collectors::poll_early() const
{
    constexpr auto kOthers = std::chrono::milliseconds(50);
    return block_ ? nanoseconds(0) : kOthers;
}

Result<SlowEvents> Collectors::poll()
{
    watcher_->poll();
    if (quotas_ && quotas_->look_is_due())
        quotas_->look(watcher_->facts());
    if (vms_) {
        if (auto polled = vms_->poll(); !polled)
            return polled.error();
    }
    if (auto polled = sched_->poll(); !polled)
        return polled.error();
    if (stacks_)
        stacks_->poll();
    if (memory_)
        memory_->poll();
    if (tcp_)
        tcp_->poll();
    if (block_) {
        if (auto polled = block_->poll(); !polled)
            return polled.error();
        if (!slow_.requests.empty()) {
            complete_slow(slow_.requests, hierarchy_, watcher_->facts(), entities(),
                          {.cgroup = target_cgroup_, .vm = target_vm_});
        }
    }
    return std::exchange(slow_, {});
}

std::vector<EntityFact> Collectors::entities() const
{
    std::vector<EntityFact> facts = watcher_->entities();
    if (vms_)
        std::ranges::move(vms_->vms(), std::back_inserter(facts));
    return facts;
}

void Collectors::read_overhead(Snapshot& snapshot)
{
    uint64_t recursion = 0;
    const auto costs = object_.costs(recursion);
    snapshot.loss.recursion_misses += recursion - recursion_before_;
    recursion_before_ = recursion;
    Overhead& overhead = snapshot.overhead;
    overhead.timed = static_cast<bool>(stats_);
    for (size_t i = 0; i < costs.size(); i++) {
        overhead.programs.push_back(
            {.name = costs[i].name,
             .run_cnt = costs[i].run_cnt - costs_before_[i].run_cnt,
             .run_time_ns = costs[i].run_time_ns - costs_before_[i].run_time_ns});
    }
    costs_before_ = costs;
    const uint64_t cpu = own_cpu_ns();
    overhead.cpu_ns = cpu - cpu_before_ns_;
    cpu_before_ns_ = cpu;
    overhead.rss_bytes = own_rss_bytes();
    overhead.startup_ns = startup_ns_;
}

void Collectors::release_cgroup(uint64_t id)
{
    sched_->release_cgroup(id);
    if (runq_)
        runq_->release_cgroup(id);
    if (block_)
        block_->release_cgroup(id);
    if (memory_)
        memory_->release_cgroup(id);
    if (tcp_)
        tcp_->release_cgroup(id);
    if (irq_)
        irq_->release_cgroup(id);
    if (drops_)
        drops_->release_cgroup(id);
}

void Collectors::release_vm(uint64_t vm)
{
    sched_->release_vm(vm);
    if (runq_)
        runq_->release_vm(vm);
    if (kvm_)
        kvm_->release_vm(vm);
    if (memory_)
        memory_->release_vm(vm);
    if (irq_)
        irq_->release_vm(vm);
}

// The threads of VMs, and of the figures those that were asked for. The snapshot has its names already.
void Collectors::complete_kvm(Snapshot& snapshot)
{
    const CgroupPaths paths(snapshot.cgroups);
    std::set<uint64_t> wanted;
    for (const EntityFact& vm : snapshot.entities) {
        const auto above = paths.upwards(vm.cgroup_id);
        if (vm.kind != "vm" || (target_vm_ != 0 && vm.vm != target_vm_) ||
            (target_cgroup_ != 0 && std::ranges::find(above, target_cgroup_) == above.end()))
            continue;
        wanted.insert(vm.vm);
        for (VmThread& thread : vms_->threads(vm.vm))
            snapshot.kvm.threads.push_back(
                {.vm = vm.vm, .tid = thread.tid, .role = std::move(thread.role)});
    }
    if (vm_memory_)
        vm_memory_->read(snapshot);
    if (target_vm_ == 0 && target_cgroup_ == 0)
        return;
    const auto unwanted = [&](const auto& of) { return !wanted.contains(of.vm); };
    std::erase_if(snapshot.kvm.vcpus, unwanted);
    std::erase_if(snapshot.kvm.figures, unwanted);
    std::erase_if(snapshot.kvm.memory, unwanted);
}

Result<Snapshot> Collectors::read()
{
    Snapshot snapshot;
    snapshot.host = host_facts();
    // Before the end of the window: where vtrace waits for a CPU itself, no more is in a report than was in its window.
    if (auto read = sched_->read(snapshot); !read)
        return read.error();
    const auto now = steady_clock::now();
    timespec wall{};
    ::clock_gettime(CLOCK_REALTIME, &wall);
    snapshot.duration_ns = ns_between(window_start_, now);
    snapshot.start_ns = wall.tv_sec * int64_t{1'000'000'000} + wall.tv_nsec -
                        static_cast<int64_t>(snapshot.duration_ns);
    window_start_ = now;
    if (runq_) {
        if (auto read = runq_->read(snapshot); !read)
            return read.error();
    }
    if (stacks_) {
        const auto owner_of = [&](uint32_t slot) { return sched_->owner_of(slot); };
        if (auto read = stacks_->read(snapshot, owner_of); !read)
            return read.error();
    }
    if (states_) {
        const auto owner_of = [&](uint32_t slot) { return sched_->owner_of(slot); };
        if (auto read = states_->read(snapshot, sched_->slots(), owner_of); !read)
            return read.error();
    }
    if (kvm_)
        kvm_->read(snapshot);
    if (block_) {
        if (auto read = block_->read(snapshot); !read)
            return read.error();
    }
    if (memory_)
        memory_->read(snapshot);
    if (tcp_) {
        if (auto read = tcp_->read(snapshot); !read)
            return read.error();
    }
    if (irq_)
        irq_->read(snapshot);
    if (drops_)
        drops_->read(snapshot);
    if (netq_)
        netq_->read(snapshot);
    // Names after figures: a cgroup that has a figure has been made before.
    watcher_->read(snapshot);
    if (drops_ && target_cgroup_ != 0)
        keep_drops_in(target_cgroup_, snapshot);
    if (quotas_)
        quotas_->read(snapshot);
    for (const uint64_t id : watcher_->forget_reported())
        release_cgroup(id);
    if (vms_) {
        if (auto read = vms_->read(snapshot); !read)
            return read.error();
        if (kvm_)
            complete_kvm(snapshot);
        for (const uint64_t vm : vms_->forget_reported())
            release_vm(vm);
    }
    if (netq_ && (target_cgroup_ != 0 || target_vm_ != 0))
        select_devices_in(target_cgroup_, target_vm_, snapshot);
    if (cgroup_memory_)
        cgroup_memory_->read(snapshot);
    if (knobs_)
        snapshot.knobs = read_knobs();
    if (block_)
        complete_block(snapshot, hierarchy_, {.cgroup = target_cgroup_, .vm = target_vm_});
    read_overhead(snapshot);
    return snapshot;
}

} // namespace vtrace
