// SPDX-License-Identifier: GPL-2.0-only
//
// Two threads on one CPU pass a byte through two pipes. Each round trip is two context
// switches, so that the time per round trip shows what a tracer adds to a switch.
// Paced, it waits between a few round trips, for so many in a second.
//
//   wl_pingpong --cpu 1 --seconds 2
//   wl_pingpong --cpu 1 --seconds 2 --per-second 25000

#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>

namespace {

constexpr long kWarmUpTrips = 1000;
constexpr long kTripsPerClockRead = 64; // keeps the clock's own cost out of the figure

struct Pipe {
    int read_end = -1;
    int write_end = -1;
};

[[noreturn]] void fail(const char* what, int error)
{
    ::dprintf(STDERR_FILENO, "pingpong: %s: %s\n", what, std::strerror(error));
    std::exit(1);
}

[[noreturn]] void usage()
{
    ::dprintf(STDERR_FILENO, "usage: wl_pingpong --cpu N --seconds S [--per-second TRIPS]\n");
    std::exit(2);
}

Pipe make_pipe()
{
    std::array<int, 2> fds{};
    if (::pipe(fds.data()) != 0)
        fail("pipe", errno);
    return {fds[0], fds[1]};
}

void pin_to(std::size_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    const int error = ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
    if (error != 0)
        fail("cannot run on this CPU", error);
}

// On the clock of now_ns(). Not if it is later than that: then what is late is caught up with.
void wait_until(double ns)
{
    constexpr double kNsPerSecond = 1e9;
    timespec t{};
    t.tv_sec = static_cast<time_t>(ns / kNsPerSecond);
    t.tv_nsec = static_cast<long>(ns - static_cast<double>(t.tv_sec) * kNsPerSecond);
    while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
    }
}

double now_ns()
{
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

// The peer sends each byte back until the pipe is closed.
void echo(std::size_t cpu, Pipe in, Pipe out)
{
    pin_to(cpu);
    char byte = 0;
    while (::read(in.read_end, &byte, 1) == 1) {
        if (::write(out.write_end, &byte, 1) != 1)
            fail("write", errno);
    }
}

void round_trips(long count, Pipe there, Pipe back)
{
    char byte = 0;
    for (long i = 0; i < count; ++i) {
        if (::write(there.write_end, &byte, 1) != 1)
            fail("write", errno);
        if (::read(back.read_end, &byte, 1) != 1)
            fail("read", errno);
    }
}

double number(const char* text, double most)
{
    char* end = nullptr;
    const double value = std::strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0) || value > most)
        usage();
    return value;
}

} // namespace

int main(int argc, char** argv)
{
    double chosen = -1;
    double seconds = -1;
    double per_second = 0; // 0: as many as there can be
    const std::array<option, 4> options{{{"cpu", required_argument, nullptr, 'c'},
                                         {"seconds", required_argument, nullptr, 's'},
                                         {"per-second", required_argument, nullptr, 'p'},
                                         {nullptr, 0, nullptr, 0}}};
    for (int choice = 0; (choice = ::getopt_long(argc, argv, "", options.data(), nullptr)) != -1;) {
        switch (choice) {
        case 'c': chosen = number(optarg, CPU_SETSIZE - 1); break;
        case 's': seconds = number(optarg, 1e6); break;
        case 'p': per_second = number(optarg, 1e7); break;
        default: usage();
        }
    }
    if (optind != argc || chosen < 0 || seconds <= 0)
        usage();

    const auto cpu = static_cast<std::size_t>(chosen);
    pin_to(cpu);
    const Pipe there = make_pipe();
    const Pipe back = make_pipe();
    std::thread peer(echo, cpu, there, back);
    round_trips(kWarmUpTrips, there, back);

    const double start = now_ns();
    double elapsed = 0;
    long done = 0;
    while (elapsed < seconds * 1e9) {
        round_trips(kTripsPerClockRead, there, back);
        done += kTripsPerClockRead;
        if (per_second > 0)
            wait_until(start + 1e9 * static_cast<double>(done) / per_second);
        elapsed = now_ns() - start;
    }
    ::close(there.write_end);
    peer.join();

    std::printf("{\"cpu\":%zu,\"seconds\":%.6f,\"round_trips\":%ld,\"ns_per_round_trip\":%.1f}\n",
                cpu, elapsed / 1e9, done, elapsed / static_cast<double>(done));
    return std::fflush(stdout) == 0 ? 0 : 1;
}
