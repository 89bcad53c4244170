// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

#include <sys/types.h>

#include <functional>
#include <string>

namespace vtrace {

// Called by a child when it has all that it needs: whoever started it goes on then.
using Ready = std::function<void()>;

// A process with a load. It ends with this object, with vtrace however that dies, and after a minute. Ctrl-C does
// not reach it: the bottleneck is there until the diagnosis of it is done.
class Child {
public:
    // Forks and waits until the child is ready; an Error of `work` before that is returned. `name` is the comm,
    // at most 15 bytes. vtrace may have no other thread then: what one of them holds is never released in a child.
    static Result<Child> start(const std::string& name,
                               const std::function<Status(const Ready&)>& work);

    Child(Child&& other) noexcept;
    Child& operator=(Child&& other) noexcept;
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child();

    [[nodiscard]] pid_t pid() const { return pid_; }

private:
    explicit Child(pid_t pid) : pid_(pid) {}

    pid_t pid_ = 0; // not waited for yet, so that the number is no other's; 0: moved from
};

// What a forked process does first, so that it cannot outlive `parent`, which forked it, or a minute.
void die_with(pid_t parent);

} // namespace vtrace
