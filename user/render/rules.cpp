// SPDX-License-Identifier: GPL-2.0-only
#include "render/rules.h"

#include "base/numbers.h"
#include "diagnose/rules.h"
#include "render/json_parts.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

namespace vtrace {
namespace {

std::string limit_text(double limit, FigureUnit unit)
{
    if (unit == FigureUnit::kTime)
        return format_duration(whole_number(limit));
    if (unit == FigureUnit::kShare)
        return limit > 1 ? "-" : percent(limit); // a share beyond all is never reached
    return fmt::format("{:g}{}", limit, unit == FigureUnit::kRate ? "/s" : "");
}

} // namespace

std::string rules_text(const LimitsByRule& limits, const TextStyle& style)
{
    std::string text;
    for (const Rule& rule : rules()) {
        const Limits& own = limits_of(rule, limits);
        text += paint(fmt::format("{}: {}\n", rule.name, rule.summary), kBold, style);
        text += wrapped(fmt::format("  P3 from {}, P2 {}, P1 {}, P0 {}; of {:g} events at least",
                                    limit_text(own.p3, rule.unit), limit_text(own.p2, rule.unit),
                                    limit_text(own.p1, rule.unit), limit_text(own.p0, rule.unit),
                                    own.least),
                        style);
        text += wrapped(fmt::format("  of: {}", rule.measure), style);
        text +=
            wrapped(fmt::format("  from: {}", own == rule.limits ? rule.source : "--rules"), style);
    }
    return text;
}

std::string rules_json(const LimitsByRule& limits)
{
    Json list = Json::array();
    for (const Rule& rule : rules()) {
        const Limits& own = limits_of(rule, limits);
        list.push_back({{"rule", rule.name},
                        {"summary", rule.summary},
                        {"measure", rule.measure},
                        {"unit", unit_name(rule.unit)},
                        {"p0", own.p0},
                        {"p1", own.p1},
                        {"p2", own.p2},
                        {"p3", own.p3},
                        {"least", own.least},
                        {"source", own == rule.limits ? rule.source : "--rules"},
                        {"tools", rule.tools}});
    }
    const Json json = {{"schema", kSchema}, {"rules", list}};
    return json.dump() + "\n";
}

} // namespace vtrace
