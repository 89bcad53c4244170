// SPDX-License-Identifier: GPL-2.0-only
#include "base/output.h"
#include "bpf/object.h"
#include "tools/check.h"
#include "tools/command_line.h"
#include "tools/completion.h"
#include "tools/demo.h"
#include "tools/known_names.h"
#include "tools/ps.h"
#include "tools/session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {
namespace {

// A closed stdin, stdout or stderr stays closed: no file opened later may take its number.
void reserve_standard_fds()
{
    while (true) {
        const int fd = ::open("/dev/null", O_RDONLY);
        if (fd < 0)
            return;
        if (fd > STDERR_FILENO) {
            ::close(fd);
            return;
        }
    }
}

Status print(std::string_view text)
{
    const auto output = Output::open("");
    return output ? output->write(text) : output.error();
}

std::string tool_list(bool json)
{
    std::string text;
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const ToolSpec& tool : tools()) {
        text += fmt::format("{:<12} {}\n", tool.name, tool.summary);
        list.push_back({{"name", tool.name}, {"summary", tool.summary}});
    }
    const nlohmann::ordered_json document = {{"schema", "vtrace/1"}, {"tools", list}};
    return json ? document.dump() + "\n" : text;
}

Status run(const Command& command, std::chrono::steady_clock::time_point process_start)
{
    if (command.text)
        return print(*command.text);
    if (command.list)
        return print(tool_list(command.options.json));
    if (command.check)
        return run_check(command.options.json);
    if (command.ps)
        return run_ps(command.options.json, command.ps_watch);
    if (command.completion)
        return print(bash_completion());
    if (command.record)
        return run_record(*command.record, command.options, process_start);
    if (command.compare)
        return run_compare(*command.compare, command.options);
    if (command.rules)
        return run_rules(*command.rules, command.options);
    if (command.diagnose && command.replay)
        return run_diagnose(*command.diagnose, *command.replay, command.options);
    if (command.diagnose)
        return run_diagnose(*command.diagnose, command.options, process_start);
    if (command.demo && command.demo->scenario.empty())
        return print(demo_list(command.options.json));
    if (command.demo)
        return run_demo(*command.demo, command.options, process_start);
    if (command.replay && command.tool == nullptr)
        return run_replay(*command.replay, command.options);
    if (command.replay)
        return run_replay(*command.replay, *command.tool, command.options);
    return run_tool(*command.tool, command.options, process_start);
}

int fail(const Error& error, bool verbose)
{
    // Not fmt::print, which throws if stderr is closed or full.
    const std::string text = (verbose ? libbpf_log() : "") + "vtrace: " + error.message() + "\n";
    static_cast<void>(std::fputs(text.c_str(), stderr));
    return static_cast<int>(error.exit);
}

int vtrace_main(int argc, char** argv)
{
    const auto process_start = std::chrono::steady_clock::now();
    reserve_standard_fds();
    capture_libbpf_log();
    if (argc > 1 && std::string_view(argv[1]) == "__complete") {
        const std::vector<std::string> words(argv + 2, argv + argc);
        const auto printed = print(complete(words, known_names));
        return printed ? 0 : 1;
    }
    const auto command = parse_command_line(argc, argv);
    if (!command)
        return fail(command.error(), false);
    const auto done = run(*command, process_start);
    return done ? 0 : fail(done.error(), command->options.verbose);
}

} // namespace
} // namespace vtrace

// What is thrown up to here is a lack of memory or a defect, and ends the process.
int main(int argc, char** argv) // NOLINT(bugprone-exception-escape)
{
    return vtrace::vtrace_main(argc, argv);
}
