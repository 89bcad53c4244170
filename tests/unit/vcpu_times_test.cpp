// SPDX-License-Identifier: GPL-2.0-only
#include "tools/vcpu_times.h"

#include "samples.h"
#include "tools/vm_rows.h"
#include "vtrace/kvm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>

namespace vtrace {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kVm = 77;
constexpr uint32_t kTid = 11;
constexpr auto kSvm = static_cast<uint32_t>(ExitIsa::kSvm);
constexpr uint64_t kHlt = 0x78;
constexpr uint64_t kNpf = 0x400;
constexpr uint64_t kMsr = 0x7c;

size_t at(ExitClass kind)
{
    return static_cast<size_t>(std::ranges::find(kExitClasses, kind) - kExitClasses.begin());
}

KvmFigure exits(uint64_t code, const ExitParts& parts, uint64_t count = 1)
{
    KvmFigure figure = test::kvm_figure(VT_KVM_EXIT, kVm, kTid, code, count, 0);
    figure.isa = kSvm;
    figure.parts = parts;
    return figure;
}

KvmFigure halts(uint64_t event, uint64_t count, uint64_t ns)
{
    return test::kvm_figure(VT_KVM_EVENT, kVm, kTid, event, count, ns);
}

OpenExit open_halt(uint64_t ns, bool in_vmm = false)
{
    return {.ns = ns, .code = kHlt, .isa = kSvm, .in_vmm = in_vmm};
}

// One second: half of it on a CPU, 300 ms asleep, 120 ms waiting, 50 ms throttled, 20 ms stolen, 10 ms unknown.
StateTimes second()
{
    StateTimes states{.lived = 1'000 * kMs, .stolen = 20 * kMs};
    states.ns.at(VT_REASON_NONE) = 500 * kMs;
    states.ns.at(VT_REASON_OTHER) = 280 * kMs;
    states.ns.at(VT_REASON_DISK) = 20 * kMs;
    states.ns.at(VT_REASON_RUNNABLE) = 120 * kMs;
    states.ns.at(VT_REASON_THROTTLED) = 50 * kMs;
    return states;
}

VcpuAccount account_of(const KvmSnapshot& kvm)
{
    const VcpuAccounts accounts = vcpu_accounts(kvm);
    const auto found = accounts.find({kVm, kTid});
    return found == accounts.end() ? VcpuAccount{} : found->second;
}

VcpuTimes times_of(const KvmSnapshot& kvm, bool tells_exits = true)
{
    return vcpu_times(second(), account_of(kvm), tells_exits);
}

void expect_whole(const VcpuTimes& times)
{
    EXPECT_EQ(times.sum() + times.unknown, times.lived);
}

TEST(VcpuNumber, OfRoles)
{
    EXPECT_EQ(vcpu_number("vcpu 3"), 3U);
    EXPECT_EQ(vcpu_number("vcpu 1"), 1U);
    EXPECT_EQ(vcpu_number("vcpu 10"), 10U);
    EXPECT_EQ(vcpu_number("vcpu 4294967295"), std::numeric_limits<uint32_t>::max());
    for (const char* role :
         {"", "vcpu", "vcpu ", "vcpu x", "vcpu 1x", "vcpu -1", "vcpu  1", "vcpu1", " vcpu 1",
          "VCPU 1", "iothread", "iothread 1", "vcpu 99999999999", "vcpu 4294967296", "tid 5"})
        EXPECT_EQ(vcpu_number(role), std::nullopt) << role;
}

TEST(VcpuAccounts, AreByVmAndThread)
{
    KvmFigure other_vm = exits(kMsr, {.kernel = 5}, 2);
    other_vm.vm = kVm + 1;
    KvmFigure other_thread = exits(kMsr, {.kernel = 7}, 3);
    other_thread.tid = kTid + 1;
    const VcpuAccounts accounts =
        vcpu_accounts({.vcpus = {{.vm = kVm, .tid = kTid, .guest_ns = 11},
                                 {.vm = kVm + 1, .tid = kTid, .guest_ns = 13}},
                       .figures = {exits(kMsr, {.kernel = 1}), other_vm, other_thread}});
    ASSERT_EQ(accounts.size(), 3U);
    const size_t msr = at(ExitClass::kMsr);
    const auto kernel = [&](uint64_t vm, uint32_t tid) {
        return accounts.at({vm, tid}).exits.at(msr).kernel;
    };
    EXPECT_EQ(kernel(kVm, kTid), 1U);
    EXPECT_EQ(kernel(kVm + 1, kTid), 5U);
    EXPECT_EQ(kernel(kVm, kTid + 1), 7U);
    EXPECT_EQ((accounts.at({kVm, kTid + 1}).counts.at(msr)), 3U);
    EXPECT_EQ((accounts.at({kVm, kTid}).guest), 11U);
    EXPECT_EQ((accounts.at({kVm + 1, kTid}).guest), 13U);
    EXPECT_EQ((accounts.at({kVm, kTid + 1}).guest), 0U) << "it was not seen in the guest";
}

TEST(VcpuAccounts, AnAccessToADeviceIsNoFaultOfMemory)
{
    KvmFigure mapped = exits(kNpf, {.kernel = 3, .vmm = 4}, 5);
    mapped.flags = VT_KVM_IS_MMIO;
    const VcpuAccount account = account_of({.figures = {exits(kNpf, {.kernel = 1}, 2), mapped}});
    EXPECT_EQ(account.exits.at(at(ExitClass::kMemoryFault)), (ExitParts{.kernel = 1}));
    EXPECT_EQ(account.counts.at(at(ExitClass::kMemoryFault)), 2U);
    EXPECT_EQ(account.exits.at(at(ExitClass::kMmio)), (ExitParts{.kernel = 3, .vmm = 4}));
    EXPECT_EQ(account.counts.at(at(ExitClass::kMmio)), 5U);
}

TEST(VcpuAccounts, HaltsByHowTheyEnded)
{
    const VcpuAccount account =
        account_of({.figures = {halts(VT_KVM_HALT_POLLED, 4, 100), halts(VT_KVM_HALT_SLEPT, 2, 900),
                                halts(VT_KVM_CPUID, 1, 7)}});
    EXPECT_EQ(account.polled, 400U);
    EXPECT_EQ(account.slept, 1'800U);
    EXPECT_EQ(account.counts, VcpuAccount{}.counts) << "these are no exits";
}

TEST(VcpuTimes, StatesAddUp)
{
    const VcpuTimes times =
        times_of({.vcpus = {{.vm = kVm, .tid = kTid, .guest_ns = 400 * kMs}},
                  .figures = {exits(kNpf, {.kernel = 30 * kMs, .blocked = 20 * kMs}),
                              exits(kMsr, {.kernel = 20 * kMs, .vmm = 5 * kMs}),
                              exits(kHlt, {.kernel = 40 * kMs, .blocked = 280 * kMs}),
                              halts(VT_KVM_HALT_POLLED, 1, 25 * kMs),
                              halts(VT_KVM_HALT_SLEPT, 1, 290 * kMs)}});
    VcpuTimes expected{.lived = 1'000 * kMs,
                       .guest = 400 * kMs,
                       .vmm = 10 * kMs,
                       .polled = 25 * kMs,
                       .wasted = 10 * kMs,
                       .halted = 280 * kMs,
                       .blocked = 20 * kMs,
                       .waited = 120 * kMs,
                       .throttled = 50 * kMs,
                       .stolen = 20 * kMs,
                       .unknown = 10 * kMs};
    expected.exits.at(at(ExitClass::kMemoryFault)) = 30 * kMs;
    expected.exits.at(at(ExitClass::kMsr)) = 20 * kMs;
    expected.exits.at(at(ExitClass::kHalt)) = 5 * kMs;
    EXPECT_TRUE(times == expected);
    EXPECT_EQ(times.in_exits(), 55 * kMs);
    expect_whole(times);
}

TEST(VcpuTimes, AddsUpWhateverKvmClaims)
{
    constexpr uint64_t kLots = std::numeric_limits<uint64_t>::max() / 4;
    // More in the guest than the thread ran.
    VcpuTimes times = times_of({.vcpus = {{.vm = kVm, .tid = kTid, .guest_ns = kLots}},
                                .figures = {exits(kMsr, {.kernel = kMs})}});
    EXPECT_EQ(times.guest, 500 * kMs);
    EXPECT_EQ(times.in_exits() + times.vmm, 0U);
    expect_whole(times);
    // More in the kernel.
    times = times_of({.vcpus = {{.vm = kVm, .tid = kTid, .guest_ns = 100 * kMs}},
                      .figures = {exits(kNpf, {.kernel = kLots}), exits(kMsr, {.kernel = kLots}),
                                  exits(kHlt, {.kernel = kLots, .blocked = kLots}),
                                  halts(VT_KVM_HALT_POLLED, 1, kLots)}});
    EXPECT_EQ(times.guest, 100 * kMs);
    EXPECT_EQ(times.in_exits(), 400 * kMs);
    EXPECT_EQ(times.polled + times.wasted + times.vmm, 0U);
    EXPECT_EQ(times.halted, 300 * kMs);
    expect_whole(times);
    // More polled than in halts on a CPU.
    times = times_of(
        {.figures = {exits(kHlt, {.kernel = 40 * kMs}), halts(VT_KVM_HALT_POLLED, 1, 90 * kMs)}});
    EXPECT_EQ(times.polled, 40 * kMs);
    EXPECT_EQ(times.wasted, 0U);
    expect_whole(times);
}

TEST(VcpuTimes, WithoutAnAccountTheThreadIsInItsVmm)
{
    const VcpuTimes times = times_of({});
    EXPECT_EQ(times.vmm, 500 * kMs);
    EXPECT_EQ(times.blocked, 300 * kMs);
    expect_whole(times);
    EXPECT_TRUE(vcpu_times({}, {}, true) == VcpuTimes{});
    EXPECT_TRUE(vcpu_times({}, {}, false) == VcpuTimes{});
}

// The kernel's clocks differ a little: what is known may be more than the thread lived.
TEST(VcpuTimes, NothingIsUnknownOfMoreThanItLived)
{
    StateTimes states = second();
    states.lived = states.sum() - 1;
    const VcpuTimes times = vcpu_times(states, {}, true);
    EXPECT_EQ(times.unknown, 0U);
    EXPECT_EQ(times.sum(), states.sum());
}

TEST(VcpuTimes, AHaltThatGoesOn)
{
    // It began in this window …
    VcpuTimes times = times_of({.vcpus = {{.vm = kVm, .tid = kTid, .open = open_halt(200 * kMs)}}});
    EXPECT_EQ(times.halted, 200 * kMs);
    EXPECT_EQ(times.blocked, 100 * kMs);
    expect_whole(times);
    // … or before: open as the last one ended, for 5 s by then.
    times = times_of({.vcpus = {{.vm = kVm,
                                 .tid = kTid,
                                 .open = open_halt(5'250 * kMs),
                                 .carried = open_halt(5'000 * kMs)}}});
    EXPECT_EQ(times.halted, 250 * kMs);
    EXPECT_EQ(times.blocked, 50 * kMs);
    expect_whole(times);
    // What goes on is no halt.
    const OpenExit fault{.ns = 200 * kMs, .code = kNpf, .isa = kSvm};
    times = times_of({.vcpus = {{.vm = kVm, .tid = kTid, .open = fault, .carried = fault}}});
    EXPECT_EQ(times.halted, 0U);
    expect_whole(times);
}

// A VMM that holds its guest, for a snapshot of its memory say.
TEST(VcpuAccounts, AnExitThatGoesOnInTheVmm)
{
    const auto stopped = [](uint64_t ns) {
        return OpenExit{.ns = ns, .code = kMsr, .isa = kSvm, .in_vmm = true};
    };
    VcpuAccount account = account_of({.vcpus = {{.vm = kVm,
                                                 .tid = kTid,
                                                 .open = stopped(60'000 * kMs),
                                                 .carried = stopped(59'000 * kMs)}}});
    EXPECT_EQ(account.exits.at(at(ExitClass::kMsr)), (ExitParts{.vmm = 1'000 * kMs}));
    // It ends.
    account = account_of({.vcpus = {{.vm = kVm, .tid = kTid, .carried = stopped(60'000 * kMs)}},
                          .figures = {exits(kMsr, {.kernel = kMs, .vmm = 60'200 * kMs})}});
    EXPECT_EQ(account.exits.at(at(ExitClass::kMsr)), (ExitParts{.kernel = kMs, .vmm = 200 * kMs}));
}

TEST(VcpuAccounts, ThoseThatEndedAreNamed)
{
    const VcpuAccounts accounts =
        vcpu_accounts({.vcpus = {{.vm = kVm, .tid = kTid}, {.vm = kVm, .tid = kTid + 1}},
                       .figures = {{.vm = kVm, .kind = VT_KVM_MSI, .count = 1}}});
    const auto thread = [](uint32_t tid) { return ThreadStates{.owner = {.vm = kVm}, .tid = tid}; };
    EXPECT_EQ(note_of_ended(accounts, {thread(kTid), thread(kTid + 1), thread(7)}), "");
    EXPECT_EQ(note_of_ended(accounts, {thread(kTid)}),
              "1 vCPU ended in the window: their time in it is in no figure");
    EXPECT_EQ(note_of_ended(accounts, {}).substr(0, 7), "2 vCPUs");
}

TEST(VcpuTimes, AHaltThatBeganBeforeTheWindow)
{
    // It ended in this window, after 5.1 s, of which 5 s were before; then came one of 90 ms.
    const KvmSnapshot kvm{
        .vcpus = {{.vm = kVm, .tid = kTid, .carried = open_halt(5'000 * kMs)}},
        .figures = {exits(kHlt, {.blocked = 5'100 * kMs}), exits(kHlt, {.blocked = 90 * kMs})}};
    EXPECT_EQ(times_of(kvm).halted, 190 * kMs);
    EXPECT_EQ(times_of(kvm).blocked, 110 * kMs);
    expect_whole(times_of(kvm));
    // Of one that was cut short nothing is left to take off.
    const KvmSnapshot ended{.vcpus = {{.vm = kVm, .tid = kTid, .carried = open_halt(5'000 * kMs)}}};
    EXPECT_EQ(times_of(ended).halted, 0U);
    expect_whole(times_of(ended));
}

TEST(VcpuTimes, AVmmThatSleepsItself)
{
    // Without an interrupt controller in the kernel.
    VcpuTimes times = times_of({.figures = {exits(kHlt, {.kernel = kMs, .vmm = 250 * kMs})}});
    EXPECT_EQ(times.halted, 250 * kMs);
    EXPECT_EQ(times.wasted, 0U) << "nobody polled";
    EXPECT_EQ(times.exits.at(at(ExitClass::kHalt)), kMs);
    expect_whole(times);
    times = times_of({.vcpus = {{.vm = kVm, .tid = kTid, .open = open_halt(200 * kMs, true)}}});
    EXPECT_EQ(times.halted, 200 * kMs);
    expect_whole(times);
    // 5.1 s, of which 5 s were before the window.
    times = times_of({.vcpus = {{.vm = kVm, .tid = kTid, .carried = open_halt(5'000 * kMs, true)}},
                      .figures = {exits(kHlt, {.vmm = 5'100 * kMs})}});
    EXPECT_EQ(times.halted, 100 * kMs);
    EXPECT_EQ(times.blocked, 200 * kMs);
    expect_whole(times);
}

TEST(VcpuTimes, WithoutExitsByTheKernelsCount)
{
    StateTimes states = second();
    states.utime = 600 * kMs; // by ticks: of 750 ms in sum, where the thread ran for 500
    states.stime = 150 * kMs;
    states.gtime = 450 * kMs;
    const VcpuAccount account =
        account_of({.vcpus = {{.vm = kVm, .tid = kTid, .guest_ns = 77 * kMs}},
                    .figures = {halts(VT_KVM_HALT_SLEPT, 2, 100 * kMs)}});
    const VcpuTimes times = vcpu_times(states, account, false);
    EXPECT_EQ(times.guest, 300 * kMs);
    EXPECT_EQ(times.exits.at(at(ExitClass::kOther)), 100 * kMs);
    EXPECT_EQ(times.vmm, 100 * kMs);
    EXPECT_EQ(times.halted, 200 * kMs);
    EXPECT_EQ(times.blocked, 100 * kMs);
    EXPECT_EQ(times.polled + times.wasted, 0U);
    expect_whole(times);
}

TEST(VcpuTimes, WithoutExitsAndWithoutTicks)
{
    VcpuTimes times = times_of({.figures = {halts(VT_KVM_HALT_SLEPT, 1, 900 * kMs)}}, false);
    EXPECT_EQ(times.guest, 0U);
    EXPECT_EQ(times.in_exits(), 0U);
    EXPECT_EQ(times.vmm, 500 * kMs);
    EXPECT_EQ(times.halted, 300 * kMs) << "no more than it slept";
    expect_whole(times);
    // More guest than user time.
    StateTimes states = second();
    states.utime = 3;
    states.gtime = 4;
    times = vcpu_times(states, {}, false);
    EXPECT_EQ(times.guest, 500 * kMs);
    expect_whole(times);
    // Only system time.
    states = second();
    states.stime = 1;
    times = vcpu_times(states, {}, false);
    EXPECT_EQ(times.in_exits(), 500 * kMs);
    expect_whole(times);
}

TEST(VcpuTimes, AddToEachOther)
{
    const VcpuTimes one =
        times_of({.vcpus = {{.vm = kVm, .tid = kTid, .guest_ns = 100 * kMs}},
                  .figures = {exits(kMsr, {.kernel = 20 * kMs}),
                              exits(kHlt, {.kernel = 40 * kMs, .blocked = 70 * kMs}),
                              halts(VT_KVM_HALT_POLLED, 1, 25 * kMs)}});
    VcpuTimes sum = one;
    sum += one;
    EXPECT_EQ(sum.lived, 2 * one.lived);
    EXPECT_EQ(sum.in_exits(), 2 * one.in_exits());
    EXPECT_EQ(sum.sum(), 2 * one.sum());
    expect_whole(sum);
    VcpuTimes none;
    none += one;
    EXPECT_TRUE(none == one);
}

} // namespace
} // namespace vtrace
