// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/diagnose.h"

#include "diagnose/rules.h"

#include <algorithm>
#include <tuple>

namespace vtrace {

const Limits& limits_of(const Rule& rule, const LimitsByRule& limits)
{
    const auto own = limits.find(rule.name);
    return own == limits.end() ? rule.limits : own->second;
}

std::vector<Finding> diagnose(const Facts& facts, const LimitsByRule& limits)
{
    std::vector<Finding> findings;
    for (const Rule& rule : rules())
        rule.find({rule, limits_of(rule, limits), facts}, findings);
    std::ranges::stable_sort(findings, [](const Finding& a, const Finding& b) {
        return std::tuple(a.severity, -a.impact) < std::tuple(b.severity, -b.impact);
    });
    return findings;
}

std::set<std::string> keys_of(const std::vector<Finding>& findings)
{
    std::set<std::string> keys;
    for (const Finding& finding : findings)
        keys.insert(finding_key(finding.rule, finding.entity));
    return keys;
}

} // namespace vtrace
