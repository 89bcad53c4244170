// SPDX-License-Identifier: GPL-2.0-only
#include "tools/iotop.h"

#include "render/block_text.h"
#include "tools/block_rows.h"
#include "tools/report_parts.h"
#include "tools/vm_rows.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

namespace vtrace {
namespace {

SchedParts parts(const ToolOptions&)
{
    return {};
}

// What an entity did on a disk.
struct Use {
    Entity entity;
    uint64_t count = 0;
    uint64_t read_bytes = 0;
    uint64_t write_bytes = 0; // and discarded, and the like
    uint64_t device_ns = 0;
    Histogram total;
    uint64_t requests = 0; // summed over samples
    uint64_t beside = 0;
    uint64_t held_by_limit = 0; // samples, as the next two
    uint64_t held_by_cost = 0;
    uint64_t held_by_wbt = 0;
    IoLimit limit;
    std::map<std::string, std::pair<Entity, uint64_t>> others; // by key_of()
};

using Key = std::pair<std::string, uint32_t>; // entity, disk
using Uses = std::map<Key, Use>;

Use& use_of(Uses& uses, const Entity& entity, uint32_t device)
{
    Use& found = uses[{key_of(entity), device}];
    found.entity = entity;
    return found;
}

void add_figure(Use& use, const BlockFigure& figure)
{
    use.count += figure.count;
    if (figure.key.op == VT_REQ_OP_READ)
        use.read_bytes += figure.bytes;
    else if (figure.key.op != kAnyOperation)
        use.write_bytes += figure.bytes;
    // Where it is not known when a request was issued, all of its time.
    use.device_ns += figure.device.sum + figure.unsplit_ns;
    use.total.merge(figure.total);
}

// One entity in samples.
struct Presence {
    Entity entity;
    uint64_t requests = 0;
    HeldBack held;
    bool asked_for = false;
};

void add_company(Uses& uses, const BlockCompany& company, const BlockRows& rows)
{
    std::map<std::string, Presence> present; // by key_of()
    for (const BlockPresence& owner : company.owners) {
        const Entity entity = rows.entity(owner.owner);
        Presence& found = present[key_of(entity)];
        found.entity = entity;
        found.requests += owner.queued + owner.issued;
        found.held.by_limit |= owner.held.by_limit;
        found.held.by_cost |= owner.held.by_cost;
        found.held.by_wbt |= owner.held.by_wbt;
        found.asked_for = found.asked_for || rows.asked_for(owner.owner);
    }
    for (const auto& [key, one] : present) {
        if (!one.asked_for)
            continue;
        Use& use = use_of(uses, one.entity, company.device);
        use.requests += one.requests;
        use.held_by_limit += one.held.by_limit ? company.samples : 0;
        use.held_by_cost += one.held.by_cost ? company.samples : 0;
        use.held_by_wbt += one.held.by_wbt ? company.samples : 0;
        bool alone = true;
        for (const auto& [other_key, other] : present) {
            if (other_key == key || other.requests == 0 || one.requests == 0)
                continue;
            alone = false;
            auto& [entity, requests] = use.others[other_key];
            entity = other.entity;
            requests += one.requests;
        }
        use.beside += alone ? 0 : one.requests;
    }
}

Uses uses_of(const Snapshot& snapshot, const BlockRows& rows)
{
    Uses uses;
    const BlockSnapshot& block = snapshot.block;
    for (const BlockFigure& figure : block.figures)
        add_figure(use_of(uses, rows.entity(figure.key.owner), figure.key.device), figure);
    for (const BlockCompany& company : block.companies)
        add_company(uses, company, rows);
    for (const BlockLimit& limit : block.limits) {
        if (rows.asked_for(limit.owner))
            use_of(uses, rows.entity(limit.owner), limit.device).limit = limit.limit;
    }
    return uses;
}

void add_share(Row& row, const char* name, uint64_t part, uint64_t whole)
{
    if (whole != 0)
        row.metrics.push_back({name, Metric::Type::kShare, "1",
                               static_cast<double>(part) / static_cast<double>(whole)});
}

void add_limit(Row& row, const char* name, const char* unit, const std::optional<uint64_t>& limit)
{
    if (limit)
        row.metrics.push_back({name, Metric::Type::kGauge, unit, static_cast<double>(*limit)});
}

Row row_of(const Use& use, const std::string& disk, uint64_t device_ns, const Snapshot& snapshot)
{
    Row row{.entity = use.entity, .histogram = use.total};
    row.entity.labels.push_back({"disk", disk});
    add_counter(row, "count", "1", use.count);
    add_counter(row, "read_bytes", "bytes", use.read_bytes);
    add_counter(row, "write_bytes", "bytes", use.write_bytes);
    add_counter(row, "device_time", "ns", use.device_ns);
    add_share(row, "device_share", use.device_ns, device_ns);
    row.metrics.push_back(depth_of(use.total, snapshot.duration_ns));
    add_counter(row, "samples", "1", snapshot.block.samples);
    add_share(row, "held", use.held_by_limit, snapshot.block.samples);
    add_share(row, "held_by_cost", use.held_by_cost, snapshot.block.samples);
    add_share(row, "held_by_wbt", use.held_by_wbt, snapshot.block.samples);
    add_share(row, "beside", use.beside, use.requests);
    if (use.held_by_limit != 0) {
        add_limit(row, "limit_read_bytes", "bytes/s", use.limit.read_bytes);
        add_limit(row, "limit_write_bytes", "bytes/s", use.limit.write_bytes);
        add_limit(row, "limit_reads", "1/s", use.limit.reads);
        add_limit(row, "limit_writes", "1/s", use.limit.writes);
    }
    for (const auto& [key, other] : use.others) {
        Row& inner = row.rows.emplace_back(Row{.entity = other.first});
        add_share(inner, "beside", other.second, use.requests);
    }
    std::ranges::stable_sort(row.rows, std::greater{},
                             [](const Row& r) { return r.metrics.front().value; });
    return row;
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "iotop", "Who uses which disk, and beside whom");
    report.event = "request";
    report.metric = "total";
    report.nested = "others";
    BlockRows rows(snapshot, options);
    const Uses uses = uses_of(snapshot, rows);
    std::map<uint32_t, uint64_t> device_ns; // by disk; with a target not all is counted
    for (const auto& [key, use] : uses) {
        if (options.target.empty())
            device_ns[key.second] += use.device_ns;
    }
    rows.give_to(report);
    for (const auto& [key, use] : uses)
        report.rows.push_back(row_of(use, rows.disk(key.second), device_ns[key.second], snapshot));
    std::ranges::stable_sort(report.rows, std::greater{},
                             [](const Row& row) { return row.histogram.sum; });
    report.notes.push_back("beside and held back are of " + std::to_string(snapshot.block.samples) +
                           " samples; the rest is counted");
    finish(report, options);
    return report;
}

} // namespace

ToolSpec iotop_tool()
{
    return {
        .name = "iotop",
        .summary = "who uses which disk, beside whom, held by what",
        .details =
            "Each cgroup (container, pod, unit, VM) on each disk: requests and bytes per\n"
            "second and the 99th percentile of a request's whole time. SHARE is its part of\n"
            "the time that the disk spent on requests (not with a target), DEPTH how many of\n"
            "its requests were in flight on average. The rest is of samples, up to 200 a\n"
            "second: BESIDE is the part of its requests that were in flight while others had\n"
            "some there, by whom below.\n"
            "Held back: I/O waited before it was a request, which is in no figure of the\n"
            "disk: for a limit of its own (io.max, blkio.throttle), for its share by weight\n"
            "(iocost: io.weight, io.cost.qos), or for the disk's writeback throttling (wbt),\n"
            "which keeps writes of dirty pages behind other I/O. Whose a request is, the help\n"
            "of biolatency says.",
        .examples = "  vtrace iotop 5 1                     each cgroup, for 5 s\n"
                    "  vtrace iotop --container 1           each container, every second\n"
                    "  vtrace iotop --cgroup=/docker --dev sda 5\n"
                    "  vtrace iotop --format json 5 1 | jq '.rows[].others'\n",
        .parts = parts,
        .build = build,
        .text = iotop_text,
        .block = {.requests = true, .samples = true},
        .group = "cgroup",
        .disks = true,
        .without_tasks = kOwnersInstead,
    };
}

} // namespace vtrace
