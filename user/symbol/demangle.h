// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>

namespace vtrace {

// A name of C++ or Rust as its source has it; any other name as it is, and one that would become too long:
// a program can have names that stand for terabytes.
std::string demangled(const std::string& name);

} // namespace vtrace
