// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/object.h"

#include <string>

namespace vtrace {

// Attaches to the tracepoint EVENT ("kvm/kvm_exit") by its record. Takes its number from tracefs: where that is
// mounted, else from a mount of its own that nobody else sees (CAP_SYS_ADMIN; since 5.2).
Result<Link> attach_tracepoint(bpf_program* program, const std::string& event);

} // namespace vtrace
