// SPDX-License-Identifier: GPL-2.0-only
#include "tools/measurement.h"

#include "bpf/probe.h"
#include "entity/cgroup_hierarchy.h"
#include "tools/recorded_options.h"
#include "tools/registry.h"
#include "tools/stop_signal.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>

namespace vtrace {
namespace {

using std::chrono::steady_clock;

// arm64's compiler for BPF cannot let a program that has functions call another program until 6.0.
#ifdef __x86_64__
constexpr bool kProgramsCall = true;
#else
constexpr bool kProgramsCall = false;
#endif

// What is charged to one cgroup hierarchy.
struct Part {
    int hierarchy = 0; // CgroupHierarchy::kernel_id
    Measured measured;
    std::vector<std::string> tools;
};

struct Plan {
    std::vector<Part> parts;
    std::vector<LeftOut> left_out;
};

// An error of what is measured for these together.
Error with_tools(Error error, const std::vector<std::string>& tools)
{
    error.what = fmt::format("cannot measure {}: {}", fmt::join(tools, ", "), error.what);
    if (error.hint.empty())
        error.hint = "less can be had: a single tool, or `record --tools`";
    return error;
}

// Where the tool's figures are charged to, if it can run here and what was asked for is there.
Result<CgroupHierarchy> place_of(const ToolSpec& tool, const Measured& measured,
                                 const ToolOptions& options)
{
    if (measured.kvm.any()) {
        if (auto checked = check_kvm(); !checked)
            return checked.error();
    }
    if (options.target_kind == "vm" && !tool.without_vms.empty())
        return Error{.what = "it has no --vm: " + std::string(tool.without_vms),
                     .exit = ExitCode::kUsage};
    auto hierarchy = hierarchy_of(controller_of(measured));
    if (hierarchy && options.target_kind == "cgroup") {
        if (const auto cgroup = find_cgroup(*hierarchy, options.target); !cgroup)
            return cgroup.error();
    }
    return hierarchy;
}

void add(Plan& plan, const CgroupHierarchy& hierarchy, const ToolSpec& tool,
         const Measured& measured)
{
    auto part = std::ranges::find(plan.parts, hierarchy.kernel_id, &Part::hierarchy);
    if (part == plan.parts.end()) {
        plan.parts.push_back({.hierarchy = hierarchy.kernel_id});
        part = std::prev(plan.parts.end());
    }
    part->measured = both(part->measured, measured);
    part->tools.emplace_back(tool.name);
}

// Where softirqs are measured anyway, if they are: a second object on their hooks would see the same.
std::optional<CgroupHierarchy> place_with_softirqs(const Wanted& wanted, const ToolOptions& options)
{
    for (const ToolSpec& tool : tools()) {
        if (!tool.netq || std::ranges::find(wanted.tools, tool.name) == wanted.tools.end())
            continue;
        if (auto place = place_of(tool, measured_by(tool, options), options))
            return std::move(*place);
    }
    return std::nullopt;
}

Result<CgroupHierarchy> place_among(const Wanted& wanted, const ToolSpec& tool,
                                    const Measured& measured, const ToolOptions& options)
{
    auto own = place_of(tool, measured, options);
    if (!own || !wanted.softirqs_once || !only_softirqs(measured))
        return own;
    const auto shared = place_with_softirqs(wanted, options);
    return shared ? *shared : std::move(own);
}

Result<Plan> plan_of(const Wanted& wanted, const ToolOptions& options)
{
    Plan plan;
    std::optional<Error> first;
    for (const ToolSpec& tool : tools()) {
        Measured measured = measured_by(tool, options);
        measured.any_rows = true;
        const bool named = std::ranges::find(wanted.tools, tool.name) != wanted.tools.end();
        if (!named && !wanted.tools.empty())
            continue;
        if (!named && measured.sched.stacks) {
            plan.left_out.push_back({std::string(tool.name),
                                     "its stacks cost more than all else: --tools asks for it"});
            continue;
        }
        const auto hierarchy = place_among(wanted, tool, measured, options);
        if (hierarchy) {
            add(plan, *hierarchy, tool, measured);
            continue;
        }
        if (named && !wanted.as_far_as_possible)
            return with_tools(hierarchy.error(), {std::string(tool.name)});
        if (!first)
            first = hierarchy.error();
        plan.left_out.push_back({std::string(tool.name), hierarchy.error().what});
    }
    if (plan.parts.empty() && first)
        return *first;
    for (Part& part : plan.parts) {
        part.measured.sample_every = wanted.sample_every;
        part.measured.softirq_payers = !wanted.softirqs_once;
    }
    // The first that has a hook on switches; it may be the one with the stalls.
    const auto leads = std::ranges::find_if(
        plan.parts, [](const Part& part) { return part.measured.sched.of_hook().any(); });
    if (kProgramsCall && leads != plan.parts.end())
        leads->measured.stalls_follow =
            std::ranges::any_of(plan.parts, [](const Part& part) { return part.measured.memory; });
    if (!plan.parts.empty())
        plan.parts.front().measured.knobs = true;
    return plan;
}

} // namespace

Result<Measurement> Measurement::start(const Wanted& wanted, const ToolOptions& options,
                                       steady_clock::time_point process_start)
{
    auto plan = plan_of(wanted, options);
    if (!plan)
        return plan.error();
    Measurement self;
    self.head_ = {.vtrace = VTRACE_VERSION, .left_out = std::move(plan->left_out)};
    ToolOptions recorded = options;
    recorded.threads = false;
    for (Part& part : plan->parts) {
        auto started = Collectors::start(options, part.measured, process_start);
        if (!started)
            return with_tools(started.error(), part.tools);
        self.running_.push_back({.collectors = std::move(*started), .due = {}});
        recorded.threads |= part.measured.sched.threads;
        self.head_.tools.push_back(std::move(part.tools));
    }
    for (const auto& [leads, due] : self.running_) {
        for (const auto& [follows, its_due] : self.running_) {
            if (auto led = leads->lead(*follows); !led)
                return led.error();
        }
    }
    for (const auto& [collectors, due] : self.running_) {
        if (auto scanned = collectors->scan(); !scanned)
            return scanned.error();
    }
    self.head_.options = save_recorded_options(recorded);
    return self;
}

Status Measurement::begin()
{
    for (const auto& [collectors, due] : running_) {
        if (const auto before = collectors->read(); !before)
            return before.error();
    }
    return ok();
}

Status Measurement::run_until(steady_clock::time_point deadline)
{
    while (!stop_requested()) {
        if (steady_clock::now() >= deadline)
            break;
        std::this_thread::sleep_until(std::min(next_poll(), deadline));
        if (auto polled = poll(steady_clock::now()); !polled)
            return polled;
    }
    return ok();
}

Result<Interval> Measurement::read()
{
    if (auto polled = poll(steady_clock::time_point::max()); !polled)
        return polled.error();
    Interval interval;
    for (const auto& [collectors, due] : running_) {
        auto snapshot = collectors->read();
        if (!snapshot)
            return snapshot.error();
        interval.push_back(std::move(*snapshot));
    }
    return interval;
}

// Those that are due until then.
Status Measurement::poll(steady_clock::time_point until)
{
    for (auto& [collectors, due] : running_) {
        if (due > until && due - until > collectors->poll_early())
            continue;
        if (auto polled = collectors->poll(); !polled)
            return polled.error();
        due = steady_clock::now() + collectors->poll_every();
    }
    return ok();
}

steady_clock::time_point Measurement::next_poll() const
{
    return std::ranges::min_element(running_, {}, &Polled::due)->due;
}

} // namespace vtrace
