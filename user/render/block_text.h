// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "render/text.h"

#include <string>

namespace vtrace {

inline constexpr uint32_t kSmallestSize =
    512; // bytes; the sizes of requests are counted from there on

// A table of disks and operations for each entity, and the histograms of the worst.
std::string biolatency_text(const Report& report, const TextStyle& style);

// A line for each entity and disk, and under it beside whom it was and what held it back.
std::string iotop_text(const Report& report, const TextStyle& style);

// Requests that had not completed, longest first; empty if there is none worth it.
std::string open_requests_text(const Report& report, const TextStyle& style);

// A single slow request as a line, and the heading of such lines.
std::string slow_request_heading(const std::string& kind, const TextStyle& style);
std::string render_text(const SlowRequest& request, const Entity& entity, const TextStyle& style);

} // namespace vtrace
