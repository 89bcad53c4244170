// SPDX-License-Identifier: GPL-2.0-only
#include "entity/io_limit.h"

#include "support.h"

#include <gtest/gtest.h>

namespace vtrace {
namespace {

constexpr uint32_t kSda = 8U << 20;
constexpr uint32_t kSdb = kSda + 16;

TEST(IoLimit, OfV2)
{
    const char* text = "8:16 rbps=2097152 wbps=max riops=max wiops=120\n"
                       "8:0 rbps=max wbps=1048576 riops=max wiops=max\n";
    EXPECT_EQ(io_limit(text, kSda), (IoLimit{.write_bytes = 1'048'576}));
    EXPECT_EQ(io_limit(text, kSdb), (IoLimit{.read_bytes = 2'097'152, .writes = 120}));
    EXPECT_EQ(io_limit(text, kSda + 1), IoLimit{});
    EXPECT_EQ(io_limit("", kSda), IoLimit{});
    EXPECT_EQ(io_limit("8:0\n8:0 wbps= riops=1x\n", kSda), IoLimit{});
}

TEST(IoLimit, OfV1)
{
    EXPECT_EQ(throttle_limit("8:16 5\n8:0 1048576\n", kSda), 1'048'576U);
    EXPECT_EQ(throttle_limit("8:16 5\n", kSda), std::nullopt);
    EXPECT_EQ(throttle_limit("8:0 max\n8:0\n", kSda), std::nullopt);
}

TEST(IoLimit, FromWhateverFilesAreThere)
{
    const test::TempDir v2;
    v2.write("io.max", "8:0 rbps=7 wbps=max riops=max wiops=max\n");
    EXPECT_EQ(read_io_limit(v2.path(), kSda), (IoLimit{.read_bytes = 7}));
    const test::TempDir v1;
    v1.write("blkio.throttle.read_bps_device", "");
    v1.write("blkio.throttle.write_bps_device", "8:0 11\n");
    v1.write("blkio.throttle.read_iops_device", "8:0 12\n");
    EXPECT_EQ(read_io_limit(v1.path(), kSda), (IoLimit{.write_bytes = 11, .reads = 12}));
    EXPECT_EQ(read_io_limit("/nowhere", kSda), IoLimit{});
}

} // namespace
} // namespace vtrace
