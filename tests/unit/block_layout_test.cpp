// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/block_layout.h"

#include <bpf/btf.h>
#include <gtest/gtest.h>

#include <memory>

namespace vtrace {
namespace {

struct FreeBtf {
    void operator()(btf* types) const { btf__free(types); }
};

TEST(RequestFlags, OfTheTypes)
{
    const std::unique_ptr<btf, FreeBtf> types(btf__new_empty());
    ASSERT_GT(btf__add_enum(types.get(), "other", 4), 0);
    ASSERT_EQ(btf__add_enum_value(types.get(), "OTHER", 3), 0);
    ASSERT_GT(btf__add_enum(types.get(), nullptr, 4), 0); // as in 6.12
    ASSERT_EQ(btf__add_enum_value(types.get(), "__RQF_FLUSH_SEQ", 1), 0);
    ASSERT_EQ(btf__add_enum_value(types.get(), "__RQF_IO_STAT", 8), 0);
    const RequestFlags flags = request_flags(types.get());
    EXPECT_EQ(flags.flush_seq, 1U << 1);
    EXPECT_EQ(flags.io_stat, 1U << 8);
}

TEST(RequestFlags, OfKernelsBefore)
{
    const std::unique_ptr<btf, FreeBtf> types(btf__new_empty());
    const RequestFlags flags = request_flags(types.get());
    EXPECT_EQ(flags.flush_seq, 1U << 4);
    EXPECT_EQ(flags.io_stat, 1U << 13);
}

} // namespace
} // namespace vtrace
