// SPDX-License-Identifier: GPL-2.0-only
#include "tools/block_rows.h"

#include "base/printable.h"
#include "render/units.h"
#include "tools/report_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace vtrace {
namespace {

std::string number_of(uint32_t device)
{
    return fmt::format("{}:{}", device >> 20, device & 0xfffff);
}

// A disk whose I/O goes on to others, or to memory.
std::string bio_based_note(const BlockDevice& disk)
{
    return fmt::format("{} has no requests: {} I/Os of {} took {} each, by /proc/diskstats; whose "
                       "they were shows on the disks below, if there are",
                       printable(disk.name), disk.ios,
                       format_bytes(static_cast<double>(disk.bytes)),
                       format_duration(disk.ns / std::max<uint64_t>(disk.ios, 1)));
}

} // namespace

Metric depth_of(const Histogram& total, uint64_t duration_ns)
{
    return {"depth", Metric::Type::kGauge, "1",
            static_cast<double>(total.sum) /
                static_cast<double>(std::max<uint64_t>(duration_ns, 1))};
}

BlockRows::BlockRows(const Snapshot& snapshot, const ToolOptions& options)
    : snapshot_(snapshot), entities_(snapshot.cgroups, snapshot.entities), kind_(options.group),
      with_descendants_(snapshot.block.with_descendants.begin(),
                        snapshot.block.with_descendants.end())
{
    for (const BlockDevice& disk : snapshot.block.devices)
        disks_[disk.number] = disk.name;
}

Entity BlockRows::entity(const OwnerId& owner) const
{
    if (kind_.empty())
        return {.kind = "host", .name = snapshot_.host.name};
    Entity entity = entity_of(entities_, owner, kind_);
    if (with_descendants_.contains(owner.cgroup_id))
        entity.labels.push_back({"io", "with descendants"});
    return entity;
}

bool BlockRows::asked_for(const OwnerId& owner) const
{
    const auto& asked_for = snapshot_.block.asked_for;
    return !asked_for || asked_for->contains(owner);
}

std::string BlockRows::disk(uint32_t number) const
{
    if (number == 0)
        return "any";
    const auto known = disks_.find(number);
    return known == disks_.end() || known->second.empty() ? number_of(number) : known->second;
}

Row& BlockRows::row(const OwnerId& owner)
{
    Entity entity = this->entity(owner);
    const auto [at, is_new] = known_.try_emplace(key_of(entity), rows_.size());
    if (is_new)
        rows_.push_back({.entity = std::move(entity)});
    return rows_[at->second];
}

void BlockRows::give_to(Report& report)
{
    report.group = kind_;
    report.rows = std::move(rows_);
    std::ranges::stable_sort(report.rows, std::greater{},
                             [](const Row& row) { return row.histogram.sum; });
    for (const OpenRequest& open : snapshot_.block.open)
        report.requests.push_back({entity(open.key.owner), disk(open.key.device), open});
    for (const BlockDevice& device : snapshot_.block.devices) {
        if (device.bio_based)
            report.notes.push_back(bio_based_note(device));
    }
    if (!with_descendants_.empty() && !kind_.empty())
        report.notes.emplace_back("what is marked with * includes the I/O of cgroups below it: the "
                                  "io controller is not enabled there (cgroup.subtree_control)");
    uint64_t unaccounted = 0;
    uint64_t untimed = 0;
    for (const BlockFigure& figure : snapshot_.block.figures) {
        unaccounted += figure.unaccounted;
        untimed += figure.untimed;
    }
    if (untimed != 0)
        report.notes.push_back(fmt::format("{} requests have no time: their disk keeps no I/O "
                                           "statistics (/sys/block/DISK/queue/iostats is 0)",
                                           untimed));
    else if (unaccounted != 0)
        report.notes.push_back(
            fmt::format("{} requests are none that /proc/diskstats counts", unaccounted));
}

} // namespace vtrace
