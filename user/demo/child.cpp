// SPDX-License-Identifier: GPL-2.0-only
#include "demo/child.h"

#include "base/fd.h"
#include "base/files.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

namespace vtrace {
namespace {

constexpr unsigned kMostSeconds = 60;
constexpr std::string_view kIsReady = ".";

// If the host runs out of memory meanwhile, a demo is what can be spared.
void offer_to_oom_killer()
{
    const std::string file = "/proc/self/oom_score_adj";
    const Fd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    if (fd)
        static_cast<void>(write_all(fd.get(), "1000", file));
}

[[noreturn]] void live(pid_t parent, Fd to_parent, const std::string& name,
                       const std::function<Status(const Ready&)>& work)
{
    die_with(parent);
    ::setpgid(0, 0);
    offer_to_oom_killer();
    ::prctl(PR_SET_NAME, name.c_str());
    const std::string pipe = "a pipe";
    const auto done = work([&] {
        static_cast<void>(write_all(to_parent.get(), kIsReady, pipe));
        to_parent = Fd();
    });
    if (!done && to_parent)
        static_cast<void>(write_all(to_parent.get(), done.error().message(), pipe));
    ::_exit(done ? 0 : 1);
}

size_t threads_of_vtrace()
{
    size_t count = 0;
    std::error_code error;
    for (std::filesystem::directory_iterator at("/proc/self/task", error), end; !error && at != end;
         at.increment(error))
        count++;
    return count;
}

} // namespace

void die_with(pid_t parent)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) // it died before
        ::_exit(1);
    static_cast<void>(::signal(SIGALRM, SIG_DFL));
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGALRM);
    ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
    ::alarm(kMostSeconds);
}

Result<Child> Child::start(const std::string& name, const std::function<Status(const Ready&)>& work)
{
    if (threads_of_vtrace() != 1)
        return Error{.what = "cannot fork: vtrace has more than one thread"};
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return errno_error("cannot make a pipe");
    const Fd from_child(ends[0]);
    Fd to_parent(ends[1]);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0)
        return errno_error("cannot start a process");
    if (pid == 0)
        live(parent, std::move(to_parent), name, work);
    Child child(pid);
    to_parent = Fd();
    const auto said = read_fd(from_child.get(), "a pipe");
    if (!said)
        return said.error();
    if (*said == kIsReady)
        return child;
    return Error{.what = said->empty() ? name + " ended before its work began" : *said,
                 .exit = ExitCode::kNotPossible};
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}

Child& Child::operator=(Child&& other) noexcept
{
    std::swap(pid_, other.pid_);
    return *this;
}

Child::~Child()
{
    if (pid_ == 0)
        return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR)
        continue;
}

} // namespace vtrace
