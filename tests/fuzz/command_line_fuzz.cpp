// SPDX-License-Identifier: GPL-2.0-only
// Words, separated by newlines.
#include "require.h"
#include "tools/command_line.h"
#include "tools/completion.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace vtrace;
    std::vector<std::string> words = {""};
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n')
            words.emplace_back();
        else if (data[i] != '\0') // an argument ends there
            words.back() += static_cast<char>(data[i]);
    }
    std::vector<const char*> argv = {"vtrace"};
    for (const std::string& word : words)
        argv.push_back(word.c_str());
    const auto argc = static_cast<int>(argv.size());
    argv.push_back(nullptr);

    const auto command = parse_command_line(argc, argv.data());
    if (!command) {
        const std::string message = command.error().message();
        fuzz::require(command.error().exit == ExitCode::kUsage, "it is wrong usage", message);
        fuzz::require(fuzz::harmless(message), "an error is one printable line", message);
    } else {
        const int meanings = int{command->tool != nullptr} + int{command->list} +
                             int{command->check} + int{command->ps} + int{command->completion} +
                             int{command->text.has_value()};
        fuzz::require(meanings == 1, "exactly one thing is to be done");
        const ToolOptions& o = command->options;
        fuzz::require(o.interval == 0 || (o.interval >= 0.01 && o.interval <= 31'536'000),
                      "INTERVAL in range");
        fuzz::require(command->ps_watch == 0 ||
                          (command->ps && command->ps_watch >= 0.1 && command->ps_watch <= 86'400),
                      "--watch in range");
        fuzz::require(o.slower_ms == 0 || (o.slower_ms >= 0.001 && o.slower_ms <= 86'400'000),
                      "--slower in range");
        fuzz::require(o.pid >= 0 && o.pid <= 1 << 22 && o.top <= 1'000'000 &&
                          o.count <= 1'000'000'000,
                      "in range");
    }
    // Whatever a name is, what is offered are lines that drive no terminal.
    const std::string name = words.back();
    const auto known = [&](const std::string&, const std::string& typed) {
        return std::vector<std::string>{name, typed + name};
    };
    for (const char* option : {"--container=", "--cgroup=/"}) {
        std::string offered = complete({"runqlat", option}, known);
        std::erase(offered, '\n');
        fuzz::require(fuzz::harmless(offered), "candidates are printable", offered);
    }
    (void)complete(words, known);
    return 0;
}
