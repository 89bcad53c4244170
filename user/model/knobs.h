// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>

namespace vtrace {

// A setting of the host as it was at the end of the window.
struct Knob {
    std::string name;  // the file that it is read from and written to; raw bytes
    std::string value; // its first line, raw bytes
    bool operator==(const Knob&) const = default;
};

} // namespace vtrace
