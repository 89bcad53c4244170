// SPDX-License-Identifier: GPL-2.0-only
// A thread that blocks in known functions for known times, and its own account of them.
//
//   blocker ROUNDS MS    in each round blocks once in every way, for about MS milliseconds
//
// It says "ready", begins with a line on stdin, prints its account as a line of JSON and ends with stdin:
// for each function its calls, each with the nanoseconds that it took, how often it blocked and how often it
// was preempted.
// Built with frame pointers; it enters the kernel by itself, as libc has none.
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>
#include <vector>

namespace {

struct Call {
    int64_t ns = 0;
    long blocked = 0;
    long preempted = 0;
};

struct Account {
    const char* name = nullptr;
    std::vector<Call> calls;
};

std::array<int, 2> asked{}; // pipes and the like, from one thread to the other
std::array<int, 2> pipe_ends{};
std::array<int, 2> socket_ends{};
std::array<int, 2> polled{};
int epoll_fd = -1;
std::atomic<uint32_t> futex_word{0};
long block_ms = 0;

int64_t now_ns()
{
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * int64_t{1'000'000'000} + t.tv_nsec;
}

[[gnu::always_inline]] inline long enter_kernel(long number, long a, long b, long c, long d)
{
#ifdef __x86_64__
    long result = 0;
    register long fourth asm("r10") = d;
    register long fifth asm("r8") = 0; // of epoll_pwait: no signal mask
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
                 : "rcx", "r11", "memory");
    return result;
#else
    return ::syscall(number, a, b, c, d, 0L);
#endif
}

template <typename T> long address(T* pointer)
{
    return reinterpret_cast<long>(pointer);
}

void sleep_ms(long ms)
{
    const timespec t{ms / 1000, ms % 1000 * 1'000'000};
    ::nanosleep(&t, nullptr);
}

void ask_for(char what)
{
    if (::write(asked[1], &what, 1) != 1)
        std::exit(1);
}

} // namespace

// Named for the tests. What follows the call keeps it from being the last thing of the function, which
// would leave no frame behind.
extern "C" {

[[gnu::noinline]] void block_in_sleep()
{
    const timespec t{block_ms / 1000, block_ms % 1000 * 1'000'000};
    enter_kernel(SYS_nanosleep, address(&t), 0, 0, 0);
    asm volatile("");
}

[[gnu::noinline]] void block_on_futex()
{
    char local = 0; // without one there would be no frame
    enter_kernel(SYS_futex, address(&futex_word), FUTEX_WAIT_PRIVATE, 0, 0);
    asm volatile("" : : "r"(&local));
}

[[gnu::noinline]] void block_on_pipe()
{
    char byte = 0;
    enter_kernel(SYS_read, pipe_ends[0], address(&byte), 1, 0);
    asm volatile("");
}

[[gnu::noinline]] void block_on_socket()
{
    char byte = 0;
    enter_kernel(SYS_read, socket_ends[0], address(&byte), 1, 0);
    asm volatile("");
}

[[gnu::noinline]] void block_in_epoll()
{
    epoll_event event{};
    char byte = 0;
    enter_kernel(SYS_epoll_pwait, epoll_fd, address(&event), 1, -1);
    asm volatile("");
    static_cast<void>(::read(polled[0], &byte, 1));
}

[[gnu::noinline]] void one_round(std::array<Account, 5>& accounts)
{
    static constexpr std::array kBlocks{block_in_sleep, block_on_futex, block_on_pipe,
                                        block_on_socket, block_in_epoll};
    static constexpr std::array kAsk{'-', 'f', 'p', 's', 'e'};
    for (size_t i = 0; i < kBlocks.size(); i++) {
        futex_word = 0;
        if (kAsk[i] != '-')
            ask_for(kAsk[i]);
        rusage before{};
        rusage after{};
        ::getrusage(RUSAGE_THREAD, &before);
        const int64_t start = now_ns();
        kBlocks[i]();
        const int64_t ns = now_ns() - start;
        ::getrusage(RUSAGE_THREAD, &after);
        accounts[i].calls.push_back({.ns = ns,
                                     .blocked = after.ru_nvcsw - before.ru_nvcsw,
                                     .preempted = after.ru_nivcsw - before.ru_nivcsw});
    }
}

[[gnu::noinline]] void all_rounds(long rounds, std::array<Account, 5>& accounts)
{
    for (long i = 0; i < rounds; i++)
        one_round(accounts);
    asm volatile("");
}
}

namespace {

// Ends the blocks, each in its time.
void wake()
{
    char what = 0;
    while (::read(asked[0], &what, 1) == 1) {
        sleep_ms(block_ms);
        const auto write_to = [&](int fd) { return ::write(fd, &what, 1) == 1; };
        bool done = true;
        switch (what) {
        case 'f':
            futex_word = 1;
            ::syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, 1, nullptr);
            break;
        case 'p': done = write_to(pipe_ends[1]); break;
        case 's': done = write_to(socket_ends[1]); break;
        default: done = write_to(polled[1]); break;
        }
        if (!done)
            std::exit(1);
    }
}

bool set_up()
{
    epoll_event event{};
    event.events = EPOLLIN;
    epoll_fd = ::epoll_create1(0);
    return ::pipe(asked.data()) == 0 && ::pipe(pipe_ends.data()) == 0 &&
           ::pipe(polled.data()) == 0 &&
           ::socketpair(AF_UNIX, SOCK_STREAM, 0, socket_ends.data()) == 0 &&
           ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, polled[0], &event) == 0;
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 3 || !set_up()) {
        static_cast<void>(std::fprintf(stderr, "usage: blocker ROUNDS MS\n"));
        return 2;
    }
    const long rounds = std::strtol(argv[1], nullptr, 10);
    block_ms = std::strtol(argv[2], nullptr, 10);
    std::array<Account, 5> accounts{{{"block_in_sleep", {}},
                                     {"block_on_futex", {}},
                                     {"block_on_pipe", {}},
                                     {"block_on_socket", {}},
                                     {"block_in_epoll", {}}}};
    std::thread waker(wake);
    std::puts("ready");
    static_cast<void>(std::fflush(stdout));
    if (std::getchar() == EOF)
        std::_Exit(0);
    all_rounds(rounds, accounts);
    const char* separator = "{";
    for (const Account& account : accounts) {
        std::printf("%s\"%s\":", separator, account.name);
        separator = "[";
        for (const Call& call : account.calls) {
            std::printf("%s[%lld,%ld,%ld]", separator, static_cast<long long>(call.ns),
                        call.blocked, call.preempted);
            separator = ",";
        }
        std::printf("]");
    }
    std::puts("}");
    static_cast<void>(std::fflush(stdout));
    while (std::getchar() != EOF) {
    }
    std::_Exit(0); // the other thread waits
}
