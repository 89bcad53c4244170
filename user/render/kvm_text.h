// SPDX-License-Identifier: GPL-2.0-only
// The reports about VMs, for people.
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <string>

namespace vtrace {

std::string kvmexit_text(const Report& report, const TextStyle& style);
std::string kvmio_text(const Report& report, const TextStyle& style);
std::string kvmirq_text(const Report& report, const TextStyle& style);
std::string kvmmem_text(const Report& report, const TextStyle& style);
std::string vcpu_text(const Report& report, const TextStyle& style);
std::string vmcost_text(const Report& report, const TextStyle& style);

} // namespace vtrace
