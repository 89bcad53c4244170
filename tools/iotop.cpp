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
    uint64_t bytes = 0;
    uint64_t device_ns = 0;
    Histogram total;
    uint64_t samples = 0;
    uint64_t requests = 0; // summed over samples
    uint64_t beside = 0;
    uint64_t held = 0;
    IoLimit limit;
    std::map<std::string, std::pair<Entity, uint64_t>> others; // by key_of()
};

using Key = std::pair<std::string, uint32_t>; // entity, disk

std::map<Key, Use> uses_of(const Snapshot& snapshot, const BlockRows& rows)
{
    std::map<Key, Use> uses;
    const auto use = [&](const OwnerId& owner, uint32_t device) -> Use& {
        Entity entity = rows.entity(owner);
        Use& found = uses[{key_of(entity), device}];
        found.entity = std::move(entity);
        return found;
    };
    for (const BlockFigure& figure : snapshot.block.figures) {
        Use& found = use(figure.key.owner, figure.key.device);
        found.count += figure.count;
        found.bytes += figure.bytes;
        if (figure.key.op == VT_REQ_OP_READ)
            found.read_bytes += figure.bytes;
        // Where it is not known when a request was issued, all of its time.
        found.device_ns +=
            figure.device.sum +
            (figure.unsplit != 0 ? figure.total.sum - figure.queue.sum - figure.device.sum : 0);
        found.total.merge(figure.total);
    }
    for (const BlockSeen& seen : snapshot.block.seen) {
        Use& found = use(seen.owner, seen.device);
        found.samples += seen.samples;
        found.requests += seen.queued + seen.issued;
        found.beside += seen.beside;
        found.held += seen.held;
        if (seen.held != 0)
            found.limit = seen.limit;
    }
    for (const BlockBeside& beside : snapshot.block.beside) {
        Use& found = use(beside.owner, beside.device);
        Entity other = rows.entity(beside.other);
        const std::string key = key_of(other);
        if (key == key_of(found.entity))
            continue; // others of the same entity
        auto& [entity, requests] = found.others[key];
        entity = std::move(other);
        requests += beside.requests;
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

Row row_of(const Use& use, const std::string& disk, uint64_t device_ns, uint64_t samples)
{
    Row row{.entity = use.entity, .histogram = use.total};
    row.entity.labels.push_back({"disk", disk});
    add_counter(row, "count", "1", use.count);
    add_counter(row, "read_bytes", "bytes", use.read_bytes);
    add_counter(row, "write_bytes", "bytes", use.bytes - use.read_bytes);
    add_counter(row, "device_time", "ns", use.device_ns);
    add_share(row, "device_share", use.device_ns, device_ns);
    if (samples != 0) {
        row.metrics.push_back({"depth", Metric::Type::kGauge, "1",
                               static_cast<double>(use.requests) / static_cast<double>(samples)});
        add_share(row, "held", use.held, samples);
    }
    add_share(row, "beside", use.beside, use.requests);
    if (use.held != 0) {
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
    std::map<Key, Use> uses = uses_of(snapshot, rows);
    std::map<uint32_t, uint64_t> device_ns; // by disk
    for (const auto& [key, use] : uses)
        device_ns[key.second] += use.device_ns;
    rows.give_to(report);
    for (const auto& [key, use] : uses)
        report.rows.push_back(
            row_of(use, rows.disk(key.second), device_ns[key.second], snapshot.block.samples));
    std::ranges::stable_sort(report.rows, std::greater{},
                             [](const Row& row) { return row.histogram.sum; });
    report.notes.push_back("depth, beside and held are of " +
                           std::to_string(snapshot.block.samples) +
                           " samples; the rest is counted");
    finish(report, options);
    return report;
}

} // namespace

ToolSpec iotop_tool()
{
    return {
        .name = "iotop",
        .summary = "who uses which disk, beside whom, held by which limit",
        .details =
            "Each cgroup (container, pod, unit, VM) on each disk: requests and bytes a second,\n"
            "the 99th percentile of a request's whole time, and SHARE: its part of the time\n"
            "that the disk spent on requests. The others are of samples, taken up to 200\n"
            "times a second: DEPTH is how many of its requests were in flight on average,\n"
            "BESIDE the part of them that were while others had some there, by whom below.\n"
            "Held back: a limit of the own cgroup (io.max, blkio.throttle) let I/O wait\n"
            "before it reached the disk; it is in no time of a request, and no fault of the disk.\n"
            "Whose a request is, biolatency's help says.",
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
