// SPDX-License-Identifier: GPL-2.0-only
#include "compare/series.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace vtrace {
namespace {

bool is_path_above(std::string_view above, std::string_view path)
{
    while (above.ends_with('/'))
        above.remove_suffix(1);
    if (above.empty())
        return true; // the root
    if (!above.starts_with('/') && !path.empty())
        path.remove_prefix(1);
    return path.starts_with(above) && (path.size() == above.size() || path[above.size()] == '/');
}

} // namespace

bool is_meant(const Entity& entity, std::string_view name)
{
    constexpr size_t kLeastOfAnId = 4;
    if (entity.name == name)
        return true;
    if (entity.kind == "cgroup")
        return is_path_above(name, entity.cgroup);
    if (entity.kind == "pod")
        return entity.name.ends_with("/" + std::string(name));
    if (entity.kind == "unit")
        return entity.name == std::string(name) + ".service";
    return (entity.pid != 0 && std::to_string(entity.pid) == name) ||
           (name.size() >= kLeastOfAnId && entity.uid.starts_with(name));
}

Series::Series(SeriesRows rows) : rows_(std::move(rows))
{
    if (rows_.kind.empty())
        told_[{}]; // is there from the first interval on, whatever happens
}

void Series::begin(double seconds)
{
    seconds_ = seconds;
    lengths_.push_back(seconds);
    intervals_++;
}

void Series::add(const Report& report)
{
    if (!tools_.contains(report.tool))
        tools_.insert(report.tool);
    std::map<Key, RowsOf> rows;
    for (const Row& row : report.rows) {
        if (rows_.kind.empty())
            rows[{}].push_back(&row);
        else if (row.entity.kind == rows_.kind &&
                 (rows_.name.empty() || is_meant(row.entity, rows_.name)))
            rows[{row.entity.kind, row.entity.name}].push_back(&row);
    }
    for (const auto& [key, of_one] : rows)
        add_rows(key, of_one, report.tool);
}

void Series::add_rows(const Key& key, const RowsOf& rows, std::string_view tool)
{
    const uint64_t interval = intervals_ - 1;
    const auto [at, is_new] = told_.try_emplace(key);
    Told& told = at->second;
    if (is_new)
        told.first = interval;
    told.last = interval;
    const auto metrics = compare_metrics();
    for (size_t i = 0; i < metrics.size(); i++) {
        if (metrics[i].tool == tool)
            told.points[i].push_back(
                {interval, metrics[i].read(rows, seconds_).value_or(std::nan(""))});
    }
}

double Series::interval() const
{
    const double all = std::accumulate(lengths_.begin(), lengths_.end(), 0.0);
    return all / static_cast<double>(std::max<uint64_t>(intervals_, 1));
}

uint64_t Series::short_ones() const
{
    const double least = interval() / 2;
    return static_cast<uint64_t>(
        std::ranges::count_if(lengths_, [&](double length) { return length < least; }));
}

std::vector<EntityName> Series::entities() const
{
    std::vector<EntityName> names;
    names.reserve(told_.size());
    for (const auto& [key, told] : told_)
        names.push_back({key.first, key.second});
    return names;
}

std::vector<double> Series::values(const EntityName& entity, size_t metric) const
{
    const CompareMetric& asked = compare_metrics()[metric];
    const auto found = told_.find({entity.kind, entity.name});
    if (found == told_.end() || !tools_.contains(asked.tool) || intervals_ == 0)
        return {};
    const Told& told = found->second;
    const bool whole = rows_.kind.empty();
    const uint64_t first = whole ? 0 : told.first;
    const uint64_t last = whole ? intervals_ - 1 : told.last;
    const double nothing = asked.read({}, 1).value_or(std::nan(""));
    std::vector<double> all(last - first + 1, nothing);
    if (const auto points = told.points.find(metric); points != told.points.end()) {
        for (const Point& point : points->second)
            all[point.interval - first] = point.value;
    }
    const double least = interval() / 2;
    std::vector<double> kept;
    for (size_t i = 0; i < all.size(); i++) {
        if (std::isfinite(all[i]) && lengths_[first + i] >= least)
            kept.push_back(all[i]);
    }
    return kept;
}

} // namespace vtrace
