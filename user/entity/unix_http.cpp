// SPDX-License-Identifier: GPL-2.0-only
#include "entity/unix_http.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <sys/un.h>

namespace vtrace {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Error = boost::system::error_code;

// One request; each step starts the next.
class Get {
public:
    Get(asio::io_context& context, const std::string& target, size_t limit) : socket_(context)
    {
        constexpr unsigned kHttp11 = 11;
        request_.version(kHttp11);
        request_.method(http::verb::get);
        request_.target(target);
        request_.set(http::field::host, "localhost");
        request_.keep_alive(false);
        parser_.body_limit(limit);
    }

    void start(const std::string& path)
    {
        socket_.async_connect(asio::local::stream_protocol::endpoint(path), [this](Error error) {
            answer.connected = !error;
            if (!error)
                write();
        });
    }

    HttpAnswer answer;

private:
    void write()
    {
        http::async_write(socket_, request_, [this](Error error, size_t) {
            if (!error)
                read_header();
        });
    }
    // By itself: in one go with the body, the parser takes memory for a Content-Length above the limit.
    void read_header()
    {
        http::async_read_header(socket_, buffer_, parser_, [this](Error error, size_t) {
            if (!error)
                read_body();
        });
    }
    void read_body()
    {
        http::async_read(socket_, buffer_, parser_, [this](Error error, size_t) {
            if (error)
                return;
            auto& message = parser_.get();
            answer.reply = {.status = static_cast<int>(message.result_int()),
                            .server = std::string(message[http::field::server]),
                            .body = std::move(message.body())};
        });
    }

    asio::local::stream_protocol::socket socket_;
    http::request<http::empty_body> request_;
    http::response_parser<http::string_body> parser_;
    boost::beast::flat_buffer buffer_;
};

} // namespace

HttpAnswer http_get(const std::string& socket, const std::string& target,
                    std::chrono::milliseconds patience, size_t limit)
{
    if (socket.empty() || socket.size() >= sizeof(sockaddr_un::sun_path))
        return {};
    // The library reports what it cannot allocate by exceptions; they end here.
    try {
        asio::io_context context(1);
        Get get(context, target, limit);
        get.start(socket);
        context.run_for(patience);
        return std::move(get.answer);
    } catch (const std::exception&) {
        return {};
    }
}

} // namespace vtrace
