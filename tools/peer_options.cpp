// SPDX-License-Identifier: GPL-2.0-only
#include "tools/peer_options.h"

#include "base/files.h"
#include "base/printable.h"

#include <charconv>
#include <string>

namespace vtrace {
namespace {

Error usage(std::string what, std::string hint)
{
    return {.what = std::move(what), .hint = std::move(hint), .exit = ExitCode::kUsage};
}

Error nothing_to_tell_by(std::string_view by, std::string_view word)
{
    return usage("--by " + printable(by) + ": \"" + printable(word) +
                     "\" is nothing to tell peers apart by",
                 "remote, local and port, with commas; or none");
}

bool parse_bits(std::string_view text, uint32_t most, uint32_t& bits)
{
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
    return error == std::errc{} && end == text.data() + text.size() && bits >= 1 && bits <= most;
}

} // namespace

Result<PeerKey> parse_peer_key(std::string_view by, std::string_view subnet)
{
    constexpr uint32_t kAll4 = 32;
    constexpr uint32_t kAll6 = 128;
    PeerKey key;
    if (!by.empty()) {
        key = {.remote = false, .local = false, .port = false};
        if (by.ends_with(','))
            return nothing_to_tell_by(by, "");
        for (const std::string_view word : split(by, ',')) {
            if (word == "remote")
                key.remote = true;
            else if (word == "local")
                key.local = true;
            else if (word == "port")
                key.port = true;
            else if (by != "none")
                return nothing_to_tell_by(by, word);
        }
    }
    if (subnet.empty())
        return key;
    const auto parts = split(subnet, ',');
    if (parts.size() > 2 || subnet.ends_with(',') || !parse_bits(parts[0], kAll4, key.bits4) ||
        (parts.size() == 2 && !parse_bits(parts[1], kAll6, key.bits6)))
        return usage("--subnet " + printable(subnet) + " is no length of a prefix",
                     "bits of IPv4 addresses, 1 to 32, and of IPv6, 1 to 128: --subnet 24,64");
    return key;
}

} // namespace vtrace
