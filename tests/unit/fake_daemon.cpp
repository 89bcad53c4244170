// SPDX-License-Identifier: GPL-2.0-only
#include "fake_daemon.h"

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <utility>
#include <vector>

namespace vtrace::test {

FakeDaemon::FakeDaemon(std::string path, Answer answer)
    : path_(std::move(path)), answer_(std::move(answer))
{
    sockaddr_un address = {.sun_family = AF_UNIX};
    EXPECT_LT(path_.size(), sizeof(address.sun_path));
    std::memcpy(address.sun_path, path_.c_str(), path_.size());
    ::unlink(path_.c_str()); // of one before, as daemons do
    listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(listener_.get(), 8), 0);
    thread_ = std::thread([this] { serve(); });
}

FakeDaemon::~FakeDaemon()
{
    ended_ = true;
    thread_.join();
}

void FakeDaemon::serve()
{
    std::vector<Fd> open; // until the end, as one that hangs does
    while (!ended_) {
        pollfd ready = {.fd = listener_.get(), .events = POLLIN};
        if (::poll(&ready, 1, 5) != 1)
            continue;
        Fd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        asked_++;
        std::string request;
        char byte = 0;
        while (!request.ends_with("\r\n\r\n") && ::recv(peer.get(), &byte, 1, 0) == 1)
            request += byte;
        answer_(peer.get(), request);
        if (hold)
            open.push_back(std::move(peer));
    }
}

void send_all(int fd, const std::string& text)
{
    for (size_t sent = 0; sent < text.size();) {
        const ssize_t n = ::send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        sent += static_cast<size_t>(n);
    }
}

} // namespace vtrace::test
