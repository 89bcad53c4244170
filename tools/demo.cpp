// SPDX-License-Identifier: GPL-2.0-only
#include "tools/demo.h"

#include "base/output.h"
#include "base/printable.h"
#include "demo/scenario.h"
#include "tools/diagnose.h"
#include "tools/stop_signal.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace vtrace {
namespace {

Status print(std::string_view text)
{
    const auto output = Output::open("");
    return output ? output->write(text) : output.error();
}

// Of the demo alone: what else is wrong on this host is another question.
Status diagnose(const Running& running, double duration, ToolOptions options,
                std::chrono::steady_clock::time_point process_start)
{
    options.target_kind = "cgroup";
    options.target = running.cgroups.path();
    options.group = options.target_kind;
    return run_diagnose(DiagnoseOptions{.duration = duration}, options, process_start);
}

} // namespace

std::string demo_list(bool json)
{
    std::string text;
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Scenario& scenario : scenarios()) {
        text += fmt::format("{:<15} {}\n", scenario.name, scenario.summary);
        const nlohmann::ordered_json rule =
            scenario.expected_rule.empty() ? nlohmann::ordered_json() : scenario.expected_rule;
        list.push_back(
            {{"name", scenario.name}, {"summary", scenario.summary}, {"expected_rule", rule}});
    }
    const nlohmann::ordered_json document = {{"schema", "vtrace/1"}, {"scenarios", list}};
    return json ? document.dump() + "\n" : text;
}

Status run_demo(const DemoOptions& demo, const ToolOptions& options,
                std::chrono::steady_clock::time_point process_start)
{
    const Scenario* found = find_scenario(demo.scenario);
    if (found == nullptr)
        return Error{.what = "there is no scenario " + printable(demo.scenario),
                     .hint = "`vtrace demo --list` names them",
                     .exit = ExitCode::kUsage};
    // From here on a signal is no reason to leave anything behind.
    stop_on_signals();
    const auto running = found->start();
    if (!running)
        return running.error();
    if (stop_requested())
        return ok();
    if (options.text() && options.output.empty()) {
        auto printed = print(fmt::format("{}: {}\nin {}\n\n", found->name, found->summary,
                                         (*running)->cgroups.path()));
        if (!printed)
            return printed;
    }
    return diagnose(**running, demo.duration, options, process_start);
}

} // namespace vtrace
