// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/io_limit.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace vtrace {

// The limits of a cgroup on the disk `device` (major << 20 | minor), by the text of v2's io.max
// (Documentation/admin-guide/cgroup-v2.rst). What is not limited is empty.
IoLimit io_limit(std::string_view io_max, uint32_t device);

// One of v1's files, blkio.throttle.{read,write}_{bps,iops}_device (Documentation/admin-guide/cgroup-v1/
// blkio-controller.rst): lines of a disk and a number.
std::optional<uint64_t> throttle_limit(std::string_view text, uint32_t device);

// Of the cgroup whose directory this is, by whatever files are there.
IoLimit read_io_limit(const std::string& directory, uint32_t device);

} // namespace vtrace
