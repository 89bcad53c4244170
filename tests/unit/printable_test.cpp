// SPDX-License-Identifier: GPL-2.0-only
#include "base/printable.h"

#include "support.h"

#include <gtest/gtest.h>
#include <iconv.h>

#include <array>
#include <cstdio>
#include <random>
#include <string>

namespace vtrace {
namespace {

using test::encode_utf8;

std::string escaped(std::string_view bytes)
{
    std::string text;
    for (const char byte : bytes) {
        std::array<char, 8> out{};
        std::snprintf(out.data(), out.size(), "\\x%02x", static_cast<unsigned char>(byte));
        text += out.data();
    }
    return text;
}

// The C library's opinion on whether bytes are valid UTF-8.
class Utf8Oracle {
public:
    Utf8Oracle() : converter_(::iconv_open("UTF-32LE", "UTF-8")) {}
    Utf8Oracle(const Utf8Oracle&) = delete;
    Utf8Oracle& operator=(const Utf8Oracle&) = delete;
    ~Utf8Oracle() { ::iconv_close(converter_); }

    bool valid(std::string_view bytes)
    {
        std::string in(bytes);
        std::array<char, 64> out{};
        char* from = in.data();
        char* to = out.data();
        size_t from_left = in.size();
        size_t to_left = out.size();
        ::iconv(converter_, nullptr, nullptr, nullptr, nullptr);
        return ::iconv(converter_, &from, &from_left, &to, &to_left) != static_cast<size_t>(-1);
    }

    // The length of the valid code point at the start, 0 if there is none.
    size_t first(std::string_view bytes)
    {
        for (size_t length = 1; length <= std::min<size_t>(4, bytes.size()); length++) {
            if (valid(bytes.substr(0, length)))
                return length;
        }
        return 0;
    }

private:
    iconv_t converter_;
};

bool must_be_escaped(char32_t c)
{
    const bool c0 = c <= 0x1f;
    const bool del_or_c1 = c >= 0x7f && c <= 0x9f;
    const bool embedding_or_override = c >= 0x202a && c <= 0x202e;
    const bool isolate = c >= 0x2066 && c <= 0x2069;
    return c0 || del_or_c1 || embedding_or_override || isolate;
}

TEST(Printable, EveryCodePoint)
{
    std::string in;
    std::string expected;
    for (char32_t c = 0; c <= 0x10ffff; c++) {
        const bool surrogate = c >= 0xd800 && c <= 0xdfff;
        const std::string bytes = encode_utf8(c);
        in += bytes;
        expected += surrogate || must_be_escaped(c) ? escaped(bytes) : bytes;
        if (c % 256 == 255) {
            ASSERT_EQ(printable(in), expected)
                << "up to U+" << std::hex << static_cast<uint32_t>(c);
            in.clear();
            expected.clear();
        }
    }
}

TEST(Printable, EscapesWhatDrivesATerminal)
{
    EXPECT_EQ(printable("\033[31mred\033[0m"), "\\x1b[31mred\\x1b[0m");
    EXPECT_EQ(printable("a\nb\rc\td"), "a\\x0ab\\x0dc\\x09d");
    EXPECT_EQ(printable("\x7f"), "\\x7f");
    EXPECT_EQ(printable("\u009b31m"), "\\xc2\\x9b31m"); // C1's CSI
    EXPECT_EQ(printable("safe\u202egnp.exe"),
              "safe\\xe2\\x80\\xaegnp.exe"); // right-to-left override
    EXPECT_EQ(printable("\u2066x\u2069"), "\\xe2\\x81\\xa6x\\xe2\\x81\\xa9");
    EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(Printable, KeepsWhatIsValid)
{
    for (const char* text : {"", "nginx: worker", "ünïcödé", "日本語", "🐧 penguin", "\u00a0",
                             "\uffff", "\U0010ffff", "a\\b", "/docker/4f5e", "\u0301"})
        EXPECT_EQ(printable(text), text);
}

TEST(Printable, EscapesEachClassOfMalformedUtf8)
{
    struct Case {
        const char* why;
        std::string bytes;
    };
    const Case cases[] = {
        {"overlong, 2 bytes", "\xc0\xaf"},
        {"overlong NUL", "\xc0\x80"},
        {"overlong, 2 bytes, last", "\xc1\xbf"},
        {"overlong, 3 bytes", "\xe0\x80\xaf"},
        {"overlong, 3 bytes, last", "\xe0\x9f\xbf"},
        {"overlong, 4 bytes", "\xf0\x80\x80\xaf"},
        {"overlong, 4 bytes, last", "\xf0\x8f\xbf\xbf"},
        {"overlong escape", "\xe0\x80\x9b"},
        {"surrogate, first", "\xed\xa0\x80"},
        {"surrogate, last", "\xed\xbf\xbf"},
        {"surrogate pair", "\xed\xa0\xbd\xed\xb0\x80"},
        {"beyond U+10FFFF", "\xf4\x90\x80\x80"},
        {"lead f5", "\xf5\x80\x80\x80"},
        {"five bytes", "\xf8\x88\x80\x80\x80"},
        {"six bytes", "\xfc\x84\x80\x80\x80\x80"},
        {"fe and ff", "\xfe\xff"},
        {"lone continuation", "\x80"},
        {"lone continuation, last", "\xbf"},
        {"truncated, 2 bytes", "\xc3"},
        {"truncated, 3 bytes", "\xe2\x82"},
        {"truncated, 4 bytes", "\xf0\x9f\x90"},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(printable(c.bytes), escaped(c.bytes)) << c.why;
        EXPECT_EQ(printable("a" + c.bytes + "z"), "a" + escaped(c.bytes) + "z") << c.why;
    }
    // What follows a truncated sequence is kept.
    EXPECT_EQ(printable("\xe2\x82\xc3\xa9"), "\\xe2\\x82é");
    EXPECT_EQ(printable("\xf0\x9f\x90\xf0\x9f\x90\xa7"), "\\xf0\\x9f\\x90🐧");
}

// What starts a valid code point (says iconv) is kept whole, else one byte is escaped.
std::string expected_printable(Utf8Oracle& oracle, std::string_view bytes)
{
    std::string text;
    while (!bytes.empty()) {
        const size_t length = oracle.first(bytes);
        const std::string_view part = bytes.substr(0, std::max<size_t>(length, 1));
        char32_t c = 0;
        if (length == 1)
            c = static_cast<unsigned char>(part[0]);
        else if (length == 2)
            c = static_cast<char32_t>((part[0] & 0x1f) << 6 | (part[1] & 0x3f));
        else if (length == 3)
            c = static_cast<char32_t>((part[0] & 0x0f) << 12 | (part[1] & 0x3f) << 6 |
                                      (part[2] & 0x3f));
        const bool keep = length == 4 || (length != 0 && !must_be_escaped(c));
        text += keep ? std::string(part) : escaped(part);
        bytes.remove_prefix(part.size());
    }
    return text;
}

TEST(Printable, AgreesWithIconvOnAllPairsOfBytes)
{
    Utf8Oracle oracle;
    for (int first = 0; first < 256; first++) {
        for (int second = 0; second < 256; second++) {
            const std::string bytes = {static_cast<char>(first), static_cast<char>(second)};
            ASSERT_EQ(printable(bytes), expected_printable(oracle, bytes)) << escaped(bytes);
        }
    }
}

TEST(Printable, AgreesWithIconvOnFourBytesAtTheEdges)
{
    Utf8Oracle oracle;
    constexpr std::array<unsigned char, 15> kBytes = {
        0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xf5};
    constexpr size_t kBase = kBytes.size();
    for (size_t i = 0; i < kBase * kBase * kBase * kBase; i++) {
        const auto digit = [&](size_t divisor) {
            return static_cast<char>(kBytes[i / divisor % kBase]);
        };
        const std::string bytes = {digit(kBase * kBase * kBase), digit(kBase * kBase), digit(kBase),
                                   digit(1)};
        ASSERT_EQ(printable(bytes), expected_printable(oracle, bytes)) << escaped(bytes);
    }
}

TEST(Columns, CountsCodePoints)
{
    EXPECT_EQ(columns(""), 0u);
    EXPECT_EQ(columns("abc"), 3u);
    EXPECT_EQ(columns("äöü"), 3u);
    EXPECT_EQ(columns("日本"), 2u);
    EXPECT_EQ(columns("🐧"), 1u);
}

TEST(Shorten, LeavesWhatFits)
{
    EXPECT_EQ(shorten("abc", 3, true), "abc");
    EXPECT_EQ(shorten("äöü", 3, true), "äöü");
    EXPECT_EQ(shorten("", 0, true), "");
}

TEST(Shorten, CutsTheMiddle)
{
    EXPECT_EQ(shorten("0123456789", 7, true), "01…6789");
    EXPECT_EQ(shorten("0123456789", 9, false), "01...6789");
    EXPECT_EQ(shorten("äöüßéèêëñç", 7, true), "äö…êëñç");
}

TEST(Shorten, NeverExceedsTheWidthNorCutsACodePoint)
{
    Utf8Oracle oracle;
    std::mt19937 random(5); // NOLINT: the same texts each time
    const std::array<std::string, 6> alphabet = {"a", "/", "ä", "€", "🐧", "\\x1b"};
    for (int round = 0; round < 300; round++) {
        std::string text;
        for (size_t i = random() % 40; i > 0; i--)
            text += alphabet[random() % alphabet.size()];
        for (size_t width = 0; width <= columns(text) + 2; width++) {
            for (const bool utf8 : {false, true}) {
                const std::string cut = shorten(text, width, utf8);
                ASSERT_LE(columns(cut), width) << text << " to " << width;
                std::string_view rest = cut;
                while (!rest.empty()) {
                    const size_t length = oracle.first(rest);
                    ASSERT_NE(length, 0u) << escaped(cut) << " of " << text;
                    rest.remove_prefix(length);
                }
                if (columns(text) <= width) {
                    EXPECT_EQ(cut, text);
                } else if (width >= 3) {
                    EXPECT_EQ(columns(cut), width) << "room is left: " << cut;
                    EXPECT_NE(cut.find(utf8 ? "…" : "..."), std::string::npos) << cut;
                }
            }
        }
    }
}

} // namespace
} // namespace vtrace
