// SPDX-License-Identifier: GPL-2.0-only
// Statistics of series of figures, one figure for each interval of a recording. By ranks: one bad interval changes
// little, and nothing is assumed of how the figures are distributed.
//
// What has to hold for the bounds: the figures of a series are of one condition, and those that follow each other are no more
// alike than a series of order one (AR(1)) is. The latter is corrected for (variance_inflation()); that another recording of
// the same condition may be another one is in no series, and so in no bounds.
#pragma once

#include <optional>
#include <vector>

namespace vtrace {

// The middle value, the mean of the two in the middle of an even number; 0 of none.
double median(std::vector<double> values);

// How much more the mean rank of the series varies than if its values were independent: (1 + r) / (1 - r), where
// r is the autocorrelation of their ranks at lag 1, with 1/n added for its bias. At least 1, below n.
// Bayley and Hammersley, "The 'effective' number of independent observations in an autocorrelated time series",
// JRSS Suppl. 8 (1946).
double variance_inflation(const std::vector<double>& series);

struct Bounds {
    double low = 0;
    double high = 0;
};

struct Estimate {
    double value = 0;
    std::optional<Bounds> bounds; // none: there are too few values for this confidence
};

// By how much the values of b are above those of a: the median of all differences, Hodges and Lehmann, "Estimates of
// location based on rank tests", Ann. Math. Stat. 34 (1963). The bounds are the differences at the critical values of the
// test of Mann and Whitney (Hollander and Wolfe, "Nonparametric Statistical Methods", 4.3): the exact ones up to 20 values
// each, above by the normal approximation; as much further out as variance_inflation() says. Ties make the
// bounds too wide, never too narrow (Noether, JASA 62, 1967). Confidence is in (0, 1). None of an empty series.
std::optional<Estimate> shift_between(std::vector<double> a, std::vector<double> b,
                                      double confidence);

// By how much the series grows from one value to the next: the median of the slopes between all pairs, with the bounds of
// Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968), and the
// variance_inflation() of what the slope leaves. A series of more than 120 values is taken as that many medians of blocks.
// None of fewer than two values.
std::optional<Estimate> slope_of(const std::vector<double>& series, double confidence);

enum class Trend {
    kCannotTell, // too short, or its halves differ but its slope may be none
    kStable,
    kRising,
    kFalling,
};

struct TrendOf {
    double first_half = 0; // median
    double second_half = 0;
    std::optional<Estimate> slope; // from one value to the next
    Trend trend = Trend::kCannotTell;
};

// Rising or falling if the medians of its halves differ by more than 5 % of the first one, and the bounds of the slope
// are on that side of 0; stable if the halves differ by less. Unknown below 8 values.
TrendOf trend_of(const std::vector<double>& series, double confidence);

// Differences up to this part count as none.
inline constexpr double kSamePart = 0.05;

} // namespace vtrace
