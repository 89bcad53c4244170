// SPDX-License-Identifier: GPL-2.0-only
#include "collect/comm_glob.h"

#include "base/printable.h"

#include <bitset>
#include <optional>

namespace vtrace {
namespace {

constexpr size_t kMaxElements = 63;
using CharacterSet = std::bitset<256>;

struct Parsed {
    CharacterSet set;
    size_t length; // of the pattern's text
};

// A bracket expression, as glob(7) has it; nothing if it is not closed.
std::optional<Parsed> parse_brackets(std::string_view text)
{
    size_t i = 1;
    const bool negated = i < text.size() && (text[i] == '!' || text[i] == '^');
    i += negated ? 1 : 0;
    const size_t first = i;
    CharacterSet set;
    for (; i < text.size() && (text[i] != ']' || i == first); i++) {
        const auto low = static_cast<unsigned char>(text[i]);
        auto high = low;
        if (i + 2 < text.size() && text[i + 1] == '-' && text[i + 2] != ']') {
            high = static_cast<unsigned char>(text[i + 2]);
            i += 2;
        }
        for (unsigned c = low; c <= high; c++)
            set.set(c);
    }
    if (i >= text.size())
        return std::nullopt;
    return Parsed{negated ? ~set : set, i + 1};
}

} // namespace

Result<CommGlob> compile_comm_glob(std::string_view pattern)
{
    const auto usage = [whole = pattern](const char* why) {
        return Error{.what = "--comm " + printable(whole) + ": " + why,
                     .hint = "a glob such as 'nginx*' or 'kworker/[0-3]:*'",
                     .exit = ExitCode::kUsage};
    };
    if (pattern.empty())
        return usage("the pattern is empty");
    CommGlob glob;
    size_t elements = 0;
    while (!pattern.empty()) {
        const char c = pattern.front();
        if (c == '*') {
            glob.stay |= uint64_t{1} << elements;
            pattern.remove_prefix(1);
            continue;
        }
        Parsed element{.set = {}, .length = 1};
        if (c == '?') {
            element.set.set();
        } else if (c == '[') {
            const auto brackets = parse_brackets(pattern);
            if (!brackets)
                return usage("a [ is not closed");
            element = *brackets;
        } else if (c == '\\') {
            if (pattern.size() < 2)
                return usage("nothing follows the last backslash");
            element = {.set = {}, .length = 2};
            element.set.set(static_cast<unsigned char>(pattern[1]));
        } else {
            element.set.set(static_cast<unsigned char>(c));
        }
        if (elements == kMaxElements)
            return usage("the pattern is too long for a task name of 15 characters");
        for (size_t i = 0; i < glob.advance.size(); i++) {
            if (element.set[i])
                glob.advance[i] |= uint64_t{1} << elements;
        }
        elements++;
        pattern.remove_prefix(element.length);
    }
    glob.accept = uint64_t{1} << elements;
    return glob;
}

bool matches(const CommGlob& glob, std::string_view comm)
{
    uint64_t states = 1;
    for (const char c : comm) {
        const uint64_t advance = glob.advance[static_cast<unsigned char>(c)];
        states = ((states & advance) << 1) | (states & glob.stay);
    }
    return (states & glob.accept) != 0;
}

} // namespace vtrace
