// SPDX-License-Identifier: GPL-2.0-only
#include "render/compare_json.h"

#include "base/printable.h"
#include "render/units.h"

#include <nlohmann/json.hpp>

#include <string_view>

namespace vtrace {
namespace {

using Json = nlohmann::ordered_json;

std::string_view worse_name(CompareMetric::Worse worse)
{
    switch (worse) {
    case CompareMetric::Worse::kHigher: return "higher";
    case CompareMetric::Worse::kLower: return "lower";
    case CompareMetric::Worse::kNeither: return "neither";
    }
    return "neither";
}

Json bounds_json(const std::optional<Bounds>& bounds, double scale)
{
    return bounds ? Json::array({bounds->low * scale, bounds->high * scale}) : Json(nullptr);
}

// `scale` is what an interval's length makes of it.
Json estimate_json(const Estimate& estimate, double scale)
{
    return {{"value", estimate.value * scale}, {"interval", bounds_json(estimate.bounds, scale)}};
}

Json side_json(const std::optional<MetricSide>& side, double seconds)
{
    if (!side)
        return nullptr;
    const TrendOf& trend = side->trend;
    return {{"intervals", side->intervals},
            {"median", side->median},
            {"first_half", trend.first_half},
            {"second_half", trend.second_half},
            {"slope_per_second",
             trend.slope ? estimate_json(*trend.slope, 1 / seconds) : Json(nullptr)},
            {"trend", trend_name(trend.trend)}};
}

Json difference_json(const std::optional<MetricDifference>& difference, const CompareMetric& metric)
{
    if (!difference)
        return nullptr;
    Json change = estimate_json(difference->change, 1);
    change["unit"] = difference->ratio ? "ratio" : unit_name(metric.scale);
    return {{"verdict", verdict_name(difference->verdict)},
            {"below_5_percent", difference->small},
            {"change", change}};
}

Json names_json(const std::vector<const CompareMetric*>& metrics)
{
    Json names = Json::array();
    for (const CompareMetric* metric : metrics)
        names.push_back(metric->name);
    return names;
}

Json loss_json(const Loss& loss)
{
    Json json = Json::object();
    for (const LossCounter& counter : loss_counters()) {
        if (loss.*counter.count != 0)
            json[std::string(counter.key)] = loss.*counter.count;
    }
    return json;
}

Json recording_json(const ComparedRecording& recording)
{
    return {{"file", printable(recording.file)},
            {"host", printable(recording.host)},
            {"kernel", printable(recording.kernel)},
            {"start", format_time(recording.start_ns)},
            {"end", format_time(recording.end_ns)},
            {"options", recording.options},
            {"intervals", recording.series.intervals()},
            {"interval_seconds", recording.series.interval()},
            {"short_intervals", recording.series.short_ones()},
            {"cut", recording.cut},
            {"loss", loss_json(recording.loss)}};
}

Json metric_json(const MetricRow& row, const std::vector<ComparedRecording>& recordings)
{
    Json sides = Json::array();
    for (size_t i = 0; i < row.sides.size(); i++)
        sides.push_back(side_json(row.sides[i], recordings[i].series.interval()));
    Json differences = Json::array();
    for (const auto& difference : row.differences)
        differences.push_back(difference_json(difference, *row.metric));
    return {{"name", row.metric->name},
            {"tool", row.metric->tool},
            {"unit", unit_name(row.metric->scale)},
            {"worse", worse_name(row.metric->worse)},
            {"recordings", sides},
            {"against_first", differences}};
}

Json entity_name_json(const EntityName& entity)
{
    if (entity.name.empty())
        return nullptr;
    return {{"kind", entity.kind}, {"name", printable(entity.name)}};
}

Json entity_json(const EntityComparison& entity, const std::vector<ComparedRecording>& recordings)
{
    Json metrics = Json::array();
    for (const MetricRow& row : entity.metrics)
        metrics.push_back(metric_json(row, recordings));
    Json worse = Json::array();
    for (const Answer answer : entity.worse)
        worse.push_back(answer_name(answer));
    return {{"entity", entity_name_json(entity.entity)},
            {"got_worse", worse},
            {"confidence_each", entity.confidence},
            {"metrics", metrics},
            {"idle", names_json(entity.idle)}};
}

} // namespace

std::string compare_json(const Comparison& comparison)
{
    Json recordings = Json::array();
    for (const ComparedRecording& recording : comparison.recordings)
        recordings.push_back(recording_json(recording));
    Json rows = Json::array();
    for (const EntityComparison& entity : comparison.entities)
        rows.push_back(entity_json(entity, comparison.recordings));
    Json unmatched = Json::array();
    for (const EntityName& name : comparison.unmatched)
        unmatched.push_back(entity_name_json(name));
    Json missing = Json::array();
    for (const NotCompared& one : comparison.not_compared)
        missing.push_back({{"metrics", names_json(one.metrics)}, {"why", printable(one.why)}});
    const Json document = {{"schema", "vtrace/1"},
                           {"compare",
                            {{"recordings", recordings},
                             {"confidence", kConfidence},
                             {"rows", rows},
                             {"rows_left_out", comparison.left_out},
                             {"unmatched", unmatched},
                             {"not_compared", missing}}}};
    return document.dump() + "\n";
}

} // namespace vtrace
