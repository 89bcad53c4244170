// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace::test {

// The content of tests/fixtures/<name>; a missing one is a failure of the test.
std::string fixture(const std::string& name);

// Compares with tests/fixtures/golden/<name>, or (re)writes it if VTRACE_UPDATE_GOLDEN=1 is set.
void expect_golden(const std::string& name, const std::string& actual);

// The lines of text, empty ones too, without their newlines.
std::vector<std::string> lines_of(const std::string& text);

// UTF-8 of a code point, surrogates and values beyond Unicode in the same pattern.
std::string encode_utf8(char32_t c);

// A directory of its own, removed with all below it.
class TempDir {
public:
    TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir();

    [[nodiscard]] const std::string& path() const { return path_; }
    // Makes a directory (with its parents) below this one and returns its inode number.
    [[nodiscard]] uint64_t mkdir(const std::string& name) const;
    void write(const std::string& name, std::string_view content) const;

private:
    std::string path_;
};

uint64_t inode_of(const std::string& path);

} // namespace vtrace::test
