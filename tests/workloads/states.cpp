// SPDX-License-Identifier: GPL-2.0-only
// A thread that does one thing for good, so that where its time goes is known.
//
//   states spin | sleep | futex | flock | fcntl | pipe | pipe40 | pipe100 | socket | eventfd | poll | child |
//          pause | aio | stopped | fault
//   states disk FILE        writes and syncs it again and again
//   states storm N US       N children in a row, each of which works and sleeps for US microseconds
//
// It says "ready" as it begins. After a storm it says how long the threads lived and ran, in ns:
// "lived LEAST MOST ran NS"; the least is what the children count themselves, the most what their parent does.
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <map>
#include <string>

namespace {

int64_t now_ns()
{
    timespec t{};
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * int64_t{1'000'000'000} + t.tv_nsec;
}

void must(bool done, const char* what)
{
    if (done)
        return;
    std::perror(what);
    std::exit(1);
}

void ready()
{
    std::puts("ready");
    std::fflush(stdout);
}

void work_until(int64_t end)
{
    while (now_ns() < end) {
    }
}

void sleep_ns(int64_t ns)
{
    const timespec t{ns / 1'000'000'000, ns % 1'000'000'000};
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &t, nullptr);
}

// A child that only waits for a signal, and goes with its parent.
pid_t pausing_child(const std::function<void()>& first)
{
    const pid_t child = ::fork();
    must(child >= 0, "fork");
    if (child != 0)
        return child;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    first();
    for (;;)
        ::pause();
}

void wait_for_futex()
{
    static uint32_t word = 0;
    ::syscall(__NR_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
}

// Waits for a lock that a child holds; the child says so through a pipe.
void wait_for_lock(const std::function<int(int)>& lock)
{
    int told[2];
    must(::pipe(told) == 0, "pipe");
    const std::string path = "/tmp/vtrace-states-" + std::to_string(::getpid());
    pausing_child([&] {
        must(lock(::open(path.c_str(), O_RDWR | O_CREAT, 0600)) == 0, "lock");
        must(::write(told[1], "x", 1) == 1, "write");
    });
    char byte = 0;
    must(::read(told[0], &byte, 1) == 1, "read");
    const int fd = ::open(path.c_str(), O_RDWR);
    ::unlink(path.c_str());
    ready();
    lock(fd);
}

int record_lock(int fd)
{
    struct flock whole = {};
    whole.l_type = F_WRLCK;
    return ::fcntl(fd, F_SETLKW, &whole);
}

void read_from(int fd)
{
    char buffer[8];
    ready();
    must(::read(fd, buffer, sizeof(buffer)) > 0, "read");
}

void wait_for_page()
{
    auto fd = static_cast<int>(::syscall(__NR_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
    if (fd < 0) // before 5.11
        fd = static_cast<int>(::syscall(__NR_userfaultfd, O_CLOEXEC));
    must(fd >= 0, "userfaultfd");
    uffdio_api api = {};
    api.api = UFFD_API;
    must(::ioctl(fd, UFFDIO_API, &api) == 0, "UFFDIO_API");
    const auto length = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    void* page =
        ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(page != MAP_FAILED, "mmap");
    uffdio_register range = {};
    range.range = {reinterpret_cast<uint64_t>(page), length};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    must(::ioctl(fd, UFFDIO_REGISTER, &range) == 0, "UFFDIO_REGISTER");
    ready();
    *static_cast<volatile char*>(page) = 1;
}

void sync_for_good(const char* path)
{
    const int fd = ::open(path, O_RDWR | O_CREAT, 0600);
    must(fd >= 0, path);
    constexpr size_t kBlock = 4096;
    constexpr size_t kBlocks = 4096;
    const std::string block(kBlock, 'x');
    ready();
    for (size_t at = 0;; at++) {
        must(::pwrite(fd, block.data(), kBlock, static_cast<off_t>(at % kBlocks * kBlock)) > 0,
             "pwrite");
        must(::fsync(fd) == 0, "fsync");
    }
}

int64_t cpu_ns(int who)
{
    rusage usage{};
    ::getrusage(who, &usage);
    const auto ns = [](const timeval& t) {
        return t.tv_sec * int64_t{1'000'000'000} + t.tv_usec * 1000;
    };
    return ns(usage.ru_utime) + ns(usage.ru_stime);
}

void storm(int children, int64_t us)
{
    auto* counted = static_cast<int64_t*>(::mmap(nullptr, sizeof(int64_t), PROT_READ | PROT_WRITE,
                                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    must(counted != MAP_FAILED, "mmap");
    ready();
    const int64_t begin = now_ns();
    int64_t most = 0;
    for (int i = 0; i < children; i++) {
        const int64_t forked = now_ns();
        const pid_t child = ::fork();
        must(child >= 0, "fork");
        if (child == 0) {
            const int64_t born = now_ns();
            work_until(born + us * 1000);
            sleep_ns(us * 1000);
            *counted += now_ns() - born;
            ::_exit(0);
        }
        ::waitpid(child, nullptr, 0);
        most += now_ns() - forked;
    }
    const int64_t own = now_ns() - begin;
    std::printf("lived %lld %lld ran %lld\n", static_cast<long long>(own + *counted),
                static_cast<long long>(own + most),
                static_cast<long long>(cpu_ns(RUSAGE_SELF) + cpu_ns(RUSAGE_CHILDREN)));
    std::fflush(stdout);
    for (;;)
        ::pause();
}

// Through a descriptor of at least that number: vtrace finds the first ones, those of the table that a process begins
// with, and those beyond it in three ways.
void read_from_pipe(int at_least)
{
    int ends[2];
    must(::pipe(ends) == 0, "pipe");
    read_from(::fcntl(ends[0], F_DUPFD, at_least));
}

// What does not return by itself, or only after a signal.
std::map<std::string, std::function<void()>> kinds()
{
    return {
        {"spin", [] { ready(), work_until(INT64_MAX); }},
        {"sleep", [] { ready(), sleep_ns(int64_t{3600} * 1'000'000'000); }},
        {"futex", [] { ready(), wait_for_futex(); }},
        {"flock", [] { wait_for_lock([](int fd) { return ::flock(fd, LOCK_EX); }); }},
        {"fcntl", [] { wait_for_lock(record_lock); }},
        {"pipe", [] { read_from_pipe(0); }},
        {"pipe40", [] { read_from_pipe(40); }},
        {"pipe100", [] { read_from_pipe(100); }},
        {"socket",
         [] {
             int ends[2];
             must(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
             read_from(ends[0]);
         }},
        {"eventfd", [] { read_from(::eventfd(0, 0)); }},
        {"poll",
         [] {
             epoll_event event = {};
             const int fd = ::epoll_create1(0);
             ready();
             ::epoll_wait(fd, &event, 1, -1);
         }},
        {"child",
         [] {
             pausing_child([] {});
             ready();
             ::waitpid(-1, nullptr, 0);
         }},
        {"pause", [] { ready(), ::pause(); }},
        {"aio",
         [] {
             aio_context_t context = 0;
             io_event event = {};
             must(::syscall(__NR_io_setup, 1, &context) == 0, "io_setup");
             ready();
             ::syscall(__NR_io_getevents, context, 1, 1, &event, nullptr);
         }},
        {"stopped", [] { ready(), ::raise(SIGSTOP); }},
        {"fault", wait_for_page},
    };
}

} // namespace

int main(int argc, char** argv)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const std::string kind = argc > 1 ? argv[1] : "";
    if (kind == "disk" && argc == 3)
        sync_for_good(argv[2]);
    if (kind == "storm" && argc == 4)
        storm(std::atoi(argv[2]), std::atol(argv[3]));
    const auto all = kinds();
    const auto found = all.find(kind);
    if (found == all.end()) {
        std::fprintf(stderr, "usage: states KIND | states disk FILE | states storm N US\n");
        return 2;
    }
    found->second();
    std::fprintf(stderr, "states: %s came to an end\n", kind.c_str());
    return 1;
}
