// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

struct Capability {
    int number; // linux/capability.h
    std::string_view name;
    std::string_view purpose;
    bool required;
};

// What the tools need, and what --overhead needs.
const std::vector<Capability>& capabilities();

// The effective capabilities as a bit mask, from the text of /proc/PID/status.
Result<uint64_t> effective_capabilities(std::string_view status);

// True if `mask` has the capability or CAP_SYS_ADMIN, which stands in for all that vtrace needs.
bool has_capability(uint64_t mask, const Capability& capability);

// Fails with kNotPossible and the names of what is missing.
Status check_privileges();

// Fails with kNotPossible if the kernel does not describe its types.
Status check_btf();

// Fails with kNotPossible if the kernel counts BPF memory as locked (before 5.11) and RLIMIT_MEMLOCK
// cannot be raised.
Status check_locked_memory();

// What the kernel's BTF lacks of what the scheduler programs read, with the option that brings it.
Result<std::vector<std::string>> missing_sched_fields();

// True if per-task BPF storage can be made.
bool has_task_storage();

// False if the types of the kernel's modules are to be taken as not described.
bool has_module_types();

} // namespace vtrace
