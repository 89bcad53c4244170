// SPDX-License-Identifier: GPL-2.0-only
#include "model/kvm.h"

#include "vtrace/kvm.h"

namespace vtrace {

ExitParts& ExitParts::operator+=(const ExitParts& other)
{
    kernel += other.kernel;
    vmm += other.vmm;
    blocked += other.blocked;
    waited += other.waited;
    return *this;
}

ExitReason reason_of_exit(const KvmFigure& exit)
{
    ExitReason reason = exit_reason(exit.isa, exit.code);
    if ((exit.flags & VT_KVM_IS_MMIO) != 0 && reason.kind == ExitClass::kMemoryFault)
        reason = {.name = reason.name + ", mmio", .kind = ExitClass::kMmio};
    return reason;
}

} // namespace vtrace
