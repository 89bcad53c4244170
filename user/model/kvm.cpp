// SPDX-License-Identifier: GPL-2.0-only
#include "model/kvm.h"

namespace vtrace {

ExitParts& ExitParts::operator+=(const ExitParts& other)
{
    kernel += other.kernel;
    vmm += other.vmm;
    blocked += other.blocked;
    waited += other.waited;
    return *this;
}

} // namespace vtrace
