// SPDX-License-Identifier: GPL-2.0-only
#include "render/block_text.h"

#include "base/printable.h"
#include "render/blame_text.h"
#include "render/histogram_text.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace vtrace {
namespace {

constexpr size_t kEntities = 20;   // with a table of their own
constexpr size_t kOperations = 20; // of one

std::string bytes_text(double bytes)
{
    return format_bytes(bytes);
}

// An owner, and a mark if its figures have those of cgroups below.
std::string owner_name(const Entity& entity)
{
    const bool marked =
        std::ranges::find(entity.labels, "io", &EntityName::kind) != entity.labels.end();
    return culprit_name(entity) + (marked ? "*" : "");
}

std::string_view disk_of(const Row& row)
{
    const auto label = std::ranges::find(row.entity.labels, "disk", &EntityName::kind);
    return label == row.entity.labels.end() ? std::string_view{} : label->name;
}

const Histogram& histogram_of(const Row& row, std::string_view name)
{
    static const Histogram none;
    const auto found = std::ranges::find(row.histograms, name, &NamedHistogram::name);
    return found == row.histograms.end() ? none : found->histogram;
}

std::string quantile(const Histogram& histogram, double share)
{
    return histogram.count() == 0 ? "-" : format_duration(histogram.quantile(share));
}

std::string summary(const Report& report, const Row& row)
{
    const double seconds = seconds_of(report);
    const double count = value_of(row, "count");
    std::string text = fmt::format("{}: {} requests ({} a second), {} ({}/s)",
                                   owner_name(row.entity), format_count(whole_number(count)),
                                   per_second(report, count), bytes_text(value_of(row, "bytes")),
                                   bytes_text(value_of(row, "bytes") / seconds));
    if (value_of(row, "errors") != 0)
        text += fmt::format(", {} failed", value_of(row, "errors"));
    if (value_of(row, "requeued") != 0)
        text += fmt::format(", {} times back to the queue", value_of(row, "requeued"));
    const double sequential = value_of(row, "sequential");
    const double issued = sequential + value_of(row, "random");
    if (issued != 0)
        text += fmt::format(", {} of them sequential", format_share(sequential / issued));
    if (const auto depth = find_value(row, "depth"))
        text += fmt::format(", {:.3g} in flight on average", *depth);
    return text;
}

std::string heading_line(size_t disk, size_t operation)
{
    return pad("DISK", disk) + pad("OPERATION", operation) +
           fmt::format("{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}", "COUNT", "BYTES", "QUEUE", "P99",
                       "DEVICE", "P99", "MAX");
}

std::string line_of(const Row& row, size_t disk, size_t operation, const TextStyle& style)
{
    const Histogram& queue = histogram_of(row, "queue");
    const Histogram& device = histogram_of(row, "device");
    return pad(shorten(printable(disk_of(row)), disk - 1, style.utf8), disk) +
           pad(shorten(row.entity.name, operation - 1, style.utf8), operation) +
           fmt::format("{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}{:>7}", format_count(count_of(row, "count")),
                       bytes_text(value_of(row, "bytes")), quantile(queue, 0.5),
                       quantile(queue, 0.99), quantile(device, 0.5), quantile(device, 0.99),
                       row.histogram.count() == 0 ? "-" : format_duration(row.histogram.max));
}

// The sizes of requests with bars, if they were asked for.
std::string sizes_text(const Row& row)
{
    constexpr std::string_view kPrefix = "up_to_";
    constexpr size_t kBar = 40;
    double most = 0;
    for (const Metric& metric : row.metrics) {
        if (metric.name.starts_with(kPrefix))
            most = std::max(most, metric.value);
    }
    if (most == 0)
        return "";
    std::string text = fmt::format("{:>10} {:>8}\n", "SIZE <=", "REQUESTS");
    for (const Metric& metric : row.metrics) {
        if (!metric.name.starts_with(kPrefix) || metric.value == 0)
            continue;
        const double bytes = std::stod(metric.name.substr(kPrefix.size()));
        const auto bar = whole_number(std::round(metric.value / most * kBar));
        text += fmt::format("{:>10} {:>8} {}\n", bytes_text(bytes),
                            format_count(whole_number(metric.value)),
                            std::string(std::max<size_t>(bar, 1), '#'));
    }
    return text;
}

} // namespace

std::string biolatency_text(const Report& report, const TextStyle& style)
{
    constexpr size_t kDisk = 12;
    constexpr size_t kFigures = 7UL * 7;
    const size_t operation = std::clamp<size_t>(style.width, 80, 100) - kDisk - kFigures;
    if (report.rows.empty())
        return "no request completed\n" + open_requests_text(report, style);
    std::string text;
    for (size_t i = 0; i < std::min(report.rows.size(), kEntities); i++) {
        const Row& row = report.rows[i];
        text += (text.empty() ? "" : "\n") + wrapped(summary(report, row), style) +
                paint(heading_line(kDisk, operation) + "\n", kBold, style);
        for (size_t k = 0; k < std::min(row.rows.size(), kOperations); k++)
            text += line_of(row.rows[k], kDisk, operation, style) + "\n";
        if (row.rows.size() > kOperations)
            text += fmt::format("({} more)\n", row.rows.size() - kOperations);
        text += sizes_text(row);
    }
    const size_t left_out =
        report.rows_left_out + report.rows.size() - std::min(report.rows.size(), kEntities);
    if (left_out != 0)
        text += fmt::format("\n({} more)\n", left_out);
    const Row& worst = report.rows.front();
    text += "\n" + paint(wrapped(owner_name(worst.entity), style), kBold, style) +
            histogram_rows(worst.histogram, report.metric, style) +
            histogram_summary(worst.histogram);
    return text + open_requests_text(report, style);
}

namespace {

std::string limit_text(const Row& row)
{
    std::string text;
    const auto add = [&](std::string_view metric, std::string_view unit, bool bytes) {
        const auto limit = find_value(row, metric);
        if (!limit)
            return;
        text += (text.empty() ? "" : ", ") +
                (bytes ? bytes_text(*limit) : format_count(whole_number(*limit))) +
                std::string(unit);
    };
    add("limit_read_bytes", "/s read", true);
    add("limit_write_bytes", "/s written", true);
    add("limit_reads", " reads/s", false);
    add("limit_writes", " writes/s", false);
    return text;
}

std::string below(const Row& row, const TextStyle& style)
{
    constexpr size_t kShown = 4;
    std::string text;
    std::string others;
    for (size_t i = 0; i < std::min(row.rows.size(), kShown); i++) {
        const Row& other = row.rows[i];
        others += (others.empty() ? "" : ", ") + owner_name(other.entity) + " " +
                  format_share(value_of(other, "beside"));
    }
    if (row.rows.size() > kShown)
        others += fmt::format(" and {} more", row.rows.size() - kShown);
    if (!others.empty())
        text += wrapped("    beside " + others, style);
    const auto held_back = [&](std::string_view metric, const std::string& by) {
        if (const double held = value_of(row, metric); held > 0)
            text += wrapped(
                fmt::format("    held back by {} in {} of the samples", by, format_share(held)),
                style);
    };
    const std::string limit = limit_text(row);
    held_back("held", "its own limit" + (limit.empty() ? "" : " (" + limit + ")"));
    held_back("held_by_cost", "iocost, its share by weight,");
    held_back("held_by_wbt", "writeback throttling (wbt)");
    return text;
}

} // namespace

std::string iotop_text(const Report& report, const TextStyle& style)
{
    constexpr size_t kDisk = 9;
    constexpr size_t kFigures = 6UL * 7 + 8;
    if (report.rows.empty())
        return "no request completed\n" + open_requests_text(report, style);
    const double seconds = seconds_of(report);
    const size_t width = std::clamp<size_t>(style.width, 80, 120) - kDisk - kFigures;
    std::string text =
        paint(pad(heading(report.group), width) + pad("DISK", kDisk) +
                  fmt::format("{:>7}{:>7}{:>8}{:>7}{:>7}{:>7}{:>7}\n", "IO/S", "READ/S", "WRITE/S",
                              "P99", "SHARE", "DEPTH", "BESIDE"),
              kBold, style);
    for (const Row& row : report.rows) {
        const auto share = [&](std::string_view name) {
            const auto value = find_value(row, name);
            return value ? format_share(*value) : "-";
        };
        text += pad(shorten(owner_name(row.entity), width - 1, style.utf8), width) +
                pad(shorten(printable(disk_of(row)), kDisk - 1, style.utf8), kDisk) +
                fmt::format("{:>7}{:>7}{:>8}{:>7}{:>7}{:>7.2f}{:>7}\n",
                            per_second(report, value_of(row, "count")),
                            bytes_text(value_of(row, "read_bytes") / seconds),
                            bytes_text(value_of(row, "write_bytes") / seconds),
                            quantile(row.histogram, 0.99), share("device_share"),
                            value_of(row, "depth"), share("beside")) +
                below(row, style);
    }
    if (report.rows_left_out != 0)
        text += fmt::format("({} more)\n", report.rows_left_out);
    return text + open_requests_text(report, style);
}

std::string open_requests_text(const Report& report, const TextStyle& style)
{
    constexpr uint64_t kWorthShowing = 10'000'000; // shorter ones are the normal course of things
    constexpr size_t kShown = 5;
    const auto count = static_cast<size_t>(std::ranges::count_if(
        report.requests, [](const RequestRow& r) { return r.request.age_ns >= kWorthShowing; }));
    if (count == 0)
        return "";
    std::string text = fmt::format("\nnot completed, in no figure above: {} request{}\n", count,
                                   count == 1 ? "" : "s");
    for (size_t i = 0; i < std::min(count, kShown); i++) {
        const RequestRow& row = report.requests[i];
        const OpenRequest& open = row.request;
        const std::string stage =
            open.issued ? fmt::format("on the device for {}", format_duration(open.device_ns))
                        : "in the queue";
        const std::string line =
            fmt::format("{:>8}  {} {} of {} at sector {}, {}  ", format_duration(open.age_ns),
                        printable(row.disk), operation_name(open.key.op, open.key.flags),
                        bytes_text(static_cast<double>(open.bytes)), open.sector, stage);
        text += wrapped(line + owner_name(row.entity), style);
    }
    if (count > kShown)
        text += fmt::format("          and {} more\n", count - kShown);
    return text;
}

std::string slow_request_heading(const std::string& kind, const TextStyle& style)
{
    return paint(fmt::format("{:<12} {:>7} {:>7} {:>7} {:>6} {:<10} {:<12} {}\n", "TIME", "TOTAL",
                             "QUEUE", "DEVICE", "BYTES", "DISK", "OPERATION", heading(kind)),
                 kBold, style);
}

std::string render_text(const SlowRequest& request, const Entity& entity, const TextStyle& style)
{
    constexpr size_t kDisk = 10;
    constexpr size_t kOperation = 12;
    const auto part = [&](uint64_t ns) { return request.split ? format_duration(ns) : "-"; };
    return fmt::format(
        "{} {:>7} {:>7} {:>7} {:>6} {} {} {}{}\n", format_clock(request.end_ns),
        format_duration(request.total_ns), part(request.queue_ns), part(request.device_ns),
        bytes_text(static_cast<double>(request.bytes)),
        pad(shorten(printable(request.device), kDisk, style.utf8), kDisk),
        pad(shorten(operation_name(request.key.op, request.key.flags), kOperation, style.utf8),
            kOperation),
        owner_name(entity), request.failed ? " (failed)" : "");
}

} // namespace vtrace
