// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/fd.h"

#include <atomic>
#include <functional>
#include <string>
#include <thread>

namespace vtrace::test {

// A daemon on a unix socket, each connection answered by what `answer` makes of the request.
class FakeDaemon {
public:
    using Answer = std::function<void(int fd, const std::string& request)>;

    FakeDaemon(std::string path, Answer answer);
    FakeDaemon(const FakeDaemon&) = delete;
    FakeDaemon& operator=(const FakeDaemon&) = delete;
    ~FakeDaemon();

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] int asked() const { return asked_; }
    [[nodiscard]] bool ended() const { return ended_; }

    std::atomic<bool> hold = false;

private:
    void serve();

    std::string path_;
    Answer answer_;
    Fd listener_;
    std::atomic<int> asked_ = 0;
    std::atomic<bool> ended_ = false;
    std::thread thread_;
};

void send_all(int fd, const std::string& text);

} // namespace vtrace::test
