// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rules.h"

#include "base/numbers.h"
#include "base/printable.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>

namespace vtrace {
namespace {

// The kernel sees waits in futex(), not why: a worker without work waits there like one behind a lock. Threads that fight
// for a lock do so often, for short times, and do something between.
constexpr double kLeastWaits = 20;         // a second
constexpr double kLongestWait = 50e6;      // ns, on average
constexpr double kLeastBusy = 0.02;        // of the window
constexpr double kLeastLocked = 0.1;       // of what it was busy or locked
constexpr double kLeastBusyTogether = 0.7; // CPUs: else nobody holds a lock for most of the time
constexpr double kMostConfidence = 0.6;

// What those threads of an owner do that fight.
struct Fight {
    uint64_t threads = 0;
    double locked = 0; // ns
    double busy = 0;
    double waits = 0;
};

Fight fight_in(const Row& owner, const Report& report)
{
    Fight fight;
    const auto window = static_cast<double>(report.duration_ns);
    for (const Row& thread : owner.rows) {
        const double locked = value_of(thread, "lock");
        const double busy = busy_ns(thread);
        const double waits = value_of(thread, "voluntary_switches");
        if (thread.entity.kind != "thread" || waits < kLeastWaits * seconds_of(report) ||
            locked > kLongestWait * waits || busy < kLeastBusy * window ||
            locked < kLeastLocked * (busy + locked))
            continue;
        fight.threads++;
        fight.locked += locked;
        fight.busy += busy;
        fight.waits += waits;
    }
    return fight;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("states");
    if (report == nullptr)
        return;
    for (const Row& row : report->rows) {
        const Fight fight = fight_in(row, *report);
        if (fight.threads < 2 ||
            fight.busy < kLeastBusyTogether * static_cast<double>(report->duration_ns))
            continue;
        const double share = fight.locked / (fight.locked + fight.busy);
        const auto severity = context.severity_for(row.entity, share, whole_number(fight.waits));
        if (!severity)
            continue;
        Finding finding = context.finding(
            row.entity, *severity,
            {.what = fmt::format("of the time of {} threads they waited in futex and the like",
                                 fight.threads),
             .value = share,
             .unit = FigureUnit::kShare,
             .samples = whole_number(fight.waits)},
            *report);
        finding.confidence = std::min(finding.confidence, kMostConfidence);
        finding.what =
            fmt::format("{} threads of {} seem to fight for a lock: {} of their time they wait "
                        "in futex, for {:.2f} ms each time",
                        fight.threads, printable(row.entity.name), percent(share),
                        fight.locked / std::max(1.0, fight.waits) / 1e6);
        finding.culprit = row.entity;
        finding.evidence.push_back({.what = "meanwhile they were busy for",
                                    .value = fight.busy,
                                    .unit = FigureUnit::kTime,
                                    .against = static_cast<double>(report->duration_ns),
                                    .against_what = "window"});
        finding.ruled_out.emplace_back(
            "not ruled out: workers that often run out of work wait in the same way");
        finding.advice.push_back(
            {.text = "See where they wait, then hold the lock for shorter, or share less",
             .knob = "vtrace offcputime --pid PID --min 0"});
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule lock_contention_rule()
{
    constexpr double kNever = 2; // what is seen is no proof
    return {.name = "lock-contention",
            .summary = "threads of an owner fight for a lock",
            .measure = "of the time of threads that often wait for short in futex(), that wait",
            .unit = FigureUnit::kShare,
            .limits = {.p3 = 0.2, .p2 = 0.5, .p1 = kNever, .p0 = kNever, .least = 200},
            .source =
                "own choice, from loads that do fight and pools of workers that do not; futex(2)",
            .tools = {"states"},
            .find = find};
}

} // namespace vtrace
