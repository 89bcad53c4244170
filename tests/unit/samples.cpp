// SPDX-License-Identifier: GPL-2.0-only
#include "samples.h"

#include "model/exit_reasons.h"
#include "render/text_parts.h"
#include "vtrace/kvm.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>

namespace vtrace::test {
namespace {

constexpr uint64_t kUs = 1'000;
constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1'000'000'000;

Snapshot base()
{
    Snapshot snapshot;
    snapshot.host = {.name = "node-7", .kernel = "6.1.0-18-amd64"};
    snapshot.start_ns = 1'700'000'000'123'456'789;
    snapshot.duration_ns = 5 * kSecond;
    snapshot.cgroups = {
        .hierarchy = "cpu (v1)",
        .cgroups = {{.id = 1, .parent = 0, .name = ""},
                    {.id = 20, .parent = 1, .name = "docker"},
                    {.id = 21, .parent = 20, .name = "4f5e0c5a1b2c"},
                    {.id = 22, .parent = 20, .name = "77aa0c5a1b2c"},
                    {.id = 30, .parent = 1, .name = "machine.slice", .removed = true}}};
    snapshot.overhead = {
        .timed = true,
        .programs = {{.name = "sched_switch", .run_cnt = 123'456, .run_time_ns = 61'728'000},
                     {.name = "idle_program", .run_cnt = 0, .run_time_ns = 0}},
        .cpu_ns = 12 * kMs,
        .rss_bytes = 9'437'184,
        .startup_ns = 87 * kMs};
    return snapshot;
}

OpenWait open_wait(uint64_t ns, uint64_t cgroup, uint32_t tid, std::string comm)
{
    return {.wait_ns = ns,
            .cgroup_id = cgroup,
            .tid = tid,
            .tgid = tid - tid % 10,
            .comm = std::move(comm)};
}

constexpr auto kVmx = static_cast<uint32_t>(ExitIsa::kVmx);
constexpr auto kSvm = static_cast<uint32_t>(ExitIsa::kSvm);

// An exit's parts have to add up to its time.
KvmFigure exits(uint32_t tid, uint64_t code, uint64_t count, const ExitParts& parts)
{
    const bool is_web = tid < 5'000;
    KvmFigure figure = kvm_figure(VT_KVM_EXIT, is_web ? kWebVm : kDbVm, tid, code, count,
                                  count == 0 ? 0 : parts.sum() / count);
    figure.isa = is_web ? kSvm : kVmx;
    figure.parts = parts;
    return figure;
}

std::vector<KvmFigure> figures_of_web()
{
    KvmFigure mapped = exits(4'001, 0x400, 20, {.kernel = 200 * kUs, .vmm = 800 * kUs});
    mapped.flags = VT_KVM_IS_MMIO;
    mapped.to_vmm = 20;
    KvmFigure serial = kvm_figure(VT_KVM_PIO, kWebVm, 4'001, 0x3f8, 20, 50 * kUs);
    serial.flags = VT_KVM_WRITE;
    serial.to_vmm = 20;
    serial.parts = {.kernel = 200 * kUs, .vmm = 800 * kUs};
    KvmFigure doorbell = kvm_figure(VT_KVM_MMIO, kWebVm, 4'010, 0x80003000, 1'000, kUs);
    doorbell.flags = VT_KVM_WRITE;
    doorbell.parts = {.kernel = kMs};
    // Of the injected interrupts a message asked for 20.
    KvmFigure injected = kvm_figure(VT_KVM_VECTOR, kWebVm, 4'001, 0x22, 20, 4 * kUs);
    injected.count = 30;
    KvmFigure unmapped = kvm_figure(VT_KVM_UNMAP, kWebVm, 0, 0, 2, 0);
    unmapped.amount = 8U << 20;
    return {
        exits(4'001, 0x400, 100, {.kernel = 700 * kUs, .blocked = 200 * kUs, .waited = 100 * kUs}),
        mapped,
        exits(4'001, 0x078, 50, {.kernel = 10 * kMs, .blocked = 990 * kMs}), // hlt
        exits(4'010, 0x07c, 1'000, {.kernel = kMs}),                         // msr
        exits(4'010, 0x7777, 3, {.kernel = 15 * kUs}),
        exits(4'010, 0x078, 10, {.kernel = kMs, .blocked = 499 * kMs}),
        serial,
        doorbell,
        injected,
        kvm_figure(VT_KVM_VECTOR, kWebVm, 4'010, 0xfd, 7, 0),
        kvm_figure(VT_KVM_MSI, kWebVm, 0, 0x22, 25, 0),
        unmapped,
        kvm_figure(VT_KVM_EVENT, kWebVm, 4'001, VT_KVM_HALT_POLLED, 10, 400 * kUs),
        kvm_figure(VT_KVM_EVENT, kWebVm, 4'001, VT_KVM_HALT_SLEPT, 40, 24'875 * kUs),
    };
}

std::vector<KvmFigure> figures_of_db()
{
    KvmFigure clock = kvm_figure(VT_KVM_PIO, kDbVm, 5'001, 0x70, 4, 3 * kUs);
    clock.parts = {.kernel = 12 * kUs};
    return {
        exits(5'001, 48, 10, {.kernel = 200 * kUs}), // EPT_VIOLATION
        exits(5'001, 12, 5, {.blocked = 500 * kMs}), // HLT
        clock,
        kvm_figure(VT_KVM_VECTOR, kDbVm, 5'001, 0xec, 9, 0),
    };
}

// A thread of a VM that lived for five seconds and slept for most of it.
ThreadStates thread_of(uint64_t vm, uint32_t tid, uint64_t ran, uint64_t waited)
{
    StateTimes times{.lived = 5 * kSecond, .utime = ran / 2, .stime = ran - ran / 2};
    times.gtime = times.utime / 2;
    times.ns.at(VT_REASON_NONE) = ran;
    times.ns.at(VT_REASON_RUNNABLE) = waited;
    times.ns.at(VT_REASON_OTHER) = 5 * kSecond - ran - waited;
    return {.owner = {.cgroup_id = vm == kWebVm ? 42U : 43U, .vm = vm},
            .tid = tid,
            .tgid = tid / 1'000 * 1'000,
            .comm = "CPU 1/KVM",
            .times = times};
}

} // namespace

const ToolSpec& tool(std::string_view name)
{
    const auto found = std::ranges::find(tools(), name, &ToolSpec::name);
    if (found == tools().end())
        throw std::invalid_argument("no tool " + std::string(name));
    return *found;
}

Histogram histogram(const std::vector<std::pair<uint64_t, uint64_t>>& values_and_counts)
{
    Histogram all;
    for (const auto& [value, count] : values_and_counts) {
        Histogram one;
        one.add(value);
        one.buckets.front().count = count;
        one.sum = value * count;
        all.merge(one);
    }
    return all;
}

OwnerTime waits(uint64_t cgroup_id, Histogram time)
{
    return {
        .owner = {.cgroup_id = cgroup_id}, .about = std::string(kWait), .time = std::move(time)};
}

Histogram rest_of(const Snapshot& snapshot)
{
    for (const OwnerTime& time : snapshot.sched.times) {
        if (time.owner == OwnerId{})
            return time.time;
    }
    return {};
}

Snapshot host_snapshot()
{
    Snapshot snapshot = base();
    snapshot.sched.times = {waits(0, histogram({{0, 3},
                                                {90, 40},
                                                {700, 1'200},
                                                {1'300, 4'000},
                                                {5 * kUs, 900},
                                                {40 * kUs, 70},
                                                {3 * kMs, 12},
                                                {250 * kMs, 1}}))};
    return snapshot;
}

Snapshot grouped_snapshot()
{
    Snapshot snapshot = base();
    snapshot.sched.times = {
        waits(1, histogram({{800, 1'000}, {2 * kUs, 300}})),
        waits(22, histogram({{4 * kMs, 2'000}, {90 * kMs, 44}, {1'500 * kMs, 1}})),
        waits(30, histogram({{15, 1}})),
        waits(21, histogram({{1'100, 2'500'000}, {20 * kUs, 1'000}})),
        waits(99, histogram({{7 * kUs, 7}})),
        waits(0, histogram({{3 * kUs, 10}})),
    };
    return snapshot;
}

Snapshot empty_snapshot()
{
    return base();
}

Snapshot lossy_snapshot()
{
    Snapshot snapshot = host_snapshot();
    uint64_t count = 1;
    for (const LossCounter& counter : loss_counters())
        snapshot.loss.*counter.count = count++ * 1'111;
    snapshot.loss.fallbacks = {"a hash of tasks in place of task storage (kernel before 5.12)"};
    return snapshot;
}

Snapshot waiting_snapshot()
{
    Snapshot snapshot = host_snapshot();
    snapshot.sched.open = {
        open_wait(64 * kSecond, 21, 4'711, "starved"),
        open_wait(2 * kSecond, 22, 4'712, "nginx: worker p"),
        open_wait(900 * kMs, 99, 4'713, "who"),
        open_wait(30 * kMs, 1, 4'714, "kworker/0:1"),
        open_wait(1'001 * kUs, 30, 4'715, "late"),
        open_wait(kMs, 1, 4'716, "edge"),
        open_wait(kMs - 1, 1, 4'717, "not worth showing"),
    };
    return snapshot;
}

Snapshot hostile_snapshot()
{
    Snapshot snapshot = grouped_snapshot();
    snapshot.host.name = "node\x1b]0;owned\x07\n\xff";
    auto& cgroups = snapshot.cgroups.cgroups;
    cgroups[2].name = "\x1b[2J\x1b[31m\u202egnp.exe\r\n\t";
    cgroups[3].name = std::string(200, 'y') +
                      "\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80 ünïcödé 日本語 \"quoted\" \\back";
    cgroups[4].name = std::string(255, 'x');
    snapshot.loss.fallbacks = {
        "one that is so long that it takes more than a line of eighty columns to say why",
        std::string(300, 'z')};
    snapshot.sched.open = {open_wait(5 * kSecond, 21, 4'711, "\x1b[31mred\x1b[m\n"),
                           open_wait(3 * kSecond, 30, 4'712, "\xff\xfe\x80")};
    return snapshot;
}

Snapshot huge_snapshot()
{
    constexpr uint64_t kMonth = 30 * 86'400 * kSecond;
    Snapshot snapshot = grouped_snapshot();
    snapshot.duration_ns = kMonth;
    // 1,000 tasks that wait all the time, and one that never ran.
    snapshot.sched.times.push_back(waits(20, histogram({{999'600 * kUs, 2'500'000'000}})));
    snapshot.sched.times.push_back(waits(22, histogram({{kMonth, 1}, {kUs, 999'600'000'000}})));
    snapshot.sched.open = {open_wait(kMonth, 21, 4'194'303, "starved")};
    for (const LossCounter& counter : loss_counters())
        snapshot.loss.*counter.count = 999'600'000'000;
    return snapshot;
}

KvmFigure kvm_figure(uint32_t kind, uint64_t vm, uint32_t tid, uint64_t code, uint64_t count,
                     uint64_t ns)
{
    return {.vm = vm,
            .tid = tid,
            .kind = kind,
            .code = code,
            .count = count,
            .time = ns == 0 ? Histogram{} : histogram({{ns, count}})};
}

Snapshot kvm_snapshot()
{
    Snapshot snapshot = base();
    snapshot.cgroups.cgroups = {{.id = 1},
                                {.id = 40, .parent = 1, .name = "kubepods"},
                                {.id = 41, .parent = 40, .name = "pod1"},
                                {.id = 42, .parent = 41, .name = "web"},
                                {.id = 43, .parent = 41, .name = "db"}};
    snapshot.entities = {
        {.cgroup_id = 41, .kind = "pod", .name = "shop/vms"},
        {.cgroup_id = 42, .kind = "vm", .name = "web-1", .vm = kWebVm, .pid = 4'000},
        {.cgroup_id = 43, .kind = "vm", .name = "db-1", .vm = kDbVm, .pid = 5'000}};
    const OwnerId web{.cgroup_id = 42, .vm = kWebVm};
    const OwnerId db{.cgroup_id = 43, .vm = kDbVm};
    snapshot.sched.times = {
        {.owner = web, .about = std::string(kWait), .time = histogram({{100 * kUs, 1'000}})},
        {.owner = web,
         .about = std::string(kNeighbour),
         .culprit = db,
         .time = histogram({{60 * kMs, 1}})},
        {.owner = web, .about = std::string(kIrq), .time = histogram({{kMs, 3}})},
        {.owner = db, .about = std::string(kWait), .time = histogram({{kUs, 8}})}};
    snapshot.states.threads = {
        thread_of(kWebVm, 4'001, 2'013 * kMs, 100 * kMs),
        thread_of(kWebVm, 4'010, 1'004 * kMs, 0),
        thread_of(kWebVm, 4'020, 12 * kMs, kMs),
        thread_of(kWebVm, 4'030, 30 * kMs, 2 * kMs),
        thread_of(kDbVm, 5'001, 101 * kMs, 8 * kUs),
        thread_of(kDbVm, 5'020, 3 * kMs, 0),
        {.owner = {.cgroup_id = 1}, .tid = 77, .tgid = 77, .comm = "of no VM"},
    };
    KvmSnapshot& kvm = snapshot.kvm;
    kvm.flavour = "kvm_amd";
    kvm.vcpus = {
        {.vm = kWebVm,
         .tid = 4'001,
         .guest_ns = 2 * kSecond,
         .carried = OpenExit{.ns = 15 * kMs, .code = 0x78, .isa = kSvm}},
        {.vm = kWebVm,
         .tid = 4'010,
         .guest_ns = kSecond,
         .open = OpenExit{.ns = 3 * kSecond, .code = 0x78, .isa = kSvm}},
        {.vm = kDbVm, .tid = 5'001, .guest_ns = 100 * kMs},
    };
    kvm.threads = {{.vm = kWebVm, .tid = 4'001, .role = "vcpu 1"},
                   {.vm = kWebVm, .tid = 4'010, .role = "vcpu 10"},
                   {.vm = kWebVm, .tid = 4'020, .role = "iothread"},
                   {.vm = kWebVm, .tid = 4'030, .role = "vhost"},
                   {.vm = kDbVm, .tid = 5'001, .role = "vcpu 0"},
                   {.vm = kDbVm, .tid = 5'020, .role = "thread"}};
    kvm.figures = figures_of_web();
    std::ranges::move(figures_of_db(), std::back_inserter(kvm.figures));
    kvm.memory = {{.vm = kWebVm,
                   .rss_bytes = 512U << 20,
                   .swapped_bytes = 64U << 20,
                   .shared_bytes = 4'096,
                   .minor_faults = 900,
                   .major_faults = 3,
                   .reclaimed_bytes = 16U << 20,
                   .stalled_ns = 7 * kMs},
                  {.vm = kDbVm, .rss_bytes = 256U << 20, .minor_faults = 100}};
    return snapshot;
}

namespace {

// The containers db (cgroup 42) and web (43), and the cgroup batch (44) beside them.
Snapshot with_containers(const char* hierarchy)
{
    Snapshot snapshot = base();
    snapshot.cgroups.hierarchy = hierarchy;
    snapshot.cgroups.cgroups = {{.id = 1},
                                {.id = 40, .parent = 1, .name = "docker"},
                                {.id = 42, .parent = 40, .name = "d1b2c3"},
                                {.id = 43, .parent = 40, .name = "e1b2c3"},
                                {.id = 44, .parent = 1, .name = "batch"}};
    snapshot.entities = {{.cgroup_id = 42, .kind = "container", .name = "db", .id = "d1b2c3"},
                         {.cgroup_id = 43, .kind = "container", .name = "web", .id = "e1b2c3"}};
    return snapshot;
}

} // namespace

Snapshot block_snapshot()
{
    Snapshot snapshot = with_containers("blkio (v1)");
    const OwnerId db{.cgroup_id = 42};
    const OwnerId web{.cgroup_id = 43};
    const OwnerId batch{.cgroup_id = 44};
    const OwnerId writeback{.kthread = kWriteback};
    BlockSnapshot& block = snapshot.block;
    const auto add = [&](const BlockKey& key, uint64_t count, uint64_t bytes, uint64_t queue_ns,
                         uint64_t device_ns) -> BlockFigure& {
        return block.figures.emplace_back(
            BlockFigure{.key = key,
                        .count = count,
                        .bytes = count * bytes,
                        .queue = histogram({{queue_ns, count}}),
                        .device = histogram({{device_ns, count}}),
                        .total = histogram({{queue_ns + device_ns, count}})});
    };
    BlockFigure& reads = add({db, kSda, VT_REQ_OP_READ, 0}, 1'000, 16'384, 20 * kUs, kMs);
    reads.errors = 2;
    reads.sizes.at(5) = 1'000;
    reads.sequential = 900;
    reads.random = 99;
    BlockFigure& writes =
        add({db, kSda, VT_REQ_OP_WRITE, VT_BLOCK_SYNC}, 200, 4'096, 5 * kUs, 3 * kMs);
    writes.requeued = 4;
    writes.sizes.at(3) = 200;
    add({web, kSda, VT_REQ_OP_WRITE, VT_BLOCK_SYNC | VT_BLOCK_META}, 50, 4'096, kUs, 2 * kMs);
    add({batch, kSda, VT_REQ_OP_DISCARD, 0}, 3, 1U << 20, kUs, kMs);
    add({writeback, kSda, VT_REQ_OP_WRITE, 0}, 10, 1U << 20, 8 * kMs, 4 * kMs).unsplit = 1;
    block.devices = {{.number = kSda, .name = "sda"},
                     {.number = (253U << 20) + 1,
                      .name = "zram0",
                      .bio_based = true,
                      .ios = 40,
                      .bytes = 163'840,
                      .ns = 80 * kUs}};
    block.open = {{.key = {db, kSda, VT_REQ_OP_READ, VT_BLOCK_AHEAD},
                   .sector = 2'048,
                   .bytes = 131'072,
                   .age_ns = 31 * kSecond,
                   .device_ns = 30 * kSecond,
                   .issued = true},
                  {.key = {web, (9U << 20) + 7, VT_REQ_OP_WRITE, 0},
                   .sector = 0,
                   .bytes = 512,
                   .age_ns = 2 * kMs}};
    block.samples = 400;
    block.companies = {
        {.device = kSda,
         .samples = 60,
         .owners = {{.owner = db, .queued = 60, .issued = 60}, {.owner = web, .issued = 60}}},
        {.device = kSda,
         .samples = 140,
         .owners = {{.owner = db, .issued = 300, .held = {.by_limit = true}},
                    {.owner = writeback, .issued = 140, .held = {.by_wbt = true}}}},
        {.device = kSda,
         .samples = 60,
         .owners = {{.owner = db, .held = {.by_limit = true, .by_cost = true}}}},
        {.device = kSda, .samples = 90, .owners = {{.owner = db, .queued = 40, .issued = 140}}}};
    block.limits = {
        {.owner = db, .device = kSda, .limit = {.write_bytes = 1U << 20, .reads = 500}}};
    block.with_descendants = {44};
    return snapshot;
}

Snapshot memory_snapshot()
{
    Snapshot snapshot = with_containers("v2");
    const OwnerId db{.cgroup_id = 42};
    const OwnerId web{.cgroup_id = 43};
    const OwnerId batch{.cgroup_id = 44};
    MemorySnapshot& memory = snapshot.memory;
    const auto add = [&](const OwnerId& owner, uint32_t kind, uint64_t count, uint64_t ns,
                         uint64_t pages = 0) {
        memory.stalls.push_back(
            {.owner = owner, .kind = kind, .pages = pages, .time = histogram({{ns, count}})});
    };
    add(db, VT_MEM_LIMIT, 400, 2 * kMs, 25'600);
    add(db, VT_MEM_HIGH, 3, 100 * kMs);
    add(db, VT_MEM_THRASH, 20, kMs);
    add(web, VT_MEM_SWAPIN, 50, 3 * kMs);
    add(web, VT_MEM_FAULT, 10, 5 * kMs);
    add(batch, VT_MEM_RECLAIM, 7, kMs, 224);
    add(batch, VT_MEM_COMPACT, 2, 4 * kMs);
    add({}, 0, 1, kUs);
    memory.open = {{.owner = db,
                    .kind = VT_MEM_LIMIT,
                    .tid = 4'321,
                    .tgid = 4'320,
                    .comm = "post\x1bgres",
                    .age_ns = 3 * kSecond}};
    memory.kills = {{.time_ns = snapshot.start_ns + static_cast<int64_t>(kMs),
                     .victim = db,
                     .cause = db,
                     .kind = VT_MEM_LIMIT,
                     .tgid = 4'400,
                     .cause_tgid = 4'320,
                     .comm = "greedy",
                     .cause_comm = "postgres"},
                    {.time_ns = snapshot.start_ns + static_cast<int64_t>(2 * kMs),
                     .victim = batch,
                     .cause = web,
                     .kind = VT_MEM_RECLAIM,
                     .tgid = 4'500,
                     .cause_tgid = 4'501,
                     .comm = "sort",
                     .cause_comm = "nginx"}};
    memory.cgroups = {{.cgroup_id = 42,
                       .limit_bytes = 64U << 20,
                       .counts = {.reclaimed_bytes = 100U << 20,
                                  .stalled_ns = 1'150 * kMs,
                                  .swapped_in_bytes = std::nullopt,
                                  .refaulted_bytes = 12U << 20,
                                  .major_faults = 25,
                                  .limit_hits = 410,
                                  .oom_kills = 1}}};
    memory.host = {.reclaimed_bytes = std::nullopt,
                   .stalled_ns = 1'400 * kMs,
                   .swapped_in_bytes = 4U << 20,
                   .refaulted_bytes = 20U << 20,
                   .major_faults = 90,
                   .limit_hits = 0,
                   .oom_kills = 2};
    return snapshot;
}

Snapshot tcp_snapshot()
{
    Snapshot snapshot = with_containers("v2");
    const OwnerId db{.cgroup_id = 42};
    const OwnerId web{.cgroup_id = 43};
    TcpSnapshot& tcp = snapshot.tcp;
    const TcpPeer to_db{.owner = web, .remote = "10.0.0.2", .port = 5432, .side = VT_TCP_OUT};
    const TcpPeer to_api{.owner = web, .remote = "fd00::7", .port = 443, .side = VT_TCP_OUT};
    tcp.figures = {
        {.peer = to_db,
         .connected = 40,
         .no_first_byte = 2,
         .sessions = 30,
         .open = 10,
         .volume = {.sent = 4'000,
                    .received = 1U << 20,
                    .segments_out = 400,
                    .segments_in = 800,
                    .retransmitted = 0},
         .connect = histogram({{200 * kUs, 39}, {1'200 * kMs, 1}}),
         .first_byte = histogram({{2 * kMs, 38}}),
         .duration = histogram({{50 * kMs, 30}}),
         .round_trip = histogram({{180 * kUs, 800}})},
        {.peer = to_api,
         .failed = {1, 0, 0, 0, 0, 0, 0},
         .volume = {.segments_out = 4, .retransmitted = 3},
         .again = {{.kind = VT_TCP_SYN, .state = BPF_TCP_SYN_SENT, .segments = 3, .events = 3}}},
        {.peer = {.owner = db, .remote = "10.0.0.3", .port = 5432, .side = VT_TCP_IN},
         .accepted = 40,
         .untimed = 1,
         .sessions = 30,
         .ages_unknown = 2,
         .open = 10,
         .volume = {.sent = 1U << 20,
                    .received = 4'000,
                    .segments_out = 1'000,
                    .segments_in = 400,
                    .retransmitted = 25},
         .again =
             {{.kind = VT_TCP_FAST, .state = BPF_TCP_ESTABLISHED, .segments = 20, .events = 4},
              {.kind = VT_TCP_BY_TIMEOUT, .state = BPF_TCP_LAST_ACK, .segments = 5, .events = 5}},
         .accept = histogram({{150 * kUs, 39}}),
         .duration = histogram({{50 * kMs, 28}}),
         .round_trip = histogram({{210 * kUs, 400}})},
        {.peer = {.owner = db, .side = VT_TCP_IN, .others = true},
         .accepted = 7,
         .sessions = 7,
         .volume = {.sent = 70, .received = 7, .segments_out = 35, .segments_in = 35},
         .accept = histogram({{90 * kUs, 7}}),
         .duration = histogram({{kMs, 7}}),
         .round_trip = histogram({{100 * kUs, 35}})},
    };
    tcp.connecting = {{.peer = to_api, .tgid = 4'501, .comm = "ngi\x1bnx", .age_ns = 7 * kSecond}};
    return snapshot;
}

Snapshot irq_snapshot()
{
    Snapshot snapshot = with_containers("v2");
    const OwnerId web{.cgroup_id = 43};
    const OwnerId batch{.cgroup_id = 44};
    const IrqKind timer{.number = 1};
    const IrqKind packets{.number = 3};
    const IrqKind disk{.hard = true, .number = 36, .action = "nvme0q1"};
    const IrqKind card{.hard = true, .number = 41, .action = "eth0"};
    const IrqKind beside{.hard = true, .number = 41, .action = "e\x1bvil"};
    IrqSnapshot& irq = snapshot.irq;
    const auto soft = [&](const IrqKind& kind, uint32_t cpu, const Histogram& time,
                          const Histogram& delay) {
        irq.times.push_back({.kind = kind, .cpu = cpu, .time = time, .delay = delay});
    };
    soft(packets, 0, histogram({{20 * kUs, 90'000}, {2 * kMs, 10}}),
         histogram({{3 * kUs, 89'000}, {4 * kMs, 1'010}}));
    soft(packets, 1, histogram({{10 * kUs, 10'000}}), histogram({{kUs, 10'000}}));
    soft(timer, 0, histogram({{5 * kUs, 1'250}}), histogram({{2 * kUs, 1'249}}));
    const auto hard = [&](const IrqKind& kind, uint32_t cpu, const Histogram& time,
                          uint64_t not_handled = 0) {
        irq.times.push_back({.kind = kind, .cpu = cpu, .not_handled = not_handled, .time = time});
    };
    hard(disk, 0, histogram({{4 * kUs, 500}}));
    hard(disk, 1, histogram({{6 * kUs, 100}}));
    hard(card, 1, histogram({{2 * kUs, 20'000}}));
    hard(beside, 1, histogram({{kUs, 20'000}}), 19'999);
    irq.charges = {
        {.kind = packets, .owner = web, .count = 80'000, .ns = 1'600 * kMs},
        {.kind = packets, .owner = batch, .count = 5'000, .ns = 100 * kMs},
        {.kind = packets, .idle = true, .owner = {}, .count = 10'000, .ns = 100 * kMs},
        {.kind = packets, .owner = {.kthread = "ksoftirqd"}, .count = 5'010, .ns = 120 * kMs},
        {.kind = timer, .owner = web, .count = 1'000, .ns = 5 * kMs},
        {.kind = {.other = true}, .owner = {}, .count = 250, .ns = 1'250 * kUs},
        {.kind = disk, .owner = web, .count = 600, .ns = 2'600 * kUs},
        {.kind = card, .idle = true, .owner = {}, .count = 20'000, .ns = 40 * kMs},
        {.kind = beside, .owner = batch, .count = 20'000, .ns = 20 * kMs}};
    return snapshot;
}

Snapshot drop_snapshot()
{
    constexpr uint16_t kIpv4 = 0x0800;
    constexpr uint16_t kIpv6 = 0x86dd;
    constexpr uint8_t kTcp = 6;
    constexpr uint8_t kUdp = 17;
    constexpr uint8_t kListen = 10;
    constexpr uint32_t kHostNet = 4'026'531'840;
    Snapshot snapshot = with_containers("v2");
    DropSnapshot& drops = snapshot.drops;
    drops.namespaces = {{.inum = kHostNet, .host = true, .cgroup_id = 1},
                        {.inum = kHostNet + 1, .cgroup_id = 43},
                        {.inum = kHostNet + 2, .name = "router\x1b"}};
    const auto add = [&](uint64_t cgroup, uint32_t netns, const char* reason, const char* location,
                         uint64_t packets, uint64_t bytes) -> PacketDrops& {
        return drops.drops.emplace_back(PacketDrops{.cgroup_id = cgroup,
                                                    .netns = netns,
                                                    .reason = reason,
                                                    .location = location,
                                                    .ether = kIpv4,
                                                    .packets = packets,
                                                    .bytes = packets * bytes});
    };
    PacketDrops& full =
        add(42, kHostNet + 3, "SOCKET_RCVBUFF", "udp_queue_rcv_one_skb", 5'000, 528);
    full.protocol = kUdp;
    full.ifindex = 2;
    full.device = "eth0";
    PacketDrops& late = add(42, kHostNet + 3, "TCP_OLD_DATA", "tcp_data_queue", 12, 1'400);
    late.protocol = kTcp;
    late.tcp_state = 1;
    late.ifindex = 2;
    late.device = "eth0";
    PacketDrops& closed = add(0, kHostNet + 1, "NO_SOCKET", "__udp6_lib_rcv", 300, 90);
    closed.ether = kIpv6;
    closed.protocol = kUdp;
    closed.ifindex = 7;
    PacketDrops& request = add(43, kHostNet + 1, "TCP_FLAGS", "tcp_v4_rcv", 4, 40);
    request.protocol = kTcp;
    request.tcp_state = kListen;
    PacketDrops& fast = add(44, kHostNet, "QDISC_DROP", "__dev_queue_xmit", 2'000'000, 1'514);
    fast.protocol = kUdp;
    fast.ifindex = 3;
    fast.device = "bond0";
    add(0, kHostNet, "OTHERHOST", "ip_rcv_core", 20, 60).protocol = 1;
    add(0, kHostNet + 2, "NETFILTER_DROP", "nf_hook_slow", 9, 60).protocol = 132;
    PacketDrops& nobody = add(0, kHostNet + 9, "OPENVSWITCH:5", "0xffffffffc0123456", 2, 60);
    nobody.ether = 0x0806;
    nobody.ifindex = 4;
    PacketDrops& unknown = add(0, 0, "NOT_SPECIFIED", "tcp_v4_do_rcv", 1, 40);
    unknown.protocol = kTcp;
    drops.listeners = {{.netns = kHostNet + 1, .drops = 40, .overflows = 38}};
    drops.other_packets = 3;
    drops.other_bytes = 180;
    snapshot.loss.map_full = 3;
    return snapshot;
}

Snapshot netq_snapshot()
{
    constexpr uint32_t kHostNet = 4'026'531'840;
    constexpr uint32_t kWebNet = kHostNet + 1;
    constexpr uint32_t kRouter = kHostNet + 2;
    constexpr uint32_t kVmm = 900;
    using Where = NetPoint::Where;
    Snapshot snapshot = with_containers("v2");
    snapshot.entities.push_back(
        {.cgroup_id = 44, .kind = "vm", .name = "vm-9", .source = "process", .vm = 7, .pid = kVmm});
    NetqSnapshot& netq = snapshot.netq;
    netq.namespaces = {{.inum = kHostNet, .host = true, .cgroup_id = 1},
                       {.inum = kWebNet, .cgroup_id = 43},
                       {.inum = kRouter, .name = "router\x1b"}};
    const NetDeviceId inside{.netns = kWebNet, .ifindex = 2};
    const NetDeviceId outside{.netns = kHostNet, .ifindex = 7};
    const NetDeviceId bridge{.netns = kHostNet, .ifindex = 3};
    const NetDeviceId card{.netns = kHostNet, .ifindex = 2};
    const NetDeviceId tap{.netns = kHostNet, .ifindex = 9};
    const NetDeviceId router{.netns = kRouter, .ifindex = 4};
    const NetCounts sent{.rx_packets = 4'000,
                         .rx_bytes = 264'000,
                         .tx_packets = 5'000,
                         .tx_bytes = 6'000'000,
                         .tx_lost = 12};
    const NetCounts received{
        .rx_packets = 5'000, .rx_bytes = 6'000'000, .tx_packets = 4'000, .tx_bytes = 264'000};
    netq.devices = {
        {.polls = 900, .exhausted = 31, .late = histogram({{20 * kUs, 890}, {4 * kMs, 10}})},
        {.id = card,
         .name = "eth0",
         .queue = "fq_codel",
         .counts = sent,
         .polls = 4'000,
         .wait = histogram({{30 * kUs, 40}}),
         .sent = histogram({{60 * kUs, 4'990}, {900 * kUs, 10}}),
         .late = histogram({{3 * kUs, 4'000}})},
        {.id = bridge, .name = "br0", .kind = "bridge", .queue = "noqueue", .counts = NetCounts{}},
        {.id = outside,
         .name = "vethab12",
         .kind = "veth",
         .queue = "noqueue",
         .peer = inside,
         .counts = received},
        {.id = tap,
         .name = "tap0",
         .kind = "tun",
         .queue = "fq_codel",
         .holder_pid = kVmm,
         .holder_cgroup = 44,
         .counts = NetCounts{.rx_packets = 100, .rx_bytes = 6'400, .tx_packets = 90, .tx_lost = 5},
         .sent = histogram({{250 * kUs, 90}})},
        {.id = inside,
         .name = "eth0",
         .kind = "veth",
         .queue = "tbf",
         .peer = outside,
         .counts = sent,
         .not_timed = 4,
         .wait = histogram({{25 * kMs, 4'900}, {250 * kMs, 100}})},
        {.id = {.netns = kHostNet, .ifindex = 11},
         .name = "vethcd34",
         .kind = "veth",
         .away = true,
         .counts = NetCounts{.rx_packets = 2},
         .put_out = 3},
        {.id = router, .name = "wg0\x1b[31m", .not_timed = 1}};
    const auto hop = [&](NetPoint from, NetPoint to, const char* name, uint64_t ns,
                         uint64_t count) {
        netq.hops.push_back(
            {.from = from, .to = to, .name = name, .time = histogram({{ns, count}})});
    };
    hop({}, {inside, Where::kSent}, "eth0", 0, 5'000);
    hop({inside, Where::kSent}, {outside, Where::kReceived}, "vethab12", 2 * kUs, 5'000);
    hop({outside, Where::kReceived}, {card, Where::kSent}, "eth0", 4 * kUs, 4'988);
    hop({}, {card, Where::kReceived}, "eth0", 0, 4'100);
    hop({card, Where::kReceived}, {outside, Where::kSent}, "vethab12", 3 * kUs, 4'000);
    hop({card, Where::kReceived}, {tap, Where::kSent}, "tap0", 5 * kUs, 90);
    hop({outside, Where::kSent}, {inside, Where::kReceived}, "eth0", 1 * kUs, 4'000);
    hop({}, {tap, Where::kReceived}, "tap0", 0, 100);
    hop({tap, Where::kReceived}, {{.netns = kRouter, .ifindex = 8}, Where::kSent}, "", kUs, 1);
    // Round and round: a path ends where it has been before.
    hop({{.netns = kRouter, .ifindex = 8}, Where::kSent}, {tap, Where::kReceived}, "tap0", kUs, 1);
    return snapshot;
}

std::vector<std::pair<std::string, Snapshot>> all_snapshots()
{
    return {{"host", host_snapshot()},          {"grouped", grouped_snapshot()},
            {"empty", empty_snapshot()},        {"losses", lossy_snapshot()},
            {"open_waits", waiting_snapshot()}, {"hostile_names", hostile_snapshot()},
            {"huge", huge_snapshot()}};
}

std::vector<std::string> names_of(const std::vector<Row>& rows)
{
    std::vector<std::string> names;
    names.reserve(rows.size());
    for (const Row& row : rows)
        names.push_back(row.entity.kind + " " + row.entity.name);
    return names;
}

double value(const Row& row, const std::string& name)
{
    return find_value(row, name).value_or(-1);
}

Report report_of(const Snapshot& snapshot, const ToolOptions& options)
{
    ToolOptions grouped = options;
    const auto has_owner = [](const OwnerTime& time) { return time.owner != OwnerId{}; };
    if (options.group.empty() && std::ranges::any_of(snapshot.sched.times, has_owner))
        grouped.group = "cgroup";
    return tool("runqlat").build(snapshot, grouped);
}

} // namespace vtrace::test
