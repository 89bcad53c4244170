// SPDX-License-Identifier: GPL-2.0-only
// A saved snapshot: what loads can be saved, loaded again, reported and rendered.
#include "model/snapshot.h"
#include "render/json.h"
#include "render/text.h"
#include "require.h"
#include "tools/registry.h"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace vtrace;
    const auto snapshot = load_snapshot({reinterpret_cast<const char*>(data), size});
    if (!snapshot)
        return 0;
    const std::string saved = save_snapshot(*snapshot);
    const auto again = load_snapshot(saved);
    fuzz::require(again.has_value(), "what was saved loads", saved);
    fuzz::require(*again == *snapshot, "what was saved loads unchanged", saved);

    for (const ToolSpec& tool : tools()) {
        for (const size_t top : {size_t{0}, size_t{1}}) {
            const Report for_people = tool.build(*snapshot, {.top = top});
            const std::string text =
                render_text(for_people, {.utf8 = top == 0, .clock = true}, true);
            fuzz::require(fuzz::harmless_lines(text), "text drives no terminal", text);

            const Report for_programs = tool.build(*snapshot, {.top = top, .json = true});
            std::string line = render_json(for_programs, true);
            fuzz::require(line.ends_with('\n'), "JSON ends its line", line);
            line.pop_back();
            fuzz::require(fuzz::harmless(line), "JSON is one line of plain text", line);
            fuzz::require(nlohmann::json::accept(line), "JSON is JSON", line);
        }
    }
    return 0;
}
