// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <cstdint>
#include <string>

namespace vtrace {

// A loop device over a file in memory that has no name. The kernel takes both down with the last process that holds
// the device (LO_FLAGS_AUTOCLEAR), so that nothing stays even after kill -9.
class LoopDisk {
public:
    // `bytes` in size; the memory is taken as it is written. kNotPossible without loop devices.
    static Result<LoopDisk> create(uint64_t bytes);

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
    LoopDisk(Fd device, int number, bool is_new, uint64_t bytes);

    Fd device_; // moved from: none
    int number_;
    bool is_new_; // the device node was made for this
    uint64_t bytes_;
    std::string path_;
};

} // namespace vtrace
