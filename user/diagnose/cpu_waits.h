// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "diagnose/rule.h"
#include "model/report.h"

#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// What an owner's threads got of the CPU time that they wanted, from `blame` and `states`.
struct CpuWaits {
    const Row* blame = nullptr;
    double ran = 0;    // ns
    double waited = 0; // ns, for a CPU

    // The part of what it wanted that it waited for because of one of blame's classes ("neighbour", "self" …): 0 to 1.
    [[nodiscard]] double share(std::string_view part) const;
};

// Of each owner that waited at least a twentieth of the window, and of which it is known how long it ran. None of the
// kernel's own threads.
std::vector<CpuWaits> cpu_waits(const Facts& facts);

// The part of all that it wanted that a culprit in `blame` held CPUs for: kinds of parts ("idle", "steal", "irq").
double share_of_part(const CpuWaits& waits, std::string_view part);

// "its own quota: 0.0 %, itself: 1.2 %": why it waited besides, without `part`.
std::vector<std::string> other_causes(const CpuWaits& waits, std::string_view part);

} // namespace vtrace
