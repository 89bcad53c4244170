// SPDX-License-Identifier: GPL-2.0-only
//
// Many cgroups with one process each, whose threads sleep and wake periodically: the load of a host
// packed with containers.
//
//   wl_herd --cgroups 5000 --threads 4 --period-us 200000 --root /sys/fs/cgroup/cpu/herd
//           [--wakeups FILE]
//
// Prints "ready" when every thread runs, and stays until SIGTERM, SIGINT or the end of its stdin; then
// its processes and cgroups are gone. With --wakeups, FILE holds one 64-bit count of wake-ups per
// thread, kept up to date: what a tracer's counts can be checked against.

#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace {

using Counter = std::atomic<std::uint64_t>;
static_assert(Counter::is_always_lock_free && sizeof(Counter) == 8);

constexpr std::size_t kThreadStack = 64UL * 1024;
constexpr int kReadyPollMs = 5;
// A cgroup stays busy for a moment after its last task was reaped.
constexpr int kRemoveTries = 2000;
constexpr int kRemoveRetryUs = 5000;

struct Plan {
    int cgroups = 0;
    int threads = 0;
    long period_us = 0;
    std::string root;
    std::string wakeups_file;

    [[nodiscard]] std::size_t total() const
    {
        return static_cast<std::size_t>(cgroups) * static_cast<std::size_t>(threads);
    }
    [[nodiscard]] std::string cgroup(int index) const
    {
        return root + "/g" + std::to_string(index);
    }
};

// What one thread of a child needs. It lives in the child's main(), which never returns.
struct Sleeper {
    long first_us = 0;
    long period_us = 0;
    Counter* wakeups = nullptr;
};

void complain(const std::string& what)
{
    ::dprintf(STDERR_FILENO, "herd: %s: %s\n", what.c_str(), std::strerror(errno));
}

[[noreturn]] void usage()
{
    ::dprintf(STDERR_FILENO,
              "usage: wl_herd --cgroups N --threads T --period-us P --root DIR [--wakeups FILE]\n");
    std::exit(2);
}

long number(const char* text, long most)
{
    char* end = nullptr;
    errno = 0;
    const long value = std::strtol(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || value < 1 || value > most)
        usage();
    return value;
}

Plan parse(int argc, char** argv)
{
    Plan plan;
    const std::array<option, 6> options{{{"cgroups", required_argument, nullptr, 'g'},
                                         {"threads", required_argument, nullptr, 't'},
                                         {"period-us", required_argument, nullptr, 'p'},
                                         {"root", required_argument, nullptr, 'r'},
                                         {"wakeups", required_argument, nullptr, 'w'},
                                         {nullptr, 0, nullptr, 0}}};
    for (int choice = 0; (choice = ::getopt_long(argc, argv, "", options.data(), nullptr)) != -1;) {
        switch (choice) {
        case 'g': plan.cgroups = static_cast<int>(number(optarg, 1'000'000)); break;
        case 't': plan.threads = static_cast<int>(number(optarg, 10'000)); break;
        case 'p': plan.period_us = number(optarg, 3'600'000'000); break;
        case 'r': plan.root = optarg; break;
        case 'w': plan.wakeups_file = optarg; break;
        default: usage();
        }
    }
    if (optind != argc || plan.cgroups == 0 || plan.threads == 0 || plan.period_us == 0 ||
        plan.root.empty()) {
        usage();
    }
    return plan;
}

// One counter per thread, shared by all children; in the caller's file if it wants to look.
Counter* map_counters(const Plan& plan)
{
    const std::size_t bytes = plan.total() * sizeof(Counter);
    constexpr int kFlags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;
    const int fd = plan.wakeups_file.empty() ? ::memfd_create("wakeups", MFD_CLOEXEC)
                                             : ::open(plan.wakeups_file.c_str(), kFlags, 0644);
    if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
        complain("the counters");
        std::exit(1);
    }
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        complain("mmap");
        std::exit(1);
    }
    ::close(fd);
    return static_cast<Counter*>(at);
}

void sleep_us(long us)
{
    const timespec t{us / 1'000'000, (us % 1'000'000) * 1000};
    ::nanosleep(&t, nullptr);
}

void* sleep_forever(void* arg)
{
    const Sleeper& me = *static_cast<const Sleeper*>(arg);
    ::prctl(PR_SET_TIMERSLACK, 1); // otherwise the kernel wakes neighbours together
    me.wakeups->fetch_add(1, std::memory_order_relaxed); // counts as running from here
    for (sleep_us(me.first_us);; sleep_us(me.period_us))
        me.wakeups->fetch_add(1, std::memory_order_relaxed);
    return nullptr;
}

bool enter(const std::string& cgroup)
{
    const int fd = ::open((cgroup + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
    const bool entered = fd >= 0 && ::write(fd, "0", 1) == 1;
    if (!entered)
        complain(cgroup);
    if (fd >= 0)
        ::close(fd);
    return entered;
}

[[noreturn]] void be_child(const Plan& plan, int index, pid_t parent, Counter* counters)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent)
        ::_exit(1); // it died before the line above
    if (!enter(plan.cgroup(index)))
        ::_exit(1);
    std::vector<Sleeper> sleepers(static_cast<std::size_t>(plan.threads));
    for (std::size_t i = 0; i < sleepers.size(); ++i) {
        const std::size_t place = static_cast<std::size_t>(index) * sleepers.size() + i;
        // Phases are spread evenly: the load is even from the first period on.
        const double phase = static_cast<double>(place) / static_cast<double>(plan.total());
        sleepers[i] = {static_cast<long>(phase * static_cast<double>(plan.period_us)) + 1,
                       plan.period_us, counters + place};
    }
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, kThreadStack);
    for (std::size_t i = 1; i < sleepers.size(); ++i) {
        pthread_t thread{};
        errno = ::pthread_create(&thread, &attributes, sleep_forever, &sleepers[i]);
        if (errno != 0) {
            complain("pthread_create");
            ::_exit(1);
        }
    }
    sleep_forever(sleepers.data());
    ::_exit(0);
}

class Herd {
public:
    explicit Herd(const Plan& plan) : plan_(plan), counters_(map_counters(plan))
    {
        // Read through a descriptor, a signal cannot interrupt half a step of the set-up. The children
        // keep them blocked: Ctrl-C reaches the whole group, and only the parent is to answer.
        sigset_t handled;
        ::sigemptyset(&handled);
        for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGCHLD})
            ::sigaddset(&handled, signal);
        ::sigprocmask(SIG_BLOCK, &handled, nullptr);
        signals_ = ::signalfd(-1, &handled, SFD_NONBLOCK | SFD_CLOEXEC);
    }
    Herd(const Herd&) = delete;
    Herd& operator=(const Herd&) = delete;
    ~Herd() = default;

    // Everything made so far goes again, whatever start() got to.
    void clear_up()
    {
        for (const pid_t child : children_)
            ::kill(child, SIGKILL);
        for (const pid_t child : children_)
            ::waitpid(child, nullptr, 0);
        for (int i = 0; i < made_; ++i)
            remove(plan_.cgroup(i));
        if (made_root_)
            remove(plan_.root);
    }

    // False: stopped half way, or failed (see failed()).
    bool start()
    {
        made_root_ = ::mkdir(plan_.root.c_str(), 0755) == 0;
        if (!made_root_ && errno != EEXIST)
            return fail(plan_.root);
        const pid_t self = ::getpid();
        for (int i = 0; i < plan_.cgroups; ++i) {
            if (stopped(0))
                return false;
            if (::mkdir(plan_.cgroup(i).c_str(), 0755) != 0)
                return fail(plan_.cgroup(i));
            made_ = i + 1;
            const pid_t child = ::fork();
            if (child < 0)
                return fail("fork");
            if (child == 0)
                be_child(plan_, i, self, counters_);
            children_.push_back(child);
        }
        while (!all_run()) {
            if (stopped(kReadyPollMs))
                return false;
        }
        return true;
    }

    void stay()
    {
        while (!stopped(-1)) {
        }
    }

    [[nodiscard]] bool failed() const { return failed_; }

private:
    bool fail(const std::string& what)
    {
        complain(what);
        failed_ = true;
        return false;
    }

    void remove(const std::string& cgroup)
    {
        for (int i = 0; i < kRemoveTries; ++i) {
            if (::rmdir(cgroup.c_str()) == 0 || errno == ENOENT)
                return;
            if (errno != EBUSY)
                break;
            ::usleep(kRemoveRetryUs);
        }
        fail(cgroup);
    }

    [[nodiscard]] bool all_run() const
    {
        return std::all_of(counters_, counters_ + plan_.total(),
                           [](const Counter& count) { return count.load() != 0; });
    }

    // A dead child is a failure: the caller was promised all of them.
    bool a_child_died()
    {
        const pid_t child = ::waitpid(-1, nullptr, WNOHANG);
        if (child <= 0)
            return false;
        children_.erase(std::find(children_.begin(), children_.end(), child));
        ::dprintf(STDERR_FILENO, "herd: child %d died\n", static_cast<int>(child));
        failed_ = true;
        return true;
    }

    // Waits up to timeout_ms for a reason to stop.
    bool stopped(int timeout_ms)
    {
        std::array<pollfd, 2> watched{{{signals_, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
        if (::poll(watched.data(), watched.size(), timeout_ms) <= 0)
            return false;
        if (watched[1].revents != 0) {
            std::array<char, 64> ignored{};
            if (::read(STDIN_FILENO, ignored.data(), ignored.size()) <= 0)
                return true;
        }
        signalfd_siginfo info{};
        while (::read(signals_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
            if (info.ssi_signo != SIGCHLD || a_child_died())
                return true;
        }
        return false;
    }

    Plan plan_;
    Counter* counters_ = nullptr;
    int signals_ = -1;
    std::vector<pid_t> children_;
    int made_ = 0;
    bool made_root_ = false;
    bool failed_ = false;
};

bool run(const Plan& plan)
{
    Herd herd(plan);
    if (herd.start()) {
        std::puts("ready");
        std::fflush(stdout);
        herd.stay();
    }
    herd.clear_up();
    return !herd.failed();
}

} // namespace

int main(int argc, char** argv)
{
    return run(parse(argc, argv)) ? 0 : 1;
}
