// SPDX-License-Identifier: GPL-2.0-only
#include "tools/facts.h"

#include "diagnose/rules.h"
#include "entity/entities.h"
#include "tools/recorded_intervals.h"

#include <algorithm>
#include <chrono>
#include <set>

namespace vtrace {

std::vector<std::string> tools_of_rules()
{
    std::set<std::string> names;
    for (const Rule& rule : rules())
        names.insert(rule.tools.begin(), rule.tools.end());
    return {names.begin(), names.end()};
}

ToolOptions options_for_rules(const ToolSpec& tool, const ToolOptions& options)
{
    ToolOptions own = options;
    own.group = tool.kvm.any() ? "vm" : kNearest;
    if (tool.irq.soft)
        own.group.clear();
    own.top = 0;
    own.json = true; // of which all rows are
    own.threads = true;
    return own;
}

std::chrono::nanoseconds sample_every(double seconds)
{
    constexpr double kSamples = 100;
    constexpr std::chrono::duration<double> kLongest = std::chrono::milliseconds(100);
    const std::chrono::duration<double> shortest = Measured{}.sample_every;
    return std::chrono::round<std::chrono::nanoseconds>(
        std::clamp(std::chrono::duration<double>(seconds / kSamples), shortest, kLongest));
}

Facts facts_of(const RecordingHead& head, const Interval& interval, const ToolOptions& options)
{
    Facts facts;
    for (const LeftOut& tool : head.left_out)
        facts.missing[tool.tool] = tool.why;
    const std::vector<std::string> wanted = tools_of_rules();
    for (const ToolSpec& tool : tools()) {
        if (std::ranges::find(wanted, tool.name) == wanted.end())
            continue;
        const auto at = snapshot_for(head, tool.name);
        if (at)
            facts.reports.emplace(tool.name,
                                  tool.build(interval.at(*at), options_for_rules(tool, options)));
        else
            facts.missing.try_emplace(std::string(tool.name), "it was not recorded");
    }
    if (!interval.empty())
        facts.knobs = interval.front().knobs;
    return facts;
}

} // namespace vtrace
