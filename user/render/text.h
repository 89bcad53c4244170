// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"

#include <string>

namespace vtrace {

// How text is to look; a terminal gets colour and its own width.
struct TextStyle {
    size_t width = 80;
    bool colour = false;
    bool utf8 = false;
    bool clock = false; // a line with the time before each report
};

std::string render_text(const Report& report, const TextStyle& style, bool with_overhead);

// A single slow wait as a line, and the heading of such lines.
std::string slow_wait_heading(const std::string& kind, const TextStyle& style);
std::string render_text(const SlowWait& wait, const Entity& entity, const TextStyle& style);

} // namespace vtrace
