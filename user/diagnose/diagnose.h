// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "diagnose/finding.h"
#include "diagnose/rule.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// The limits of rules in place of their own.
using LimitsByRule = std::map<std::string, Limits, std::less<>>;

// What is wrong in one window, the worst first. Pure: the same facts give the same findings.
std::vector<Finding> diagnose(const Facts& facts, const LimitsByRule& limits);

// What the next window's Facts::held are.
std::set<std::string> keys_of(const std::vector<Finding>& findings);

// The limits that a rule has: `limits` before its own.
const Limits& limits_of(const Rule& rule, const LimitsByRule& limits);

} // namespace vtrace
