// SPDX-License-Identifier: GPL-2.0-only
#include "render/netq_text.h"

#include "base/numbers.h"
#include "base/printable.h"
#include "render/blame_text.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

namespace vtrace {
namespace {

constexpr size_t kDevices = 12; // of one entity
constexpr size_t kSteps = 24;

std::string told(const Row& row, std::string_view kind)
{
    return printable(label_of(row, kind));
}

// The network namespace that the entity itself is in: that of a device that it has not by a veth's other end.
std::string home_of(const Row& row)
{
    const auto own = std::ranges::find_if(row.rows, [](const Row& part) {
        return part.entity.kind == "device" && told(part, "owner") != "peer";
    });
    return own == row.rows.end() ? "" : told(*own, "netns");
}

// "eth0", and whose namespace it is in where that is not the entity's own.
std::string device_name(const std::string& home, const Row& part)
{
    const std::string name =
        part.entity.kind == "hop" ? told(part, "device") : printable(part.entity.name);
    const std::string netns = told(part, "netns");
    return netns == home ? name : name + " (" + netns + ")";
}

std::string devices_table(const Report& report, const Row& row,
                          const std::vector<const Row*>& devices, const TextStyle& style)
{
    constexpr size_t kFigures = 54;
    const double seconds = seconds_of(report);
    std::string text = paint(name_column("DEVICE", kFigures, style) +
                                 fmt::format("{:<10}{:>8}{:>8}{:>6}{:>8}{:>8}{:>6}\n", "TYPE",
                                             "RX/S", "BYTES/S", "LOST", "TX/S", "BYTES/S", "LOST"),
                             kBold, style);
    const auto rate = [&](const Row& device, std::string_view name) {
        const auto value = find_value(device, name);
        return value ? per_second(report, *value) : "-";
    };
    const auto bytes = [&](const Row& device, std::string_view name) {
        const auto value = find_value(device, name);
        return value ? format_bytes(*value / seconds) : "-";
    };
    const auto lost = [&](const Row& device, std::string_view name) {
        const auto value = find_value(device, name);
        return value ? format_count(whole_number(*value)) : "-";
    };
    const std::string home = home_of(row);
    for (const Row* device : devices) {
        const std::string type = told(*device, "type");
        text += name_column(device_name(home, *device), kFigures, style) +
                pad(shorten(type.empty() ? "-" : type, 9, style.utf8), 10) +
                fmt::format("{:>8}{:>8}{:>6}{:>8}{:>8}{:>6}\n", rate(*device, "rx_packets"),
                            bytes(*device, "rx_bytes"), lost(*device, "rx_lost"),
                            rate(*device, "tx_packets"), bytes(*device, "tx_bytes"),
                            lost(*device, "tx_lost"));
    }
    return text;
}

std::string times_line(const std::string& name, uint64_t count, const Histogram& time,
                       const TextStyle& style)
{
    constexpr size_t kFigures = 36;
    const bool none = time.count() == 0;
    const auto figure = [&](uint64_t ns) { return none ? "-" : format_duration(ns); };
    return name_column(name, kFigures, style) +
           fmt::format("{:>8}{:>9}{:>9}{:>9}\n", format_count(count), figure(time.quantile(0.5)),
                       figure(time.quantile(0.99)), figure(time.max));
}

std::string times_heading(std::string_view name, std::string_view count, const TextStyle& style)
{
    constexpr size_t kFigures = 36;
    return paint(name_column(std::string(name), kFigures, style) +
                     fmt::format("{:>8}{:>9}{:>9}{:>9}\n", count, "P50", "P99", "MAX"),
                 kBold, style);
}

// What waited in its devices, and what is to be known of that.
std::string waits_table(const Row& row, const std::vector<const Row*>& devices,
                        const TextStyle& style)
{
    const std::string home = home_of(row);
    std::string lines;
    std::string remarks;
    for (const Row* device : devices) {
        const std::string name = device_name(home, *device);
        const std::string qdisc = told(*device, "qdisc");
        const auto add = [&](const std::string& what, std::string_view histogram) {
            const Histogram time = find_histogram(*device, histogram);
            if (time.count() != 0)
                lines += times_line(what + name, time.count(), time, style);
        };
        add((qdisc.empty() ? "queue" : qdisc) + " of ", "queue");
        add("driver of ", "driver");
        add("softirq of ", "softirq_delay");
        if (const double cut = value_of(*device, "not_timed"); cut > 0)
            remarks += wrapped(fmt::format("{}: {} packets left its queue untimed: cut up in it, "
                                           "there before, or put out by others here",
                                           name, format_count(whole_number(cut))),
                               style);
        if (const double out = value_of(*device, "put_out"); out > 0)
            remarks += wrapped(fmt::format("{}: {} packets are not timed in its driver, or have "
                                           "left it unnoticed",
                                           name, format_count(whole_number(out))),
                               style);
        if (const double full = value_of(*device, "polls_exhausted"); full > 0)
            remarks += wrapped(fmt::format("{}: {} of {} polls took all of their budget: more "
                                           "packets were waiting",
                                           name, format_count(whole_number(full)),
                                           format_count(whole_number(value_of(*device, "polls")))),
                               style);
    }
    return (lines.empty() ? "" : times_heading("WAIT IN", "COUNT", style) + lines) + remarks;
}

std::string paths_table(const Row& row, const std::vector<const Row*>& hops, const TextStyle& style)
{
    constexpr uint64_t kDeepest = 16;
    if (hops.empty())
        return "";
    const std::string home = home_of(row);
    std::string text = times_heading("PATH", "PACKETS", style);
    for (size_t i = 0; i < std::min(hops.size(), kSteps); i++) {
        const Row& hop = *hops[i];
        const uint64_t depth = whole_number(told(hop, "depth")).value_or(0);
        const bool sent = hop.entity.name.starts_with("sent");
        text +=
            times_line(std::string(2 * std::min(depth, kDeepest), ' ') + device_name(home, hop) +
                           (sent ? " sends" : " receives"),
                       whole_number(value_of(hop, "packets")), find_histogram(hop, "time"), style);
    }
    const size_t left_out = hops.size() - std::min(hops.size(), kSteps);
    const uint64_t more = left_out + whole_number(value_of(row, "hops_left_out"));
    return more == 0 ? text : text + fmt::format("({} more)\n", more);
}

std::string block_of(const Report& report, const Row& row, const TextStyle& style)
{
    std::vector<const Row*> devices;
    std::vector<const Row*> hops;
    for (const Row& part : row.rows)
        (part.entity.kind == "hop" ? hops : devices).push_back(&part);
    const size_t more = devices.size() - std::min(devices.size(), kDevices);
    devices.resize(devices.size() - more);
    std::string text = paint(wrapped(culprit_name(row.entity), style), kBold, style) +
                       devices_table(report, row, devices, style);
    if (more != 0)
        text += fmt::format("({} more)\n", more);
    return text + waits_table(row, devices, style) + paths_table(row, hops, style);
}

} // namespace

std::string netq_text(const Report& report, const TextStyle& style)
{
    if (report.rows.empty())
        return "no network device had a packet\n";
    std::string text;
    for (const Row& row : report.rows)
        text += (text.empty() ? "" : "\n") + block_of(report, row, style);
    if (report.rows_left_out != 0)
        text += fmt::format("\n({} more)\n", report.rows_left_out);
    return text;
}

} // namespace vtrace
