// SPDX-License-Identifier: GPL-2.0-only
#include "render/drop_text.h"

#include "base/printable.h"
#include "model/drops.h"
#include "render/blame_text.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace vtrace {
namespace {

constexpr size_t kKinds = 12; // of one entity
constexpr size_t kOwner = 8;
constexpr size_t kProtocol = 7;
constexpr size_t kDevice = 11;
constexpr size_t kState = 12;

std::string told(const Row& row, std::string_view kind)
{
    return printable(label_of(row, kind));
}

bool with_states(const Report& report)
{
    return report.tool == "tcpdrop";
}

std::string line_of(const Report& report, const Row& row)
{
    const std::string reason = told(row, "reason");
    return fmt::format("{:>7} {:>7} {:>6}  ", format_count(count_of(row, "packets")),
                       per_second(report, value_of(row, "packets")),
                       format_bytes(value_of(row, "bytes"))) +
           pad(told(row, "owner"), kOwner) + pad(told(row, "protocol"), kProtocol) +
           pad(told(row, "device"), kDevice) +
           (with_states(report) ? pad(told(row, "state"), kState) : "") +
           (reason.empty() ? "" : reason + " in ") + told(row, "location") + "\n";
}

std::string block_of(const Report& report, const Row& row, const TextStyle& style)
{
    const uint64_t packets = count_of(row, "packets");
    std::string text = wrapped(
        fmt::format("{}: {} {} dropped, {} bytes", culprit_name(row.entity), format_count(packets),
                    packets == 1 ? "packet" : "packets", format_bytes(value_of(row, "bytes"))),
        style);
    if (const uint64_t refused = count_of(row, "listen_drops"); refused != 0)
        text += wrapped(fmt::format("the kernel counts in its network namespace: {} refused by "
                                    "listeners, {} of them as the queue for accept() was full",
                                    format_count(refused),
                                    format_count(count_of(row, "listen_overflows"))),
                        style);
    if (row.rows.empty())
        return text;
    text += paint(fmt::format("{:>7} {:>7} {:>6}  ", "PACKETS", "/S", "BYTES") +
                      pad("OWNER", kOwner) + pad("PROTO", kProtocol) + pad("DEVICE", kDevice) +
                      (with_states(report) ? pad("STATE", kState) : "") + "REASON\n",
                  kBold, style);
    for (size_t i = 0; i < std::min(row.rows.size(), kKinds); i++)
        text += line_of(report, row.rows[i]);
    if (row.rows.size() > kKinds)
        text += fmt::format("({} more)\n", row.rows.size() - kKinds);
    return text;
}

// Of the reasons that are shown.
std::string meanings(const Report& report)
{
    std::set<std::string> reasons;
    for (const Row& row : report.rows) {
        for (size_t i = 0; i < std::min(row.rows.size(), kKinds); i++)
            reasons.insert(told(row.rows[i], "reason"));
    }
    std::string text;
    for (const std::string& reason : reasons) {
        const std::string_view meaning = reason_meaning(reason);
        if (!meaning.empty())
            text += fmt::format("{}: {}\n", reason, meaning);
    }
    return text.empty() ? "" : "\n" + text;
}

} // namespace

std::string netdrop_text(const Report& report, const TextStyle& style)
{
    if (report.rows.empty())
        return with_states(report) ? "no TCP packet was dropped\n" : "no packet was dropped\n";
    std::string text;
    for (const Row& row : report.rows)
        text += (text.empty() ? "" : "\n") + block_of(report, row, style);
    if (report.rows_left_out != 0)
        text += fmt::format("\n({} more)\n", report.rows_left_out);
    return text + meanings(report);
}

} // namespace vtrace
