// SPDX-License-Identifier: GPL-2.0-only
// A thread that blocks with each of 2^DEPTH stacks once.
//
//   stacks DEPTH
//
// It says "ready", begins with a line on stdin, says "done" and ends with stdin. Built with frame pointers.
#include <cstdio>
#include <cstdlib>
#include <ctime>

// Each bit of the path is one of two calls, which return to different places.
extern "C" [[gnu::noinline]] void descend(unsigned path, long depth)
{
    if (depth == 0) {
        const timespec t{0, 1};
        ::nanosleep(&t, nullptr);
    } else if ((path & 1U) != 0) {
        asm volatile("# right");
        descend(path >> 1U, depth - 1);
        asm volatile("# right done");
    } else {
        asm volatile("# left");
        descend(path >> 1U, depth - 1);
        asm volatile("# left done");
    }
    asm volatile("");
}

int main(int argc, char** argv)
{
    const long depth = argc == 2 ? std::strtol(argv[1], nullptr, 10) : 0;
    if (depth < 1 || depth > 20)
        return 2;
    std::puts("ready");
    std::fflush(stdout);
    std::getchar();
    for (unsigned path = 0; path < 1U << depth; path++)
        descend(path, depth);
    std::puts("done");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    return 0;
}
