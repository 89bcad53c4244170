// SPDX-License-Identifier: GPL-2.0-only
#include "tools/command_line.h"

#include "base/printable.h"
#include "tools/command_options.h"
#include "tools/option_checks.h"

#include <algorithm>

namespace vtrace {
namespace {

// One line of what may be several.
std::string first_line(const std::string& text)
{
    return text.substr(0, text.find('\n'));
}

// Of the innermost subcommand that is named.
std::string help_text(const CLI::App& app)
{
    std::string before;
    const CLI::App* of = &app;
    for (auto chosen = of->get_subcommands(); !chosen.empty(); chosen = of->get_subcommands()) {
        before += (before.empty() ? "" : " ") + of->get_name();
        of = chosen.front();
    }
    return of->help(before);
}

} // namespace

Result<Command> parse_command_line(int argc, const char* const* argv)
{
    std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
    if (auto checked = check_words(words); !checked)
        return checked.error();
    if (auto checked = check_words_of_tool(words); !checked)
        return checked.error();
    // A flag without a value must be told from every value.
    for (const TargetFlag& target : kTargets)
        std::ranges::replace(words, flag_of(target),
                             flag_of(target) + "=" + std::string(target.all));
    if (words.front() == "ps") {
        if (auto checked = check_words_of_ps(words); !checked)
            return checked.error();
        std::ranges::replace(words, "--watch", "--watch=2");
    }
    std::ranges::reverse(words); // as CLI11 takes them
    Parser parser;
    Command& command = parser.command;
    // CLI11 reports by exceptions; they end here.
    try {
        parser.app.parse(words);
    } catch (const CLI::CallForVersion& version) {
        command.text = std::string(version.what()) + "\n";
        return std::move(command);
    } catch (const CLI::CallForHelp&) {
        command.text = help_text(parser.app);
        return std::move(command);
    } catch (const CLI::ParseError& error) {
        return usage(printable(first_line(error.what())));
    }
    if (auto checked = check_options(parser.raw, command.options); !checked)
        return checked.error();
    if (auto checked = check_watch(parser.raw, command.ps_watch); !checked)
        return checked.error();
    command.list = parser.list->parsed();
    command.check = parser.check->parsed();
    command.ps = parser.ps->parsed();
    command.completion = parser.completion->parsed();
    if (parser.app.got_subcommand("record")) {
        auto checked = check_record(parser.raw, command.options, command.record.emplace());
        if (!checked)
            return checked.error();
    }
    if (parser.app.got_subcommand(std::string(kDemo))) {
        auto checked = check_demo(parser.raw, command.demo.emplace());
        if (!checked)
            return checked.error();
    }
    const bool report = parser.app.got_subcommand(std::string(kReport));
    if (report) {
        auto checked = check_replay(parser.raw, command.replay.emplace());
        if (!checked)
            return checked.error();
    }
    if (parser.app.got_subcommand(std::string(kCompare))) {
        CompareOptions& compare = command.compare.emplace();
        compare.files = parser.raw.files;
        if (auto checked = check_replay(parser.raw, compare.part); !checked)
            return checked.error();
    }
    if (parser.app.got_subcommand("rules"))
        command.rules = parser.raw.rules;
    const CLI::App& app = report ? *parser.app.get_subcommand(std::string(kReport)) : parser.app;
    if (app.got_subcommand(std::string(kDiagnose))) {
        auto checked = check_diagnose(parser.raw, command.options, command.diagnose.emplace());
        if (!checked)
            return checked.error();
    }
    for (const ToolSpec& tool : tools()) {
        if (!app.got_subcommand(std::string(tool.name)))
            continue;
        command.tool = &tool;
        if (auto checked = check_group(tool, command.options); !checked)
            return checked.error();
    }
    return std::move(command);
}

} // namespace vtrace
