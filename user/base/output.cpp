// SPDX-License-Identifier: GPL-2.0-only
#include "base/output.h"

#include "base/files.h"
#include "base/printable.h"

#include <fcntl.h>

namespace vtrace {

Result<Output> Output::open(const std::string& path)
{
    if (path.empty())
        return Output(Fd(), "stdout");
    Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file)
        return errno_error("cannot write to " + printable(path));
    return Output(std::move(file), printable(path));
}

Status Output::write(std::string_view text) const
{
    return write_all(fd(), text, name_);
}

} // namespace vtrace
