// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rule.h"

#include "base/printable.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace vtrace {
namespace {

constexpr std::array kSeverities = {std::pair(Severity::kP0, std::string_view("P0")),
                                    std::pair(Severity::kP1, std::string_view("P1")),
                                    std::pair(Severity::kP2, std::string_view("P2")),
                                    std::pair(Severity::kP3, std::string_view("P3"))};

// Of the lowest limit: what was found stays found above it.
constexpr double kHysteresis = 0.8;

} // namespace

std::string_view severity_name(Severity severity)
{
    return kSeverities.at(static_cast<size_t>(severity)).second;
}

std::optional<Severity> severity_of(std::string_view name)
{
    for (const auto& [severity, known] : kSeverities) {
        if (name == known)
            return severity;
    }
    return std::nullopt;
}

std::string_view unit_name(FigureUnit unit)
{
    switch (unit) {
    case FigureUnit::kTime: return "ns";
    case FigureUnit::kShare: return "1";
    case FigureUnit::kCount: return "count";
    case FigureUnit::kRate: return "1/s";
    case FigureUnit::kBytes: return "bytes";
    }
    return "";
}

const Report* Facts::report(std::string_view tool) const
{
    const auto found = reports.find(tool);
    return found == reports.end() ? nullptr : &found->second;
}

std::string Facts::knob(std::string_view name) const
{
    const auto found = std::ranges::find(knobs, name, &Knob::name);
    return found == knobs.end() ? "" : printable(found->value);
}

std::string finding_key(std::string_view rule, const Entity& entity)
{
    std::string key = std::string(rule) + '\0' + owner_key(entity);
    for (const EntityName& label : entity.labels)
        key += '\0' + label.name;
    return key;
}

std::optional<Severity> Context::severity_for(const Entity& entity, double measure,
                                              uint64_t events) const
{
    if (events == 0 || static_cast<double>(events) < limits.least)
        return std::nullopt;
    if (measure >= limits.p0)
        return Severity::kP0;
    if (measure >= limits.p1)
        return Severity::kP1;
    if (measure >= limits.p2)
        return Severity::kP2;
    const bool held = facts.held.contains(finding_key(rule.name, entity));
    if (measure >= limits.p3 * (held ? kHysteresis : 1))
        return Severity::kP3;
    return std::nullopt;
}

Finding Context::finding(const Entity& entity, Severity severity, Evidence measure,
                         const Report& report) const
{
    const std::array<double, 4> all = {limits.p0, limits.p1, limits.p2, limits.p3};
    measure.against = all.at(static_cast<size_t>(severity));
    measure.against_what = std::string(severity_name(severity)) + " from";
    Finding finding{.rule = std::string(rule.name), .severity = severity, .entity = entity};
    finding.confidence = confidence_of(measure.samples.value_or(1), lost_events(report.loss));
    finding.impact = measure.value;
    finding.evidence.push_back(std::move(measure));
    return finding;
}

double confidence_of(uint64_t events, uint64_t lost)
{
    constexpr double kHalf = 10; // events
    constexpr double kMost = 0.99;
    if (events == 0)
        return 0;
    const auto n = static_cast<double>(events);
    return std::min(kMost, n / (n + kHalf)) * n / (n + static_cast<double>(lost));
}

uint64_t lost_events(const Loss& loss)
{
    const uint64_t lost = loss.map_full + loss.clock_anomaly + loss.missed_start +
                          loss.task_failed + loss.recursion_misses + loss.unseen +
                          loss.samples_missed;
    return lost - std::min(lost, loss.recovered);
}

double busy_ns(const Row& states)
{
    double sum = 0;
    for (const char* state : {"user", "system", "guest", "running", "stolen", "runnable",
                              "throttled", "disk", "memory", "fault", "blocked"})
        sum += value_of(states, state);
    return sum;
}

const Row* states_of(const Facts& facts, const Entity& entity)
{
    const Report* states = facts.report("states");
    return states == nullptr ? nullptr : find_owner(states->rows, entity);
}

std::string percent(double share)
{
    constexpr double kPercent = 100;
    return fmt::format("{:.1f} %", share * kPercent);
}

} // namespace vtrace
