// SPDX-License-Identifier: GPL-2.0-only
// Rules about CPU, memory and disks, and what is common to all rules, on reports as their tools make them.
#include "diagnose/diagnose.h"
#include "diagnose/explain.h"
#include "diagnose/limits_file.h"
#include "diagnose/rules.h"
#include "model/report_values.h"
#include "render/diagnosis.h"
#include "render/rules.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace vtrace {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kWindow = 10'000 * kMs;

Entity container(const std::string& name, uint64_t id)
{
    return {.kind = "container", .name = name, .cgroup = "/docker/" + name, .id = id};
}

const Entity kWeb = container("web", 10);
const Entity kBatch = container("batch", 11);

Histogram times(uint64_t count, uint64_t sum_ns)
{
    Histogram histogram;
    for (uint64_t i = 0; i < count; i++)
        histogram.add(sum_ns / count);
    return histogram;
}

Report report_of(const std::string& tool)
{
    Report report{.tool = tool};
    report.host = {.name = "node-1", .kernel = "6.18"};
    report.duration_ns = kWindow;
    return report;
}

void put(Row& row, const std::string& name, double value)
{
    row.metrics.push_back({.name = name, .value = value});
}

// Who ran and waited: the parts of its wait in ms.
struct Waits {
    Entity entity;
    double ran = 0;
    double throttled = 0;
    double self = 0;
    double neighbour = 0;
    double idle = 0;
    Entity culprit = kBatch;
};

void add_waits(Facts& facts, const Waits& waits)
{
    constexpr double kMsInNs = 1e6;
    Report& blame = facts.reports.try_emplace("blame", report_of("blame")).first->second;
    Report& states = facts.reports.try_emplace("states", report_of("states")).first->second;
    const double all = waits.throttled + waits.self + waits.neighbour + waits.idle;
    Row row{.entity = waits.entity, .histogram = times(1000, static_cast<uint64_t>(all * kMsInNs))};
    put(row, "throttled", waits.throttled * kMsInNs);
    put(row, "self", waits.self * kMsInNs);
    put(row, "neighbour", waits.neighbour * kMsInNs);
    put(row, "other", waits.idle * kMsInNs);
    if (waits.neighbour > 0)
        row.rows.push_back(
            {.entity = waits.culprit,
             .histogram = times(100, static_cast<uint64_t>(waits.neighbour * kMsInNs))});
    if (waits.idle > 0)
        row.rows.push_back({.entity = {.kind = "part", .name = "idle"},
                            .histogram = times(100, static_cast<uint64_t>(waits.idle * kMsInNs))});
    blame.rows.push_back(std::move(row));
    Row state{.entity = waits.entity};
    put(state, "user", waits.ran * kMsInNs);
    put(state, "runnable", (all - waits.throttled) * kMsInNs);
    put(state, "throttled", waits.throttled * kMsInNs);
    put(state, "threads", 2);
    put(state, "thread_time", 2.0 * static_cast<double>(kWindow));
    states.rows.push_back(std::move(state));
}

std::vector<Finding> find(const Rule& rule, const Facts& facts)
{
    std::vector<Finding> findings;
    rule.find({rule, rule.limits, facts}, findings);
    return findings;
}

// A quota of 0.2 CPUs, of which it was without for `lost` of the time that it wanted one, in all periods.
Facts throttled(double lost, double periods = 100)
{
    Facts facts;
    Report report = report_of("throttle");
    const double quota = 20.0 * static_cast<double>(kMs);
    const double ran = periods * quota;
    Row row{.entity = kWeb,
            .histogram = times(100, static_cast<uint64_t>(ran * lost / (1.0001 - lost)))};
    put(row, "periods", periods);
    put(row, "throttled_periods", periods);
    put(row, "throttled_share", 1);
    put(row, "throttled_time", 0.5 * static_cast<double>(kWindow));
    put(row, "quota", quota);
    put(row, "period", 100.0 * static_cast<double>(kMs));
    report.rows.push_back(std::move(row));
    facts.reports["throttle"] = report;
    return facts;
}

TEST(Diagnose, AQuotaThatRunsOut)
{
    for (const auto& [lost, severity] :
         {std::pair(0.06, Severity::kP3), std::pair(0.2, Severity::kP2),
          std::pair(0.6, Severity::kP1), std::pair(0.95, Severity::kP0)}) {
        const auto findings = find(cpu_throttled_rule(), throttled(lost));
        ASSERT_THAT(findings, SizeIs(1)) << lost;
        EXPECT_EQ(findings[0].severity, severity) << lost;
        EXPECT_EQ(findings[0].culprit->name, "web");
        EXPECT_THAT(findings[0].advice[0].present, HasSubstr("0.20 CPUs"));
    }
    // Throttled for half of the time that it wanted 0.2 CPUs: it would have used 0.4.
    EXPECT_THAT(find(cpu_throttled_rule(), throttled(0.5))[0].advice[0].suggested,
                HasSubstr("about 0.4 CPUs"));
    EXPECT_THAT(find(cpu_throttled_rule(), throttled(0.01)), IsEmpty());
    EXPECT_THAT(find(cpu_throttled_rule(), throttled(0.9, 9)), IsEmpty()) << "too few periods";
    EXPECT_THAT(find(cpu_throttled_rule(), {}), IsEmpty()) << "not measured";
}

TEST(Diagnose, WhatWasFoundStaysUntilItIsWellBelow)
{
    Facts facts = throttled(0.018);
    EXPECT_THAT(find(cpu_throttled_rule(), facts), IsEmpty());
    facts.held = keys_of(find(cpu_throttled_rule(), throttled(0.3)));
    EXPECT_THAT(find(cpu_throttled_rule(), facts), SizeIs(1));
    Facts less = throttled(0.015);
    less.held = facts.held;
    EXPECT_THAT(find(cpu_throttled_rule(), less), IsEmpty());
}

TEST(Diagnose, ANeighbourOnTheCpu)
{
    for (const auto& [waited, severity] :
         {std::pair(500.0, Severity::kP3), std::pair(2000.0, Severity::kP2),
          std::pair(5000.0, Severity::kP1), std::pair(9000.0, Severity::kP0)}) {
        Facts facts;
        add_waits(facts, {.entity = kWeb, .ran = 10'000 - waited, .neighbour = waited});
        const auto findings = find(cpu_neighbour_rule(), facts);
        ASSERT_THAT(findings, SizeIs(1)) << waited;
        EXPECT_EQ(findings[0].severity, severity) << waited;
        EXPECT_EQ(findings[0].entity.name, "web");
        EXPECT_EQ(findings[0].culprit->name, "batch");
        EXPECT_THAT(findings[0].ruled_out, Contains(HasSubstr("its own CPU quota: 0.0 %")));
    }
    Facts healthy;
    add_waits(healthy, {.entity = kWeb, .ran = 9900, .neighbour = 200});
    EXPECT_THAT(find(cpu_neighbour_rule(), healthy), IsEmpty());
}

// Both wait for each other; the one with more threads than CPUs also for itself.
TEST(Diagnose, OfTwoThatFightForACpuTheVictimIsFirst)
{
    Facts facts;
    add_waits(
        facts,
        {.entity = kBatch, .ran = 5000, .self = 15'000, .neighbour = 20'000, .culprit = kWeb});
    add_waits(facts, {.entity = kWeb, .ran = 5000, .neighbour = 5000});
    std::vector<Finding> findings = diagnose(facts, {});
    std::erase_if(findings, [](const Finding& f) { return f.rule != "cpu-neighbour"; });
    ASSERT_THAT(findings, SizeIs(2));
    EXPECT_EQ(findings[0].entity.name, "web");
    EXPECT_EQ(findings[0].culprit->name, "batch");
}

TEST(Diagnose, MoreThreadsThanCpus)
{
    for (const auto& [self, severity] :
         {std::pair(3000.0, Severity::kP3), std::pair(10'000.0, Severity::kP2),
          std::pair(60'000.0, Severity::kP1)}) {
        Facts facts;
        add_waits(facts, {.entity = kWeb, .ran = 20'000, .self = self});
        const auto findings = find(cpu_self_rule(), facts);
        ASSERT_THAT(findings, SizeIs(1)) << self;
        EXPECT_EQ(findings[0].severity, severity) << self;
        EXPECT_THAT(findings[0].what, HasSubstr("2.0 CPUs"));
        EXPECT_THAT(find(cpu_neighbour_rule(), facts), IsEmpty());
    }
}

TEST(Diagnose, IdleCpusThatWakeUpAreNoMoreThanP3)
{
    Facts facts;
    add_waits(facts, {.entity = kWeb, .ran = 100, .idle = 9000});
    facts.knobs = {{"/sys/devices/system/cpu/cpuidle/current_governor", "menu"}};
    const auto findings = find(cpu_idle_rule(), facts);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_EQ(findings[0].severity, Severity::kP3);
    EXPECT_EQ(findings[0].advice[0].present, "menu");
}

// A CPU that ran softirqs as it was idle was not asleep.
TEST(Diagnose, IdleCpusThatRunSoftirqsAreAwake)
{
    for (const auto& [softirqs_ms, expected] : {std::pair(8000.0, 1U), std::pair(9500.0, 0U)}) {
        Facts facts;
        add_waits(facts, {.entity = kWeb, .ran = 100, .idle = 9000});
        Row idle{.entity = {.kind = "part", .name = std::string(kIdle)}};
        put(idle, "time", softirqs_ms * 1e6);
        Report report = report_of("softirqs");
        report.rows.push_back({.entity = {.kind = "softirq", .name = "NET_RX"}});
        report.rows[0].rows = {idle};
        facts.reports["softirqs"] = report;
        EXPECT_THAT(find(cpu_idle_rule(), facts), SizeIs(expected)) << softirqs_ms;
    }
}

Row thread(const std::string& name, double lock_ms, double busy_ms, double switches)
{
    constexpr double kMsInNs = 1e6;
    Row row{.entity = {.kind = "thread", .name = name}};
    put(row, "lock", lock_ms * kMsInNs);
    put(row, "user", busy_ms * kMsInNs);
    put(row, "voluntary_switches", switches);
    return row;
}

Facts with_threads(std::vector<Row> threads)
{
    Facts facts;
    Report report = report_of("states");
    report.rows.push_back({.entity = kWeb});
    report.rows[0].rows = std::move(threads);
    facts.reports["states"] = report;
    return facts;
}

TEST(Diagnose, ALockThatThreadsFightFor)
{
    const auto findings =
        find(lock_contention_rule(),
             with_threads({thread("a", 7500, 2500, 5000), thread("b", 7500, 2500, 5000),
                           thread("c", 7500, 2500, 5000), thread("d", 7500, 2500, 5000)}));
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_EQ(findings[0].severity, Severity::kP2);
    EXPECT_LE(findings[0].confidence, 0.6);
    // Workers without work: they wait long; and those that are asked often, but have little to do.
    EXPECT_THAT(find(lock_contention_rule(),
                     with_threads({thread("busy", 0, 10'000, 100), thread("idle", 10'000, 1, 3),
                                   thread("idle", 10'000, 1, 3)})),
                IsEmpty());
    EXPECT_THAT(find(lock_contention_rule(),
                     with_threads({thread("a", 9000, 1000, 9000), thread("b", 9000, 1000, 9000)})),
                IsEmpty());
}

Facts stalled(const std::string& kind, double ms, double hits)
{
    constexpr double kMsInNs = 1e6;
    Facts facts;
    add_waits(facts, {.entity = kWeb, .ran = 10'000});
    Report report = report_of("memstall");
    Row row{.entity = kWeb, .histogram = times(500, static_cast<uint64_t>(ms * kMsInNs))};
    row.rows.push_back({.entity = {.kind = "stall", .name = kind}, .histogram = row.histogram});
    put(row, "limit_hits", hits);
    put(row, "limit", 64.0 * 1024 * 1024);
    report.rows.push_back(std::move(row));
    facts.reports["memstall"] = report;
    return facts;
}

TEST(Diagnose, TheOwnMemoryLimitAndTheHosts)
{
    for (const auto& [ms, severity] :
         {std::pair(300.0, Severity::kP3), std::pair(2000.0, Severity::kP2),
          std::pair(5000.0, Severity::kP1)}) {
        const auto limit = find(memory_limit_rule(), stalled("limit reclaim", ms, 20));
        ASSERT_THAT(limit, SizeIs(1)) << ms;
        EXPECT_EQ(limit[0].severity, severity) << ms;
        EXPECT_EQ(limit[0].advice[0].present, "64M");
        const auto host = find(memory_host_rule(), stalled("reclaim", ms, 0));
        ASSERT_THAT(host, SizeIs(1)) << ms;
        EXPECT_EQ(host[0].severity, severity) << ms;
    }
    EXPECT_THAT(find(memory_host_rule(), stalled("limit reclaim", 5000, 20)), IsEmpty());
    EXPECT_THAT(find(memory_limit_rule(), stalled("reclaim", 5000, 0)), IsEmpty());
    EXPECT_THAT(find(memory_limit_rule(), stalled("major fault", 5000, 0)), IsEmpty());
}

TEST(Diagnose, AKilledProcess)
{
    Facts facts = stalled("limit reclaim", 1, 1);
    facts.reports["memstall"].kills = {
        {.victim = kWeb, .cause = kWeb, .kill = {.comm = "eater", .cause_comm = "eater"}}};
    const auto findings = find(memory_oom_rule(), facts);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_EQ(findings[0].severity, Severity::kP1);
    EXPECT_THAT(findings[0].what, HasSubstr("eater"));
}

struct DiskUse {
    Entity entity;
    double count;
    double device_ms; // of each
    double held = 0;
    double beside = 0;
};

Facts disks(const std::vector<DiskUse>& uses)
{
    constexpr double kMsInNs = 1e6;
    Facts facts;
    Report report = report_of("iotop");
    for (const DiskUse& use : uses) {
        const double ns = use.count * use.device_ms * kMsInNs;
        Row row{.entity = use.entity,
                .histogram = times(static_cast<uint64_t>(use.count), static_cast<uint64_t>(ns))};
        row.entity.labels = {{"disk", "sda"}};
        put(row, "count", use.count);
        put(row, "device_time", ns);
        put(row, "depth", ns / static_cast<double>(kWindow));
        put(row, "samples", 2000);
        put(row, "held", use.held);
        put(row, "beside", use.beside);
        put(row, "limit_read_bytes", 1024.0 * 1024);
        report.rows.push_back(std::move(row));
    }
    facts.reports["iotop"] = report;
    return facts;
}

TEST(Diagnose, TheOwnLimitOfADisk)
{
    for (const auto& [held, severity] :
         {std::pair(0.1, Severity::kP3), std::pair(0.3, Severity::kP2),
          std::pair(0.8, Severity::kP1), std::pair(1.0, Severity::kP0)}) {
        const auto findings =
            find(disk_limit_rule(),
                 disks({{.entity = kWeb, .count = 100, .device_ms = 0.1, .held = held}}));
        ASSERT_THAT(findings, SizeIs(1)) << held;
        EXPECT_EQ(findings[0].severity, severity) << held;
        EXPECT_THAT(findings[0].advice[0].present, HasSubstr("rbps=1.0M"));
    }
}

TEST(Diagnose, ASlowDiskIsNotOneThatIsAskedForMuch)
{
    const auto slow =
        find(disk_slow_rule(), disks({{.entity = kWeb, .count = 200, .device_ms = 40}}));
    ASSERT_THAT(slow, SizeIs(1));
    EXPECT_EQ(slow[0].severity, Severity::kP2);
    EXPECT_EQ(slow[0].culprit->name, "sda");
    // 20,000 a second, 256 at once: 12.8 ms for each.
    EXPECT_THAT(
        find(disk_slow_rule(), disks({{.entity = kWeb, .count = 200'000, .device_ms = 12.8}})),
        IsEmpty());
}

TEST(Diagnose, ANeighbourOnTheDisk)
{
    const auto findings =
        find(disk_neighbour_rule(),
             disks({{.entity = kBatch, .count = 50'000, .device_ms = 6, .beside = 0.4},
                    {.entity = kWeb, .count = 1500, .device_ms = 6, .beside = 0.99}}));
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_EQ(findings[0].entity.name, "web");
    EXPECT_EQ(findings[0].culprit->name, "batch");
    EXPECT_EQ(findings[0].severity, Severity::kP1);
    EXPECT_THAT(
        find(disk_neighbour_rule(), disks({{.entity = kWeb, .count = 200'000, .device_ms = 12.8}})),
        IsEmpty())
        << "alone";
}

TEST(Diagnose, WhatIsFastOrRareIsNoMoreThanP3)
{
    // Each takes half a millisecond, as without the other.
    const auto fast =
        find(disk_neighbour_rule(),
             disks({{.entity = kBatch, .count = 600'000, .device_ms = 0.5, .beside = 0.9},
                    {.entity = kWeb, .count = 19'000, .device_ms = 0.5, .beside = 1}}));
    for (const Finding& finding : fast)
        EXPECT_EQ(finding.severity, Severity::kP3);
    const auto rare =
        find(disk_slow_rule(), disks({{.entity = kWeb, .count = 10, .device_ms = 60}}));
    ASSERT_THAT(rare, SizeIs(1));
    EXPECT_EQ(rare[0].severity, Severity::kP3);
}

// In v1 each controller has a hierarchy of its own, in which a cgroup has another id.
TEST(Diagnose, OneOwnerInSeveralHierarchies)
{
    Facts facts = stalled("limit reclaim", 2000, 20);
    facts.reports["memstall"].rows[0].entity.id = 77;
    const auto findings = find(memory_limit_rule(), facts);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_DOUBLE_EQ(findings[0].evidence[0].value, 0.2) << "of the 10 s that it ran";
}

TEST(Diagnose, SettingsAreHarmless)
{
    Facts facts;
    facts.knobs = {{"/proc/sys/vm/swappiness", "60\x1b[31m\xff"}};
    EXPECT_EQ(facts.knob("/proc/sys/vm/swappiness").find('\x1b'), std::string::npos);
}

TEST(Diagnose, LimitsOfZeroFindNothingInNothing)
{
    Facts facts;
    for (const Rule& rule : rules()) {
        for (const std::string_view tool : rule.tools) {
            Report& report = facts.reports[std::string(tool)];
            report = report_of(std::string(tool));
            report.rows = {{.entity = kWeb}};
        }
    }
    LimitsByRule limits;
    for (const Rule& rule : rules())
        limits.emplace(rule.name, Limits{});
    EXPECT_THAT(diagnose(facts, limits), IsEmpty());
}

TEST(Diagnose, WhatVtraceItselfLost)
{
    Facts facts;
    add_waits(facts, {.entity = kWeb, .ran = 1000, .self = 10});
    facts.reports["blame"].loss.missed_start = 20; // of a thousand
    EXPECT_THAT(find(measurement_rule(), facts), IsEmpty());
    facts.reports["blame"].loss.map_full = 500;
    const auto findings = find(measurement_rule(), facts);
    ASSERT_THAT(findings, SizeIs(1));
    EXPECT_EQ(findings[0].severity, Severity::kP3);
}

TEST(Diagnose, LossesAndFewEventsLimitConfidence)
{
    EXPECT_DOUBLE_EQ(confidence_of(10, 0), 0.5);
    EXPECT_DOUBLE_EQ(confidence_of(1'000'000, 0), 0.99);
    EXPECT_DOUBLE_EQ(confidence_of(1'000'000, 1'000'000), 0.495);
    EXPECT_DOUBLE_EQ(confidence_of(0, 0), 0);
}

TEST(Diagnose, NothingOfNothing)
{
    EXPECT_THAT(diagnose({}, {}), IsEmpty());
    EXPECT_THAT(explain({}), IsEmpty());
}

TEST(Diagnose, RulesAreWhole)
{
    for (const Rule& rule : rules()) {
        const Limits& l = rule.limits;
        EXPECT_TRUE(l.p3 <= l.p2 && l.p2 <= l.p1 && l.p1 <= l.p0) << rule.name;
        EXPECT_FALSE(rule.summary.empty() || rule.measure.empty() || rule.source.empty() ||
                     rule.tools.empty())
            << rule.name;
    }
}

TEST(Diagnose, LimitsFromAFile)
{
    const auto limits = parse_limits("[cpu-throttled]\np3 = 0.01\np2 = 0.02\nleast = 3\n");
    ASSERT_TRUE(limits) << limits.error().message();
    const Limits& own = limits->at("cpu-throttled");
    EXPECT_EQ(own.p3, 0.01);
    EXPECT_EQ(own.p1, cpu_throttled_rule().limits.p1);
    EXPECT_EQ(diagnose(throttled(0.012), *limits).size(), 1U);
    EXPECT_THAT(rules_text(*limits, {}), HasSubstr("P3 from 1.0 %, P2 2.0 %"));
}

TEST(Diagnose, WrongLimitsSayWhere)
{
    const auto message = [](const char* text) {
        const auto limits = parse_limits(text);
        return limits ? std::string("accepted") : limits.error().message();
    };
    EXPECT_THAT(message("[cpu-throttle]\np3 = 1\n"), HasSubstr("line 1: there is no rule"));
    EXPECT_THAT(message("\n[cpu-throttled]\np4 = 1\n"), HasSubstr("line 3: p4"));
    EXPECT_THAT(message("[cpu-throttled]\np3 = \"x\"\n"), HasSubstr("not a number"));
    EXPECT_THAT(message("[cpu-throttled]\np3 = -1\n"), HasSubstr("not a number"));
    EXPECT_THAT(message("[cpu-throttled]\np3 = nan\n"), HasSubstr("not a number"));
    EXPECT_THAT(message("[cpu-throttled]\np3 = 0.9\n"), HasSubstr("before a lesser one"));
    EXPECT_THAT(message("cpu-throttled = 3\n"), HasSubstr("is no table"));
    EXPECT_THAT(message("[cpu-throttled\n"), HasSubstr("line 1"));
    const auto zero = parse_limits(std::string_view("[\0a]\n", 5));
    ASSERT_FALSE(zero);
    EXPECT_THAT(zero.error().message(), HasSubstr("zero byte"));
    EXPECT_FALSE(parse_limits("[="));
    EXPECT_FALSE(parse_limits("\xef\xbb\x91")); // U+FED1, which is no white space
    EXPECT_TRUE(parse_limits("[cpu-throttled] # f\xc3\xbcr uns\nleast = 3\n"));
}

TEST(Diagnose, ExplainsWhereTimeWentWithTheCulprit)
{
    Facts facts;
    add_waits(facts, {.entity = kWeb, .ran = 4000, .neighbour = 6000});
    const auto trees = explain(facts);
    ASSERT_THAT(trees, SizeIs(1));
    EXPECT_EQ(trees[0].name, "container web");
    ASSERT_THAT(trees[0].parts, SizeIs(2));
    EXPECT_TRUE(trees[0].parts[0].largest);
    ASSERT_THAT(trees[0].parts[0].parts, SizeIs(1));
    EXPECT_EQ(trees[0].parts[0].parts[0].name, "batch");
}

Diagnosis diagnosis_of(const Facts& facts)
{
    return {.host = {.name = "node-1", .kernel = "6.18"},
            .start_ns = 0,
            .duration_ns = kWindow,
            .findings = diagnose(facts, {}),
            .trees = explain(facts),
            .not_looked = {{"vm-steal", "this host has no KVM"}},
            .loss = {}};
}

TEST(Diagnose, TextFitsAndSaysAll)
{
    Facts facts = throttled(0.6);
    Entity hostile =
        container("web\x1b[31m\nname that is so long that it cannot be in one line at all, "
                  "whatever anybody does about it, ever",
                  12);
    add_waits(facts, {.entity = hostile, .ran = 4000, .neighbour = 6000});
    for (const size_t width : {40U, 80U, 100U, 200U}) {
        const std::string text = diagnosis_text(diagnosis_of(facts), {.width = width});
        for (const std::string& line : test::lines_of(text))
            EXPECT_LE(line.size(), 100U) << line;
        EXPECT_THAT(text, HasSubstr("P1  web is throttled"));
        EXPECT_THAT(text, HasSubstr("not looked for: vm-steal"));
        EXPECT_THAT(text, Not(HasSubstr("\x1b[31m")));
    }
    EXPECT_THAT(diagnosis_text(diagnosis_of({}), {}), HasSubstr("no bottleneck found"));
}

TEST(Diagnose, JsonHasAllFigures)
{
    const auto json = nlohmann::json::parse(diagnosis_json(diagnosis_of(throttled(0.6))));
    EXPECT_EQ(json.at("schema"), "vtrace/1");
    const auto& finding = json.at("findings").at(0);
    EXPECT_EQ(finding.at("rule"), "cpu-throttled");
    EXPECT_EQ(finding.at("severity"), "P1");
    EXPECT_EQ(finding.at("culprit").at("name"), "web");
    EXPECT_NEAR(finding.at("evidence").at(0).at("value").get<double>(), 0.6, 0.001);
    EXPECT_EQ(finding.at("evidence").at(0).at("samples"), 100);
    EXPECT_EQ(finding.at("evidence").at(0).at("against"), 0.3);
}

} // namespace
} // namespace vtrace
