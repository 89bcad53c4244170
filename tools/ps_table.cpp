// SPDX-License-Identifier: GPL-2.0-only
#include "tools/ps_table.h"

#include "base/files.h"
#include "base/printable.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace vtrace {
namespace {

enum Column { kKind, kName, kId, kCpus, kMemory, kThreads, kFrom, kCgroup, kColumns };

using Cells = std::array<std::string, kColumns>;
using Widths = std::array<size_t, kColumns>; // 0: left out

const Cells kHeadings = {"KIND", "NAME", "ID", "CPUS", "MEMORY", "THREADS", "FROM", "CGROUP"};

std::string memory_text(const CgroupLimits& limits)
{
    constexpr double kMiB = 1 << 20;
    return limits.memory_bytes
               ? fmt::format("{:.0f}M", static_cast<double>(*limits.memory_bytes) / kMiB)
               : "-";
}

// Of a VM by role: "5 (2 vcpu, 3 emulator)".
std::string threads_text(const PsRow& row)
{
    constexpr std::array<std::string_view, 6> kRoles = {"vcpu", "iothread", "vhost",
                                                        "kvm",  "emulator", "thread"};
    std::string text;
    for (const std::string_view role : kRoles) {
        const auto count = std::ranges::count_if(
            row.vm_threads, [&](const VmThread& thread) { return thread.role.starts_with(role); });
        if (count != 0)
            text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, role);
    }
    return std::to_string(row.threads) + (text.empty() ? "" : " (" + text + ")");
}

Cells cells_of(const PsRow& row)
{
    constexpr size_t kShortId = 12;
    std::string id = printable(row.entity.uid.substr(0, kShortId));
    if (id.empty() && row.entity.pid != 0)
        id = fmt::format("pid {}", row.entity.pid);
    return {row.entity.kind,
            printable(row.entity.name),
            id.empty() ? "-" : id,
            row.limits.cpus ? fmt::format("{:.2f}", *row.limits.cpus) : "-",
            memory_text(row.limits),
            threads_text(row),
            row.source,
            printable(row.entity.cgroup)};
}

size_t line_width(const Widths& widths)
{
    size_t sum = 0;
    for (const size_t width : widths)
        sum += width == 0 ? 0 : width + 1;
    return sum - 1; // no space behind the last
}

// Makes columns narrower until a line fits, long names first, then paths; false if that is not enough.
bool shrink(Widths& widths, size_t width)
{
    struct Step {
        Column column;
        size_t least;
    };
    for (const Step step : {Step{kName, 26}, Step{kCgroup, 16}, Step{kName, 16}}) {
        const size_t now = line_width(widths);
        size_t& of_one = widths[step.column];
        if (now > width && of_one > step.least)
            of_one -= std::min(now - width, of_one - step.least);
    }
    return line_width(widths) <= width;
}

Widths fitting(const Widths& natural, size_t width)
{
    Widths widths = natural;
    if (shrink(widths, width))
        return widths;
    widths = natural;
    widths[kFrom] = 0;
    if (shrink(widths, width))
        return widths;
    widths = natural;
    widths[kFrom] = widths[kCgroup] = 0;
    shrink(widths, width);
    return widths;
}

std::string line_of(const Cells& cells, const Widths& widths)
{
    std::string line;
    for (size_t i = 0; i < kColumns; i++) {
        if (widths[i] == 0)
            continue;
        const std::string text = shorten(cells[i], widths[i], false);
        const std::string space(widths[i] - columns(text), ' ');
        const bool right = i == kCpus || i == kMemory;
        line += (right ? space + text : text + space) + " ";
    }
    return line.erase(line.find_last_not_of(' ') + 1) + "\n";
}

nlohmann::ordered_json json_of(const PsRow& row)
{
    using Json = nlohmann::ordered_json;
    const auto text_or_null = [](const std::string& text) {
        return text.empty() ? Json(nullptr) : Json(printable(text));
    };
    Json json = {{"kind", row.entity.kind}, {"name", printable(row.entity.name)}};
    json["uid"] = text_or_null(row.entity.uid);
    json["image"] = text_or_null(row.entity.image);
    json["parents"] = Json::array();
    for (const EntityName& parent : row.entity.parents)
        json["parents"].push_back({{"kind", parent.kind}, {"name", printable(parent.name)}});
    json["cgroup"] = printable(row.entity.cgroup);
    json["id"] = row.entity.id;
    json["cpus"] = row.limits.cpus ? Json(*row.limits.cpus) : Json(nullptr);
    json["memory_bytes"] = row.limits.memory_bytes ? Json(*row.limits.memory_bytes) : Json(nullptr);
    json["threads"] = {{"all", row.threads}};
    if (row.entity.kind == "vm") {
        json["pid"] = row.entity.pid;
        json["threads"]["roles"] = Json::array();
        for (const VmThread& thread : row.vm_threads)
            json["threads"]["roles"].push_back({{"tid", thread.tid}, {"role", thread.role}});
    }
    json["source"] = row.source;
    return json;
}

} // namespace

std::string ps_table(const std::vector<PsRow>& rows, const Screen& screen)
{
    std::vector<Cells> table = {kHeadings};
    for (const PsRow& row : rows)
        table.push_back(cells_of(row));
    // Of all rows, so that columns stay where they are when others come into view.
    Widths natural{};
    for (const Cells& cells : table) {
        for (size_t i = 0; i < kColumns; i++)
            natural[i] = std::max(natural[i], columns(cells[i]));
    }
    const Widths widths = fitting(natural, screen.width);
    const bool cut = table.size() > screen.height;
    const size_t shown = cut ? std::max<size_t>(screen.height, 2) - 1 : table.size();
    std::string text;
    for (size_t i = 0; i < shown; i++)
        text += line_of(table[i], widths);
    if (cut)
        text += fmt::format("... and {} more\n", table.size() - shown);
    return text;
}

std::string ps_json(const std::vector<PsRow>& rows)
{
    using Json = nlohmann::ordered_json;
    Json list = Json::array();
    for (const PsRow& row : rows)
        list.push_back(json_of(row));
    return Json{{"schema", "vtrace/1"}, {"entities", std::move(list)}}.dump() + "\n";
}

std::string redrawn(std::string_view text)
{
    // Each line is written over the old one and the rest of it erased: to clear first would flicker.
    // Without wrapping, a line that is too wide, or a name in wide letters, keeps to its line.
    std::string out = "\x1b[H\x1b[?7l";
    for (const std::string_view line : split(text, '\n'))
        out += std::string(line) + "\x1b[K\n";
    return out + "\x1b[J\x1b[?7h";
}

} // namespace vtrace
