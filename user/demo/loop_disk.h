// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <string>

namespace vtrace {

// A loop device of a number that nothing else takes, over a file in memory that has no name. The kernel sets the file
// free with the last process that holds the device (LO_FLAGS_AUTOCLEAR), even after kill -9; the empty device that then
// is left, create() removes.
class LoopDisk {
public:
    // `bytes` in size; the memory is taken as it is written. `scheduler` is an I/O scheduler ("mq-deadline"), empty is
    // the kernel's choice. kNotPossible without loop devices or that scheduler.
    static Result<LoopDisk> create(uint64_t bytes, const std::string& scheduler);

    LoopDisk(LoopDisk&&) noexcept = default;
    LoopDisk& operator=(LoopDisk&&) noexcept = default;
    LoopDisk(const LoopDisk&) = delete;
    LoopDisk& operator=(const LoopDisk&) = delete;
    ~LoopDisk();

    [[nodiscard]] const std::string& path() const { return path_; } // "/dev/loop0"
    [[nodiscard]] uint64_t bytes() const { return bytes_; }
    // "7:0", as cgroups have it.
    [[nodiscard]] Result<std::string> device_number() const;

private:
    LoopDisk(Fd device, int number, uint64_t bytes);

    Fd device_; // moved from: none
    int number_;
    uint64_t bytes_;
    std::string path_;
};

} // namespace vtrace
