// SPDX-License-Identifier: GPL-2.0-only
#include "tools/session.h"

#include "base/output.h"
#include "entity/entities.h"
#include "render/block_text.h"
#include "render/json.h"
#include "render/tcp_text.h"
#include "render/text.h"
#include "tools/collectors.h"
#include "tools/report_parts.h"
#include "tools/stop_signal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

namespace vtrace {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::steady_clock;

bool utf8_locale()
{
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(name);
        if (value != nullptr && *value != '\0') {
            const std::string_view text = value;
            return text.find("UTF-8") != std::string_view::npos ||
                   text.find("utf8") != std::string_view::npos;
        }
    }
    return false;
}

TextStyle text_style(const Output& output, const ToolOptions& options)
{
    TextStyle style{.utf8 = utf8_locale(), .clock = options.timestamp};
    winsize size{};
    if (::isatty(output.fd()) == 0)
        return style;
    const char* no_color = std::getenv("NO_COLOR"); // no-color.org: set and not empty
    style.colour = no_color == nullptr || *no_color == '\0';
    if (::ioctl(output.fd(), TIOCGWINSZ, &size) == 0 && size.ws_col != 0)
        style.width = size.ws_col;
    return style;
}

// On a host that is short of CPU the one who measures it must not wait in line, or reports come late.
// Best effort: it takes CAP_SYS_NICE. Its share of a CPU is what --overhead shows.
void raise_priority()
{
    constexpr int kHighest = -20;
    ::setpriority(PRIO_PROCESS, 0, kHighest);
}

// Not fmt::print, which throws if stderr is closed.
void say(const std::string& text)
{
    static_cast<void>(std::fputs(text.c_str(), stderr));
}

class Session {
public:
    Session(const ToolSpec& tool, const ToolOptions& options, Output output)
        : tool_(tool), options_(options), output_(std::move(output)),
          style_(text_style(output_, options))
    {
    }

    Status run(steady_clock::time_point process_start)
    {
        auto collectors = Collectors::start(options_, measured_by(tool_, options_), process_start);
        if (!collectors)
            return collectors.error();
        collectors_ = std::move(*collectors);
        if (tool_.quotas) {
            if (auto added = collectors_->add_quotas(); !added)
                return added;
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
            return slow_request_heading(kind, style_);
        return tool_.single_sessions ? slow_session_heading(kind, style_)
                                     : slow_wait_heading(kind, style_);
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
            lines +=
                options_.json ? render_json(wait, entity, tool) : render_text(wait, entity, style_);
        }
        for (const SlowRequest& request : slow->requests) {
            const Entity entity = entity_of(entities, request.key.owner, kind);
            lines += options_.json ? render_json(request, entity, tool)
                                   : render_text(request, entity, style_);
        }
        for (const SlowSession& session : slow->sessions) {
            const Entity entity = entity_of(entities, session.owner, kind);
            lines += options_.json ? render_json(session, entity, tool)
                                   : render_text(session, entity, style_);
        }
        return output_.write(lines);
    }

    [[nodiscard]] std::string render(const Report& report) const
    {
        if (options_.json)
            return render_json(report, options_.overhead);
        if (options_.text())
            return render_text(report, style_, options_.overhead, tool_.text);
        say(ledger_text(report.loss, {})); // a folded line has no place for it
        return tool_.folded(report, style_);
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
        const Report report = tool_.build(*snapshot, options_);
        const std::string text = render(report);
        if (options_.verbose) {
            const auto ms = [](auto d) { return duration<double, std::milli>(d).count(); };
            say(fmt::format("report {}: drained in {:.1f} ms, rendered in {:.1f} ms\n", number,
                            ms(drained - start), ms(steady_clock::now() - drained)));
        }
        const bool separate = number > 1 && options_.text();
        return output_.write((separate ? "\n" : "") + text);
    }

    const ToolSpec& tool_;
    const ToolOptions& options_;
    Output output_;
    TextStyle style_;
    std::unique_ptr<Collectors> collectors_;
    bool headed_ = false;
};

} // namespace

Status run_tool(const ToolSpec& tool, const ToolOptions& options,
                steady_clock::time_point process_start)
{
    stop_on_signals();
    raise_priority();
    auto output = Output::open(options.output);
    if (!output)
        return output.error();
    return Session(tool, options, std::move(*output)).run(process_start);
}

} // namespace vtrace
