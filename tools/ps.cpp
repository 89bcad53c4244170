// SPDX-License-Identifier: GPL-2.0-only
#include "tools/ps.h"

#include "base/files.h"
#include "base/output.h"
#include "base/printable.h"
#include "entity/cgroup_hierarchy.h"
#include "entity/cgroup_limits.h"
#include "entity/entities.h"
#include "entity/entity_finder.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

namespace vtrace {
namespace {

struct Line {
    Entity entity;
    CgroupLimits limits;
    std::string source;
};

Result<std::vector<Line>> lines_now()
{
    const auto hierarchy = cpu_hierarchy();
    if (!hierarchy)
        return hierarchy.error();
    const auto mountinfo = read_file("/proc/self/mountinfo");
    if (!mountinfo)
        return mountinfo.error();
    CgroupTree tree;
    if (auto scanned = tree.scan(hierarchy->mount_point); !scanned)
        return scanned.error();
    EntityFinder finder{ContainerRecords(engine_paths())};
    finder.update(tree, EntityFinder::Clock::now());

    const CgroupFacts cgroups{.hierarchy = hierarchy->label(), .cgroups = tree.facts()};
    const std::vector<EntityFact> facts = finder.facts();
    const Entities entities(cgroups, facts);
    const LimitReader limits(*mountinfo);
    std::vector<Line> lines;
    for (const EntityFact& fact : facts) {
        Entity entity = entities.owner(fact.cgroup_id, fact.pid, fact.kind);
        const CgroupLimits own = limits.read(entity.cgroup);
        lines.push_back({std::move(entity), own, fact.source});
    }
    // Pods, then containers, then units, each by name.
    constexpr std::array<std::string_view, 3> kOrder = {"pod", "container", "unit"};
    std::ranges::sort(lines, {}, [&](const Line& line) {
        return std::tuple(std::ranges::find(kOrder, line.entity.kind), line.entity.name,
                          line.entity.cgroup);
    });
    return lines;
}

std::string memory_text(const CgroupLimits& limits)
{
    constexpr double kMiB = 1 << 20;
    return limits.memory_bytes
               ? fmt::format("{:.0f}M", static_cast<double>(*limits.memory_bytes) / kMiB)
               : "-";
}

// Columns for the path of a cgroup: what a terminal leaves, all of it elsewhere.
size_t path_width(const Output& output)
{
    constexpr size_t kOthers = 80;
    constexpr size_t kLeast = 16;
    winsize size{};
    if (::isatty(output.fd()) == 0 || ::ioctl(output.fd(), TIOCGWINSZ, &size) != 0)
        return SIZE_MAX;
    return std::max<size_t>(size.ws_col, kOthers + kLeast) - kOthers;
}

// Text cut, or filled up, to `width` columns (not bytes).
std::string cell(const std::string& text, size_t width)
{
    const std::string cut = shorten(text, width, false);
    return cut + std::string(width - columns(cut), ' ');
}

std::string as_text(const std::vector<Line>& lines, size_t path_columns)
{
    constexpr size_t kName = 26;
    std::string text = fmt::format("{:<9} {:<26} {:<12} {:>5} {:>7} {:<16} {}\n", "KIND", "NAME",
                                   "ID", "CPUS", "MEMORY", "FROM", "CGROUP");
    constexpr size_t kShortId = 12;
    for (const Line& line : lines) {
        const std::string id = printable(line.entity.uid.substr(0, kShortId));
        const std::string cpus = line.limits.cpus ? fmt::format("{:.2f}", *line.limits.cpus) : "-";
        text += fmt::format("{:<9} {} {:<12} {:>5} {:>7} {:<16} {}\n", line.entity.kind,
                            cell(printable(line.entity.name), kName), id.empty() ? "-" : id, cpus,
                            memory_text(line.limits), line.source,
                            shorten(printable(line.entity.cgroup), path_columns, false));
    }
    return text;
}

std::string as_json(const std::vector<Line>& lines)
{
    using Json = nlohmann::ordered_json;
    Json list = Json::array();
    for (const Line& line : lines) {
        Json json = {{"kind", line.entity.kind}, {"name", printable(line.entity.name)}};
        json["uid"] = line.entity.uid.empty() ? Json(nullptr) : Json(printable(line.entity.uid));
        json["image"] =
            line.entity.image.empty() ? Json(nullptr) : Json(printable(line.entity.image));
        json["parents"] = Json::array();
        for (const EntityName& parent : line.entity.parents)
            json["parents"].push_back({{"kind", parent.kind}, {"name", printable(parent.name)}});
        json["cgroup"] = printable(line.entity.cgroup);
        json["id"] = line.entity.id;
        json["cpus"] = line.limits.cpus ? Json(*line.limits.cpus) : Json(nullptr);
        json["memory_bytes"] =
            line.limits.memory_bytes ? Json(*line.limits.memory_bytes) : Json(nullptr);
        json["source"] = line.source;
        list.push_back(std::move(json));
    }
    return Json{{"schema", "vtrace/1"}, {"entities", std::move(list)}}.dump() + "\n";
}

} // namespace

Status run_ps(bool json)
{
    const auto lines = lines_now();
    if (!lines)
        return lines.error();
    const auto output = Output::open("");
    if (!output)
        return output.error();
    if (lines->empty() && !json)
        return output->write("no pods, containers or units here; `vtrace runqlat --cgroup` knows "
                             "every cgroup\n");
    return output->write(json ? as_json(*lines) : as_text(*lines, path_width(*output)));
}

} // namespace vtrace
