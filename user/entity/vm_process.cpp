// SPDX-License-Identifier: GPL-2.0-only
#include "entity/vm_process.h"

#include "base/fd.h"
#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <map>
#include <memory>
#include <utility>

namespace vtrace {
namespace {

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

template <typename T> std::optional<T> number(std::string_view text, int base)
{
    T value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

// Digits alone, as the kernel and VMMs write numbers: without leading zeros.
template <typename T = uint32_t> std::optional<T> decimal(std::string_view text)
{
    constexpr int kDecimal = 10;
    if (text.size() > 1 && text.front() == '0')
        return std::nullopt;
    return number<T>(text, kDecimal);
}

std::optional<uint64_t> hexadecimal(std::string_view text)
{
    constexpr int kHexadecimal = 16;
    return text.starts_with("0x") ? number<uint64_t>(text.substr(2), kHexadecimal) : std::nullopt;
}

// What follows the prefix and is a number.
std::optional<uint32_t> number_after(std::string_view text, std::string_view prefix)
{
    return text.starts_with(prefix) ? decimal(text.substr(prefix.size())) : std::nullopt;
}

std::string path_of(const std::string& proc, uint32_t pid, const char* name)
{
    return proc + "/" + std::to_string(pid) + "/" + name;
}

std::string path_of(const std::string& proc, uint32_t pid, uint32_t tid, const char* name)
{
    return path_of(proc, pid, "task/") + std::to_string(tid) + "/" + name;
}

// The file's first bytes: a process decides how long its command line is.
std::optional<std::string> read_start(const std::string& path, size_t most)
{
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd)
        return std::nullopt;
    std::string content(most, '\0');
    size_t size = 0;
    while (size < most) {
        const ssize_t got = ::read(fd.get(), content.data() + size, most - size);
        if (got == 0)
            break;
        if (got > 0)
            size += static_cast<size_t>(got);
        else if (errno != EINTR)
            return std::nullopt; // ESRCH: it has gone
    }
    content.resize(size);
    return content;
}

constexpr size_t kPage = 4096;       // more than most of what is read has
constexpr size_t kLongest = 1 << 20; // of what is as long as a process wants

std::optional<std::string> comm_at(const std::string& path)
{
    auto comm = read_start(path, kPage);
    if (comm && comm->ends_with('\n'))
        comm->pop_back();
    return comm;
}

// Calls visit(number) for each name that is one.
template <typename Visit> void each_number(DIR* directory, Visit visit)
{
    while (const dirent* entry = ::readdir(directory)) {
        if (const auto value = decimal(entry->d_name); value && !visit(*value))
            return;
    }
}

std::vector<uint32_t> numbers_in(const std::string& path)
{
    std::vector<uint32_t> numbers;
    if (const Directory directory{::opendir(path.c_str())}) {
        each_number(directory.get(), [&](uint32_t value) {
            numbers.push_back(value);
            return true;
        });
    }
    std::ranges::sort(numbers);
    return numbers;
}

// Calls visit(descriptor, what it refers to) until that returns false. A kernel thread has none. False if
// they may not be looked at.
template <typename Visit> bool each_descriptor(const std::string& proc, uint32_t pid, Visit visit)
{
    const auto denied = [] { return errno == EACCES || errno == EPERM; };
    const Directory directory{::opendir(path_of(proc, pid, "fd").c_str())};
    if (!directory)
        return !denied();
    std::array<char, 64> target{}; // longer than what is looked for
    bool allowed = true;
    each_number(directory.get(), [&](uint32_t fd) {
        const ssize_t size = ::readlinkat(::dirfd(directory.get()), std::to_string(fd).c_str(),
                                          target.data(), target.size());
        allowed = allowed && (size >= 0 || !denied());
        return size < 0 || visit(fd, std::string_view(target.data(), static_cast<size_t>(size)));
    });
    return allowed;
}

struct Stat {
    bool exiting = false;
    bool kernel_thread = false;
    uint64_t start_time = 0;
};

// /proc/PID/stat; the name in it may have spaces and parentheses.
std::optional<Stat> read_stat(const std::string& proc, uint32_t pid)
{
    constexpr size_t kFlags = 6; // of what follows the name: fields 9 and 22 of proc(5)
    constexpr size_t kStartTime = 19;
    constexpr uint32_t kExiting = 0x00000004;      // PF_EXITING
    constexpr uint32_t kKernelThread = 0x00200000; // PF_KTHREAD
    const auto text = read_start(path_of(proc, pid, "stat"), kPage);
    const size_t name_end = text ? text->rfind(')') : std::string::npos;
    if (name_end == std::string::npos)
        return std::nullopt;
    const auto fields = split(std::string_view(*text).substr(name_end + 1), ' ');
    if (fields.size() <= kStartTime)
        return std::nullopt;
    const auto flags = decimal(fields[kFlags]);
    const auto start_time = decimal<uint64_t>(fields[kStartTime]);
    if (!flags || !start_time)
        return std::nullopt;
    return Stat{.exiting = (*flags & kExiting) != 0,
                .kernel_thread = (*flags & kKernelThread) != 0,
                .start_time = *start_time};
}

// True if it is in another PID namespace than this tree.
bool in_inner_namespace(const std::string& proc, uint32_t pid)
{
    const auto status = read_start(path_of(proc, pid, "status"), kLongest); // it lists groups
    if (!status)
        return true; // not known
    for (const std::string_view line : split(*status, '\n')) {
        if (line.starts_with("NSpid:"))
            return split(line, '\t').size() != 2;
    }
    return false; // a kernel without PID namespaces
}

struct HelperName {
    const char* prefix;
    const char* role;
    bool in_namespace; // kvm-pit: pid_vnr(), the others: current->pid
};

constexpr std::array kHelperNames = {
    HelperName{"vhost-", "vhost", false},
    HelperName{"kvm-pit/", "kvm", true},
    HelperName{"kvm-nx-lpage-recovery-", "kvm", false},
};

std::optional<VmHelper> read_helper(const std::string& proc, uint32_t tid)
{
    const auto comm = comm_at(path_of(proc, tid, "comm"));
    if (!comm)
        return std::nullopt;
    for (const HelperName& name : kHelperNames) {
        const auto owner = number_after(*comm, name.prefix);
        if (!owner)
            continue;
        // A process may call itself so, too.
        const auto stat = read_stat(proc, tid);
        if (!stat || !stat->kernel_thread)
            return std::nullopt;
        return VmHelper{.tid = tid,
                        .role = name.role,
                        .owner = *owner,
                        .in_namespace = name.in_namespace,
                        .start_time = stat->start_time};
    }
    return std::nullopt;
}

std::vector<VmHelper> helpers_of(const std::string& proc, const VmProcess& vm,
                                 const std::vector<VmHelper>& all)
{
    std::vector<VmHelper> mine;
    const std::vector<uint32_t> tids = numbers_in(path_of(proc, vm.pid, "task"));
    const auto owned = [&](const VmHelper& helper) {
        if (helper.start_time < vm.start_time)
            return false;
        if (!helper.in_namespace)
            return std::ranges::binary_search(tids, helper.owner);
        // Another of this name is for a VM in another namespace, and nothing says which is whose.
        return helper.owner == vm.pid &&
               std::ranges::count_if(all,
                                     [&](const VmHelper& other) {
                                         return other.in_namespace && other.owner == helper.owner;
                                     }) == 1 &&
               !in_inner_namespace(proc, vm.pid);
    };
    for (const VmHelper& helper : all) {
        if (owned(helper))
            mine.push_back(helper);
    }
    return mine;
}

// The descriptor of KVM_RUN that the thread sleeps in. A thread that runs does not show what it does.
std::optional<uint32_t> descriptor_of_run(const std::string& proc, uint32_t pid, uint32_t tid)
{
    const auto text = read_start(path_of(proc, pid, tid, "syscall"), kPage);
    if (!text)
        return std::nullopt;
    const auto fields = split(*text, ' ');
    if (fields.size() < 3 || decimal<long>(fields[0]) != SYS_ioctl ||
        hexadecimal(fields[2]) != KVM_RUN)
        return std::nullopt;
    const auto fd = hexadecimal(fields[1]);
    return fd && *fd <= UINT32_MAX ? std::optional(static_cast<uint32_t>(*fd)) : std::nullopt;
}

// Names the vCPUs among the threads without a role by what they sleep in. True if those are all vCPUs.
// Others must not be asked: a thread that the kernel makes for a process shows the system call of the
// thread that caused it, which is KVM_RUN for kvm-nx-lpage-recovery since 6.13.
bool name_vcpus(const std::string& proc, uint32_t pid, std::vector<VmThread>& threads)
{
    std::map<uint32_t, uint32_t> vcpus; // by descriptor
    each_descriptor(proc, pid, [&](uint32_t fd, std::string_view target) {
        if (const auto id = number_after(target, "anon_inode:kvm-vcpu:"))
            vcpus[fd] = *id;
        return true;
    });
    std::map<uint32_t, std::vector<VmThread*>> sleepers; // by descriptor
    for (VmThread& thread : threads) {
        const auto fd =
            thread.role.empty() ? descriptor_of_run(proc, pid, thread.tid) : std::nullopt;
        if (fd && vcpus.contains(*fd))
            sleepers[*fd].push_back(&thread);
    }
    size_t found = 0;
    for (const auto& [fd, sleeping] : sleepers) {
        if (sleeping.size() != 1) // not known which
            continue;
        sleeping[0]->role = "vcpu " + std::to_string(vcpus[fd]);
        found++;
    }
    return !vcpus.empty() && found == vcpus.size();
}

} // namespace

std::optional<bool> holds_vm(const std::string& proc, uint32_t pid)
{
    bool vm = false;
    bool vcpu = false;
    const bool allowed = each_descriptor(proc, pid, [&](uint32_t, std::string_view target) {
        vm = vm || target == "anon_inode:kvm-vm";
        vcpu = vcpu || target.starts_with("anon_inode:kvm-vcpu:");
        return !(vm && vcpu);
    });
    if (vm && vcpu)
        return true;
    return allowed ? std::optional(false) : std::nullopt;
}

VmPids vm_pids(const std::string& proc)
{
    VmPids found;
    for (const uint32_t pid : numbers_in(proc)) {
        const auto holds = holds_vm(proc, pid);
        if (!holds)
            found.denied += pid == 1 ? 0 : 1;
        else if (*holds)
            found.pids.push_back(pid);
    }
    return found;
}

std::vector<VmHelper> vm_helpers(const std::string& proc)
{
    std::vector<VmHelper> helpers;
    for (const uint32_t tid : numbers_in(proc)) {
        if (auto helper = read_helper(proc, tid))
            helpers.push_back(std::move(*helper));
    }
    return helpers;
}

std::optional<VmProcess> read_vm(const std::string& proc, uint32_t pid,
                                 std::string_view cgroup_path, const std::vector<VmHelper>& helpers)
{
    const auto start_time = process_start_time(proc, pid);
    const auto comm = comm_at(path_of(proc, pid, "comm"));
    if (!start_time || !comm)
        return std::nullopt;
    VmProcess vm = {.pid = pid, .start_time = *start_time};
    const auto cmdline = read_start(path_of(proc, pid, "cmdline"), kLongest);
    vm.name = vm_name(cmdline.value_or(""), *comm, cgroup_path);
    vm.helpers = helpers_of(proc, vm, helpers);
    // The answers may be another's by now, or those of one that ends: it has no command line any more.
    const auto now = read_stat(proc, pid);
    if (!now || now->start_time != *start_time || now->exiting)
        return std::nullopt;
    return vm;
}

std::optional<VmProcess> read_vm(const std::string& proc, uint32_t pid,
                                 std::string_view cgroup_path)
{
    return read_vm(proc, pid, cgroup_path, vm_helpers(proc));
}

bool process_lives(const std::string& proc, uint32_t pid, uint64_t start_time)
{
    errno = 0;
    const auto stat = read_stat(proc, pid);
    if (!stat)
        return errno != ENOENT && errno != ESRCH; // that it could not be read is no end
    if (stat->start_time != start_time)
        return false;
    // The first thread may end before the others.
    return !stat->exiting || numbers_in(path_of(proc, pid, "task")).size() > 1;
}

std::optional<uint64_t> process_start_time(const std::string& proc, uint32_t pid)
{
    const auto stat = read_stat(proc, pid);
    return stat ? std::optional(stat->start_time) : std::nullopt;
}

std::string role_of_name(std::string_view comm)
{
    constexpr std::string_view kQemuSuffix = "/KVM";
    // QEMU's is "CPU 0/KVM"; then Firecracker, cloud-hypervisor, crosvm, kvmtool.
    std::optional<uint32_t> vcpu;
    if (comm.ends_with(kQemuSuffix))
        vcpu = number_after(comm.substr(0, comm.size() - kQemuSuffix.size()), "CPU ");
    for (const std::string_view prefix : {"fc_vcpu ", "vcpu", "crosvm_vcpu", "kvm-vcpu-"})
        vcpu = vcpu ? vcpu : number_after(comm, prefix);
    if (vcpu)
        return "vcpu " + std::to_string(*vcpu);
    if (comm.starts_with("IO ") || comm.starts_with("iothread"))
        return "iothread";
    if (number_after(comm, "vhost-"))
        return "vhost";
    if (comm.starts_with("kvm-nx-lpage-re"))
        return "kvm";
    return comm == "worker" ? "emulator" : "";
}

std::vector<VmThread> vm_threads(const std::string& proc, const VmProcess& vm)
{
    std::vector<VmThread> threads;
    if (process_start_time(proc, vm.pid) != vm.start_time)
        return threads;

    bool named = false;
    for (const uint32_t tid : numbers_in(path_of(proc, vm.pid, "task"))) {
        const auto comm = comm_at(path_of(proc, vm.pid, tid, "comm"));
        if (!comm)
            continue;
        threads.push_back({.tid = tid, .role = role_of_name(*comm)});
        named = named || threads.back().role.starts_with("vcpu ");
    }
    named = named || name_vcpus(proc, vm.pid, threads);
    for (VmThread& thread : threads) {
        if (thread.role.empty())
            thread.role = named ? "emulator" : "thread";
    }
    for (const VmHelper& helper : vm.helpers) {
        if (read_helper(proc, helper.tid) == helper)
            threads.push_back({.tid = helper.tid, .role = helper.role});
    }
    // Read before, it may have been another process.
    if (process_start_time(proc, vm.pid) != vm.start_time)
        threads.clear();
    return threads;
}

} // namespace vtrace
