// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "vtrace/reason.h"

#include <array>
#include <cstdint>

namespace vtrace {

// Why a thread that is off its CPU in a system call is: by the number of the call, for `syscall_reasons`
// of bpf/common/reason.bpf.h. VT_REASON_NONE for calls that do not tell.
std::array<uint8_t, VT_SYSCALLS> syscall_reasons();

} // namespace vtrace
