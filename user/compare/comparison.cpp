// SPDX-License-Identifier: GPL-2.0-only
#include "compare/comparison.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace vtrace {
namespace {

// Of one metric of one entity, in each recording.
struct Figures {
    size_t metric;
    std::vector<std::vector<double>> values;
};

bool happened(const Figures& figures)
{
    return std::ranges::any_of(figures.values, [](const std::vector<double>& values) {
        return std::ranges::any_of(values, [](double value) { return value != 0; });
    });
}

bool all_above_zero(const std::vector<double>& values)
{
    return std::ranges::all_of(values, [](double value) { return value > 0; });
}

std::vector<double> logarithms(std::vector<double> values)
{
    std::ranges::transform(values, values.begin(), [](double value) { return std::log(value); });
    return values;
}

// By what part the values of b are above those of a.
Estimate ratio_between(const std::vector<double>& a, const std::vector<double>& b,
                       double confidence)
{
    Estimate shift = shift_between(logarithms(a), logarithms(b), confidence).value_or(Estimate{});
    shift.value = std::expm1(shift.value);
    if (shift.bounds)
        shift.bounds = {.low = std::expm1(shift.bounds->low),
                        .high = std::expm1(shift.bounds->high)};
    return shift;
}

Verdict verdict_of(bool more, CompareMetric::Worse worse)
{
    if (worse == CompareMetric::Worse::kNeither)
        return more ? Verdict::kMore : Verdict::kLess;
    return more == (worse == CompareMetric::Worse::kHigher) ? Verdict::kWorse : Verdict::kBetter;
}

// How many statements a recording has made of it: what they share the chance of an error by.
size_t statements(const std::vector<Figures>& all)
{
    const auto made = std::ranges::count_if(all, [](const Figures& figures) {
        return std::ranges::any_of(figures.values, [](const auto& v) { return !v.empty(); });
    });
    return std::max<size_t>(static_cast<size_t>(made), 1);
}

MetricRow row_of(const Figures& figures, double confidence)
{
    MetricRow row{.metric = &compare_metrics()[figures.metric]};
    for (const std::vector<double>& values : figures.values) {
        auto& side = row.sides.emplace_back();
        if (!values.empty())
            side = {.intervals = values.size(),
                    .median = median(values),
                    .trend = trend_of(values, confidence)};
    }
    const std::vector<double>& first = figures.values.front();
    for (size_t i = 1; i < figures.values.size(); i++) {
        auto& difference = row.differences.emplace_back();
        if (!first.empty() && !figures.values[i].empty())
            difference = difference_of(first, figures.values[i], row.metric->worse, confidence);
    }
    return row;
}

// Yes if anything did; no if all that can be better or worse is the same or better.
Answer answer_of(const std::vector<MetricRow>& rows, size_t recording)
{
    bool told = false;
    bool unknown = false;
    for (const MetricRow& row : rows) {
        if (row.metric->worse == CompareMetric::Worse::kNeither)
            continue;
        const auto& difference = row.differences.at(recording);
        if (difference && difference->verdict == Verdict::kWorse && !difference->small)
            return Answer::kYes;
        told |= difference.has_value();
        unknown |= !difference || difference->verdict == Verdict::kCannotTell;
    }
    return told && !unknown ? Answer::kNo : Answer::kCannotTell;
}

EntityComparison compare_entity(const std::vector<ComparedRecording>& recordings,
                                const EntityName& entity)
{
    EntityComparison result{.entity = entity};
    std::vector<Figures> all;
    const auto metrics = compare_metrics();
    for (size_t i = 0; i < metrics.size(); i++) {
        Figures figures{.metric = i};
        for (const ComparedRecording& recording : recordings)
            figures.values.push_back(recording.series.values(entity, i));
        const bool is_missing = std::ranges::all_of(
            recordings, [&](const ComparedRecording& r) { return !r.missing.at(i).empty(); });
        if (happened(figures))
            all.push_back(std::move(figures));
        else if (!is_missing)
            result.idle.push_back(&metrics[i]);
    }
    result.confidence = 1 - (1 - kConfidence) / static_cast<double>(statements(all));
    for (const Figures& figures : all)
        result.metrics.push_back(row_of(figures, result.confidence));
    for (size_t i = 0; i + 1 < recordings.size(); i++)
        result.worse.push_back(answer_of(result.metrics, i));
    return result;
}

// Who comes first: whom it got worse for, then who has most of the first metric.
auto rank(const EntityComparison& entity)
{
    const auto worse = std::ranges::count(entity.worse, Answer::kYes);
    const bool any = !entity.metrics.empty() &&
                     entity.metrics.front().metric == &compare_metrics().front() &&
                     entity.metrics.front().sides.front().has_value();
    return std::pair(worse, any ? entity.metrics.front().sides.front()->median : 0);
}

std::vector<NotCompared> missing_metrics(const std::vector<ComparedRecording>& recordings)
{
    std::vector<NotCompared> all;
    const auto metrics = compare_metrics();
    for (const ComparedRecording& recording : recordings) {
        for (size_t i = 0; i < metrics.size(); i++) {
            const std::string& why = recording.missing.at(i);
            if (why.empty())
                continue;
            auto known = std::ranges::find(all, why, &NotCompared::why);
            if (known == all.end())
                known = all.insert(all.end(), NotCompared{.why = why});
            if (std::ranges::find(known->metrics, &metrics[i]) == known->metrics.end())
                known->metrics.push_back(&metrics[i]);
        }
    }
    return all;
}

} // namespace

std::string_view verdict_name(Verdict verdict)
{
    switch (verdict) {
    case Verdict::kSame: return "same";
    case Verdict::kWorse: return "worse";
    case Verdict::kBetter: return "better";
    case Verdict::kMore: return "more";
    case Verdict::kLess: return "less";
    case Verdict::kCannotTell: return "cannot tell";
    }
    return "cannot tell";
}

std::string_view trend_name(Trend trend)
{
    switch (trend) {
    case Trend::kStable: return "stable";
    case Trend::kRising: return "rising";
    case Trend::kFalling: return "falling";
    case Trend::kCannotTell: return "cannot tell";
    }
    return "cannot tell";
}

std::string_view answer_name(Answer answer)
{
    switch (answer) {
    case Answer::kYes: return "yes";
    case Answer::kNo: return "no";
    case Answer::kCannotTell: return "cannot tell";
    }
    return "cannot tell";
}

MetricDifference difference_of(const std::vector<double>& a, const std::vector<double>& b,
                               CompareMetric::Worse worse, double confidence)
{
    MetricDifference difference{.ratio = all_above_zero(a) && all_above_zero(b)};
    difference.change = difference.ratio ? ratio_between(a, b, confidence)
                                         : shift_between(a, b, confidence).value_or(Estimate{});
    if (std::min(a.size(), b.size()) < kLeastIntervals)
        difference.change.bounds.reset();
    if (!difference.change.bounds)
        return difference;
    const auto [low, high] = *difference.change.bounds;
    const double margin = kSamePart * (difference.ratio ? 1 : std::abs(median(a)));
    if (low >= -margin && high <= margin)
        difference.verdict = Verdict::kSame;
    else if (low > 0 || high < 0) {
        difference.verdict = verdict_of(low > 0, worse);
        difference.small = std::abs(difference.change.value) < margin;
    }
    return difference;
}

Comparison compare(std::vector<ComparedRecording> recordings, size_t top)
{
    Comparison comparison{.not_compared = missing_metrics(recordings)};
    struct In {
        bool first = false;
        size_t recordings = 0;
    };
    std::map<std::pair<std::string, std::string>, In> all;
    for (const ComparedRecording& recording : recordings) {
        for (const EntityName& name : recording.series.entities()) {
            In& in = all[{name.kind, name.name}];
            in.first |= &recording == &recordings.front();
            in.recordings++;
        }
    }
    for (const auto& [key, in] : all) {
        EntityName name{key.first, key.second};
        if (in.first && (recordings.size() == 1 || in.recordings > 1))
            comparison.entities.push_back(compare_entity(recordings, name));
        else
            comparison.unmatched.push_back(std::move(name));
    }
    std::ranges::stable_sort(comparison.entities, std::greater{}, rank);
    if (top != 0 && comparison.entities.size() > top) {
        comparison.left_out = comparison.entities.size() - top;
        comparison.entities.resize(top);
    }
    comparison.recordings = std::move(recordings);
    return comparison;
}

} // namespace vtrace
