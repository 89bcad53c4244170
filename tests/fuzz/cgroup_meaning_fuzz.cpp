// SPDX-License-Identifier: GPL-2.0-only
// The name of a cgroup and that of the one above it, up to a newline.
#include "entity/cgroup_meaning.h"

#include "require.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace vtrace;
    using fuzz::require;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const size_t end = text.find('\n');
    const std::string_view parent = text.substr(0, end);
    const std::string_view name =
        end == std::string_view::npos ? std::string_view() : text.substr(end + 1);

    if (name.empty())
        return 0; // the root, which has no parent
    if (const auto found = container_or_pod(parent, name)) {
        require(found->kind == "container" || found->kind == "pod", "a kind", found->kind);
        require(found->id.empty() != found->name.empty() || found->kind == "pod",
                "either an id or a name", name);
        require(found->id.find_first_not_of("0123456789abcdef-") == std::string::npos,
                "an id has hex digits", found->id);
        require(name.find(found->name) != std::string_view::npos, "a name is in the text",
                found->name);
    }
    if (const auto found = unit(name)) {
        require(found->kind == "unit", "a unit", found->kind);
        require(!found->name.empty() && found->name.size() <= name.size(),
                "escapes are longer than what they stand for", found->name);
    }
    require(unescape_unit(name).size() <= name.size(), "escapes only shrink", name);
    return 0;
}
