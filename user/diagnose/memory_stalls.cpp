// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/memory_stalls.h"

#include "model/report_values.h"

#include <algorithm>

namespace vtrace {

MemoryHeldUp held_up(const Facts& facts, const Row& row, std::span<const std::string_view> kinds)
{
    MemoryHeldUp sum;
    double longest = 0;
    for (const Row& kind : row.rows) {
        if (std::ranges::find(kinds, kind.entity.name) == kinds.end())
            continue;
        const auto ns = static_cast<double>(kind.histogram.sum);
        sum.ns += ns;
        sum.count += kind.histogram.count();
        if (ns > longest) {
            longest = ns;
            sum.worst = kind.entity.name;
        }
    }
    const Report* report = facts.report("memstall");
    const Row* states = states_of(facts, row.entity);
    // Without its states: of one thread that is always busy.
    const double busy =
        states != nullptr ? busy_ns(*states) : static_cast<double>(report->duration_ns);
    sum.share = std::min(1.0, sum.ns / std::max({busy, sum.ns, 1.0}));
    return sum;
}

Finding memory_finding(const Context& context, const Row& row, Severity severity,
                       const MemoryHeldUp& stalls)
{
    const Report& report = *context.facts.report("memstall");
    Finding finding = context.finding(
        row.entity, severity,
        {.what = "of the time that its tasks were busy they were held up for memory",
         .value = stalls.share,
         .unit = FigureUnit::kShare,
         .samples = stalls.count},
        report);
    finding.evidence.push_back({.what = "stalls, most of it " + stalls.worst,
                                .value = stalls.ns,
                                .unit = FigureUnit::kTime,
                                .samples = stalls.count});
    if (const auto psi = find_value(row, "psi_some"))
        finding.evidence.push_back({.what = "some task stalled, as the kernel counts it (PSI)",
                                    .value = *psi,
                                    .unit = FigureUnit::kTime,
                                    .against = static_cast<double>(report.duration_ns),
                                    .against_what = "window"});
    return finding;
}

} // namespace vtrace
