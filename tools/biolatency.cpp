// SPDX-License-Identifier: GPL-2.0-only
#include "tools/biolatency.h"

#include "render/block_text.h"
#include "tools/block_rows.h"
#include "tools/report_parts.h"
#include "tools/vm_rows.h"

#include <fmt/format.h>

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

void add_figure(Row& row, const BlockFigure& figure, const ToolOptions& options)
{
    row.histogram.merge(figure.total);
    histogram_of(row, "queue").merge(figure.queue);
    histogram_of(row, "device").merge(figure.device);
    add_counter(row, "count", "1", figure.count);
    add_counter(row, "bytes", "bytes", figure.bytes);
    add_counter(row, "errors", "1", figure.errors);
    add_counter(row, "requeued", "1", figure.requeued);
    if (options.sizes) {
        for (size_t i = 0; i < figure.sizes.size(); i++)
            add_counter(row, fmt::format("up_to_{}", uint64_t{kSmallestSize} << i), "1",
                        figure.sizes.at(i));
    }
    if (options.pattern) {
        add_counter(row, "sequential", "1", figure.sequential);
        add_counter(row, "random", "1", figure.random);
    }
}

Report build(const Snapshot& snapshot, const ToolOptions& options)
{
    Report report = empty_report(snapshot, "biolatency",
                                 "Requests to disks: time in the queue, on the device, in all");
    report.event = "request";
    report.metric = "total";
    report.nested = "operations";
    BlockRows rows(snapshot, options);
    std::map<std::string, std::map<std::pair<std::string, std::string>, Row>> inner;
    for (const BlockFigure& figure : snapshot.block.figures) {
        Row& row = rows.row(figure.key.owner);
        add_figure(row, figure, options);
        const std::string disk = rows.disk(figure.key.device);
        const std::string name = operation_name(figure.key.op, figure.key.flags);
        Row& operation = inner[key_of(row.entity)][{disk, name}];
        operation.entity = {.kind = "operation", .name = name, .labels = {{"disk", disk}}};
        add_figure(operation, figure, options);
    }
    rows.give_to(report);
    for (Row& row : report.rows) {
        if (options.pattern)
            row.metrics.push_back(depth_of(row.histogram, snapshot.duration_ns));
    }
    for (Row& row : report.rows) {
        for (auto& [key, operation] : inner[key_of(row.entity)])
            row.rows.push_back(std::move(operation));
        std::ranges::stable_sort(row.rows, std::greater{},
                                 [](const Row& r) { return r.histogram.sum; });
    }
    finish(report, options);
    return report;
}

} // namespace

ToolSpec biolatency_tool()
{
    return {
        .name = "biolatency",
        .summary = "how long disks took, per container or VM",
        .details =
            "Requests to disks that completed. QUEUE is from the start of a request until it\n"
            "was given to the driver (for the last time, if it came back), DEVICE from then\n"
            "to its completion. A request is of the cgroup that its bio names, whoever\n"
            "completed it: v1's blkio, else v2's nearest cgroup with the io controller. What\n"
            "was written back for nobody in particular is \"kernel: writeback\": on v1 that is\n"
            "all buffered writes that nobody waits for. Flushes of a disk's cache serve\n"
            "several at once. A VM has the I/O of its cgroup if it is alone in it. Disks\n"
            "without requests (dm, md, zram) are named with what the kernel counts of them.\n"
            "Time held back (by the own limit, iocost, wbt) is before a request begins: iotop.",
        .examples = "  vtrace biolatency 5 1                the host, for 5 s\n"
                    "  vtrace biolatency --container 5      each container, every 5 s\n"
                    "  vtrace biolatency --dev sda --size --pattern 10 1\n"
                    "  vtrace biolatency --cgroup --slower 20\n"
                    "                                       each request above 20 ms\n"
                    "  vtrace biolatency --format json 5 1 | jq '.rows[0].operations'\n",
        .parts = parts,
        .build = build,
        .text = biolatency_text,
        .block = {.requests = true},
        .flags = {{"--size", "Show the sizes of requests, too", &ToolOptions::sizes},
                  {"--pattern", "Show what is sequential, and the queue's depth, too",
                   &ToolOptions::pattern}},
        .single_requests = true,
        .disks = true,
        .without_tasks = kOwnersInstead,
    };
}

} // namespace vtrace
