// SPDX-License-Identifier: GPL-2.0-only
#include "render/kvm_text.h"

#include "base/printable.h"
#include "render/histogram_text.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace vtrace {
namespace {

constexpr size_t kRowsOfOne = 20; // of one VM

std::string whole(double count)
{
    return format_count(whole_number(count));
}

std::string time_of(const Row& row, std::string_view name)
{
    const auto value = find_value(row, name);
    return value ? format_duration(whole_number(*value)) : "-";
}

// "3" of "vcpu 3"; what is not numbered by its name.
std::string short_role(std::string_view role)
{
    constexpr std::string_view kVcpu = "vcpu ";
    return printable(role.starts_with(kVcpu) ? role.substr(kVcpu.size()) : role);
}

// The vCPU; where rows of several VMs are together, with the VM's name.
std::string role_of(const Row& row)
{
    const std::string role = short_role(label_of(row, "vcpu"));
    const std::string_view vm = label_of(row, "vm");
    return vm.empty() ? role : printable(vm) + "/" + role;
}

// One line for each VM, and the table of its rows; `line` makes one of a row.
template <typename Summary, typename Line>
std::string tables(const Report& report, const TextStyle& style, std::string_view nothing,
                   const std::string& heading, Summary summary, Line line)
{
    if (report.rows.empty())
        return std::string(nothing) + "\n";
    std::string text;
    for (const Row& row : report.rows) {
        text +=
            (text.empty() ? "" : "\n") + wrapped(label(row.entity) + ": " + summary(row), style);
        if (row.rows.empty())
            continue;
        text += paint(heading + "\n", kBold, style);
        const size_t shown = std::min(row.rows.size(), kRowsOfOne);
        for (size_t i = 0; i < shown; i++)
            text += line(row.rows[i]) + "\n";
        if (shown != row.rows.size())
            text += fmt::format("({} more)\n", row.rows.size() - shown);
    }
    if (report.rows_left_out != 0)
        text += fmt::format("({} more)\n", report.rows_left_out);
    return text;
}

// Wide enough for the number of a vCPU, or of a thread where that is not known.
size_t role_width(const Report& report)
{
    size_t width = std::string_view("VCPU").size();
    for (const Row& row : report.rows) {
        for (const Row& inner : row.rows)
            width = std::max(width, columns(role_of(inner)));
    }
    return std::min<size_t>(width, 14) + 1;
}

std::string role_column(const Row& row, size_t width, const TextStyle& style)
{
    return pad(shorten(role_of(row), width - 1, style.utf8), width);
}

// What is left of the width for a name beside `figures` columns.
size_t name_width(const TextStyle& style, size_t figures)
{
    return std::clamp<size_t>(style.width, 80, 120) - figures;
}

} // namespace

std::string kvmexit_text(const Report& report, const TextStyle& style)
{
    // Without KVM's exits there are counts only.
    const bool divided = std::ranges::any_of(
        report.rows, [](const Row& row) { return find_value(row, "kernel").has_value(); });
    const size_t role = role_width(report);
    const size_t width = std::min<size_t>(name_width(style, role + (divided ? 57 : 14)), 40);
    std::string heading =
        pad("VCPU", role) + pad("REASON", width) + fmt::format("{:>7}{:>7}", "COUNT", "/S");
    if (divided)
        heading += fmt::format("{:>7}{:>7}{:>7}{:>7}{:>8}{:>7}", "P50", "P99", "KERNEL", "VMM",
                               "BLOCKED", "WAITED");
    const auto summary = [&](const Row& row) {
        const double count = value_of(row, "count");
        if (!divided)
            return fmt::format("{} times to the VMM, {} halts", whole(value_of(row, "to_vmm")),
                               whole(value_of(row, "halts")));
        return fmt::format(
            "{} exits ({} a second, {} to the VMM) took {}; halted {}, in the guest {}",
            whole(count), per_second(report, count), whole(value_of(row, "to_vmm")),
            format_duration(row.histogram.sum), time_of(row, "halted"), time_of(row, "guest"));
    };
    const auto line = [&](const Row& row) {
        const double count = value_of(row, "count");
        std::string text = role_column(row, role, style) +
                           pad(shorten(row.entity.name, width - 1, style.utf8), width) +
                           fmt::format("{:>7}{:>7}", whole(count), per_second(report, count));
        if (divided)
            text += fmt::format(
                "{:>7}{:>7}{:>7}{:>7}{:>8}{:>7}", format_duration(row.histogram.quantile(0.5)),
                format_duration(row.histogram.quantile(0.99)), time_of(row, "kernel"),
                time_of(row, "vmm"), time_of(row, "blocked"), time_of(row, "waited"));
        return text;
    };
    std::string text = tables(report, style, "no vCPU left its guest", heading, summary, line);
    if (divided && report.rows.front().histogram.count() != 0) {
        const Row& worst = report.rows.front();
        text += "\n" + wrapped("exits of " + label(worst.entity) + ", but for halts:", style) +
                histogram_rows(worst.histogram, report.metric, style) +
                histogram_summary(worst.histogram);
    }
    return text;
}

std::string kvmio_text(const Report& report, const TextStyle& style)
{
    constexpr size_t kWhere = 22; // at most 52 bits, and whether it reads or writes
    constexpr size_t kDevice = 16;
    const bool divided = std::ranges::any_of(report.rows, [](const Row& row) {
        return !row.rows.empty() && find_value(row.rows.front(), "kernel").has_value();
    });
    std::string heading =
        pad("ADDRESS", kWhere) + pad("DEVICE", kDevice) + fmt::format("{:>7}{:>7}", "COUNT", "/S");
    if (divided)
        heading += fmt::format("{:>7}{:>7}{:>7}{:>7}", "TO VMM", "P50", "P99", "TIME");
    const auto summary = [&](const Row& row) {
        const double count = value_of(row, "count");
        std::string text = fmt::format("{} accesses ({} a second): {} to ports, {} to memory",
                                       whole(count), per_second(report, count),
                                       whole(value_of(row, "pio")), whole(value_of(row, "mmio")));
        if (divided)
            text += "; took " + format_duration(row.histogram.sum);
        return text;
    };
    const auto line = [&](const Row& row) {
        const double count = value_of(row, "count");
        const bool writes = label_of(row, "access") == "write";
        std::string text = pad(row.entity.name + (writes ? " write" : " read"), kWhere) +
                           pad(printable(label_of(row, "device")), kDevice) +
                           fmt::format("{:>7}{:>7}", whole(count), per_second(report, count));
        if (divided)
            text += fmt::format("{:>7}{:>7}{:>7}{:>7}", whole(value_of(row, "to_vmm")),
                                format_duration(row.histogram.quantile(0.5)),
                                format_duration(row.histogram.quantile(0.99)),
                                format_duration(row.histogram.sum));
        return text;
    };
    return tables(report, style, "no guest used a port or a device's memory", heading, summary,
                  line);
}

std::string kvmirq_text(const Report& report, const TextStyle& style)
{
    constexpr size_t kVector = 8;
    constexpr size_t kEvent = 10;
    const size_t role = role_width(report);
    const std::string heading = pad("VCPU", role) + pad("VECTOR", kVector) + pad("EVENT", kEvent) +
                                fmt::format("{:>7}{:>7}{:>9}{:>7}{:>7}{:>7}", "COUNT", "/S",
                                            "MEASURED", "P50", "P99", "MAX");
    const auto summary = [&](const Row& row) {
        return fmt::format(
            "{} injected ({} a second), {} messages", whole(value_of(row, "injected")),
            per_second(report, value_of(row, "injected")), whole(value_of(row, "messages")));
    };
    const auto line = [&](const Row& row) {
        const double count = value_of(row, "count");
        const bool timed = row.histogram.count() != 0;
        const auto time = [&](uint64_t ns) { return timed ? format_duration(ns) : "-"; };
        return role_column(row, role, style) + pad(row.entity.name, kVector) +
               pad(std::string(label_of(row, "event")), kEvent) +
               fmt::format("{:>7}{:>7}{:>9}{:>7}{:>7}{:>7}", whole(count),
                           per_second(report, count), format_count(row.histogram.count()),
                           time(row.histogram.quantile(0.5)), time(row.histogram.quantile(0.99)),
                           time(row.histogram.max));
    };
    return tables(report, style, "no interrupts were seen", heading, summary, line);
}

std::string kvmmem_text(const Report& report, const TextStyle& style)
{
    constexpr size_t kFigures = 65;
    if (report.rows.empty())
        return "there is no VM\n";
    const size_t width = name_width(style, kFigures);
    std::string text =
        paint(pad(heading(report.group), width) +
                  fmt::format("{:>7}{:>7}{:>7}{:>9}{:>7}{:>7}{:>9}{:>6}{:>6}\n", "FAULTS", "P50",
                              "P99", "UNMAPPED", "HOST", "MAJOR", "RESIDENT", "SWAP", "KSM"),
              kBold, style);
    for (const Row& row : report.rows) {
        const bool timed = row.histogram.count() != 0;
        const auto time = [&](double q) {
            return timed ? format_duration(row.histogram.quantile(q)) : "-";
        };
        const auto count = [&](std::string_view name) {
            const auto value = find_value(row, name);
            return value ? whole(*value) : "-";
        };
        const auto bytes = [&](std::string_view name) {
            const auto value = find_value(row, name);
            return value ? format_bytes(*value) : "-";
        };
        text += pad(shorten(label(row.entity), width - 1, style.utf8), width) +
                fmt::format("{:>7}{:>7}{:>7}{:>9}{:>7}{:>7}{:>9}{:>6}{:>6}\n", count("faults"),
                            time(0.5), time(0.99), format_bytes(value_of(row, "unmapped")),
                            count("host_minor_faults"), count("host_major_faults"),
                            bytes("resident"), bytes("swapped"), bytes("ksm_shared"));
        const double reclaimed = value_of(row, "cgroup_reclaimed");
        const double stalled = value_of(row, "cgroup_stalled");
        if (reclaimed != 0 || stalled != 0)
            text += wrapped(fmt::format("  of its cgroup: reclaimed {}, stalled {}",
                                        format_bytes(reclaimed),
                                        format_duration(whole_number(stalled))),
                            style);
    }
    if (report.rows_left_out != 0)
        text += fmt::format("({} more)\n", report.rows_left_out);
    return text;
}

namespace {

struct ShareColumn {
    std::string_view metric;
    std::string_view heading; // at most six columns
};

constexpr ShareColumn kVcpuColumns[] = {
    {"guest", "GUEST"},     {"exits", "EXITS"},       {"vmm", "VMM"},
    {"polled", "POLL"},     {"poll_wasted", "WASTE"}, {"waited", "WAIT"},
    {"throttled", "THROT"}, {"halted", "HALTED"},     {"blocked", "ASLEEP"},
};

// Of what is told here; "-" stands for what is not.
template <size_t N>
std::string share_cells(const Row& row, const ShareColumn (&columns)[N], size_t width)
{
    std::string text;
    for (const ShareColumn& column : columns) {
        const auto share = find_value(row, std::string(column.metric) + "_share");
        text += fmt::format("{:>{}}", share ? format_share(*share) : "-", width);
    }
    return text;
}

template <size_t N> std::string share_heading(const ShareColumn (&columns)[N], size_t width)
{
    std::string text;
    for (const ShareColumn& column : columns)
        text += fmt::format("{:>{}}", column.heading, width);
    return text;
}

constexpr size_t kShareWidth = 7;

// "iothread: 1 thread ran 12ms, waited 1ms"
std::string role_line(const Row& row)
{
    const auto threads = count_of(row, "threads");
    return fmt::format("  {}: {} thread{}, ran {}, waited {}", printable(row.entity.name), threads,
                       threads == 1 ? "" : "s", time_of(row, "ran"), time_of(row, "waited"));
}

std::string vm_block(const Row& row, size_t width, const TextStyle& style)
{
    constexpr size_t kCulprits = 4;
    std::string text, culprits;
    size_t named = 0;
    for (const Row& inner : row.rows) {
        if (inner.entity.kind == "vcpu") {
            text +=
                pad("  " + shorten(printable(inner.entity.name), width - 3, style.utf8), width) +
                share_cells(inner, kVcpuColumns, kShareWidth) + "\n";
        } else if (inner.entity.kind == "role") {
            text += role_line(inner) + "\n";
        } else if (named++ < kCulprits && value_of(inner, "held") != 0) {
            culprits +=
                (culprits.empty() ? "" : ", ") + label(inner.entity) + " " + time_of(inner, "held");
        }
    }
    return culprits.empty() ? text : text + wrapped("  waits were held by " + culprits, style);
}

} // namespace

std::string vcpu_text(const Report& report, const TextStyle& style)
{
    if (report.rows.empty())
        return "there is no VM\n";
    const size_t width = name_width(style, std::size(kVcpuColumns) * kShareWidth);
    std::string text;
    for (const Row& row : report.rows) {
        const auto vcpus = count_of(row, "vcpus");
        text +=
            (text.empty() ? "" : "\n") +
            wrapped(fmt::format("{}: {} vCPU{}", label(row.entity), vcpus, vcpus == 1 ? "" : "s"),
                    style) +
            paint(pad("", width) + share_heading(kVcpuColumns, kShareWidth) + "\n", kBold, style) +
            pad("  all", width) + share_cells(row, kVcpuColumns, kShareWidth) + "\n" +
            vm_block(row, width, style);
    }
    if (report.rows_left_out != 0)
        text += fmt::format("({} more)\n", report.rows_left_out);
    return text;
}

namespace {

constexpr ShareColumn kCostColumns[] = {
    {"overhead", "OVERHD"}, {"steal", "STEAL"}, {"memory", "MEMORY"},    {"emulation", "EMUL"},
    {"interrupts", "IRQ"},  {"io", "I/O"},      {"poll_wasted", "POLL"}, {"network", "NET"},
};
constexpr ShareColumn kPlainCostColumns[] = {
    {"overhead", "OVERHD"}, {"steal", "STEAL"},   {"exits", "EXITS"}, {"vmm", "VMM"},
    {"guest", "GUEST"},     {"halted", "HALTED"}, {"network", "NET"},
};

// What a share was measured from, worst first.
std::string evidence(const Row& row, const TextStyle& style)
{
    struct Cause {
        std::string_view metric;
        std::string_view events;
    };
    constexpr Cause kCauses[] = {{"memory", "faults"},
                                 {"emulation", "emulated instructions"},
                                 {"interrupts", "interrupts"},
                                 {"io", "accesses"}};
    std::vector<std::pair<double, std::string>> found;
    for (const Cause& cause : kCauses) {
        const double ns = value_of(row, cause.metric);
        const double count = value_of(row, std::string(cause.metric) + "_count");
        if (ns != 0 && count != 0)
            found.emplace_back(ns, fmt::format("{} {} of {}", whole(count), cause.events,
                                               format_duration(whole_number(ns / count))));
    }
    std::ranges::stable_sort(found, std::greater{}, &std::pair<double, std::string>::first);
    std::string text;
    for (const auto& [ns, sentence] : found)
        text += (text.empty() ? "  " : ", ") + sentence;
    return text.empty() ? "" : wrapped(text, style);
}

} // namespace

std::string vmcost_text(const Report& report, const TextStyle& style)
{
    if (report.rows.empty())
        return "there is no VM\n";
    const bool divided = find_value(report.rows.front(), "memory").has_value();
    const size_t count = divided ? std::size(kCostColumns) : std::size(kPlainCostColumns);
    const size_t width = name_width(style, count * kShareWidth);
    std::string text = paint(pad("VM", width) +
                                 (divided ? share_heading(kCostColumns, kShareWidth)
                                          : share_heading(kPlainCostColumns, kShareWidth)) +
                                 "\n",
                             kBold, style);
    for (const Row& row : report.rows) {
        text += pad(shorten(label(row.entity), width - 1, style.utf8), width) +
                (divided ? share_cells(row, kCostColumns, kShareWidth)
                         : share_cells(row, kPlainCostColumns, kShareWidth)) +
                "\n" + evidence(row, style);
    }
    if (report.rows_left_out != 0)
        text += fmt::format("({} more)\n", report.rows_left_out);
    return text;
}

} // namespace vtrace
