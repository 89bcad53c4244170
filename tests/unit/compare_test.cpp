// SPDX-License-Identifier: GPL-2.0-only
#include "base/printable.h"
#include "compare/comparison.h"
#include "compare/metrics.h"
#include "compare/series.h"
#include "compare/statistics.h"
#include "render/compare_json.h"
#include "render/compare_text.h"
#include "samples.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace vtrace {
namespace {

using testing::Contains;
using testing::DoubleEq;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

using Values = std::vector<double>;
using Worse = CompareMetric::Worse;

constexpr double kUsual = 0.95;

// Reproducible ones, each of them independent.
Values random_values(size_t count, double mean, uint32_t seed)
{
    std::mt19937 engine(seed);
    Values values(count);
    for (double& value : values) // not a distribution of the library's: those differ
        value = mean * (0.9 + 0.2 * static_cast<double>(engine()) / std::mt19937::max());
    return values;
}

TEST(Statistics, Median)
{
    EXPECT_EQ(median({}), 0);
    EXPECT_EQ(median({7}), 7);
    EXPECT_EQ(median({3, 1, 2}), 2);
    EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
}

// Permeability of membranes, Hollander and Wolfe (1973), p. 69; the figures are those of R's wilcox.test(conf.int = TRUE).
TEST(Statistics, ShiftOfAPublishedExample)
{
    const Values at_term = {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46};
    const Values early = {1.15, 0.88, 0.90, 0.74, 1.21};
    const auto shift = shift_between(early, at_term, kUsual);
    ASSERT_TRUE(shift && shift->bounds);
    EXPECT_THAT(shift->value, DoubleNear(0.305, 1e-12));
    EXPECT_THAT(shift->bounds->low, DoubleNear(-0.15, 1e-12));
    EXPECT_THAT(shift->bounds->high, DoubleNear(0.76, 1e-12));
}

// By the definition: all differences, sorted.
TEST(Statistics, ShiftOfManyIsThatOfAllDifferences)
{
    for (uint32_t seed = 1; seed < 20; seed++) {
        const Values a = random_values(30 + seed, 100, seed);
        const Values b = random_values(40, seed % 2 == 0 ? 1e-3 : 1e6, seed + 100);
        Values all;
        for (const double from : a) {
            for (const double to : b)
                all.push_back(to - from);
        }
        std::ranges::sort(all);
        const auto shift = shift_between(a, b, kUsual);
        ASSERT_TRUE(shift && shift->bounds);
        EXPECT_EQ(shift->value, median(all));
        const auto m = static_cast<double>(a.size());
        const auto n = static_cast<double>(b.size());
        const double variance =
            m * n * (n * variance_inflation(a) + m * variance_inflation(b) + 1) / 12;
        const auto place = static_cast<size_t>(m * n / 2 - 1.959964 * std::sqrt(variance));
        EXPECT_EQ(shift->bounds->low, all.at(place - 1)) << seed;
        EXPECT_EQ(shift->bounds->high, all.at(all.size() - place)) << seed;
    }
}

// Of three and three not even all orders are 20 to 1; of four and four 70 to 1, so that the outermost bound.
TEST(Statistics, TooFewValuesHaveNoBounds)
{
    EXPECT_FALSE(shift_between({1, 3, 2}, {11, 13, 12}, kUsual)->bounds);
    const auto four = shift_between({1, 4, 2, 3}, {11, 14, 12, 13}, kUsual);
    ASSERT_TRUE(four->bounds);
    EXPECT_EQ(four->bounds->low, 7);
    EXPECT_EQ(four->bounds->high, 13);
    EXPECT_FALSE(shift_between({1, 4, 2, 3}, {11, 14, 12, 13}, 0.998)->bounds);
    EXPECT_FALSE(shift_between({}, {1}, kUsual));
}

TEST(Statistics, EqualValuesDifferByNothing)
{
    const auto shift = shift_between(Values(10, 5), Values(12, 5), 0.998);
    ASSERT_TRUE(shift->bounds);
    EXPECT_EQ(shift->value, 0);
    EXPECT_EQ(shift->bounds->low, 0);
    EXPECT_EQ(shift->bounds->high, 0);
}

TEST(Statistics, ValuesThatFollowTheOneBeforeCountLess)
{
    Values ramp;
    Values alternating;
    for (int i = 0; i < 100; i++) {
        ramp.push_back(i);
        alternating.push_back(i % 2);
    }
    EXPECT_GT(variance_inflation(ramp), 30);
    EXPECT_EQ(variance_inflation(alternating), 1) << "never more than independent ones";
    EXPECT_EQ(variance_inflation(Values(100, 3)), 1);
    EXPECT_LT(variance_inflation(random_values(1000, 1, 7)), 1.2);
    EXPECT_EQ(variance_inflation({}), 1);
}

// How often the truth is outside of the bounds: at most as often as they say, with series of order one.
TEST(Statistics, BoundsHoldForSeriesOfOrderOne)
{
    constexpr int kTimes = 400;
    for (const double r : {0.0, 0.3, 0.6}) {
        int wrong = 0;
        for (int time = 0; time < kTimes; time++) {
            const auto series = [&](uint32_t seed) {
                Values values = random_values(120, 1, seed);
                for (size_t i = 1; i < values.size(); i++)
                    values[i] =
                        1 + r * (values[i - 1] - 1) + std::sqrt(1 - r * r) * (values[i] - 1);
                return values;
            };
            const auto seed = static_cast<uint32_t>(time);
            const auto shift = shift_between(series(2 * seed), series(2 * seed + 1), kUsual);
            wrong += shift->bounds->low > 0 || shift->bounds->high < 0;
        }
        EXPECT_LT(wrong, kTimes * 0.08) << r;
    }
}

TEST(Statistics, SlopeIsTheMedianOfAll)
{
    const auto straight = slope_of({1, 4, 7, 10, 13, 16, 19, 22}, kUsual);
    EXPECT_EQ(straight->value, 3);
    EXPECT_EQ(straight->bounds->low, 3);
    EXPECT_EQ(straight->bounds->high, 3);
    EXPECT_EQ(slope_of({1, 2, 3, 4, 100}, kUsual)->value, 1) << "one outlier changes nothing";
    EXPECT_FALSE(slope_of({1}, kUsual));
    Values many;
    for (int i = 0; i < 100'000; i++)
        many.push_back(2.0 * i);
    EXPECT_THAT(slope_of(many, kUsual)->value, DoubleNear(2, 0.02)) << "in blocks";
}

TEST(Trend, NeedsHalvesThatDifferAndASlope)
{
    Values level = random_values(40, 100, 3);
    EXPECT_EQ(trend_of(level, kUsual).trend, Trend::kStable);
    Values rising = level;
    for (size_t i = 0; i < rising.size(); i++)
        rising[i] += 2 * static_cast<double>(i);
    const TrendOf up = trend_of(rising, kUsual);
    EXPECT_EQ(up.trend, Trend::kRising);
    EXPECT_GT(up.second_half, 1.05 * up.first_half);
    EXPECT_THAT(up.slope->value, DoubleNear(2, 0.5));
    std::ranges::reverse(rising);
    EXPECT_EQ(trend_of(rising, kUsual).trend, Trend::kFalling);
    Values small = level;
    for (size_t i = 0; i < small.size(); i++)
        small[i] = 100 + 0.1 * static_cast<double>(i);
    EXPECT_EQ(trend_of(small, kUsual).trend, Trend::kStable) << "within 5 %";
    Values wild = level;
    for (size_t i = 0; i < wild.size(); i++)
        wild[i] = i % 3 == 0 || i == 30 || i == 31 ? 1000 : 10 + (i >= 20 ? 1 : 0);
    EXPECT_NE(trend_of(wild, 0.998).trend, Trend::kFalling);
    EXPECT_EQ(trend_of({1, 2, 3, 4, 5, 6, 7}, kUsual).trend, Trend::kCannotTell) << "too short";
    EXPECT_EQ(trend_of(Values(20, 0), kUsual).trend, Trend::kStable);
    EXPECT_EQ(trend_of({}, kUsual).trend, Trend::kCannotTell);
}

TEST(Difference, IsWorseBetterSameOrNobodyCanTell)
{
    const Values a = random_values(30, 100, 1);
    const auto verdict = [&](const Values& b, Worse worse) {
        return difference_of(a, b, worse, 0.998).verdict;
    };
    const Values twice = random_values(30, 200, 2);
    EXPECT_EQ(verdict(twice, Worse::kHigher), Verdict::kWorse);
    EXPECT_EQ(verdict(twice, Worse::kLower), Verdict::kBetter);
    EXPECT_EQ(verdict(twice, Worse::kNeither), Verdict::kMore);
    const Values half = random_values(30, 50, 2);
    EXPECT_EQ(verdict(half, Worse::kHigher), Verdict::kBetter);
    EXPECT_EQ(verdict(half, Worse::kNeither), Verdict::kLess);
    EXPECT_EQ(verdict(a, Worse::kHigher), Verdict::kCannotTell) << "of 30 that vary by 10 %";
    EXPECT_EQ(
        difference_of(random_values(300, 100, 1), random_values(300, 100, 2), Worse::kHigher, 0.998)
            .verdict,
        Verdict::kSame);
    EXPECT_EQ(verdict(random_values(4, 500, 2), Worse::kHigher), Verdict::kCannotTell);
    EXPECT_FALSE(difference_of(a, random_values(4, 500, 2), Worse::kHigher, 0.5).change.bounds);
}

TEST(Difference, IsARatioWhereAllIsAboveZero)
{
    const Values a = random_values(30, 100, 1);
    const MetricDifference ratio =
        difference_of(a, random_values(30, 300, 2), Worse::kHigher, kUsual);
    EXPECT_TRUE(ratio.ratio);
    EXPECT_THAT(ratio.change.value, DoubleNear(2, 0.1));
    Values idle = a;
    idle.front() = 0;
    const MetricDifference plain =
        difference_of(idle, random_values(30, 300, 2), Worse::kHigher, kUsual);
    EXPECT_FALSE(plain.ratio);
    EXPECT_THAT(plain.change.value, DoubleNear(200, 10));
    EXPECT_EQ(plain.verdict, Verdict::kWorse);
    EXPECT_EQ(difference_of(Values(9, 0), Values(9, 0), Worse::kHigher, kUsual).verdict,
              Verdict::kSame);
}

TEST(Difference, OfLessThan5PercentIsSmall)
{
    const Values a = random_values(1000, 100, 1);
    Values b = random_values(1000, 104.9, 2);
    const MetricDifference small = difference_of(a, b, Worse::kHigher, 0.998);
    EXPECT_EQ(small.verdict, Verdict::kWorse);
    EXPECT_TRUE(small.small);
}

TEST(Metrics, AreWellFormed)
{
    std::set<std::string_view> names;
    std::set<std::string_view> labels;
    for (const CompareMetric& metric : compare_metrics()) {
        EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
        EXPECT_TRUE(labels.insert(metric.label).second) << metric.label;
        EXPECT_LT(columns(metric.label), 25U) << metric.label;
        EXPECT_EQ(test::tool(metric.tool).name, metric.tool);
        const auto nothing = metric.read({}, 1);
        EXPECT_EQ(nothing.value_or(0), 0) << metric.name << " of nothing";
    }
}

TEST(Metrics, QuantilesLieWithinTheirBuckets)
{
    EXPECT_FALSE(smooth_quantile({}, 0.5));
    EXPECT_FALSE(smooth_quantile(test::histogram({{1000, 99}}), 0.99)) << "too few";
    Histogram histogram = test::histogram({{1000, 50}, {5000, 50}, {100'000, 100}});
    EXPECT_THAT(*smooth_quantile(histogram, 0.25), DoubleNear(1000, 1000 / 8.0));
    EXPECT_THAT(*smooth_quantile(histogram, 0.5), DoubleNear(5000, 5000 / 8.0));
    EXPECT_LE(*smooth_quantile(histogram, 0.99), 100'000);
    EXPECT_LT(*smooth_quantile(histogram, 0.6), *smooth_quantile(histogram, 0.7));
}

// Of all tools that metrics are read from.
constexpr uint64_t kSecond = 1'000'000'000;

std::vector<Report> reports_of(const Snapshot& snapshot, const std::string& group)
{
    std::set<std::string_view> names;
    std::vector<Report> reports;
    for (const CompareMetric& metric : compare_metrics()) {
        const ToolSpec& tool = test::tool(metric.tool);
        if (!names.insert(metric.tool).second)
            continue;
        ToolOptions options{.group = group.empty() ? std::string(tool.group) : group, .json = true};
        reports.push_back(tool.build(snapshot, options));
    }
    return reports;
}

Snapshot busy_snapshot()
{
    Snapshot snapshot = test::grouped_snapshot();
    StateTimes times{.lived = 10 * kSecond};
    times.ns.at(VT_REASON_NONE) = 3 * kSecond;
    times.ns.at(VT_REASON_RUNNABLE) = kSecond;
    times.ns.at(VT_REASON_DISK) = 2 * kSecond;
    snapshot.states.owners = {{.owner = {.cgroup_id = 21}, .threads = 2, .times = times}};
    snapshot.quotas = {
        {.cgroup_id = 21, .counts = {.periods = 50, .throttled = 5, .throttled_ns = kSecond / 2}}};
    return snapshot;
}

double value_in(const Snapshot& snapshot, std::string_view name, const std::string& group = "")
{
    Series series({});
    series.begin(5);
    for (const Report& report : reports_of(snapshot, group))
        series.add(report);
    const auto metrics = compare_metrics();
    const auto at = std::ranges::find(metrics, name, &CompareMetric::name) - metrics.begin();
    const Values values = series.values({}, static_cast<size_t>(at));
    return values.empty() ? -1 : values.front();
}

TEST(Metrics, AreReadFromTheReportsOfTheirTools)
{
    const Snapshot busy = busy_snapshot();
    EXPECT_THAT(value_in(busy, "cpu_used"), DoubleEq(3.0 / 5));
    EXPECT_THAT(value_in(busy, "cpu_wait_share"), DoubleEq(0.25));
    EXPECT_THAT(value_in(busy, "blocked"), DoubleEq(2.0 / 5));
    EXPECT_THAT(value_in(busy, "throttled_share"), DoubleEq(0.1));
    EXPECT_THAT(value_in(busy, "throttled"), DoubleEq(0.1));
    uint64_t waited = 0;
    for (const OwnerTime& time : busy.sched.times)
        waited += time.about == kWait ? time.time.sum : 0;
    EXPECT_THAT(value_in(busy, "runq_waiting"), DoubleEq(static_cast<double>(waited) / 5e9));
    const Snapshot disk = test::block_snapshot();
    uint64_t bytes = 0;
    for (const BlockFigure& figure : disk.block.figures)
        bytes += figure.bytes;
    EXPECT_THAT(value_in(disk, "disk_bytes"), DoubleEq(static_cast<double>(bytes) / 5));
}

// A name that a tool has no more would give 0 for ever.
TEST(Metrics, EachHasAFigureInSomeSample)
{
    std::vector<Snapshot> samples = {
        busy_snapshot(),      test::block_snapshot(), test::memory_snapshot(), test::tcp_snapshot(),
        test::irq_snapshot(), test::drop_snapshot(),  test::kvm_snapshot()};
    StateTimes times{.lived = 5 * kSecond};
    times.ns.at(VT_REASON_NONE) = kSecond;
    times.ns.at(VT_REASON_RUNNABLE) = kSecond;
    samples.back().states.threads = {
        {.owner = {.vm = test::kWebVm}, .tid = 4001, .tgid = 4000, .times = times}};
    for (const CompareMetric& metric : compare_metrics()) {
        const bool any = std::ranges::any_of(
            samples, [&](const Snapshot& s) { return value_in(s, metric.name) > 0; });
        const bool is_tail = metric.name.ends_with("p99"); // of 100 times at least
        EXPECT_TRUE(any || is_tail) << metric.name;
    }
}

TEST(Metrics, OfMadeUpReportsAreFiniteOrNone)
{
    for (const auto& [name, snapshot] : test::all_snapshots()) {
        for (const CompareMetric& metric : compare_metrics())
            EXPECT_TRUE(std::isfinite(value_in(snapshot, metric.name))) << name << metric.name;
    }
}

constexpr size_t kCpuUsed = 0;

Report states_report(const std::vector<std::pair<std::string, double>>& cpus)
{
    Report report{.tool = "states"};
    for (const auto& [name, cpu] : cpus)
        report.rows.push_back({.entity = {.kind = "container", .name = name},
                               .metrics = {{.name = "user", .value = cpu * 1e9}}});
    return report;
}

TEST(Series, AreOfAllRowsOrOfEachEntity)
{
    Series all({});
    Series each({.kind = "container"});
    Series one({.kind = "container", .name = "web"});
    for (int i = 0; i < 4; i++) {
        std::vector<std::pair<std::string, double>> cpus = {{"db", 1}};
        if (i == 1 || i == 3)
            cpus.emplace_back("web", 2);
        for (Series* series : {&all, &each, &one}) {
            series->begin(1);
            series->add(states_report(cpus));
        }
    }
    EXPECT_THAT(all.values({}, kCpuUsed), ElementsAre(1, 3, 1, 3));
    EXPECT_THAT(each.values({"container", "db"}, kCpuUsed), ElementsAre(1, 1, 1, 1));
    EXPECT_THAT(each.values({"container", "web"}, kCpuUsed), ElementsAre(2, 0, 2))
        << "from the first that told of it to the last";
    EXPECT_THAT(one.entities(), ElementsAre(EntityName{"container", "web"}));
    EXPECT_THAT(all.values({}, 3), IsEmpty()) << "no report of runqlat";
}

TEST(Series, LeaveOutShortIntervals)
{
    Series series({});
    for (const double seconds : {1.0, 1.6, 0.3, 1.0, 0.0}) {
        series.begin(seconds);
        series.add(states_report({{"web", seconds}}));
    }
    EXPECT_EQ(series.short_ones(), 2U);
    EXPECT_THAT(series.values({}, kCpuUsed), ElementsAre(1, 1, 1));
}

TEST(Series, EntitiesAreMeantByNameIdOrPath)
{
    const Entity container{.kind = "container", .name = "web", .uid = "4f5e0c5a1b2c"};
    EXPECT_TRUE(is_meant(container, "web"));
    EXPECT_TRUE(is_meant(container, "4f5e"));
    EXPECT_FALSE(is_meant(container, "4f5"));
    EXPECT_FALSE(is_meant(container, "we"));
    const Entity cgroup{.kind = "cgroup", .name = "/a/b", .cgroup = "/a/b"};
    for (const char* path : {"/a/b", "/a", "a", "/a/", "a/b/", "/"})
        EXPECT_TRUE(is_meant(cgroup, path)) << path;
    for (const char* path : {"/a/bc", "/b", "/a/b/c"})
        EXPECT_FALSE(is_meant(cgroup, path)) << path;
    EXPECT_TRUE(is_meant({.kind = "pod", .name = "shop/web"}, "web"));
    EXPECT_TRUE(is_meant({.kind = "unit", .name = "ssh.service"}, "ssh"));
    EXPECT_TRUE(is_meant({.kind = "vm", .name = "web-1", .pid = 4000}, "4000"));
}

ComparedRecording recording(const std::string& file, double cpu, const std::string& kind = "",
                            size_t intervals = 30)
{
    ComparedRecording recording{.file = file,
                                .host = "node-7",
                                .kernel = "6.1.0-18-amd64",
                                .missing = std::vector<std::string>(compare_metrics().size()),
                                .series = Series({.kind = kind})};
    recording.missing.back() = "vtrace vmcost was not recorded: no KVM here";
    const Values cpus = random_values(intervals, cpu, static_cast<uint32_t>(file.size()));
    for (const double used : cpus) {
        recording.series.begin(1);
        recording.series.add(states_report({{"web", used}, {"evil\033[2J", used / 3}}));
        Report waits{.tool = "runqlat"};
        waits.rows.push_back(
            {.entity = {.kind = "container", .name = "web"},
             .histogram = test::histogram({{static_cast<uint64_t>(used * 1e6), 1000}})});
        recording.series.add(waits);
    }
    return recording;
}

const MetricRow& metric_of(const EntityComparison& entity, std::string_view name)
{
    return *std::ranges::find(entity.metrics, name,
                              [](const MetricRow& row) { return row.metric->name; });
}

TEST(Compare, SaysWhatGotWorse)
{
    const Comparison comparison =
        compare({recording("a", 1), recording("bb", 3), recording("ccc", 1, "", 300)}, 0);
    ASSERT_THAT(comparison.entities, SizeIs(1));
    const EntityComparison& host = comparison.entities.front();
    EXPECT_THAT(host.worse, ElementsAre(Answer::kYes, Answer::kCannotTell));
    EXPECT_EQ(metric_of(host, "cpu_used").differences.at(0)->verdict, Verdict::kMore);
    EXPECT_EQ(metric_of(host, "runq_p50").differences.at(0)->verdict, Verdict::kWorse);
    EXPECT_THAT(host.confidence,
                DoubleNear(1 - 0.05 / static_cast<double>(host.metrics.size()), 1e-12));
    ASSERT_THAT(comparison.not_compared, SizeIs(1));
    EXPECT_THAT(comparison.not_compared.front().metrics, SizeIs(1));
}

TEST(Compare, NoIsSaidOnlyIfAllIsTheSame)
{
    const Comparison comparison =
        compare({recording("a", 1, "", 600), recording("bb", 1, "", 600)}, 0);
    EXPECT_THAT(comparison.entities.front().worse, ElementsAre(Answer::kNo));
}

TEST(Compare, MatchesEntitiesByName)
{
    Comparison comparison =
        compare({recording("a", 1, "container"), recording("bb", 3, "container")}, 0);
    ASSERT_THAT(comparison.entities, SizeIs(2));
    EXPECT_EQ(comparison.entities.front().entity.name, "web") << "worse ones first";
    EXPECT_THAT(comparison.unmatched, IsEmpty());
    ComparedRecording other = recording("ccc", 1, "container");
    other.series.begin(1);
    other.series.add(states_report({{"new", 1}}));
    comparison = compare({recording("a", 1, "container"), std::move(other)}, 1);
    EXPECT_THAT(comparison.unmatched, ElementsAre(EntityName{"container", "new"}));
    EXPECT_THAT(comparison.entities, SizeIs(1));
    EXPECT_EQ(comparison.left_out, 1U);
}

void expect_fits(const std::string& text)
{
    for (const std::string& line : test::lines_of(text))
        EXPECT_LE(columns(line), 100U) << line;
    EXPECT_EQ(text.find('\033'), std::string::npos) << "a name drives the terminal";
}

TEST(CompareText, FitsAndAnswers)
{
    for (const std::string kind : {"", "container"}) {
        std::vector<ComparedRecording> recordings;
        recordings.push_back(recording("before.rec", 1, kind));
        recordings.push_back(recording("after\n.rec", 3e5, kind));
        recordings.push_back(recording("short.rec", 1, kind, 3));
        recordings.front().loss.missed_start = 7;
        const std::string text = compare_text(compare(std::move(recordings), 0), {.width = 80});
        expect_fits(text);
        EXPECT_THAT(text, HasSubstr("B against A"));
        EXPECT_THAT(text, HasSubstr("C against A"));
        EXPECT_THAT(text, HasSubstr("Did it get worse? yes: "));
        EXPECT_THAT(text, HasSubstr("Did it get worse? cannot tell\n"));
        EXPECT_THAT(text, HasSubstr("7 events not measured: their start"));
        EXPECT_THAT(text, HasSubstr("not compared: VM steal, of vCPUs: vtrace vmcost"));
    }
}

TEST(CompareText, OfOneRecordingHasItsTrends)
{
    std::vector<ComparedRecording> one;
    one.push_back(recording("a.rec", 1));
    const std::string text = compare_text(compare(std::move(one), 0), {.width = 80});
    expect_fits(text);
    EXPECT_THAT(text, HasSubstr("FIRST HALF"));
    EXPECT_THAT(text, HasSubstr("stable"));
    EXPECT_THAT(text, Not(HasSubstr("worse")));
}

TEST(CompareText, FiguresAndChangesFit)
{
    using Scale = CompareMetric::Scale;
    for (const Scale scale : {Scale::kTime, Scale::kShare, Scale::kPerSecond,
                              Scale::kBytesPerSecond, Scale::kOnAverage}) {
        for (const double value : {0.0, 1e-9, 0.02, 0.999, 9.99, 9.9999, 123.4, 99'999.0, 1e12}) {
            if (scale != Scale::kShare || value < 1) {
                EXPECT_LE(columns(format_figure(value, scale)), 8U) << value;
            }
        }
    }
    EXPECT_EQ(format_figure(0.0456, Scale::kOnAverage), "0.046");
    EXPECT_EQ(format_figure(1'020'000, Scale::kTime), "1.02ms");
    EXPECT_EQ(format_change(0.125), "+12.5%");
    EXPECT_EQ(format_change(-0.5), "-50.0%");
    EXPECT_EQ(format_change(25), "+2500%");
    EXPECT_EQ(format_change(std::numeric_limits<double>::infinity()), ">+1000x");
}

TEST(CompareJson, HasEveryFigure)
{
    std::vector<ComparedRecording> recordings;
    recordings.push_back(recording("a\xff.rec", 1, "container"));
    recordings.push_back(recording("b.rec", 3, "container"));
    const std::string text = compare_json(compare(std::move(recordings), 0));
    const auto document = nlohmann::json::parse(text);
    EXPECT_EQ(document["schema"], "vtrace/1");
    const auto& compared = document["compare"];
    EXPECT_EQ(compared["recordings"][0]["file"], "a\\xff.rec");
    EXPECT_EQ(compared["recordings"][1]["intervals"], 30);
    const auto& web = compared["rows"][0];
    EXPECT_EQ(web["entity"]["name"], "web");
    EXPECT_EQ(web["got_worse"][0], "yes");
    const auto& cpu = web["metrics"][0];
    EXPECT_EQ(cpu["name"], "cpu_used");
    EXPECT_EQ(cpu["recordings"][0]["intervals"], 30);
    EXPECT_EQ(cpu["recordings"][0]["trend"], "stable");
    const auto& difference = cpu["against_first"][0];
    EXPECT_EQ(difference["verdict"], "more");
    EXPECT_EQ(difference["change"]["unit"], "ratio");
    EXPECT_THAT(difference["change"]["value"].get<double>(), DoubleNear(2, 0.2));
    EXPECT_LT(difference["change"]["interval"][0], difference["change"]["interval"][1]);
    EXPECT_EQ(compared["not_compared"][0]["metrics"][0], "vm_steal_share");
}

} // namespace
} // namespace vtrace
