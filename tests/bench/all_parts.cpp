// SPDX-License-Identifier: GPL-2.0-only
// What an agent would have on all the time: waits for a CPU, who is to blame for them, and the states of threads, in
// one program on the switch. usage: bench_all_parts SECONDS COUNT
#include "tools/collectors.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

int main(int argc, char** argv)
{
    using namespace vtrace;
    using std::chrono::steady_clock;
    if (argc != 3)
        return 2;
    ToolOptions options;
    options.group = "cgroup";
    const SchedParts parts{.waits = true, .throttling = true, .blame = true, .states = true};
    auto collectors = Collectors::start(options, {.sched = parts}, steady_clock::now());
    if (!collectors) {
        std::fprintf(stderr, "%s\n", collectors.error().what.c_str());
        return 1;
    }
    constexpr auto kPoll = std::chrono::milliseconds(100);
    auto next = steady_clock::now();
    for (int left = std::atoi(argv[2]); left > 0; left--) {
        for (next += std::chrono::seconds(std::atoi(argv[1])); steady_clock::now() < next;) {
            std::this_thread::sleep_for(kPoll);
            if (!(*collectors)->poll())
                return 1;
        }
        if (!(*collectors)->read())
            return 1;
    }
    return 0;
}
