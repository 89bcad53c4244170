// SPDX-License-Identifier: GPL-2.0-only
#include "render/compare_text.h"

#include "base/printable.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace vtrace {
namespace {

constexpr size_t kNameWidth = 25;

// 0 is A.
std::string letter_of(size_t recording)
{
    constexpr size_t kLetters = 26;
    if (recording < kLetters)
        return fmt::format("{:c}", static_cast<char>('A' + recording));
    return "#" + std::to_string(recording + 1);
}

std::string whose(const EntityName& entity)
{
    return entity.name.empty() ? "" : printable(entity.kind) + " " + printable(entity.name);
}

std::string recording_text(const ComparedRecording& recording, size_t number,
                           const TextStyle& style)
{
    const std::string indent(4, ' ');
    const auto seconds = [](double s) { return format_duration(whole_number(1e9 * s)); };
    std::string text = wrapped(letter_of(number) + "   " + printable(recording.file), style);
    text += wrapped(fmt::format("{}{}, Linux {}, {}", indent, printable(recording.host),
                                printable(recording.kernel),
                                recording.options.empty() ? "the whole host" : recording.options),
                    style);
    text += wrapped(fmt::format("{}from {}, {} intervals of {}", indent,
                                format_time(recording.start_ns), recording.series.intervals(),
                                seconds(recording.series.interval())),
                    style);
    if (recording.cut)
        text += indent + "ends within an interval: that one is left out\n";
    if (const uint64_t few = recording.series.short_ones(); few != 0)
        text += fmt::format("{}{} of them are not half as long and left out\n", indent, few);
    for (const LossCounter& counter : loss_counters()) {
        if (recording.loss.*counter.count != 0)
            text += wrapped(fmt::format("{}ledger: {} {}", indent, recording.loss.*counter.count,
                                        counter.meaning),
                            style);
    }
    return text;
}

std::string median_of(const std::optional<MetricSide>& side, CompareMetric::Scale scale)
{
    return side ? format_figure(side->median, scale) : "-";
}

std::string trend_of(const std::optional<MetricSide>& side)
{
    return side && side->trend.trend != Trend::kCannotTell
               ? std::string(trend_name(side->trend.trend))
               : "-";
}

std::string signed_figure(double value, CompareMetric::Scale scale)
{
    return (value < 0 ? "-" : "+") + format_figure(std::abs(value), scale);
}

std::string change_text(double change, bool ratio, CompareMetric::Scale scale)
{
    return ratio ? format_change(change) : signed_figure(change, scale);
}

std::string bounds_text(const MetricDifference& difference, CompareMetric::Scale scale)
{
    if (!difference.change.bounds)
        return "-";
    const auto [low, high] = *difference.change.bounds;
    return change_text(low, difference.ratio, scale) + " to " +
           change_text(high, difference.ratio, scale);
}

// From one half to the other.
std::string halves_text(const TrendOf& trend, CompareMetric::Scale scale)
{
    const double change = trend.second_half - trend.first_half;
    return trend.first_half != 0 ? format_change(change / std::abs(trend.first_half))
                                 : signed_figure(change, scale);
}

std::string verdict_text(const MetricDifference& difference)
{
    return std::string(verdict_name(difference.verdict)) + (difference.small ? " <5%" : "");
}

std::string line(const MetricRow& row, size_t other, const TextStyle& style)
{
    const CompareMetric::Scale scale = row.metric->scale;
    const std::optional<MetricSide>& a = row.sides.front();
    const std::optional<MetricSide>& b = row.sides.at(other);
    std::string text = fmt::format("{:<{}}{:>8} {:>8}", row.metric->label, kNameWidth,
                                   median_of(a, scale), median_of(b, scale));
    std::string verdict(verdict_name(Verdict::kCannotTell));
    bool worse = false;
    if (const auto& difference = row.differences.at(other - 1)) {
        text += fmt::format(" {:>8} {:>20}",
                            change_text(difference->change.value, difference->ratio, scale),
                            bounds_text(*difference, scale));
        verdict = verdict_text(*difference);
        worse = difference->verdict == Verdict::kWorse;
    } else {
        text += fmt::format(" {:>8} {:>20}", "-", "-");
    }
    text += " " + (worse ? paint(pad(verdict, 11), kYellow, style) : pad(verdict, 11));
    return text + fmt::format(" {:<7} {}\n", trend_of(a), trend_of(b));
}

// "Worse: this, that." of those with a verdict; empty if there are none.
std::string listed(const EntityComparison& entity, size_t other, Verdict verdict)
{
    std::string names;
    for (const MetricRow& row : entity.metrics) {
        const auto& difference = row.differences.at(other - 1);
        if (difference && difference->verdict == verdict)
            names += (names.empty() ? "" : ", ") + std::string(row.metric->label);
    }
    return names;
}

std::string answer_text(const EntityComparison& entity, size_t other, const TextStyle& style)
{
    const Answer answer = entity.worse.at(other - 1);
    std::string text = "Did it get worse? " + std::string(answer_name(answer));
    if (const std::string names = listed(entity, other, Verdict::kWorse); !names.empty())
        text += ": " + names;
    if (const std::string names = listed(entity, other, Verdict::kBetter); !names.empty())
        text += "; better: " + names;
    return paint(wrapped(text, style), kBold, style);
}

std::string pair_text(const EntityComparison& entity, size_t other, const TextStyle& style)
{
    const std::string b = letter_of(other);
    const std::string name = whose(entity.entity);
    std::string text = "\n" + wrapped(b + " against A" + (name.empty() ? "" : ", " + name), style) +
                       answer_text(entity, other, style);
    const std::string heading = fmt::format(
        "{:<{}}{:>8} {:>8} {:>8} {:>20} {:<11} {:<7} {}\n", "MEDIAN OF INTERVALS", kNameWidth, "A",
        b, "CHANGE", fmt::format("{:.4g}% SURE", 100 * entity.confidence), "VERDICT", "TREND A", b);
    text += paint(heading, kBold, style);
    for (const MetricRow& row : entity.metrics) {
        if (row.sides.front() || row.sides.at(other))
            text += line(row, other, style);
    }
    return text;
}

std::string trends_text(const EntityComparison& entity, const TextStyle& style)
{
    const std::string name = whose(entity.entity);
    std::string text = "\n" + (name.empty() ? "" : wrapped(name, style));
    text += paint(fmt::format("{:<{}}{:>8} {:>10} {:>10} {:>8}  {}\n", "MEDIAN OF INTERVALS",
                              kNameWidth, "ALL", "FIRST HALF", "SECOND", "CHANGE", "TREND"),
                  kBold, style);
    for (const MetricRow& row : entity.metrics) {
        const CompareMetric::Scale scale = row.metric->scale;
        if (const auto& side = row.sides.front()) {
            const TrendOf& trend = side->trend;
            text += fmt::format("{:<{}}{:>8} {:>10} {:>10} {:>8}  {}\n", row.metric->label,
                                kNameWidth, format_figure(side->median, scale),
                                format_figure(trend.first_half, scale),
                                format_figure(trend.second_half, scale), halves_text(trend, scale),
                                trend_name(trend.trend));
        }
    }
    return text;
}

std::string names_of(const std::vector<const CompareMetric*>& metrics)
{
    std::string names;
    for (const CompareMetric* metric : metrics)
        names += (names.empty() ? "" : ", ") + std::string(metric->label);
    return names;
}

std::string lengths_note(const std::vector<ComparedRecording>& recordings)
{
    constexpr double kAlike = 1.1;
    const auto [shortest, longest] = std::ranges::minmax(
        recordings, {}, [](const ComparedRecording& r) { return r.series.interval(); });
    if (longest.series.interval() <= kAlike * shortest.series.interval())
        return {};
    return "note: the intervals are not of one length: longer ones even out more, and their p99 are of "
           "more events";
}

std::string unmatched_text(const std::vector<EntityName>& unmatched)
{
    constexpr size_t kShown = 10;
    std::string names;
    for (size_t i = 0; i < std::min(kShown, unmatched.size()); i++)
        names += (i == 0 ? "" : ", ") + printable(unmatched[i].name);
    if (unmatched.size() > kShown)
        names += fmt::format(" and {} more", unmatched.size() - kShown);
    return "in A alone, or not in A: " + names;
}

// What nobody has to read who takes the answer for what it is.
std::string notes_text(const Comparison& comparison, const TextStyle& style)
{
    std::string text;
    if (comparison.left_out != 0)
        text += fmt::format("({} more)\n", comparison.left_out);
    if (!comparison.unmatched.empty())
        text += wrapped(unmatched_text(comparison.unmatched), style);
    if (comparison.entities.size() == 1 && !comparison.entities.front().idle.empty())
        text +=
            wrapped("nothing of it happened: " + names_of(comparison.entities.front().idle), style);
    for (const NotCompared& missing : comparison.not_compared)
        text += wrapped(
            "not compared: " + names_of(missing.metrics) + ": " + printable(missing.why), style);
    if (const std::string lengths = lengths_note(comparison.recordings); !lengths.empty())
        text += wrapped(lengths, style);
    if (comparison.recordings.size() > 1)
        text += wrapped(
            "note: what one run has and another of the same has not is in no interval here; to "
            "tell a change from that, record each side more than once",
            style);
    return text.empty() ? "" : "\n" + text;
}

} // namespace

std::string format_figure(double value, CompareMetric::Scale scale)
{
    const auto count = [&]() -> std::string {
        if (value > 0 && value < 0.0005)
            return "<0.001";
        if (value < 10 && value != 0)
            return fmt::format("{:.{}f}", value, value < 0.1 ? 3 : 2);
        return format_count(whole_number(std::round(value)));
    };
    switch (scale) {
    case CompareMetric::Scale::kTime: return format_duration(whole_number(std::round(value)));
    case CompareMetric::Scale::kShare: return format_share(value);
    case CompareMetric::Scale::kPerSecond: return count() + "/s";
    case CompareMetric::Scale::kBytesPerSecond: return format_bytes(value) + "/s";
    case CompareMetric::Scale::kOnAverage: return count();
    }
    return count();
}

std::string format_change(double part)
{
    constexpr double kPercent = 100;
    const double percent = kPercent * part;
    if (std::abs(percent) < 999.95)
        return fmt::format("{:+.1f}%", percent);
    if (std::abs(percent) < 99999.5)
        return fmt::format("{:+.0f}%", percent);
    return percent > 0 ? ">+1000x" : "<-1000x";
}

std::string compare_text(const Comparison& comparison, const TextStyle& style)
{
    std::string text;
    for (size_t i = 0; i < comparison.recordings.size(); i++)
        text += recording_text(comparison.recordings[i], i, style);
    for (size_t other = 1; other < comparison.recordings.size(); other++) {
        for (const EntityComparison& entity : comparison.entities)
            text += pair_text(entity, other, style);
    }
    if (comparison.recordings.size() == 1) {
        for (const EntityComparison& entity : comparison.entities)
            text += trends_text(entity, style);
    }
    if (comparison.entities.empty())
        text += "\nnothing that is in A and in another recording\n";
    return text + notes_text(comparison, style);
}

} // namespace vtrace
