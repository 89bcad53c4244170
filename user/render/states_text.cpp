// SPDX-License-Identifier: GPL-2.0-only
#include "render/states_text.h"

#include "base/printable.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

namespace vtrace {
namespace {

struct Column {
    std::string_view metric;
    std::string_view heading; // at most five columns
};

// In the order in which they are shown.
constexpr std::array<Column, 22> kColumns = {{
    {"user", "USER"},     {"system", "SYS"},    {"guest", "GUEST"},   {"running", "RUN"},
    {"runnable", "WAIT"}, {"throttled", "THR"}, {"disk", "DISK"},     {"memory", "MEM"},
    {"fault", "FAULT"},   {"lock", "LOCK"},     {"socket", "SOCK"},   {"pipe", "PIPE"},
    {"aio", "AIO"},       {"poll", "POLL"},     {"sleep", "SLEEP"},   {"wait", "CHILD"},
    {"kthread", "KTHR"},  {"stopped", "STOP"},  {"blocked", "BLOCK"}, {"other", "OTHER"},
    {"stolen", "STEAL"},  {"unknown", "UNKN"},
}};
constexpr size_t kColumnWidth = 6;
constexpr size_t kThreadsWidth = 8;
constexpr size_t kLeft = kThreadsWidth + 7; // columns for the threads and their time
constexpr size_t kNameAtLeast = 17;

double share_of(const Row& row, std::string_view state)
{
    return value_of(row, std::string(state) + "_share");
}

// How soon a column is shown: what runs or could run says more than what sleeps.
double interest(size_t column)
{
    constexpr size_t kRunning = 6;  // user … throttled
    constexpr size_t kBlocked = 10; // disk … lock
    return column < kRunning ? 100 : column < kBlocked ? 10 : 1;
}

using Weights = std::array<double, kColumns.size()>;

void weigh(const std::vector<Row>& rows, Weights& weights)
{
    for (const Row& row : rows) {
        for (size_t i = 0; i < kColumns.size(); i++)
            weights.at(i) =
                std::max(weights.at(i), interest(i) * share_of(row, kColumns.at(i).metric));
        weigh(row.rows, weights);
    }
}

constexpr double kVisible = 0.0005; // 0.1 %, rounded

// The columns that there is room for, those with the largest figures; none that is empty.
std::vector<Column> chosen(const Report& report, size_t room)
{
    Weights weights{};
    weigh(report.rows, weights);
    std::vector<size_t> by_weight;
    for (size_t i = 0; i < kColumns.size(); i++) {
        if (weights.at(i) >= kVisible * interest(i))
            by_weight.push_back(i);
    }
    std::ranges::stable_sort(by_weight, std::greater{}, [&](size_t i) { return weights.at(i); });
    if (by_weight.size() > room)
        by_weight.resize(room - 1); // and the rest
    std::ranges::sort(by_weight);
    std::vector<Column> columns;
    columns.reserve(by_weight.size());
    for (const size_t i : by_weight)
        columns.push_back(kColumns.at(i));
    return columns;
}

bool has_rest(const std::vector<Row>& rows, const std::vector<Column>& columns)
{
    return std::ranges::any_of(rows, [&](const Row& row) {
        double left = 1;
        for (const Column& column : columns)
            left -= share_of(row, column.metric);
        return left >= kVisible || has_rest(row.rows, columns);
    });
}

// Tenths of a percent that sum to 1000: each is rounded down, and what that loses goes to those that
// lost most.
std::vector<uint64_t> tenths(const std::vector<double>& shares)
{
    std::vector<uint64_t> rounded;
    std::vector<std::pair<double, size_t>> lost;
    uint64_t sum = 0;
    for (size_t i = 0; i < shares.size(); i++) {
        const double exact = 1000 * shares[i];
        rounded.push_back(whole_number(exact));
        lost.emplace_back(exact - std::floor(exact), i);
        sum += rounded.back();
    }
    std::ranges::stable_sort(lost, std::greater{}, [](const auto& l) { return l.first; });
    for (size_t i = 0; i < lost.size() && sum < 1000; i++, sum++)
        rounded[lost[i].second]++;
    return rounded;
}

std::string cell(uint64_t tenth)
{
    if (tenth == 0)
        return fmt::format("{:>{}}", "-", kColumnWidth);
    return fmt::format("{:>{}.1f}", static_cast<double>(tenth) / 10, kColumnWidth);
}

std::string line(const Row& row, const std::string& name, const std::vector<Column>& columns,
                 bool rest, size_t width, const TextStyle& style)
{
    std::string text = pad(shorten(name, width - 1, style.utf8), width);
    const bool is_thread = row.entity.kind == "thread";
    text += is_thread ? std::string(kThreadsWidth, ' ')
                      : fmt::format("{:>{}.0f}", value_of(row, "threads"), kThreadsWidth);
    text += fmt::format("{:>7}", format_duration(count_of(row, "thread_time")));
    std::vector<double> shares;
    double left = 1;
    for (const Column& column : columns) {
        shares.push_back(share_of(row, column.metric));
        left -= shares.back();
    }
    if (rest)
        shares.push_back(std::max(left, 0.0));
    for (const uint64_t tenth : tenths(shares))
        text += cell(tenth);
    return text + "\n";
}

std::string sum_line(const Report& report)
{
    double threads = 0;
    double time = 0;
    double sum = 0;
    for (const Row& row : report.rows) {
        threads += value_of(row, "threads");
        time += value_of(row, "thread_time");
        sum += value_of(row, "states_sum");
    }
    const double share = time == 0 ? 1 : sum / time;
    std::string text =
        fmt::format("Percent of thread time; each line sums to 100 %. Measured: {:.2f} % of {}\n"
                    "({:.0f} threads at the end, {} each, less before birth or after death).\n",
                    100 * share, format_duration(whole_number(time)), threads,
                    format_duration(report.duration_ns));
    constexpr double kTolerance = 0.005;
    if (std::abs(share - 1) > kTolerance)
        text += fmt::format("That is off by {:.2f} %: do not trust small figures.\n",
                            100 * (share - 1));
    return text;
}

} // namespace

std::string states_text(const Report& report, const TextStyle& style)
{
    if (report.rows.empty())
        return "no thread in this window\n";
    const size_t total = std::clamp<size_t>(style.width, 72, 160);
    const size_t room = (total - kLeft - kNameAtLeast) / kColumnWidth;
    const std::vector<Column> columns = chosen(report, room);
    const bool rest = has_rest(report.rows, columns);
    const size_t width = total - kLeft - kColumnWidth * (columns.size() + (rest ? 1 : 0));
    std::string head = pad(heading(report.group.empty() ? "host" : report.group), width) +
                       fmt::format("{:>8}{:>7}", "THREADS", "TIME");
    for (const Column& column : columns)
        head += fmt::format("{:>{}}", column.heading, kColumnWidth);
    if (rest)
        head += fmt::format("{:>{}}", "REST", kColumnWidth);
    std::string text = paint(head + "\n", kBold, style);
    constexpr size_t kThreads = 20;
    for (const Row& row : report.rows) {
        text += line(row, label(row.entity), columns, rest, width, style);
        for (size_t i = 0; i < std::min(kThreads, row.rows.size()); i++) {
            const Row& thread = row.rows[i];
            const bool is_thread = thread.entity.kind == "thread";
            std::string name = "  " + thread.entity.name;
            if (is_thread) { // its number stays whole
                name = fmt::format("  {} ", thread.entity.id);
                const size_t left = width - 1 - std::min(width - 1, name.size());
                name += shorten(printable(thread.entity.name), left, style.utf8);
            }
            text += line(thread, name, columns, rest, width, style);
        }
        if (row.rows.size() > kThreads)
            text +=
                fmt::format("  and {} threads more, which ran less\n", row.rows.size() - kThreads);
    }
    if (report.rows_left_out != 0)
        text += fmt::format("({} more)\n", report.rows_left_out);
    return text + sum_line(report);
}

} // namespace vtrace
