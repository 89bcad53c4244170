// SPDX-License-Identifier: GPL-2.0-only
// Why an owner is slow, as a tree: its wall time, the largest share that is not work, what that is made of, and who did it.
#pragma once

#include "diagnose/rule.h"

#include <string>
#include <vector>

namespace vtrace {

// A share of what the node above it is.
struct Explained {
    std::string name;             // printable
    double ns = 0;                // thread time
    double share = 0;             // of the time of the owner's threads: 0 to 1
    bool largest = false;         // of those beside it that are not work: what is below is why
    std::vector<Explained> parts; // largest first
};

// The time of the threads of each owner that lost some, those that lost most first. Pure.
std::vector<Explained> explain(const Facts& facts);

} // namespace vtrace
