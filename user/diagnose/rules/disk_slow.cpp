// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/rules.h"

#include "base/numbers.h"
#include "base/printable.h"
#include "model/report_values.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

namespace vtrace {
namespace {

// Requests that a disk may have at once without being blamed for how long each takes: that is a load's own choice.
constexpr double kUsualDepth = 8;
constexpr double kLeastDepth = 0.1;

struct Disk {
    double count = 0;
    double device_ns = 0;
    const Row* most = nullptr; // whose requests took most time
};

Advice advice_for(const Facts& facts, const std::string& disk)
{
    const std::string file = "/sys/block/" + disk + "/queue/scheduler";
    Advice advice{
        .text = "Look at the disk (or what is below it: RAID, SAN, the hypervisor); the scheduler "
                "orders requests, it makes no disk faster"};
    if (std::string value = facts.knob(file); !value.empty()) {
        advice.knob = printable(file);
        advice.present = value;
    }
    return advice;
}

void find(const Context& context, std::vector<Finding>& findings)
{
    const Report* report = context.facts.report("iotop");
    if (report == nullptr)
        return;
    std::map<std::string, Disk> disks;
    for (const Row& row : report->rows) {
        Disk& disk = disks[std::string(label_of(row, "disk"))];
        disk.count += value_of(row, "count");
        disk.device_ns += value_of(row, "device_time");
        if (disk.most == nullptr ||
            value_of(row, "device_time") > value_of(*disk.most, "device_time"))
            disk.most = &row;
    }
    for (const auto& [name, disk] : disks) {
        const auto window = static_cast<double>(std::max<uint64_t>(report->duration_ns, 1));
        const double mean = disk.device_ns / std::max(1.0, disk.count);
        const double depth = disk.device_ns / window;
        const double measure = mean / std::max(1.0, depth / kUsualDepth);
        const auto events = whole_number(disk.count);
        const Entity& entity = disk.most->entity;
        auto severity = context.severity_for(entity, measure, events);
        if (!severity || name == "any") // what found no room of its own
            continue;
        if (depth < kLeastDepth)
            severity = Severity::kP3; // hardly anybody waits
        Finding finding = context.finding(
            entity, *severity,
            {.what = "a request, or as many as there are for eight at once, spends on the device",
             .value = measure,
             .unit = FigureUnit::kTime,
             .samples = events},
            *report);
        finding.what = fmt::format(
            "disk {} is slow: it takes {} for a request, and {} waits for most of them",
            printable(name), format_duration(whole_number(mean)), printable(entity.name));
        finding.culprit = Entity{.kind = "disk", .name = name};
        finding.evidence.push_back(
            {.what = "requests on the device at once, on average", .value = depth});
        finding.impact = std::min(1.0, depth);
        finding.ruled_out.push_back(
            fmt::format("its own limit: {} of samples", percent(value_of(*disk.most, "held"))));
        finding.advice.push_back(advice_for(context.facts, name));
        findings.push_back(std::move(finding));
    }
}

} // namespace

Rule disk_slow_rule()
{
    return {
        .name = "disk-slow",
        .summary = "a disk takes long for its requests",
        .measure = "time on the device for a request, on average; for so many times 8 at once, a "
                   "part of it",
        .unit = FigureUnit::kTime,
        .limits = {.p3 = 10e6, .p2 = 20e6, .p1 = 50e6, .p0 = 500e6, .least = 8},
        .source = "own choice: seeks of turning disks take about 10 ms (hdparm(8), data sheets), "
                  "flash below 1 ms",
        .tools = {"iotop"},
        .find = find};
}

} // namespace vtrace
