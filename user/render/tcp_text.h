// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <string>

namespace vtrace {

// A table of peers for each entity, worst first; the histogram of the worst entity below where there is one.
std::string tcpconnlat_text(const Report& report, const TextStyle& style);
std::string tcprtt_text(const Report& report, const TextStyle& style);
std::string tcpretrans_text(const Report& report, const TextStyle& style);
std::string tcplife_text(const Report& report, const TextStyle& style);

// A single session as a line, and the heading of such lines.
std::string slow_session_heading(const std::string& kind, const TextStyle& style);
std::string render_text(const SlowSession& session, const Entity& entity, const TextStyle& style);

} // namespace vtrace
