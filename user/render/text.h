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

// The rows as histograms: a table with those of the worst two, or the one of the host.
std::string histograms_text(const Report& report, const TextStyle& style);

// What was lost, and what served in place of what; empty if that is nothing.
std::string ledger_text(const Loss& loss, const TextStyle& style);

// A report with its rows as `body` shows them.
using ReportText = std::string (*)(const Report&, const TextStyle&);
std::string render_text(const Report& report, const TextStyle& style, bool with_overhead,
                        ReportText body = histograms_text);

// A single slow wait as a line, and the heading of such lines.
std::string slow_wait_heading(const std::string& kind, const TextStyle& style);
std::string render_text(const SlowWait& wait, const Entity& entity, const TextStyle& style);

} // namespace vtrace
