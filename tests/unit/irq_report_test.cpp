// SPDX-License-Identifier: GPL-2.0-only
// softirqs and hardirqs: from a snapshot to their text and their JSON; the kernel's own counts.
#include "collect/softirq_counts.h"
#include "render/irq_text.h"
#include "render/json.h"
#include "samples.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <utility>
#include <vector>

namespace vtrace {
namespace {

using test::irq_snapshot;
using test::names_of;
using test::value;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr uint64_t kMs = 1'000'000;

Report report_of(const char* tool, const ToolOptions& options = {.json = true},
                 const Snapshot& snapshot = irq_snapshot())
{
    return test::tool(tool).build(snapshot, options);
}

std::string text_of(const char* tool, const ToolOptions& options = {},
                    const Snapshot& snapshot = irq_snapshot())
{
    return render_text(report_of(tool, options, snapshot), {}, false, irq_text);
}

TEST(Softirqs, EachKindWithItsCpusAndWhoPaid)
{
    const Report report = report_of("softirqs");
    EXPECT_THAT(names_of(report.rows),
                ElementsAre("softirq NET_RX", "softirq TIMER", "softirq other"));
    const Row& packets = report.rows[0];
    ASSERT_EQ(packets.histograms.size(), 2U);
    EXPECT_EQ(packets.histograms[0].histogram.count(), 100'010U) << "of both CPUs";
    EXPECT_EQ(packets.histograms[0].histogram.sum, 1'920 * kMs);
    EXPECT_EQ(packets.histograms[1].histogram.count(), 100'010U);
    EXPECT_EQ(packets.histograms[1].histogram.max, 4 * kMs);
    EXPECT_NEAR(value(packets, "cpus"), 1.92 / 5, 1e-9);
    EXPECT_THAT(names_of(packets.rows),
                ElementsAre("cpu cpu 0", "cpu cpu 1", "cgroup /docker/e1b2c3", "kernel ksoftirqd",
                            "cgroup /batch", "part idle"));
    EXPECT_EQ(value(packets.rows[2], "count"), 80'000);
    EXPECT_EQ(value(packets.rows[2], "time"), 1'600 * kMs);
    EXPECT_NEAR(value(packets.rows[1], "cpus"), 0.02, 1e-9);
}

TEST(Softirqs, WhoPaidForWhat)
{
    const Report report = report_of("softirqs", {.group = "container", .json = true});
    EXPECT_THAT(names_of(report.rows),
                ElementsAre("container web", "kernel ksoftirqd", "host not in a container",
                            "part idle", "other other"));
    const Row& web = report.rows[0];
    EXPECT_EQ(value(web, "count"), 81'000);
    EXPECT_EQ(value(web, "time"), 1'605 * kMs);
    EXPECT_THAT(web.histograms, IsEmpty()) << "a delay is nobody's";
    EXPECT_THAT(names_of(web.rows), ElementsAre("softirq NET_RX", "softirq TIMER"));
    EXPECT_EQ(value(web.rows[1], "time"), 5 * kMs);
}

TEST(Hardirqs, HandlersOfOneLineAreApart)
{
    const Report report = report_of("hardirqs");
    EXPECT_THAT(names_of(report.rows),
                ElementsAre("hardirq eth0", "hardirq e\x1bvil", "hardirq nvme0q1"));
    const Row& card = report.rows[0];
    ASSERT_EQ(card.entity.labels.size(), 1U);
    EXPECT_EQ(card.entity.labels[0].kind, "irq");
    EXPECT_EQ(card.entity.labels[0].name, "41");
    EXPECT_EQ(card.histograms.size(), 1U) << "no delay is known";
    EXPECT_EQ(value(card, "not_handled"), 0);
    EXPECT_EQ(value(report.rows[1], "not_handled"), 19'999);
    EXPECT_THAT(names_of(report.rows[2].rows),
                ElementsAre("cpu cpu 0", "cpu cpu 1", "cgroup /docker/e1b2c3"));
}

TEST(Irqs, TextByKindAndByPayer)
{
    const std::string soft = text_of("softirqs");
    EXPECT_THAT(soft, HasSubstr("nobody: the CPU was idle"));
    EXPECT_THAT(soft, HasSubstr("kernel: ksoftirqd"));
    EXPECT_THAT(soft, HasSubstr("cpu 0, no other"));
    const std::string hard = text_of("hardirqs");
    EXPECT_THAT(hard, HasSubstr("41 e\\x1bvil"));
    EXPECT_THAT(hard, Not(HasSubstr("DELAY")));
    test::expect_golden("softirqs.txt", soft);
    test::expect_golden("hardirqs.txt", hard);
    test::expect_golden("softirqs_payers.txt", text_of("softirqs", {.group = "container"}));
    test::expect_golden("softirqs.json", render_json(report_of("softirqs"), false));
    test::expect_golden("hardirqs.json", render_json(report_of("hardirqs"), false));
}

TEST(Irqs, NothingRan)
{
    Snapshot snapshot = irq_snapshot();
    snapshot.irq = {};
    EXPECT_THAT(text_of("softirqs", {}, snapshot), HasSubstr("no softirq ran\n"));
    EXPECT_THAT(text_of("hardirqs", {}, snapshot), HasSubstr("no handler of an interrupt ran\n"));
}

TEST(SoftirqCounts, ByCpuAndVector)
{
    EXPECT_THAT(softirq_counts("                    CPU0       CPU2       \n"
                               "          HI:          1          0\n"
                               "       TIMER:        541 4294967296\n"),
                UnorderedElementsAre(Pair(Pair(0, 0), 1), Pair(Pair(2, 0), 0),
                                     Pair(Pair(0, 1), 541), Pair(Pair(2, 1), 4294967296)));
}

TEST(SoftirqCounts, WhatCannotBeRead)
{
    EXPECT_THAT(softirq_counts(""), IsEmpty());
    EXPECT_THAT(softirq_counts("CPU0 CPUx\nHI: -1 5 6\nTIMER\n"), IsEmpty());
}

} // namespace
} // namespace vtrace
