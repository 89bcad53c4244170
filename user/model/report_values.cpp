// SPDX-License-Identifier: GPL-2.0-only
#include "model/report_values.h"

#include "base/numbers.h"

#include <algorithm>

namespace vtrace {

std::string key_of(const Entity& entity)
{
    const uint64_t number = entity.kind == "vm" ? entity.pid : entity.id;
    return entity.kind + '\0' + std::to_string(number) + '\0' + entity.name;
}

std::string owner_key(const Entity& entity)
{
    const std::string number = entity.kind == "vm" ? std::to_string(entity.pid) : entity.uid;
    return entity.kind + '\0' + number + '\0' + entity.cgroup + '\0' + entity.name;
}

std::optional<double> find_value(const Row& row, std::string_view name)
{
    const auto found = std::ranges::find(row.metrics, name, &Metric::name);
    if (found == row.metrics.end())
        return std::nullopt;
    return found->value;
}

double value_of(const Row& row, std::string_view name)
{
    return find_value(row, name).value_or(0);
}

uint64_t count_of(const Row& row, std::string_view name)
{
    return whole_number(value_of(row, name));
}

double seconds_of(const Report& report)
{
    constexpr double kNsPerSecond = 1e9;
    return std::max(static_cast<double>(report.duration_ns) / kNsPerSecond, 1e-9);
}

std::string_view label_of(const Row& row, std::string_view kind)
{
    const auto found = std::ranges::find(row.entity.labels, kind, &EntityName::kind);
    return found == row.entity.labels.end() ? "" : std::string_view(found->name);
}

const Histogram& find_histogram(const Row& row, std::string_view name)
{
    static const Histogram none;
    const auto found = std::ranges::find(row.histograms, name, &NamedHistogram::name);
    return found == row.histograms.end() ? none : found->histogram;
}

const Row* find_owner(const std::vector<Row>& rows, const Entity& entity)
{
    const std::string key = owner_key(entity);
    const auto found =
        std::ranges::find_if(rows, [&](const Row& row) { return owner_key(row.entity) == key; });
    return found == rows.end() ? nullptr : &*found;
}

const Row* find_row(const std::vector<Row>& rows, std::string_view key)
{
    const auto found =
        std::ranges::find_if(rows, [&](const Row& row) { return key_of(row.entity) == key; });
    return found == rows.end() ? nullptr : &*found;
}

} // namespace vtrace
