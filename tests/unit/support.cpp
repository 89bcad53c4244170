// SPDX-License-Identifier: GPL-2.0-only
#include "support.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace vtrace::test {
namespace {

std::string content_of(const std::string& path, bool& found)
{
    std::ifstream file(path, std::ios::binary);
    found = file.is_open();
    std::ostringstream content;
    content << file.rdbuf();
    return content.str();
}

} // namespace

std::string fixture(const std::string& name)
{
    bool found = false;
    std::string content = content_of(std::string(VTRACE_FIXTURES) + "/" + name, found);
    EXPECT_TRUE(found) << "no fixture " << name;
    return content;
}

void expect_golden(const std::string& name, const std::string& actual)
{
    const std::string path = std::string(VTRACE_FIXTURES) + "/golden/" + name;
    const char* update = std::getenv("VTRACE_UPDATE_GOLDEN");
    if (update != nullptr && std::string_view(update) == "1") {
        std::ofstream file(path, std::ios::binary);
        file << actual;
        ASSERT_TRUE(file.good()) << path;
        return;
    }
    bool found = false;
    const std::string expected = content_of(path, found);
    ASSERT_TRUE(found) << "no golden file " << name << "; VTRACE_UPDATE_GOLDEN=1 writes it";
    EXPECT_EQ(actual, expected) << "golden file " << name
                                << "; VTRACE_UPDATE_GOLDEN=1 rewrites it if the change is meant";
}

std::vector<std::string> lines_of(const std::string& text)
{
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    return lines;
}

std::string encode_utf8(char32_t c)
{
    const auto tail = [&](unsigned shift) { return static_cast<char>(0x80 | (c >> shift & 0x3f)); };
    if (c < 0x80)
        return {static_cast<char>(c)};
    if (c < 0x800)
        return {static_cast<char>(0xc0 | c >> 6), tail(0)};
    if (c < 0x10000)
        return {static_cast<char>(0xe0 | c >> 12), tail(6), tail(0)};
    return {static_cast<char>(0xf0 | c >> 18), tail(12), tail(6), tail(0)};
}

TempDir::TempDir()
{
    std::string name = std::filesystem::temp_directory_path() / "vtrace-unit-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr)
        throw std::filesystem::filesystem_error("mkdtemp",
                                                std::error_code(errno, std::generic_category()));
    path_ = name;
}

TempDir::~TempDir()
{
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

uint64_t TempDir::mkdir(const std::string& name) const
{
    const std::string full = path_ + "/" + name;
    std::filesystem::create_directories(full);
    return inode_of(full);
}

void TempDir::write(const std::string& name, std::string_view content) const
{
    std::ofstream(path_ + "/" + name, std::ios::binary) << content;
}

uint64_t inode_of(const std::string& path)
{
    struct stat st = {};
    EXPECT_EQ(::stat(path.c_str(), &st), 0) << path;
    return st.st_ino;
}

} // namespace vtrace::test
