// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"

#include <string>

namespace vtrace {

// One line of JSON, schema vtrace/1 (tests/fixtures/vtrace-1.schema.json), with its newline.
// Names are made printable as in text, so that a line is always valid UTF-8.
std::string render_json(const Report& report, bool with_overhead);

// A single slow wait as a line of the same schema.
std::string render_json(const SlowWait& wait, const Entity& entity, const std::string& tool);

// A single slow request to a disk, likewise.
std::string render_json(const SlowRequest& request, const Entity& entity, const std::string& tool);
std::string render_json(const SlowSession& session, const Entity& entity, const std::string& tool);

} // namespace vtrace
