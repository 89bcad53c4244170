// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <string>
#include <string_view>

namespace vtrace {

// Where reports go: stdout or a file. Written at once, so that nothing is lost when the process dies.
class Output {
public:
    // An empty path is stdout. A file is created or emptied.
    static Result<Output> open(const std::string& path);

    [[nodiscard]] Status write(std::string_view text) const;
    [[nodiscard]] int fd() const { return file_ ? file_.get() : 1; }

private:
    Output(Fd file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

    Fd file_;
    std::string name_;
};

} // namespace vtrace
