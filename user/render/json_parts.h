// SPDX-License-Identifier: GPL-2.0-only
// What documents of the schema vtrace/1 are put together of.
#pragma once

#include "model/report.h"

#include <nlohmann/json.hpp>

namespace vtrace {

using Json = nlohmann::ordered_json;

inline constexpr const char* kSchema = "vtrace/1";

Json entity_json(const Entity& entity);
Json loss_json(const Loss& loss);

} // namespace vtrace
