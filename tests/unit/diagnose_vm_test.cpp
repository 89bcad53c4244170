// SPDX-License-Identifier: GPL-2.0-only
// The rules about VMs: from snapshots by the tools' reports to findings.
#include "diagnose/rules.h"
#include "model/exit_reasons.h"
#include "samples.h"
#include "vtrace/kvm.h"
#include "vtrace/reason.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace vtrace {
namespace {

using test::histogram;
using test::kWebVm;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr uint64_t kUs = 1'000;
constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kWindow = 10 * kSecond;
constexpr uint32_t kVcpu = 4'001;
constexpr uint32_t kIothread = 4'020;
constexpr auto kVmx = static_cast<uint32_t>(ExitIsa::kVmx);
constexpr uint64_t kHlt = 12; // arch/x86/include/uapi/asm/vmx.h
constexpr uint64_t kIo = 30;
constexpr uint64_t kMsrWrite = 32;
constexpr const char* kHaltPoll = "/sys/module/kvm/parameters/halt_poll_ns";

OwnerId web()
{
    return {.cgroup_id = 42, .vm = kWebVm};
}

ThreadStates thread(uint32_t tid, uint64_t ran, uint64_t waited)
{
    StateTimes times{.lived = kWindow};
    times.ns.at(VT_REASON_NONE) = ran;
    times.ns.at(VT_REASON_RUNNABLE) = waited;
    times.ns.at(VT_REASON_OTHER) = kWindow - ran - waited;
    return {.owner = web(), .tid = tid, .tgid = 4'000, .comm = "CPU 1/KVM", .times = times};
}

// The VM web-1 of one vCPU and one iothread, beside a cgroup batch and another VM, db-1.
Snapshot one_vm(uint64_t ran, uint64_t waited, uint64_t iothread_ran = 0)
{
    Snapshot s = test::kvm_snapshot();
    s.duration_ns = kWindow;
    s.cgroups.cgroups.push_back({.id = 44, .parent = 1, .name = "batch\x1b"});
    s.sched.times.clear();
    s.states.threads = {thread(kVcpu, ran, waited), thread(kIothread, iothread_ran, 0)};
    s.kvm.vcpus = {{.vm = kWebVm, .tid = kVcpu, .guest_ns = ran}};
    s.kvm.figures.clear();
    return s;
}

void held(Snapshot& s, std::string_view about, uint64_t ns, const OwnerId& culprit = {})
{
    s.sched.times.push_back({.owner = web(),
                             .about = std::string(about),
                             .culprit = culprit,
                             .time = histogram({{ns, 1}})});
}

KvmFigure& exits(Snapshot& s, uint64_t code, uint64_t count, const ExitParts& each)
{
    KvmFigure figure = test::kvm_figure(VT_KVM_EXIT, kWebVm, kVcpu, code, count, each.sum());
    figure.isa = kVmx;
    figure.parts = {.kernel = count * each.kernel,
                    .vmm = count * each.vmm,
                    .blocked = count * each.blocked,
                    .waited = count * each.waited};
    return s.kvm.figures.emplace_back(std::move(figure));
}

Facts facts_of(const Snapshot& s)
{
    Facts facts;
    for (const char* name : {"vcpu", "kvmexit", "kvmio"})
        facts.reports[name] = test::tool(name).build(s, {.group = "vm", .json = true});
    facts.knobs = {{kHaltPoll, "200000"}};
    return facts;
}

std::vector<Finding> find(const Rule& rule, const Facts& facts)
{
    std::vector<Finding> findings;
    rule.find({rule, rule.limits, facts}, findings);
    return findings;
}

std::vector<Finding> find(const Rule& rule, const Snapshot& s)
{
    return find(rule, facts_of(s));
}

std::vector<Rule> vm_rules()
{
    return {vm_steal_rule(), vm_own_threads_rule(), vm_exits_rule(),
            vm_halts_rule(), vm_halt_poll_rule(),   vm_emulated_device_rule()};
}

using Intensities = std::vector<std::pair<uint64_t, Severity>>;

// Of a rule whose measure is that share of the time, in percent.
const Intensities kLostShares = {
    {6, Severity::kP3}, {15, Severity::kP2}, {40, Severity::kP1}, {80, Severity::kP0}};

constexpr uint64_t percent_of_window(uint64_t share)
{
    return kWindow / 100 * share;
}

TEST(VmRules, NoneWithoutReportsOrVms)
{
    for (const Rule& rule : vm_rules()) {
        EXPECT_THAT(find(rule, Facts{}), IsEmpty()) << rule.name;
        EXPECT_THAT(find(rule, test::empty_snapshot()), IsEmpty()) << rule.name;
    }
}

TEST(VmRules, EveryLimitGrowsAndHasASource)
{
    for (const Rule& rule : vm_rules()) {
        EXPECT_LT(0, rule.limits.p3) << rule.name;
        EXPECT_LT(rule.limits.p3, rule.limits.p2) << rule.name;
        EXPECT_LT(rule.limits.p2, rule.limits.p1) << rule.name;
        EXPECT_LT(rule.limits.p1, rule.limits.p0) << rule.name;
        EXPECT_LT(0, rule.limits.least) << rule.name;
        EXPECT_THAT(rule.source, Not(IsEmpty())) << rule.name;
    }
}

TEST(VmRules, AnIdleVmIsHealthy)
{
    Snapshot s = one_vm(90 * kMs, 6 * kMs, 20 * kMs);
    held(s, kIdle, 6 * kMs);
    exits(s, kHlt, 3'000, {.kernel = 5 * kUs, .blocked = 3'200 * kUs, .waited = 2 * kUs});
    exits(s, kMsrWrite, 6'000, {.kernel = 2 * kUs});
    s.kvm.figures.push_back(
        test::kvm_figure(VT_KVM_EVENT, kWebVm, kVcpu, VT_KVM_HALT_SLEPT, 3'000, 3'205 * kUs));
    for (const Rule& rule : vm_rules())
        EXPECT_THAT(find(rule, s), IsEmpty()) << rule.name;
}

TEST(VmRules, ABusyVmOnABusyHostIsHealthy)
{
    Snapshot s = one_vm(9'700 * kMs, 200 * kMs, 100 * kMs);
    held(s, kNeighbour, 200 * kMs, {.cgroup_id = 44});
    exits(s, kMsrWrite, 40'000, {.kernel = 3 * kUs});
    for (const Rule& rule : vm_rules())
        EXPECT_THAT(find(rule, s), IsEmpty()) << rule.name;
}

TEST(VmSteal, BehindANeighbour)
{
    for (const auto& [share, severity] : kLostShares) {
        const uint64_t waited = percent_of_window(share);
        Snapshot s = one_vm(kWindow - waited, waited);
        held(s, kNeighbour, waited * 9 / 10, {.cgroup_id = 44});
        held(s, kNeighbour, waited / 20, {.cgroup_id = 43, .vm = test::kDbVm});
        held(s, kIrq, waited / 20);
        const auto findings = find(vm_steal_rule(), s);
        ASSERT_THAT(findings, SizeIs(1)) << share;
        const Finding& finding = findings.front();
        EXPECT_EQ(finding.severity, severity) << share;
        EXPECT_EQ(finding.entity.name, "web-1");
        ASSERT_TRUE(finding.culprit);
        EXPECT_THAT(finding.culprit->cgroup, HasSubstr("batch"));
        EXPECT_THAT(finding.what, HasSubstr("batch\\x1b"));
        // Interrupts are nobody's fault.
        EXPECT_NEAR(finding.evidence.front().value, static_cast<double>(share) / 100 * 0.95, 1e-6);
        EXPECT_GT(finding.confidence, 0.9);
        EXPECT_THAT(finding.ruled_out,
                    ElementsAre(HasSubstr("its own quota: 0.0 %"), HasSubstr("iothreads"),
                                HasSubstr("interrupts")));
        ASSERT_THAT(finding.advice, SizeIs(2));
        EXPECT_THAT(finding.advice[0].knob, HasSubstr("cpuset.cpus"));
        EXPECT_THAT(finding.advice[1].knob, HasSubstr("cpu.weight"));
        EXPECT_THAT(find(vm_own_threads_rule(), s), IsEmpty());
    }
}

TEST(VmSteal, AnotherVmIsNamed)
{
    Snapshot s = one_vm(5 * kSecond, 5 * kSecond);
    held(s, kNeighbour, 5 * kSecond, {.cgroup_id = 43, .vm = test::kDbVm});
    const auto findings = find(vm_steal_rule(), s);
    ASSERT_THAT(findings, SizeIs(1));
    ASSERT_TRUE(findings[0].culprit);
    EXPECT_EQ(findings[0].culprit->kind, "vm");
    EXPECT_EQ(findings[0].culprit->name, "db-1");
}

TEST(VmSteal, ItsOwnVcpusAreTheCulprit)
{
    Snapshot s = one_vm(5 * kSecond, 5 * kSecond);
    held(s, kSelf, 4 * kSecond);
    held(s, kNeighbour, kSecond, {.cgroup_id = 44});
    const auto findings = find(vm_steal_rule(), s);
    ASSERT_THAT(findings, SizeIs(1));
    ASSERT_TRUE(findings[0].culprit);
    EXPECT_EQ(findings[0].culprit->name, "web-1");
    EXPECT_THAT(findings[0].what, HasSubstr("behind each other"));
    EXPECT_THAT(find(vm_own_threads_rule(), s), IsEmpty());
}

TEST(VmSteal, NobodyIsGuessed)
{
    Snapshot s = one_vm(5 * kSecond, 5 * kSecond);
    held(s, kUnknown, 5 * kSecond);
    const auto findings = find(vm_steal_rule(), s);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_FALSE(findings[0].culprit);
}

TEST(VmSteal, TooLittle)
{
    Snapshot s = one_vm(10 * kMs, 9 * kMs);
    s.states.threads[0].times.lived = 19 * kMs;
    EXPECT_THAT(find(vm_steal_rule(), s), IsEmpty());
    EXPECT_THAT(find(vm_steal_rule(), one_vm(9'600 * kMs, 400 * kMs)), IsEmpty());
}

TEST(VmOwnThreads, TheIothread)
{
    for (const auto& [share, severity] : kLostShares) {
        const uint64_t waited = percent_of_window(share);
        Snapshot s = one_vm(kWindow - waited, waited, waited + kMs);
        held(s, kSelf, waited);
        const auto findings = find(vm_own_threads_rule(), s);
        ASSERT_THAT(findings, SizeIs(1)) << share;
        const Finding& finding = findings.front();
        EXPECT_EQ(finding.severity, severity) << share;
        ASSERT_TRUE(finding.culprit);
        EXPECT_EQ(finding.culprit->name, "web-1");
        EXPECT_EQ(finding.culprit->labels.back().name, "iothread");
        EXPECT_THAT(finding.what, HasSubstr("iothread"));
        EXPECT_THAT(finding.advice.front().knob, HasSubstr("iothreadpin"));
        EXPECT_THAT(finding.ruled_out, ElementsAre(HasSubstr("0.0 %")));
        EXPECT_THAT(find(vm_steal_rule(), s), IsEmpty());
    }
}

// The two rules never claim the same time. A single vCPU waits for all others of its VM, not for itself.
TEST(VmOwnThreads, ASingleVcpuDoesNotWaitBehindItself)
{
    Snapshot s = one_vm(6 * kSecond, 4 * kSecond, 2 * kSecond);
    held(s, kSelf, 4 * kSecond);
    const auto own = find(vm_own_threads_rule(), s);
    ASSERT_THAT(own, SizeIs(1));
    EXPECT_DOUBLE_EQ(own[0].evidence[0].value, 0.4);
    EXPECT_THAT(find(vm_steal_rule(), s), IsEmpty());
}

// Of two each waits for the other, too: as long as this one ran, beside the iothread.
TEST(VmOwnThreads, OfTwoVcpusEachWaitsForTheOther)
{
    Snapshot s = one_vm(2 * kSecond, 4 * kSecond, 2 * kSecond);
    ThreadStates other = s.states.threads[0];
    other.tid = kVcpu + 1;
    s.states.threads.push_back(other);
    s.kvm.vcpus.push_back({.vm = kWebVm, .tid = kVcpu + 1, .guest_ns = 2 * kSecond});
    held(s, kSelf, 8 * kSecond);
    const auto own = find(vm_own_threads_rule(), s);
    const auto steal = find(vm_steal_rule(), s);
    ASSERT_THAT(own, SizeIs(1));
    ASSERT_THAT(steal, SizeIs(1));
    EXPECT_DOUBLE_EQ(own[0].evidence[0].value, steal[0].evidence[0].value);
}

TEST(VmExits, ByClass)
{
    const Intensities intensities = {
        {12, Severity::kP3}, {25, Severity::kP2}, {45, Severity::kP1}, {75, Severity::kP0}};
    for (const auto& [share, severity] : intensities) {
        Snapshot s = one_vm(kWindow, 0);
        const uint64_t count = percent_of_window(share) / (10 * kUs);
        exits(s, kMsrWrite, count, {.kernel = 2 * kUs, .vmm = 8 * kUs, .waited = 50 * kUs});
        exits(s, kIo, 100, {.kernel = kUs});
        exits(s, kHlt, 100, {.kernel = kUs, .blocked = kSecond / 100});
        const auto findings = find(vm_exits_rule(), s);
        ASSERT_THAT(findings, SizeIs(1)) << share;
        const Finding& finding = findings.front();
        EXPECT_EQ(finding.severity, severity) << share;
        EXPECT_THAT(finding.what, HasSubstr("msr"));
        EXPECT_THAT(finding.advice.front().knob, HasSubstr("clocksource"));
        EXPECT_EQ(finding.evidence[1].unit, FigureUnit::kRate);
        EXPECT_NEAR(finding.evidence[1].value, static_cast<double>(count + 100) / 10, 1);
        EXPECT_FALSE(finding.culprit);
    }
}

TEST(VmExits, TheModuleOfThisHostIsNamed)
{
    constexpr uint64_t kApicAccess = 44;
    Snapshot s = one_vm(kWindow, 0);
    exits(s, kApicAccess, 1'000'000, {.kernel = 5 * kUs});
    Facts facts = facts_of(s);
    EXPECT_THAT(find(vm_exits_rule(), facts).at(0).advice.at(0).knob, HasSubstr("enable_apicv"));
    facts.knobs.push_back({"/sys/module/kvm_amd/parameters/avic", "N"});
    const Advice advice = find(vm_exits_rule(), facts).at(0).advice.at(0);
    EXPECT_THAT(advice.knob, HasSubstr("kvm_amd"));
    EXPECT_EQ(advice.present, "N");
}

TEST(VmExits, TooFewOrShort)
{
    Snapshot s = one_vm(kWindow, 0);
    exits(s, kIo, 999, {.vmm = 5 * kMs});
    EXPECT_THAT(find(vm_exits_rule(), s), IsEmpty());
    s = one_vm(kWindow, 0);
    exits(s, kIo, 90'000, {.vmm = 10 * kUs});
    EXPECT_THAT(find(vm_exits_rule(), s), IsEmpty());
}

TEST(VmHalts, ShortAndMany)
{
    const Intensities intensities = {{6'000, Severity::kP3},
                                     {25'000, Severity::kP2},
                                     {70'000, Severity::kP1},
                                     {150'000, Severity::kP0}};
    for (const auto& [rate, severity] : intensities) {
        Snapshot s = one_vm(2 * kSecond, 0);
        exits(s, kHlt, 10 * rate, {.kernel = kUs, .blocked = 4 * kUs});
        exits(s, kHlt, 900, {.blocked = 2 * kMs});
        const auto findings = find(vm_halts_rule(), s);
        ASSERT_THAT(findings, SizeIs(1)) << rate;
        const Finding& finding = findings.front();
        EXPECT_EQ(finding.severity, severity) << rate;
        EXPECT_DOUBLE_EQ(finding.evidence.front().value, static_cast<double>(rate));
        EXPECT_THAT(finding.advice.front().knob, HasSubstr("guest_halt_poll_ns"));
        EXPECT_LE(finding.impact, 1);
    }
}

TEST(VmHalts, LongOnesAreIdleness)
{
    Snapshot s = one_vm(2 * kSecond, 0);
    exits(s, kHlt, 40'000, {.blocked = 230 * kUs});
    EXPECT_THAT(find(vm_halts_rule(), s), IsEmpty());
}

TEST(VmHaltPoll, InVain)
{
    const Intensities intensities = {
        {6, Severity::kP3}, {30, Severity::kP2}, {60, Severity::kP1}, {95, Severity::kP0}};
    for (const auto& [share, severity] : intensities) {
        const uint64_t polled = percent_of_window(share) / 1'000;
        const uint64_t asleep = kWindow / 1'000 - polled;
        Snapshot s = one_vm(1'000 * polled, 0);
        s.kvm.vcpus[0].guest_ns = 0;
        exits(s, kHlt, 1'000, {.kernel = polled, .blocked = asleep});
        s.kvm.figures.push_back(test::kvm_figure(VT_KVM_EVENT, kWebVm, kVcpu, VT_KVM_HALT_SLEPT,
                                                 1'000, polled + asleep));
        const auto findings = find(vm_halt_poll_rule(), s);
        ASSERT_THAT(findings, SizeIs(1)) << share;
        const Finding& finding = findings.front();
        EXPECT_EQ(finding.severity, severity) << share;
        EXPECT_EQ(finding.advice.front().knob, kHaltPoll);
        EXPECT_EQ(finding.advice.front().present, "200000");
        EXPECT_EQ(finding.advice.front().suggested, severity <= Severity::kP1 ? "0" : "100000");
    }
}

// `each` was in KVM and the VMM.
void access(Snapshot& s, uint64_t port, uint64_t count, uint64_t to_vmm, const ExitParts& each)
{
    KvmFigure figure = test::kvm_figure(VT_KVM_PIO, kWebVm, kVcpu, port, count, each.sum());
    figure.flags = VT_KVM_WRITE;
    figure.to_vmm = to_vmm;
    figure.parts = {.kernel = each.kernel * count, .vmm = each.vmm * to_vmm};
    s.kvm.figures.push_back(std::move(figure));
}

TEST(VmEmulatedDevice, ByName)
{
    const Intensities intensities = {
        {3, Severity::kP3}, {8, Severity::kP2}, {30, Severity::kP1}, {60, Severity::kP0}};
    for (const auto& [share, severity] : intensities) {
        Snapshot s = one_vm(kWindow, 0);
        const ExitParts each = {.kernel = 2 * kUs, .vmm = 8 * kUs};
        const uint64_t count = percent_of_window(share) / each.sum();
        access(s, 0x1f0, count, count, each);
        access(s, 0x3f8, 100, 100, each);
        access(s, 0xc000, 500'000, 0, each); // a doorbell
        exits(s, kIo, count + 100, each);
        const auto findings = find(vm_emulated_device_rule(), s);
        ASSERT_THAT(findings, SizeIs(1)) << share;
        const Finding& finding = findings.front();
        EXPECT_EQ(finding.severity, severity) << share;
        EXPECT_NEAR(finding.evidence[0].value, static_cast<double>(share) / 100, 0.001);
        EXPECT_NEAR(finding.evidence[1].value, static_cast<double>(count + 100) / 10, 0.1);
        EXPECT_THAT(finding.what, HasSubstr("IDE"));
        EXPECT_THAT(finding.advice.front().knob, HasSubstr("virtio-blk"));
        EXPECT_THAT(finding.ruled_out, ElementsAre(HasSubstr("500000")));
        EXPECT_THAT(find(vm_exits_rule(), s), IsEmpty()) << "one cause is said once";
    }
}

TEST(VmEmulatedDevice, OtherExitsAreNot)
{
    Snapshot s = one_vm(kWindow, 0);
    const ExitParts each = {.kernel = 2 * kUs, .vmm = 8 * kUs};
    access(s, 0x1f0, 100'000, 100'000, each);
    access(s, 0x40, 300'000, 0, each); // of KVM itself
    exits(s, kIo, 100'000, each);
    exits(s, kIo, 300'000, {.kernel = 10 * kUs});
    const auto findings = find(vm_exits_rule(), s);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_NEAR(findings[0].evidence[0].value, 0.3, 0.001);
    EXPECT_THAT(findings[0].ruled_out.back(), HasSubstr("devices of the VMM"));
    EXPECT_THAT(findings[0].ruled_out.back(), HasSubstr("10.0 %"));
}

TEST(VmEmulatedDevice, DoorbellsAndFewAccessesAreNone)
{
    Snapshot s = one_vm(kWindow, 0);
    access(s, 0xc000, 1'000'000, 0, {.kernel = 5 * kUs});
    EXPECT_THAT(find(vm_emulated_device_rule(), s), IsEmpty());
    s = one_vm(kWindow, 0);
    access(s, 0x1f0, 900, 900, {.vmm = 10 * kMs});
    EXPECT_THAT(find(vm_emulated_device_rule(), s), IsEmpty());
}

// What was found stays until it is clearly gone.
TEST(VmRules, Hysteresis)
{
    Snapshot s = one_vm(9'550 * kMs, 450 * kMs);
    Facts facts = facts_of(s);
    EXPECT_THAT(find(vm_steal_rule(), facts), IsEmpty());
    facts.held.insert(finding_key("vm-steal", facts.reports.at("vcpu").rows.at(0).entity));
    EXPECT_THAT(find(vm_steal_rule(), facts), SizeIs(1));
}

} // namespace
} // namespace vtrace
