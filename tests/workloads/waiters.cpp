// SPDX-License-Identifier: GPL-2.0-only
// Threads that wait for a CPU in known ways, and the kernel's own account of how long they did.
//
//   waiters spin N CPU        N threads that never sleep, all on CPU (-1: on any)
//   waiters nap N CPU US      N threads that work for US microseconds, then sleep as long
//   waiters waker FIFO US     a thread that writes a byte every US microseconds
//   waiters woken FIFO CPU    a thread that reads them
//
// They begin with the first line on stdin, come to rest with the second and end with the third. The
// process says "ready" when its threads are there and "resting" when all of them rest.
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

namespace {

std::atomic<bool> begin{false};
std::atomic<bool> stop{false};
std::atomic<bool> leave{false};
std::atomic<size_t> resting{0};

int64_t now_ns()
{
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * int64_t{1'000'000'000} + t.tv_nsec;
}

void pin(int cpu)
{
    if (cpu < 0)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    if (::sched_setaffinity(0, sizeof(set), &set) != 0) {
        std::perror("sched_setaffinity");
        std::exit(1);
    }
}

void sleep_us(int64_t us)
{
    timespec t{us / 1'000'000, us % 1'000'000 * 1000};
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr);
}

void work_us(int64_t us)
{
    const int64_t end = now_ns() + us * 1000;
    while (now_ns() < end && !stop) {
    }
}

// Waits without using the CPU until the flag is set, so that a thread does not add waits of its own.
void wait_for(const std::atomic<bool>& flag)
{
    flag.wait(false);
}

// What a thread does when it has stopped: nothing, until the account is taken.
void rest()
{
    resting++;
    wait_for(leave);
}

void run(int cpu, int64_t us)
{
    pin(cpu);
    wait_for(begin);
    while (!stop) {
        if (us == 0)
            continue;
        work_us(us);
        sleep_us(us);
    }
    rest();
}

void say(const char* word)
{
    std::puts(word);
    std::fflush(stdout);
}

void set(std::atomic<bool>& flag)
{
    flag = true;
    flag.notify_all();
}

// A waker that only writes, and a thread that only reads: the waker may be in another cgroup.
void waker(int64_t us, const char* path)
{
    pin(static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)) - 1);
    const int fd = ::open(path, O_WRONLY);
    wait_for(begin);
    while (!stop) {
        sleep_us(us);
        if (::write(fd, "x", 1) != 1)
            break;
    }
    ::close(fd);
    rest();
}

void woken(int cpu, const char* path)
{
    pin(cpu);
    const int fd = ::open(path, O_RDONLY);
    char byte = 0;
    while (::read(fd, &byte, 1) == 1) {
    }
    ::close(fd);
    rest();
}

// Ends the process if there is none: whoever started it has gone.
void next_line()
{
    char line[16];
    if (std::fgets(line, sizeof(line), stdin) == nullptr)
        std::_Exit(1);
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 4) {
        std::fprintf(stderr,
                     "usage: waiters spin N CPU | nap N CPU US | waker FIFO US | woken FIFO CPU\n");
        return 2;
    }
    const std::string kind = argv[1];
    std::vector<std::thread> threads;
    if (kind == "waker") {
        threads.emplace_back(waker, std::atol(argv[3]), argv[2]);
    } else if (kind == "woken") {
        threads.emplace_back(woken, std::atoi(argv[3]), argv[2]);
    } else {
        const int64_t us = kind == "nap" && argc > 4 ? std::atol(argv[4]) : 0;
        for (int i = 0; i < std::atoi(argv[2]); i++)
            threads.emplace_back(run, std::atoi(argv[3]), us);
    }
    // This thread sleeps while the others work: were it moved as it falls asleep, the kernel would
    // account that sleep as a wait (6.12 and newer).
    pin(::sched_getcpu());
    say("ready");
    next_line();
    set(begin);
    next_line();
    set(stop);
    constexpr int64_t kMoment = 20'000;
    while (resting != threads.size())
        sleep_us(kMoment);
    sleep_us(kMoment); // for the last one to fall asleep
    say("resting");
    next_line();
    set(leave);
    for (std::thread& thread : threads)
        thread.join();
    return 0;
}
