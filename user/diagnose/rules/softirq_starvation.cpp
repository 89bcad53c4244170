// SPDX-License-Identifier: GPL-2.0-only
#include "base/numbers.h"
#include "base/printable.h"
#include "diagnose/rules.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>

namespace vtrace {
namespace {

constexpr double kNsPerSecond = 1e9;
constexpr double kNsPerMs = 1e6;
constexpr double kP99 = 0.99;
constexpr double kFullCpu = 0.8;
constexpr std::string_view kPackets = "NET_RX";
constexpr double kExplains = 0.5; // of a delay, at least: what lasts as long may be its cause

using Delays = std::map<std::string, Histogram, std::less<>>; // by kind

// Without rows by kind, devices tell how late their polls were.
Delays delays_of(const Facts& facts)
{
    Delays delays;
    if (const Report* softirqs = facts.report("softirqs"); softirqs != nullptr) {
        for (const Row& row : softirqs->rows) {
            if (row.entity.kind == "softirq")
                delays[row.entity.name].merge(find_histogram(row, "delay"));
        }
    }
    const Report* netq = facts.report("netq");
    if (netq == nullptr || delays.contains(kPackets))
        return delays;
    for (const Row& row : netq->rows) {
        for (const Row& device : row.rows)
            delays[std::string(kPackets)].merge(find_histogram(device, "softirq_delay"));
    }
    return delays;
}

struct BusyCpu {
    std::string name; // empty: not known
    double share = 0; // of that CPU, that softirqs took
};

BusyCpu busiest(const Facts& facts)
{
    std::map<std::string, double> cpus;
    if (const Report* softirqs = facts.report("softirqs"); softirqs != nullptr) {
        for (const Row& row : softirqs->rows) {
            for (const Row& part : row.rows) {
                if (part.entity.kind == "cpu")
                    cpus[part.entity.name] += value_of(part, "cpus");
            }
        }
    }
    const auto most =
        std::ranges::max_element(cpus, {}, [](const auto& cpu) { return cpu.second; });
    return most == cpus.end() ? BusyCpu{} : BusyCpu{most->first, most->second};
}

// Softirqs of a CPU run one after the other: those of the kind with the longest run hold up all others.
struct LongestRun {
    std::string kind; // empty: not known
    Histogram times;
};

LongestRun longest_run(const Facts& facts)
{
    LongestRun longest;
    if (const Report* softirqs = facts.report("softirqs"); softirqs != nullptr) {
        for (const Row& row : softirqs->rows) {
            const Histogram& times = find_histogram(row, "time");
            if (row.entity.kind == "softirq" && times.max > longest.times.max)
                longest = {.kind = row.entity.name, .times = times};
        }
    }
    return longest;
}

// Who had the CPU while ksoftirqd, which softirqs are put off to, waited for it. Whoever softirqs are charged to has
// been interrupted by them: that is their victim.
const Row* culprit_of(const Facts& facts)
{
    const Report* blame = facts.report("blame");
    if (blame == nullptr)
        return nullptr;
    const Row* found = nullptr;
    for (const Row& row : blame->rows) {
        if (row.entity.kind != "kernel" || !row.entity.name.starts_with("ksoftirqd"))
            continue;
        for (const Row& part : row.rows) {
            if (part.entity.kind != "part" && part.entity.kind != "other" &&
                (found == nullptr || part.histogram.sum > found->histogram.sum))
                found = &part;
        }
    }
    return found;
}

void add_run(const Context& context, Finding& finding, const LongestRun& run)
{
    finding.evidence.push_back({.what = fmt::format("the longest run of {}", run.kind),
                                .value = static_cast<double>(run.times.max),
                                .unit = FigureUnit::kTime,
                                .samples = run.times.count()});
    if (run.kind != kPackets)
        return;
    constexpr std::string_view kWeight = "/proc/sys/net/core/dev_weight";
    Advice advice{.text = "Fewer packets in one run, or less work for each (filters, rules): the "
                          "CPU runs no other softirq meanwhile.",
                  .knob = std::string(kWeight),
                  .present = context.facts.knob(kWeight)};
    // As many as are done within the lowest limit.
    const auto weight = whole_number(std::string_view(advice.present));
    const double fewer = weight ? static_cast<double>(*weight) * context.limits.p3 /
                                      static_cast<double>(run.times.max)
                                : 0;
    if (fewer >= 1 && fewer < static_cast<double>(*weight))
        advice.suggested = fmt::format("{:.0f} at most", std::floor(fewer));
    finding.advice.push_back(std::move(advice));
}

void add_advice(const Context& context, Finding& finding, bool packets)
{
    finding.advice.push_back(
        {.text = packets ? "Let more CPUs receive: more queues of the device, their interrupts on "
                           "different CPUs, or RPS; and keep busy threads off those CPUs."
                         : "Keep busy threads off the CPUs that devices interrupt, or move the "
                           "interrupts.",
         .knob = "/proc/irq/*/smp_affinity_list, /sys/class/net/*/queues/rx-*/rps_cpus"});
    constexpr std::string_view kBudget = "/proc/sys/net/core/netdev_budget_usecs";
    if (packets)
        finding.advice.push_back(
            {.text = "A shorter budget of a round of packets lets other softirqs run earlier; a "
                     "longer one lets fewer packets wait for ksoftirqd.",
             .knob = std::string(kBudget),
             .present = context.facts.knob(kBudget)});
}

// Nobody waits for the scheduler's and RCU's.
bool waits_nobody(std::string_view kind)
{
    return kind == "SCHED" || kind == "RCU";
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Delays delays = delays_of(context.facts);
    const auto worst = std::ranges::max_element(delays, {}, [&](const auto& of_kind) {
        const bool enough = static_cast<double>(of_kind.second.count()) >= context.limits.least;
        const uint64_t p99 = enough ? of_kind.second.quantile(kP99) : 0;
        const bool heavy =
            !waits_nobody(of_kind.first) &&
            context.severity_for({}, static_cast<double>(p99), of_kind.second.count()).has_value();
        return std::pair(heavy, p99);
    });
    if (worst == delays.end())
        return;
    const auto& [kind, delay] = *worst;
    const Report* report = context.facts.report("softirqs");
    if (report == nullptr)
        report = context.facts.report("netq");
    const Entity host{.kind = "host", .name = report->host.name};
    const auto p99 = static_cast<double>(delay.quantile(kP99));
    const BusyCpu cpu = busiest(context.facts);
    auto severity = context.severity_for(host, p99, delay.count());
    if (severity && waits_nobody(kind))
        severity = Severity::kP3;
    const bool full = !severity && cpu.share >= kFullCpu;
    if (!severity && !full)
        return;
    Finding finding = context.finding(host, severity.value_or(Severity::kP3),
                                      {.what = fmt::format("p99 of the delay of {}", kind),
                                       .value = p99,
                                       .unit = FigureUnit::kTime,
                                       .samples = delay.count()},
                                      *report);
    finding.impact = std::min(1.0, p99 / kNsPerSecond);
    finding.what =
        fmt::format("softirqs of kind {} run late, the latest hundredth by {:.1f} ms and "
                    "more",
                    kind, p99 / kNsPerMs);
    if (full) {
        finding.what = fmt::format("softirqs take {} of {}", percent(cpu.share), cpu.name);
        finding.evidence.insert(finding.evidence.begin(),
                                {.what = fmt::format("{} in softirqs", cpu.name),
                                 .value = cpu.share,
                                 .unit = FigureUnit::kShare,
                                 .against = kFullCpu,
                                 .against_what = "P3 from"});
        finding.impact = cpu.share;
    } else if (!cpu.name.empty()) {
        finding.evidence.push_back({.what = fmt::format("{} in softirqs", cpu.name),
                                    .value = cpu.share,
                                    .unit = FigureUnit::kShare});
    }
    const auto explains = [&](uint64_t ns) {
        return !full && static_cast<double>(ns) >= kExplains * p99;
    };
    if (const LongestRun run = longest_run(context.facts);
        !run.kind.empty() && explains(run.times.max))
        add_run(context, finding, run);
    if (const Row* culprit = culprit_of(context.facts);
        culprit != nullptr && explains(culprit->histogram.max)) {
        finding.culprit = culprit->entity;
        finding.evidence.push_back(
            {.what = fmt::format("ksoftirqd waited behind {}", printable(culprit->entity.name)),
             .value = static_cast<double>(culprit->histogram.sum),
             .unit = FigureUnit::kTime,
             .samples = culprit->histogram.count()});
    }
    if (!cpu.name.empty() && cpu.share < kFullCpu)
        finding.ruled_out.push_back(fmt::format(
            "a CPU that softirqs have for themselves: none above {}", percent(cpu.share)));
    add_advice(context, finding, kind == kPackets);
    findings.push_back(std::move(finding));
}

} // namespace

Rule softirq_starvation_rule()
{
    return {.name = "softirq-starvation",
            .summary = "softirqs run late, so packets and timers wait",
            .measure = "p99 of the time from a softirq's raise to its run, of the worst kind",
            .unit = FigureUnit::kTime,
            .limits = {.p3 = 5e6, .p2 = 20e6, .p1 = 100e6, .p0 = 500e6, .least = 100},
            .source = "own choice, as net-queue, because packets wait here as well as there. The "
                      "kernel runs softirqs for 2 ms at a time before ksoftirqd takes over "
                      "(MAX_SOFTIRQ_TIME in kernel/softirq.c), which then waits for its turn",
            .tools = {"softirqs", "netq", "blame"},
            .find = find};
}

} // namespace vtrace
