// SPDX-License-Identifier: GPL-2.0-only
#include "entity/vm_process.h"

#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/kvm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <ostream>
#include <string>

namespace vtrace {

static void PrintTo(const VmThread& thread, std::ostream* out)
{
    *out << thread.tid << " " << thread.role;
}

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr unsigned kUser = 0x400100;
constexpr unsigned kKernel = 0x208040; // with PF_KTHREAD

// A tree like /proc.
class VmProcessTest : public testing::Test {
protected:
    const test::TempDir dir;
    const std::string& proc = dir.path();

    static std::string base(uint32_t pid) { return std::to_string(pid) + "/"; }

    void write(uint32_t pid, const std::string& name, const std::string& content) const
    {
        dir.write(base(pid) + name, content);
    }
    void write_stat(uint32_t pid, const std::string& comm, unsigned flags, uint64_t start) const
    {
        write(pid, "stat",
              std::to_string(pid) + " (" + comm + ") S 1 7 7 0 -1 " + std::to_string(flags) +
                  " 1 2 3 4 5 6 7 8 20 0 3 0 " + std::to_string(start) + " 9 10\n");
    }
    void add(uint32_t pid, const std::string& comm, unsigned flags = kUser,
             uint64_t start = 1000) const
    {
        EXPECT_NE(dir.mkdir(base(pid) + "fd"), 0u);
        write(pid, "comm", comm + "\n");
        write(pid, "cmdline", "");
        write(pid, "status", "Name:\tx\nNSpid:\t" + std::to_string(pid) + "\n");
        write_stat(pid, comm, flags, start);
        add_thread(pid, pid, comm);
    }
    void add_thread(uint32_t pid, uint32_t tid, const std::string& comm) const
    {
        const std::string task = "task/" + std::to_string(tid);
        EXPECT_NE(dir.mkdir(base(pid) + task), 0u);
        write(pid, task + "/comm", comm + "\n");
    }
    void add_descriptor(uint32_t pid, const std::string& fd, const std::string& target) const
    {
        std::filesystem::create_symlink(target, proc + "/" + base(pid) + "fd/" + fd);
    }
    void add_vm(uint32_t pid, const std::string& comm) const
    {
        add(pid, comm);
        add_descriptor(pid, "0", "/dev/null");
        add_descriptor(pid, "9", "anon_inode:kvm-vm");
        add_descriptor(pid, "12", "anon_inode:kvm-vcpu:0");
    }
    [[nodiscard]] std::vector<uint32_t> helpers(uint32_t pid) const
    {
        const auto vm = read_vm(proc, pid, "");
        EXPECT_TRUE(vm);
        std::vector<uint32_t> tids;
        for (const VmHelper& helper : vm ? vm->helpers : std::vector<VmHelper>())
            tids.push_back(helper.tid);
        return tids;
    }
    [[nodiscard]] std::vector<VmThread> threads(uint32_t pid) const
    {
        const auto vm = read_vm(proc, pid, "");
        EXPECT_TRUE(vm);
        return vm ? vm_threads(proc, *vm) : std::vector<VmThread>{};
    }
};

TEST_F(VmProcessTest, ADescriptorTellsAVm)
{
    add_vm(300, "qemu-system-x86");
    add_vm(20, "mine");
    add(1, "init");
    add(2, "kthreadd", kKernel);
    add(50, "monitor");
    add_descriptor(50, "3", "/dev/kvm");
    add_descriptor(50, "4", "anon_inode:kvm-vcpu:0");
    add_descriptor(50, "5", "anon_inode:kvm-vmx");
    add_descriptor(50, "6", "/anon_inode:kvm-vm");
    add_descriptor(50, "7", "/" + std::string(200, 'a'));
    add_descriptor(50, "07", "anon_inode:kvm-vm"); // no such names in /proc
    add_descriptor(50, "x", "anon_inode:kvm-vm");
    write(50, "fd/8", "not a link");
    EXPECT_EQ(holds_vm(proc, 300), true);
    EXPECT_EQ(holds_vm(proc, 1), false);
    EXPECT_EQ(holds_vm(proc, 50), false);
    EXPECT_EQ(holds_vm(proc, 4711), false);
    EXPECT_THAT(vm_pids(proc).pids, ElementsAre(20, 300));
}

TEST_F(VmProcessTest, WhatIsNoProcessIsPassedOver)
{
    for (const char* name : {"self", "12a", "-5", "0012", "99999999999", "+3", " 4"}) {
        EXPECT_NE(dir.mkdir(std::string(name) + "/fd"), 0u);
        std::filesystem::create_symlink("anon_inode:kvm-vm", proc + "/" + name + "/fd/3");
    }
    dir.write("77", "a file");
    EXPECT_NE(dir.mkdir("78"), 0u);
    EXPECT_THAT(vm_pids(proc).pids, IsEmpty());
    EXPECT_THAT(vm_pids("/nowhere").pids, IsEmpty());
    EXPECT_THAT(vm_helpers("/nowhere"), IsEmpty());
}

TEST_F(VmProcessTest, StartTimeIsField22)
{
    add(7, "a");
    for (const char* comm : {"a", "a b", "a) S 1 2", "))((", "1 (x) R\n5"}) {
        write_stat(7, comm, kUser, 18446744073709551615U);
        EXPECT_EQ(process_start_time(proc, 7), 18446744073709551615U) << comm;
    }
    for (const char* text : {"", "7 (a", "7 (a)", "7 (a) S 1 7 7 0 -1 4 1 2", "\n"}) {
        write(7, "stat", text);
        EXPECT_EQ(process_start_time(proc, 7), std::nullopt) << text;
    }
    EXPECT_EQ(process_start_time(proc, 8), std::nullopt);
    const auto own = process_start_time("/proc", static_cast<uint32_t>(::getpid()));
    ASSERT_TRUE(own);
    EXPECT_EQ(process_start_time("/proc", static_cast<uint32_t>(::getpid())), own);
    EXPECT_EQ(holds_vm("/proc", static_cast<uint32_t>(::getpid())), false);
}

TEST_F(VmProcessTest, ReadsWhoItIs)
{
    add_vm(300, "qemu-system-x86");
    write(300, "cmdline", std::string("qemu-system-x86_64\0-name\0guest=web\0", 35));
    const auto vm = read_vm(proc, 300, "/a");
    ASSERT_TRUE(vm);
    EXPECT_EQ(vm->pid, 300u);
    EXPECT_EQ(vm->start_time, 1000u);
    EXPECT_EQ(vm->name, (VmName{.vmm = "qemu", .name = "web", .source = "qemu -name"}));
    EXPECT_THAT(vm->helpers, IsEmpty());

    std::filesystem::remove(proc + "/300/cmdline");
    EXPECT_EQ(read_vm(proc, 300, "/machine/qemu-1-cart.libvirt-qemu")->name.name, "cart");
    constexpr unsigned kExiting = 0x4;
    write_stat(300, "qemu-system-x86", kUser | kExiting, 1000);
    EXPECT_FALSE(read_vm(proc, 300, "")) << "one that ends has no command line any more";
    write_stat(300, "qemu-system-x86", kUser, 1000);
    EXPECT_TRUE(read_vm(proc, 300, ""));
    std::filesystem::remove(proc + "/300/comm");
    EXPECT_FALSE(read_vm(proc, 300, ""));
    EXPECT_FALSE(read_vm(proc, 4711, ""));
}

TEST_F(VmProcessTest, AnEndlessCommandLineIsCut)
{
    add_vm(300, "qemu-system-x86");
    const std::string start("qemu-kvm\0-name\0web\0-append\0", 27);
    write(300, "cmdline", start + std::string(2'000'000, 'a'));
    EXPECT_EQ(read_vm(proc, 300, "")->name.name, "web");
    const std::string padded("qemu-kvm\0-append\0", 17);
    write(300, "cmdline",
          padded + std::string(1'048'550, 'a') + std::string("\0-name\0web-long\0", 16));
    EXPECT_EQ(read_vm(proc, 300, "")->name.name, "") << "cut within the name";
}

TEST_F(VmProcessTest, KernelThreadsThatServeIt)
{
    add_vm(300, "qemu-system-x86");
    add_thread(300, 305, "CPU 0/KVM");
    add(310, "vhost-300", kKernel);
    add(311, "vhost-305", kKernel); // another thread than the first opened it
    add(312, "kvm-pit/300", kKernel);
    add(313, "kvm-nx-lpage-recovery-300", kKernel);
    add(314, "kvm-nx-lpage-re", kKernel); // nobody knows whose
    add(315, "vhost-301", kKernel);
    add(316, "vhost-300", kUser); // a process that calls itself so
    add(317, "vhost-300x", kKernel);
    add(318, "vhost-0300", kKernel);
    add(319, "kvm-pit/3000", kKernel);
    add(320, "vhost-300", kKernel, 999); // of who had this pid before
    EXPECT_THAT(helpers(300), ElementsAre(310, 311, 312, 313));
    EXPECT_THAT(vm_helpers(proc).size(), 7u);
    EXPECT_THAT(threads(300), ElementsAre(VmThread{300, "emulator"}, VmThread{305, "vcpu 0"},
                                          VmThread{310, "vhost"}, VmThread{311, "vhost"},
                                          VmThread{312, "kvm"}, VmThread{313, "kvm"}));
}

// kvm-pit has the pid that the process has in its own PID namespace.
TEST_F(VmProcessTest, ATimerOfAnotherNamespace)
{
    add_vm(300, "qemu-system-x86");
    add(312, "kvm-pit/300", kKernel);
    write(300, "status", "Groups:\t0\nNStgid:\t300\t7\nNSpid:\t300\t7\n");
    EXPECT_THAT(helpers(300), IsEmpty());
    write(300, "status", "Name:\tx\n");
    EXPECT_THAT(helpers(300), ElementsAre(312)) << "a kernel without PID namespaces";
    add(313, "kvm-pit/300", kKernel);
    EXPECT_THAT(helpers(300), IsEmpty()) << "not known which of the two";
    std::filesystem::remove(proc + "/300/status");
    std::filesystem::remove_all(proc + "/313");
    EXPECT_THAT(helpers(300), IsEmpty()) << "not known which namespace";
}

TEST_F(VmProcessTest, NamesTellRoles)
{
    add_vm(300, "qemu-system-x86");
    add_thread(300, 301, "qemu-system-x86"); // call_rcu
    add_thread(300, 302, "IO mon_iothread");
    add_thread(300, 303, "IO io1");
    add_thread(300, 304, "CPU 0/KVM");
    add_thread(300, 305, "CPU 100/KVM");
    add_thread(300, 306, "vhost-300");
    add_thread(300, 307, "kvm-nx-lpage-re");
    add_thread(300, 308, "worker");
    EXPECT_THAT(threads(300), ElementsAre(VmThread{300, "emulator"}, VmThread{301, "emulator"},
                                          VmThread{302, "iothread"}, VmThread{303, "iothread"},
                                          VmThread{304, "vcpu 0"}, VmThread{305, "vcpu 100"},
                                          VmThread{306, "vhost"}, VmThread{307, "kvm"},
                                          VmThread{308, "emulator"}));
}

TEST(RoleOfName, IsStrict)
{
    EXPECT_EQ(role_of_name("fc_vcpu 3"), "vcpu 3");
    EXPECT_EQ(role_of_name("vcpu12"), "vcpu 12");
    EXPECT_EQ(role_of_name("crosvm_vcpu0"), "vcpu 0");
    EXPECT_EQ(role_of_name("kvm-vcpu-7"), "vcpu 7");
    EXPECT_EQ(role_of_name("iothread0"), "iothread");
    for (const char* none : {"",           "CPU /KVM",
                             "CPU 1/TCG",  "CPU 1",
                             "CPU 1/KVM ", " CPU 1/KVM",
                             "CPU -1/KVM", "CPU +1/KVM",
                             "CPU 01/KVM", "CPU 1x/KVM",
                             "CPU  1/KVM", "CPU 0x1/KVM",
                             "/KVM",       "CPU",
                             "vcpu",       "vcpu 1",
                             "vcpu1 ",     "vcpu99999999999",
                             "fc_vcpu",    "fc_vcpu  1",
                             "vcpu1\n",    "CPU 1\n/KVM",
                             "vhost-",     "vhost-x",
                             "vhost-1-2",  "_disk0_q0",
                             "vmm",        "fc_api",
                             "Worker",     "IO",
                             "kvm-pit/1",  "CPU 1/KVM/KVM"})
        EXPECT_EQ(role_of_name(none), "") << none;
}

std::string sleeps_in(long call, const char* fd, unsigned long command)
{
    char text[128];
    std::snprintf(text, sizeof(text), "%ld %s 0x%lx 0x0 0x0 0x0 0x0 0x7ffd 0x7f11\n", call, fd,
                  command);
    return text;
}

TEST_F(VmProcessTest, WithoutNamesKvmTells)
{
    add_vm(300, "qemu-system-x86");
    add_descriptor(300, "13", "anon_inode:kvm-vcpu:4");
    for (uint32_t tid = 301; tid <= 305; tid++)
        add_thread(300, tid, "qemu-system-x86");
    write(300, "task/300/syscall", sleeps_in(SYS_ioctl, "0x9", KVM_RUN)); // no vCPU
    write(300, "task/301/syscall", sleeps_in(SYS_ioctl, "0xc", KVM_RUN));
    write(300, "task/302/syscall", "running\n");
    write(300, "task/303/syscall", sleeps_in(SYS_ioctl + 1, "0xd", KVM_RUN));
    write(300, "task/304/syscall", sleeps_in(SYS_ioctl, "0xd", KVM_RUN + 1));
    write(300, "task/305/syscall", "-1 0x7ffd 0x7f11\n");
    EXPECT_THAT(threads(300), ElementsAre(VmThread{300, "thread"}, VmThread{301, "vcpu 0"},
                                          VmThread{302, "thread"}, VmThread{303, "thread"},
                                          VmThread{304, "thread"}, VmThread{305, "thread"}))
        << "one of the others is the other vCPU";

    write(300, "task/302/syscall", sleeps_in(SYS_ioctl, "0xd", KVM_RUN));
    EXPECT_THAT(threads(300), ElementsAre(VmThread{300, "emulator"}, VmThread{301, "vcpu 0"},
                                          VmThread{302, "vcpu 4"}, VmThread{303, "emulator"},
                                          VmThread{304, "emulator"}, VmThread{305, "emulator"}));
    for (const char* text : {"", " ", "16", "16 0xd", "16 d ae80 x", "0xd 0xd 0xd", "16 0x 0xae80 ",
                             "16 0xffffffffffffffff 0xae80 ", "16 0x10000000d 0xae80 "}) {
        write(300, "task/302/syscall", text);
        EXPECT_EQ(threads(300)[2].role, "thread") << text;
    }
}

// Seen on 6.18: the kernel's worker has the registers of the vCPU that started it.
TEST_F(VmProcessTest, AWorkerThatLooksLikeAVcpuIsNone)
{
    add_vm(300, "qemu-system-x86");
    add_thread(300, 301, "qemu-system-x86");
    add_thread(300, 302, "kvm-nx-lpage-re");
    write(300, "task/301/syscall", "running\n");
    write(300, "task/302/syscall", sleeps_in(SYS_ioctl, "0xc", KVM_RUN));
    EXPECT_THAT(threads(300), ElementsAre(VmThread{300, "thread"}, VmThread{301, "thread"},
                                          VmThread{302, "kvm"}));
    write(300, "task/301/syscall", sleeps_in(SYS_ioctl, "0xc", KVM_RUN));
    EXPECT_THAT(threads(300), ElementsAre(VmThread{300, "emulator"}, VmThread{301, "vcpu 0"},
                                          VmThread{302, "kvm"}));
    write(300, "task/302/comm", "renamed\n");
    EXPECT_THAT(threads(300), ElementsAre(VmThread{300, "thread"}, VmThread{301, "thread"},
                                          VmThread{302, "thread"}))
        << "not known which of the two";
}

TEST_F(VmProcessTest, WhenNothingTells)
{
    add_vm(300, "mine");
    EXPECT_THAT(threads(300), ElementsAre(VmThread{300, "thread"}));
    add_thread(300, 301, "x");
    std::filesystem::remove(proc + "/300/task/301/comm");
    EXPECT_THAT(threads(300), ElementsAre(VmThread{300, "thread"})) << "a thread that has ended";
}

TEST_F(VmProcessTest, WhoHasGoneHasNoThreads)
{
    add_vm(300, "qemu-system-x86");
    add(310, "vhost-300", kKernel);
    const auto vm = read_vm(proc, 300, "");
    ASSERT_TRUE(vm);
    std::filesystem::remove_all(proc + "/310");
    EXPECT_THAT(vm_threads(proc, *vm), ElementsAre(VmThread{300, "thread"}));
    add(310, "bash"); // its tid, used again
    EXPECT_THAT(vm_threads(proc, *vm), ElementsAre(VmThread{300, "thread"}));
    write_stat(300, "bash", kUser, 2000); // the pid, used again
    EXPECT_THAT(vm_threads(proc, *vm), IsEmpty());
    std::filesystem::remove_all(proc + "/300");
    EXPECT_THAT(vm_threads(proc, *vm), IsEmpty());
}

TEST_F(VmProcessTest, WhatCannotBeReadIsNoVm)
{
    add_vm(300, "qemu-system-x86");
    std::filesystem::remove_all(proc + "/300/fd");
    write(300, "fd", "not a directory");
    EXPECT_EQ(holds_vm(proc, 300), false);
    EXPECT_THAT(vm_pids(proc).pids, IsEmpty());
    EXPECT_THAT(threads(300), ElementsAre(VmThread{300, "thread"}));
}

} // namespace
} // namespace vtrace
