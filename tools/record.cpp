// SPDX-License-Identifier: GPL-2.0-only
#include "tools/record.h"

#include "base/printable.h"
#include "bpf/probe.h"
#include "entity/cgroup_hierarchy.h"
#include "record/recording.h"
#include "render/units.h"
#include "tools/collectors.h"
#include "tools/recorded_options.h"
#include "tools/registry.h"
#include "tools/report_writer.h"
#include "tools/stop_signal.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

namespace vtrace {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

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
    error.what = fmt::format("cannot record {}: {}", fmt::join(tools, ", "), error.what);
    if (error.hint.empty())
        error.hint = "--tools takes less";
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

Result<Plan> plan_of(const RecordOptions& record, const ToolOptions& options)
{
    Plan plan;
    std::optional<Error> first;
    for (const ToolSpec& tool : tools()) {
        Measured measured = measured_by(tool, options);
        measured.any_rows = true;
        const bool named = std::ranges::find(record.tools, tool.name) != record.tools.end();
        if (!named && !record.tools.empty())
            continue;
        if (!named && measured.sched.stacks) {
            plan.left_out.push_back({std::string(tool.name),
                                     "its stacks cost more than all else: --tools asks for it"});
            continue;
        }
        const auto hierarchy = place_of(tool, measured, options);
        if (hierarchy) {
            add(plan, *hierarchy, tool, measured);
            continue;
        }
        if (named)
            return with_tools(hierarchy.error(), {std::string(tool.name)});
        if (!first)
            first = hierarchy.error();
        plan.left_out.push_back({std::string(tool.name), hierarchy.error().what});
    }
    if (plan.parts.empty() && first)
        return *first;
    return plan;
}

// For who records: what will not be there, by why.
std::string missing_text(const std::vector<LeftOut>& left_out)
{
    std::map<std::string, std::string> tools;
    for (const LeftOut& tool : left_out) {
        std::string& names = tools[tool.why];
        names += (names.empty() ? "" : ", ") + tool.tool;
    }
    std::string text;
    for (const auto& [why, names] : tools)
        text += fmt::format("not recorded: {}: {}\n", names, why);
    return text;
}

// In the current directory: the host and when.
std::string usual_name()
{
    utsname host{};
    ::uname(&host);
    return fmt::format("vtrace-{}-{:%Y%m%d-%H%M%S}.rec", host.nodename,
                       fmt::localtime(std::time(nullptr)));
}

class Recorder {
public:
    Recorder(const RecordOptions& record, const ToolOptions& options)
        : record_(record), options_(options),
          path_(options.output.empty() ? usual_name() : options.output),
          person_(::isatty(STDERR_FILENO) != 0)
    {
    }

    Status run(steady_clock::time_point process_start)
    {
        auto plan = plan_of(record_, options_);
        if (!plan)
            return plan.error();
        RecordingHead head{.vtrace = VTRACE_VERSION, .left_out = std::move(plan->left_out)};
        ToolOptions recorded = options_;
        for (Part& part : plan->parts) {
            auto started = Collectors::start(options_, part.measured, process_start);
            if (!started)
                return with_tools(started.error(), part.tools);
            collectors_.push_back(std::move(*started));
            recorded.threads |= part.measured.sched.threads;
            head.tools.push_back(std::move(part.tools));
        }
        for (const auto& collectors : collectors_) {
            if (auto scanned = collectors->scan(); !scanned)
                return scanned;
        }
        head.options = save_recorded_options(recorded);
        auto file = RecordingWriter::create(path_, head);
        if (!file)
            return file.error();
        say(missing_text(head.left_out));
        // All windows begin together: what came while the others started is in none.
        for (const auto& collectors : collectors_) {
            if (const auto before = collectors->read(); !before)
                return before.error();
        }
        return write(*file);
    }

private:
    [[nodiscard]] steady_clock::time_point at(double seconds) const
    {
        return start_ + duration_cast<steady_clock::duration>(duration<double>(seconds));
    }

    Status write(RecordingWriter& file)
    {
        start_ = steady_clock::now();
        for (uint64_t number = 1;; number++) {
            double end = record_.interval * static_cast<double>(number);
            constexpr double kRounding = 1e-6;
            const bool last = record_.duration != 0 && end >= record_.duration - kRounding;
            if (last)
                end = record_.duration;
            if (auto waited = wait_until(at(end)); !waited)
                return waited;
            const bool stopping = stop_requested();
            if (auto added = add_interval(file); !added)
                return added;
            show(file, number);
            if (last || stopping)
                break;
        }
        say((person_ ? "\n" : "") + fmt::format("recorded: {}\n", printable(path_)));
        return ok();
    }

    Status wait_until(steady_clock::time_point deadline)
    {
        while (!stop_requested()) {
            const auto now = steady_clock::now();
            if (now >= deadline)
                break;
            std::this_thread::sleep_for(
                std::min<steady_clock::duration>(poll_every(), deadline - now));
            if (auto polled = poll(); !polled)
                return polled;
        }
        return ok();
    }

    [[nodiscard]] nanoseconds poll_every() const
    {
        nanoseconds least = collectors_.front()->poll_every();
        for (const auto& collectors : collectors_)
            least = std::min(least, collectors->poll_every());
        return least;
    }

    Status poll()
    {
        for (const auto& collectors : collectors_) {
            if (auto polled = collectors->poll(); !polled)
                return polled.error();
        }
        return ok();
    }

    Status add_interval(RecordingWriter& file)
    {
        if (auto polled = poll(); !polled)
            return polled;
        Interval interval;
        for (const auto& collectors : collectors_) {
            auto snapshot = collectors->read();
            if (!snapshot)
                return snapshot.error();
            interval.push_back(std::move(*snapshot));
        }
        return file.add(interval);
    }

    // How far it is, for a person who waits.
    void show(const RecordingWriter& file, uint64_t intervals) const
    {
        if (!person_)
            return;
        const double seconds = duration<double>(steady_clock::now() - start_).count();
        const std::string of = record_.duration != 0 ? fmt::format(" of {:g} s", record_.duration)
                                                     : "; Ctrl-C ends it";
        say(fmt::format("\r{:.0f} s{}: {} intervals, {}  ", seconds, of, intervals,
                        format_bytes(static_cast<double>(file.bytes()))));
    }

    const RecordOptions& record_;
    const ToolOptions& options_;
    std::string path_;
    bool person_;
    steady_clock::time_point start_;
    std::vector<std::unique_ptr<Collectors>> collectors_;
};

} // namespace

Status run_record(const RecordOptions& record, const ToolOptions& options,
                  steady_clock::time_point process_start)
{
    stop_on_signals();
    return Recorder(record, options).run(process_start);
}

} // namespace vtrace
