// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

namespace vtrace {

struct HttpReply {
    int status = 0;
    std::string server; // the header of that name
    std::string body;
};

struct HttpAnswer {
    bool connected = false; // somebody listens there
    std::optional<HttpReply> reply;
};

// GET `target` from the HTTP server at a Unix socket. Gives up after `patience` in all, and on a body above
// `limit` bytes. Never fails otherwise: no reply is an answer, too.
HttpAnswer http_get(const std::string& socket, const std::string& target,
                    std::chrono::milliseconds patience, size_t limit);

} // namespace vtrace
