// SPDX-License-Identifier: GPL-2.0-only
#include "tools/session.h"

#include "entity/entities.h"
#include "record/recording.h"
#include "render/block_text.h"
#include "render/json.h"
#include "render/tcp_text.h"
#include "render/text.h"
#include "tools/collectors.h"
#include "tools/recorded_options.h"
#include "tools/report_parts.h"
#include "tools/report_writer.h"
#include "tools/stop_signal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace vtrace {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::steady_clock;

class Session {
public:
    Session(const ToolSpec& tool, const ToolOptions& options, ReportWriter output)
        : tool_(tool), options_(options), output_(std::move(output))
    {
    }

    Status run(steady_clock::time_point process_start)
    {
        Measured measured = measured_by(tool_, options_);
        measured.any_rows |= !options_.record.empty();
        auto collectors = Collectors::start(options_, measured, process_start);
        if (!collectors)
            return collectors.error();
        collectors_ = std::move(*collectors);
        if (!options_.record.empty()) {
            auto recording = RecordingWriter::create(options_.record, head());
            if (!recording)
                return recording.error();
            recording_.emplace(std::move(*recording));
        }
        const auto start = steady_clock::now();
        if (auto scanned = collectors_->scan(); !scanned)
            return scanned.error();
        announce();
        for (uint64_t report = 1;; report++) {
            if (auto waited = wait_until(deadline(start, report)); !waited)
                return waited.error();
            // A signal that comes while this window is read ends the next one: what happens until then counts.
            const bool stopping = stop_requested();
            if (auto reported = report_window(report); !reported)
                return reported.error();
            if (stopping || report == options_.count || options_.interval == 0)
                break;
        }
        return ok();
    }

private:
    [[nodiscard]] steady_clock::time_point deadline(steady_clock::time_point start,
                                                    uint64_t report) const
    {
        if (options_.interval == 0)
            return steady_clock::time_point::max();
        const duration<double> seconds(options_.interval * static_cast<double>(report));
        return start + duration_cast<steady_clock::duration>(seconds);
    }

    [[nodiscard]] RecordingHead head() const
    {
        return {.vtrace = VTRACE_VERSION,
                .tools = {{std::string(tool_.name)}},
                .options = save_recorded_options(options_)};
    }

    // To a person who waits; stdout is for reports.
    void announce() const
    {
        if (::isatty(STDERR_FILENO) == 0 || !options_.text())
            return;
        if (options_.interval == 0)
            say("measuring; Ctrl-C ends it and prints the report\n");
    }

    [[nodiscard]] std::string slow_heading() const
    {
        const std::string kind = options_.wait_kind();
        if (tool_.single_requests)
            return slow_request_heading(kind, output_.style());
        return tool_.single_sessions ? slow_session_heading(kind, output_.style())
                                     : slow_wait_heading(kind, output_.style());
    }

    Status wait_until(steady_clock::time_point deadline)
    {
        if (options_.slower_ms > 0 && !options_.json && !headed_) {
            headed_ = true;
            if (auto written = output_.write(slow_heading()); !written)
                return written;
        }
        while (!stop_requested()) {
            const auto now = steady_clock::now();
            if (now >= deadline)
                break;
            std::this_thread::sleep_for(
                std::min<steady_clock::duration>(collectors_->poll_every(), deadline - now));
            if (auto polled = show_slow(); !polled)
                return polled;
        }
        return ok();
    }

    Status show_slow()
    {
        const auto slow = collectors_->poll();
        if (!slow)
            return slow.error();
        if (slow->waits.empty() && slow->requests.empty() && slow->sessions.empty())
            return ok();
        const CgroupFacts facts = collectors_->names();
        const std::vector<EntityFact> found = collectors_->entities();
        const Entities entities(facts, found);
        const std::string kind = options_.wait_kind();
        const std::string tool(tool_.name);
        std::string lines;
        for (const SlowWait& wait : slow->waits) {
            const Entity entity = entities.owner(wait.cgroup_id, wait.vm, kind);
            lines += options_.json ? render_json(wait, entity, tool)
                                   : render_text(wait, entity, output_.style());
        }
        for (const SlowRequest& request : slow->requests) {
            const Entity entity = entity_of(entities, request.key.owner, kind);
            lines += options_.json ? render_json(request, entity, tool)
                                   : render_text(request, entity, output_.style());
        }
        for (const SlowSession& session : slow->sessions) {
            const Entity entity = entity_of(entities, session.owner, kind);
            lines += options_.json ? render_json(session, entity, tool)
                                   : render_text(session, entity, output_.style());
        }
        return output_.write(lines);
    }

    Status report_window(uint64_t number)
    {
        const auto start = steady_clock::now();
        if (auto shown = show_slow(); !shown)
            return shown;
        const auto snapshot = collectors_->read();
        if (!snapshot)
            return snapshot.error();
        const auto drained = steady_clock::now();
        if (recording_) {
            if (auto added = recording_->add({*snapshot}); !added)
                return added;
        }
        auto written = output_.write(*snapshot);
        if (options_.verbose) {
            const auto ms = [](auto d) { return duration<double, std::milli>(d).count(); };
            say(fmt::format("report {}: drained in {:.1f} ms, rendered in {:.1f} ms\n", number,
                            ms(drained - start), ms(steady_clock::now() - drained)));
        }
        return written;
    }

    const ToolSpec& tool_;
    const ToolOptions& options_;
    ReportWriter output_;
    std::unique_ptr<Collectors> collectors_;
    std::optional<RecordingWriter> recording_; // if one is asked for
    bool headed_ = false;
};

} // namespace

Status run_tool(const ToolSpec& tool, const ToolOptions& options,
                steady_clock::time_point process_start)
{
    stop_on_signals();
    auto output = ReportWriter::open(tool, options);
    if (!output)
        return output.error();
    return Session(tool, options, std::move(*output)).run(process_start);
}

} // namespace vtrace
