// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace vtrace {

// Exit codes of the command; also how an Error says what kind of failure it is.
enum class ExitCode {
    kDone = 0,
    kFailed = 1,      // went wrong at run time
    kUsage = 2,       // the command line is wrong
    kNotPossible = 3, // privilege or kernel feature missing here
    kFound = 4,       // what was to be looked for is there: --fail-on
};

// Why a function failed. Printed as one line: "what: why; hint".
struct Error {
    std::string what; // what was being done
    int code = 0;     // errno value, 0 if none applies
    std::string hint; // what the user can do, may be empty
    ExitCode exit = ExitCode::kFailed;

    [[nodiscard]] std::string message() const;
};

// An Error from errno as it is now.
Error errno_error(std::string what, std::string hint = "");

// A value or an Error, in the shape of std::expected (which g++ 12 lacks).
template <typename T> class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    [[nodiscard]] bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }

    [[nodiscard]] T& value()
    {
        assert(has_value());
        return *std::get_if<0>(&state_);
    }
    [[nodiscard]] const T& value() const
    {
        assert(has_value());
        return *std::get_if<0>(&state_);
    }
    T& operator*() { return value(); }
    const T& operator*() const { return value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    [[nodiscard]] const Error& error() const
    {
        assert(!has_value());
        return *std::get_if<1>(&state_);
    }

private:
    std::variant<T, Error> state_;
};

struct Unit {};

// Success without a value, or an Error.
using Status = Result<Unit>;
inline Status ok()
{
    return Unit{};
}

} // namespace vtrace
