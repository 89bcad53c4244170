// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/drop_layout.h"

#include <bpf/btf.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <utility>

namespace vtrace {
namespace {

struct FreeBtf {
    void operator()(btf* types) const { btf__free(types); }
};
using Types = std::unique_ptr<btf, FreeBtf>;

void add_enum(const Types& types, const char* name,
              std::initializer_list<std::pair<const char*, int>> values)
{
    ASSERT_GT(btf__add_enum(types.get(), name, 4), 0);
    for (const auto& [value_name, value] : values)
        ASSERT_EQ(btf__add_enum_value(types.get(), value_name, value), 0);
}

// The tracepoint's prototype with so many arguments behind the first.
void add_tracepoint(const Types& types, int arguments)
{
    const int proto = btf__add_func_proto(types.get(), 0);
    ASSERT_GT(proto, 0);
    for (int i = 0; i < arguments + 1; i++)
        ASSERT_EQ(btf__add_func_param(types.get(), "", 0), 0);
    ASSERT_GT(
        btf__add_typedef(types.get(), "btf_trace_kfree_skb", btf__add_ptr(types.get(), proto)), 0);
}

TEST(DropLayout, OfAKernelWithoutReasons)
{
    const Types types(btf__new_empty());
    add_tracepoint(types, 2);
    const DropLayout layout = drop_layout(types.get());
    EXPECT_EQ(layout.arguments, 2U);
    EXPECT_EQ(layout.consumed, 0U);
    EXPECT_TRUE(layout.reasons.empty());
}

TEST(DropLayout, ZeroIsAReasonOfTheFirstKernelWithReasons)
{
    const Types types(btf__new_empty());
    add_tracepoint(types, 3);
    add_enum(types, "skb_drop_reason",
             {{"SKB_DROP_REASON_NOT_SPECIFIED", 0}, {"SKB_DROP_REASON_NO_SOCKET", 1}});
    const DropLayout layout = drop_layout(types.get());
    EXPECT_FALSE(layout.not_yet);
    EXPECT_EQ(layout.consumed, 0U);
    EXPECT_EQ(layout.name(0), "NOT_SPECIFIED");
}

TEST(DropLayout, NumbersGoByName)
{
    const Types types(btf__new_empty());
    add_tracepoint(types, 4);
    add_enum(types, "skb_drop_reason",
             {{"SKB_NOT_DROPPED_YET", 0}, {"SKB_CONSUMED", 1}, {"SKB_DROP_REASON_NO_SOCKET", 9}});
    const DropLayout layout = drop_layout(types.get());
    EXPECT_EQ(layout.arguments, 4U);
    EXPECT_TRUE(layout.not_yet);
    EXPECT_EQ(layout.consumed, 1U);
    EXPECT_EQ(layout.name(9), "NO_SOCKET");
    EXPECT_EQ(layout.name(10), "10");
}

TEST(DropLayout, ReasonsOfSubsystems)
{
    const Types types(btf__new_empty());
    add_enum(types, "skb_drop_reason_subsys",
             {{"SKB_DROP_REASON_SUBSYS_CORE", 0}, {"SKB_DROP_REASON_SUBSYS_OPENVSWITCH", 2}});
    add_enum(types, "qdisc_drop_reason",
             {{"__QDISC_DROP_REASON", 0x30000}, {"QDISC_DROP_OVERLIMIT", 0x30002}});
    const DropLayout layout = drop_layout(types.get());
    EXPECT_EQ(layout.name(0x30002), "QDISC_DROP_OVERLIMIT");
    EXPECT_EQ(layout.name(0x20005), "OPENVSWITCH:5");
    EXPECT_EQ(layout.name(0x30000), "196608") << "no packet has that one";
    EXPECT_EQ(layout.name(0x50001), "327681");
    EXPECT_EQ(layout.name(3), "3") << "of none";
}

TEST(DropLayout, OfNoTypes)
{
    const Types types(btf__new_empty());
    EXPECT_EQ(drop_layout(types.get()).arguments, 2U);
}

} // namespace
} // namespace vtrace
