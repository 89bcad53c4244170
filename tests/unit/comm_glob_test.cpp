// SPDX-License-Identifier: GPL-2.0-only
#include "collect/comm_glob.h"

#include <fnmatch.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

namespace vtrace {
namespace {

using testing::HasSubstr;

bool globs(const std::string& pattern, const std::string& name)
{
    const auto glob = compile_comm_glob(pattern);
    EXPECT_TRUE(glob) << pattern << ": " << glob.error().message();
    return glob && matches(*glob, name);
}

// The C library is the oracle (in the C locale, where characters are bytes).
void expect_as_fnmatch(const std::string& pattern, const std::string& name)
{
    const bool expected = ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
    ASSERT_EQ(globs(pattern, name), expected) << "'" << pattern << "' on '" << name << "'";
}

template <size_t N>
std::string pick(std::mt19937& random, const std::array<const char*, N>& from, size_t most)
{
    std::string text;
    for (size_t i = random() % (most + 1); i > 0; i--)
        text += from[random() % N];
    return text;
}

TEST(CommGlob, AgreesWithFnmatchOnGeneratedPairs)
{
    constexpr std::array kPieces = {"a", "b",      "c",     "*",   "?",    "[a-b]", "[!a]",
                                    "*", "[^b-c]", "[abc]", "\\*", "\\a",  "[]a]",  "[!]]",
                                    "-", "[a-]",   "\\\\",  "[*]", "[?a]", "[b-a]", "[a-bc-c]"};
    constexpr std::array kNames = {"a", "b", "c", "a", "b", "]", "*", "-", "\\", "?"};
    std::mt19937 random(11); // NOLINT: the same pairs each time
    size_t matched = 0;
    for (int i = 0; i < 60'000; i++) {
        const std::string pattern = pick(random, kPieces, 4);
        const std::string name = pick(random, kNames, 4);
        if (pattern.empty())
            continue;
        expect_as_fnmatch(pattern, name);
        matched += ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0 ? 1 : 0;
    }
    EXPECT_GT(matched, 3'000u) << "too few pairs match to prove much";
}

TEST(CommGlob, AgreesWithFnmatchOnRealNames)
{
    const char* patterns[] = {
        "nginx*",      "kworker/*",   "kworker/[0-3]:*", "*",       "?*",
        "*:0H",        "java",        "(sd-pam)",        "*[!0-9]", "[a-z]*[0-9]",
        "C[12] Comp*", "ksoftirqd/?", "a*b*c*d*",        "\\[*\\]", ".*",
        "*/*"};
    const char* names[] = {"nginx",
                           "nginx: worker",
                           "kworker/0:1",
                           "kworker/u16:3",
                           "kworker/3:0H",
                           "java",
                           "(sd-pam)",
                           "C1 CompilerThre",
                           "ksoftirqd/0",
                           "ksoftirqd/10",
                           "abcd",
                           "axbxcxd",
                           "[x]",
                           ".hidden",
                           "a/b",
                           "",
                           "123456789012345"};
    for (const char* pattern : patterns) {
        for (const char* name : names)
            expect_as_fnmatch(pattern, name);
    }
}

TEST(CommGlob, EveryByteInEveryPosition)
{
    const auto any = compile_comm_glob("?");
    const auto star = compile_comm_glob("*");
    const auto not_a = compile_comm_glob("[!a]");
    const auto range = compile_comm_glob("[\x80-\xff]");
    ASSERT_TRUE(any && star && not_a && range);
    for (int byte = 1; byte < 256; byte++) {
        const std::string name = {static_cast<char>(byte)};
        EXPECT_TRUE(matches(*any, name)) << byte;
        EXPECT_FALSE(matches(*any, name + name)) << byte;
        EXPECT_TRUE(matches(*star, name + name)) << byte;
        EXPECT_EQ(matches(*not_a, name), byte != 'a') << byte;
        EXPECT_EQ(matches(*range, name), byte >= 0x80) << byte;
        const auto itself = compile_comm_glob("\\" + name);
        ASSERT_TRUE(itself) << byte;
        EXPECT_TRUE(matches(*itself, name)) << byte;
        EXPECT_FALSE(matches(*itself, name == "x" ? "y" : "x")) << byte;
    }
}

// glob(7): between brackets a backslash stands for itself. (In the C library's fnmatch it escapes.)
TEST(CommGlob, BackslashInBracketsIsItself)
{
    EXPECT_TRUE(globs("[[?*\\]", "\\"));
    EXPECT_TRUE(globs("[[?*\\]", "["));
    EXPECT_FALSE(globs("[[?*\\]", "x"));
}

TEST(CommGlob, RefusesWhatIsMalformed)
{
    const std::pair<const char*, const char*> cases[] = {
        {"", "empty"},         {"[", "not closed"},      {"[a", "not closed"},
        {"[]", "not closed"},  {"[!", "not closed"},     {"[!]", "not closed"},
        {"[^]", "not closed"}, {"a[b-", "not closed"},   {"x*[a-z", "not closed"},
        {"\\", "backslash"},   {"a\\\\\\", "backslash"}, {"*\\", "backslash"},
    };
    for (const auto& [pattern, why] : cases) {
        const auto glob = compile_comm_glob(pattern);
        ASSERT_FALSE(glob) << pattern;
        EXPECT_EQ(glob.error().exit, ExitCode::kUsage) << pattern;
        EXPECT_THAT(glob.error().message(), HasSubstr(why)) << pattern;
    }
}

TEST(CommGlob, ErrorsAreOnePrintableLine)
{
    const auto glob = compile_comm_glob("\x1b[31m\n[");
    ASSERT_FALSE(glob);
    EXPECT_THAT(glob.error().message(), HasSubstr("\\x1b[31m\\x0a["));
    EXPECT_EQ(glob.error().message().find('\n'), std::string::npos);
}

TEST(CommGlob, TakesUpTo63Elements)
{
    for (const char* element : {"?", "a", "\\a", "[a-c]"}) {
        std::string pattern;
        for (int i = 0; i < 63; i++)
            pattern += element;
        EXPECT_TRUE(globs(pattern, std::string(63, 'a'))) << element;
        EXPECT_FALSE(globs(pattern, std::string(62, 'a'))) << element;
        EXPECT_FALSE(globs(pattern, std::string(64, 'a'))) << element;
        const auto longer = compile_comm_glob(pattern + element);
        ASSERT_FALSE(longer) << element;
        EXPECT_EQ(longer.error().exit, ExitCode::kUsage);
    }
    // Stars take no element.
    EXPECT_TRUE(globs(std::string(1'000, '*'), "x"));
    EXPECT_TRUE(globs(std::string(63, '?') + "*", std::string(63, 'a')));
    EXPECT_TRUE(globs(std::string(63, '?') + "*", std::string(70, 'a')));
}

} // namespace
} // namespace vtrace
