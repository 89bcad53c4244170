// SPDX-License-Identifier: GPL-2.0-only
// Recordings beside each other: by how much each metric differs, how sure that is, and whether it is worse.
#pragma once

#include "compare/metrics.h"
#include "compare/series.h"
#include "compare/statistics.h"
#include "model/report.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace vtrace {

// A recording that is compared. Strings are raw bytes.
struct ComparedRecording {
    std::string file;
    std::string host;
    std::string kernel;
    std::string options; // what was recorded: "--container=web"; empty: the whole host
    int64_t start_ns = 0;
    int64_t end_ns = 0;
    bool cut = false;                 // it ends within an interval
    Loss loss;                        // of all its intervals
    std::vector<std::string> missing; // by metric: why there are no figures; empty: there are
    Series series;
};

enum class Verdict {
    kCannotTell, // "cannot tell"
    kSame,       // whatever it is, it is within 5 %
    kWorse,
    kBetter,
    kMore, // of metrics that are neither good nor bad
    kLess,
};
std::string_view verdict_name(Verdict verdict);
std::string_view trend_name(Trend trend);

// Of one metric in one recording.
struct MetricSide {
    size_t intervals = 0; // that gave a value; not 0
    double median = 0;
    TrendOf trend;
};

// Of a recording against the first one.
struct MetricDifference {
    // If `ratio`, as part of the first one's figures: 0.1 is 10 % more. That is where all figures are above 0: the shift of
    // their logarithms. Else in the metric's unit.
    Estimate change;
    bool ratio = false;
    Verdict verdict = Verdict::kCannotTell;
    bool small = false; // a verdict, though the difference is below 5 %
};

struct MetricRow {
    const CompareMetric* metric = nullptr;
    std::vector<std::optional<MetricSide>> sides;             // by recording
    std::vector<std::optional<MetricDifference>> differences; // by recording, but for the first
};

enum class Answer { kCannotTell, kNo, kYes };
std::string_view answer_name(Answer answer);

struct EntityComparison {
    EntityName entity;              // without a name: all that was recorded
    double confidence = 0;          // of each interval, so that all of them hold with kConfidence
    std::vector<MetricRow> metrics; // where anything happened in one of the recordings
    std::vector<const CompareMetric*> idle;
    std::vector<Answer> worse; // by recording, but for the first: did it get worse
};

// Metrics that could not be compared.
struct NotCompared {
    std::vector<const CompareMetric*> metrics;
    std::string why;
};

struct Comparison {
    std::vector<ComparedRecording> recordings;
    std::vector<EntityComparison> entities; // that got worse first, then those with most CPU used
    size_t left_out = 0;                    // by --top
    std::vector<EntityName> unmatched;      // not in the first recording, or only in that one
    std::vector<NotCompared> not_compared;
};

// What is said of all metrics of an entity holds together with this confidence (Bonferroni: of 25 metrics, each at 95 %,
// one would differ by chance in most comparisons of the same with the same).
inline constexpr double kConfidence = 0.95;
// Fewer in one of two series say nothing of their difference.
inline constexpr size_t kLeastIntervals = 5;

MetricDifference difference_of(const std::vector<double>& a, const std::vector<double>& b,
                               CompareMetric::Worse worse, double confidence);

// Of at least one recording; of one alone there are only its trends. `top` entities at most, 0 is all.
Comparison compare(std::vector<ComparedRecording> recordings, size_t top);

} // namespace vtrace
