// SPDX-License-Identifier: GPL-2.0-only
// What readers of a Report ask of it.
#pragma once

#include "model/report.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vtrace {

// Tells entities apart: the same text for all owners that belong to one.
std::string key_of(const Entity& entity);

// The same for one owner in all cgroup hierarchies, in each of which its cgroup has another id.
std::string owner_key(const Entity& entity);

// The value of a row's metric, if the row has it …
std::optional<double> find_value(const Row& row, std::string_view name);
// … and 0 if it has not.
double value_of(const Row& row, std::string_view name);

// The same as a count or a time.
uint64_t count_of(const Row& row, std::string_view name);

// How long the report's window was, in seconds; never 0.
double seconds_of(const Report& report);

// A label of the row's entity, raw bytes; empty if it has none of that kind.
std::string_view label_of(const Row& row, std::string_view kind);

// A histogram of the row by its name; an empty one if it has none of that.
const Histogram& find_histogram(const Row& row, std::string_view name);

// The row of the same owner; null if there is none.
const Row* find_owner(const std::vector<Row>& rows, const Entity& entity);

// The row of the entity of that key_of(); null if there is none.
const Row* find_row(const std::vector<Row>& rows, std::string_view key);

} // namespace vtrace
