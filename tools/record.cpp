// SPDX-License-Identifier: GPL-2.0-only
#include "tools/record.h"

#include "base/printable.h"
#include "record/recording.h"
#include "render/units.h"
#include "tools/measurement.h"
#include "tools/report_writer.h"
#include "tools/stop_signal.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <ctime>
#include <map>
#include <utility>

namespace vtrace {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::steady_clock;

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
        auto measurement = Measurement::start({.tools = record_.tools}, options_, process_start);
        if (!measurement)
            return measurement.error();
        const RecordingHead& head = measurement->head();
        auto file = RecordingWriter::create(path_, head);
        if (!file)
            return file.error();
        say(missing_text(head.left_out));
        if (auto begun = measurement->begin(); !begun)
            return begun;
        return write(*measurement, *file);
    }

private:
    [[nodiscard]] steady_clock::time_point at(double seconds) const
    {
        return start_ + duration_cast<steady_clock::duration>(duration<double>(seconds));
    }

    Status write(Measurement& measurement, RecordingWriter& file)
    {
        start_ = steady_clock::now();
        for (uint64_t number = 1;; number++) {
            double end = record_.interval * static_cast<double>(number);
            constexpr double kRounding = 1e-6;
            const bool last = record_.duration != 0 && end >= record_.duration - kRounding;
            if (last)
                end = record_.duration;
            if (auto waited = measurement.run_until(at(end)); !waited)
                return waited;
            const bool stopping = stop_requested();
            const auto interval = measurement.read();
            if (!interval)
                return interval.error();
            if (auto added = file.add(*interval); !added)
                return added;
            show(file, number);
            if (last || stopping)
                break;
        }
        say((person_ ? "\n" : "") + fmt::format("recorded: {}\n", printable(path_)));
        return ok();
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
};

} // namespace

Status run_record(const RecordOptions& record, const ToolOptions& options,
                  steady_clock::time_point process_start)
{
    stop_on_signals();
    ToolOptions measured = options;
    measured.threads = true; // which `report FILE diagnose` looks at
    return Recorder(record, measured).run(process_start);
}

} // namespace vtrace
