// SPDX-License-Identifier: GPL-2.0-only
#include "render/irq_text.h"

#include "base/printable.h"
#include "render/blame_text.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace vtrace {
namespace {

constexpr size_t kPayers = 10; // in a report by kind

bool is_hard(const Report& report)
{
    return report.tool == "hardirqs";
}

std::string name_of(const Row& row)
{
    const Entity& entity = row.entity;
    if (entity.kind == "part")
        return "nobody: the CPU was idle";
    const bool has_number = entity.kind == "hardirq" && !entity.labels.empty();
    return has_number ? entity.labels.front().name + " " + printable(entity.name)
                      : culprit_name(entity);
}

std::string kinds_table(const Report& report, const TextStyle& style)
{
    constexpr size_t kFigures = 59;
    const bool hard = is_hard(report);
    std::string text =
        paint(name_column(hard ? "HANDLER" : "SOFTIRQ", kFigures, style) +
                  fmt::format("{:>8}{:>8}{:>9}{:>7}{:>9}{:>9}{:>9}\n", "COUNT",
                              hard ? "NOT ITS" : "/S", "TIME", "CPU", "P50", "P99", "MAX"),
              kBold, style);
    for (const Row& row : report.rows) {
        const Histogram time = find_histogram(row, "time");
        text += name_column(name_of(row), kFigures, style) +
                fmt::format("{:>8}{:>8}{:>9}{:>7}{:>9}{:>9}{:>9}\n", format_count(time.count()),
                            hard ? format_count(count_of(row, "not_handled"))
                                 : per_second(report, static_cast<double>(time.count())),
                            format_duration(time.sum), format_share(value_of(row, "cpus")),
                            format_duration(time.quantile(0.5)),
                            format_duration(time.quantile(0.99)), format_duration(time.max));
    }
    if (report.rows_left_out != 0)
        text += fmt::format("({} more)\n", report.rows_left_out);
    return text;
}

// Where it ran: the CPU with most of its time.
std::string most_on(const Row& row)
{
    const auto is_cpu = [](const Row& r) { return r.entity.kind == "cpu"; };
    if (row.rows.empty() || !is_cpu(row.rows.front()))
        return "-";
    const Row& worst = row.rows.front();
    const auto all = static_cast<double>(find_histogram(row, "time").sum);
    const auto here = static_cast<double>(find_histogram(worst, "time").sum);
    const auto cpus = std::ranges::count_if(row.rows, is_cpu);
    if (cpus == 1)
        return worst.entity.name + ", no other";
    return fmt::format("{}: {} (of {} CPUs)", worst.entity.name,
                       format_share(all == 0 ? 0 : here / all), cpus);
}

std::string places_table(const Report& report, const TextStyle& style)
{
    constexpr size_t kFigures = 59;
    const bool hard = is_hard(report);
    const auto delays = [&](const std::string& p50, const std::string& p99,
                            const std::string& max) {
        return hard ? "" : fmt::format("{:>9}{:>9}{:>9}", p50, p99, max);
    };
    std::string text = "\n" + paint(name_column(hard ? "HANDLER" : "DELAY OF", kFigures, style) +
                                        delays("P50", "P99", "MAX") + "  MOST OF THE TIME\n",
                                    kBold, style);
    for (const Row& row : report.rows) {
        const Histogram delay = find_histogram(row, "delay");
        text += name_column(name_of(row), kFigures, style) +
                (delay.count() == 0
                     ? delays("-", "-", "-")
                     : delays(format_duration(delay.quantile(0.5)),
                              format_duration(delay.quantile(0.99)), format_duration(delay.max))) +
                "  " + most_on(row) + "\n";
    }
    return text;
}

struct Payer {
    std::string name;
    double count = 0;
    double ns = 0;
    std::string most; // of what
    double most_ns = 0;
};

std::vector<Payer> payers_of(const Report& report)
{
    std::vector<std::pair<Entity, Payer>> payers;
    for (const Row& kind : report.rows) {
        for (const Row& part : kind.rows) {
            if (part.entity.kind == "cpu")
                continue;
            const auto same = [&](const auto& known) {
                return known.first.kind == part.entity.kind && known.first.id == part.entity.id &&
                       known.first.name == part.entity.name;
            };
            auto found = std::ranges::find_if(payers, same);
            if (found == payers.end()) {
                payers.push_back({part.entity, {.name = name_of(part)}});
                found = payers.end() - 1;
            }
            Payer& payer = found->second;
            const double ns = value_of(part, "time");
            payer.count += value_of(part, "count");
            payer.ns += ns;
            if (ns > payer.most_ns) {
                payer.most_ns = ns;
                payer.most = name_of(kind);
            }
        }
    }
    std::vector<Payer> sorted;
    sorted.reserve(payers.size());
    for (auto& [entity, payer] : payers)
        sorted.push_back(std::move(payer));
    std::ranges::stable_sort(sorted, std::greater{}, &Payer::ns);
    return sorted;
}

std::string payer_line(const std::string& name, double count, double ns, double all,
                       const std::string& most, const TextStyle& style)
{
    constexpr size_t kFigures = 50;
    return name_column(name, kFigures, style) +
           fmt::format("{:>8}{:>9}{:>8}{}{}\n", format_count(whole_number(count)),
                       format_duration(whole_number(ns)), format_share(all == 0 ? 0 : ns / all),
                       most.empty() ? "" : "  ", most);
}

std::string payer_heading(std::string_view who, std::string_view most, const TextStyle& style)
{
    constexpr size_t kFigures = 50;
    return paint(name_column(std::string(who), kFigures, style) +
                     fmt::format("{:>8}{:>9}{:>8}{}{}\n", "COUNT", "TIME", "SHARE",
                                 most.empty() ? "" : "  ", most),
                 kBold, style);
}

std::string payers_table(const Report& report, const TextStyle& style)
{
    const std::vector<Payer> payers = payers_of(report);
    double all = 0;
    for (const Payer& payer : payers)
        all += payer.ns;
    std::string text = "\n" + payer_heading("WHOSE TIME IT TOOK", "MOST BY", style);
    for (size_t i = 0; i < std::min(payers.size(), kPayers); i++) {
        const Payer& p = payers[i];
        text += payer_line(p.name, p.count, p.ns, all, p.most, style);
    }
    if (payers.size() > kPayers)
        text += fmt::format("({} more)\n", payers.size() - kPayers);
    return text;
}

std::string by_payer(const Report& report, const TextStyle& style)
{
    std::string text = payer_heading(heading(report.group), "", style);
    double all = 0;
    for (const Row& row : report.rows)
        all += value_of(row, "time");
    for (const Row& row : report.rows) {
        text +=
            payer_line(name_of(row), value_of(row, "count"), value_of(row, "time"), all, "", style);
        for (const Row& kind : row.rows)
            text += payer_line("  " + name_of(kind), value_of(kind, "count"),
                               value_of(kind, "time"), all, "", style);
    }
    if (report.rows_left_out != 0)
        text += fmt::format("({} more)\n", report.rows_left_out);
    return text;
}

} // namespace

std::string irq_text(const Report& report, const TextStyle& style)
{
    if (report.rows.empty())
        return is_hard(report) ? "no handler of an interrupt ran\n" : "no softirq ran\n";
    if (!report.group.empty())
        return by_payer(report, style);
    return kinds_table(report, style) + places_table(report, style) + payers_table(report, style);
}

} // namespace vtrace
