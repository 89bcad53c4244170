// SPDX-License-Identifier: GPL-2.0-only
#include "symbol/process_image.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

namespace vtrace {
namespace {

const std::string kStat =
    "123 (a ) b) S 1 123 123 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 4711 1000 10 "
    "18446744073709551615 94000 95000 140000 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

TEST(ProcessImage, TakesTheRightFields)
{
    const auto image = parse_image(kStat);
    ASSERT_TRUE(image);
    EXPECT_EQ(*image,
              (ProcessImage{.start_time = 4711, .start_code = 94000, .start_stack = 140000}));
}

TEST(ProcessImage, WhatIsCutShortIsAnError)
{
    const size_t last = kStat.find("140000");
    for (size_t size = 0; size < last; size++)
        EXPECT_FALSE(parse_image(kStat.substr(0, size))) << size;
}

TEST(ProcessImage, KnowsThisProcess)
{
    const auto pid = static_cast<uint32_t>(::getpid());
    const auto image = read_image(pid);
    ASSERT_TRUE(image);
    EXPECT_NE(image->start_code, 0U);
    EXPECT_EQ(*image, *read_image(pid));
    EXPECT_FALSE(read_image(0xfffffff0));
}

} // namespace
} // namespace vtrace
