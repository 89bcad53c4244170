// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/limits_file.h"

#include "base/printable.h"
#include "diagnose/rules.h"

#include <fmt/format.h>

// Version 3.3 takes for granted what it checks in the lines below ("[=" is no key): by an assertion, or, with NDEBUG, by
// letting the compiler leave the check out. This way it reports an error.
#undef NDEBUG
#define TOML_ASSERT(expr) static_cast<void>(0)
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace vtrace {
namespace {

constexpr std::array kKeys = {
    std::pair(std::string_view("p0"), &Limits::p0), std::pair(std::string_view("p1"), &Limits::p1),
    std::pair(std::string_view("p2"), &Limits::p2), std::pair(std::string_view("p3"), &Limits::p3),
    std::pair(std::string_view("least"), &Limits::least)};

Error wrong(const toml::node& at, std::string what, std::string hint)
{
    return {.what = fmt::format("line {}: {}", at.source().begin.line, what),
            .hint = std::move(hint),
            .exit = ExitCode::kUsage};
}

Result<Limits> limits_from(const Rule& rule, const toml::table& table)
{
    Limits limits = rule.limits;
    for (const auto& [key, node] : table) {
        const auto known = std::ranges::find(kKeys, key.str(), &decltype(kKeys)::value_type::first);
        if (known == kKeys.end())
            return wrong(node, printable(key.str()) + " is nothing that a rule has",
                         "p0, p1, p2, p3 and least are");
        const auto value = node.value<double>();
        if (!value || !(*value >= 0) || std::isinf(*value))
            return wrong(node, printable(key.str()) + " is not a number from 0 on", "");
        limits.*(known->second) = *value;
    }
    if (!(limits.p3 <= limits.p2 && limits.p2 <= limits.p1 && limits.p1 <= limits.p0))
        return wrong(table, "a severity begins before a lesser one",
                     fmt::format("p3 <= p2 <= p1 <= p0 has to hold; here {} <= {} <= {} <= {}",
                                 limits.p3, limits.p2, limits.p1, limits.p0));
    return limits;
}

// What is not ASCII can only be in comments, and version 3.3 has undefined behaviour on some of it.
std::string without_others(std::string_view toml)
{
    std::string text(toml);
    std::ranges::replace_if(
        text, [](unsigned char c) { return c >= 0x7f; }, '?');
    return text;
}

} // namespace

Result<LimitsByRule> parse_limits(std::string_view toml)
{
    if (toml.find('\0') != std::string_view::npos) // which the library takes for its end at times
        return Error{.what = "there is a zero byte in it: that is no text",
                     .exit = ExitCode::kUsage};
    const toml::parse_result parsed = toml::parse(without_others(toml));
    if (!parsed)
        return Error{.what = fmt::format("line {}: {}", parsed.error().source().begin.line,
                                         printable(parsed.error().description())),
                     .hint = "for example: [cpu-throttled], and below it p2 = 0.3",
                     .exit = ExitCode::kUsage};
    LimitsByRule all;
    for (const auto& [key, node] : parsed.table()) {
        const auto rule = std::ranges::find(rules(), key.str(), &Rule::name);
        if (rule == rules().end())
            return wrong(node, "there is no rule " + printable(key.str()),
                         "`vtrace rules` lists them");
        if (!node.is_table())
            return wrong(node, printable(key.str()) + " is no table",
                         fmt::format("write [{}], and below it p2 = 0.3", rule->name));
        auto limits = limits_from(*rule, *node.as_table());
        if (!limits)
            return limits.error();
        all.emplace(rule->name, *limits);
    }
    return all;
}

} // namespace vtrace
