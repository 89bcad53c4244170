// SPDX-License-Identifier: GPL-2.0-only
// What several tools measure together, and what of it a diagnosis can do with less of.
#include "tools/facts.h"
#include "tools/measured.h"
#include "tools/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace vtrace {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

TEST(Measured, OnlySoftirqsNeedNoHierarchyOfTheirOwn)
{
    std::vector<std::string> only;
    for (const ToolSpec& tool : tools()) {
        if (only_softirqs(measured_by(tool, {})))
            only.emplace_back(tool.name);
    }
    EXPECT_THAT(only, ElementsAre("softirqs"));
}

TEST(Measured, TheShorterOfTwoPacesServesBoth)
{
    const Measured often{.sample_every = milliseconds(5)};
    const Measured seldom{.sample_every = milliseconds(50)};
    EXPECT_EQ(both(often, seldom).sample_every, milliseconds(5));
    EXPECT_EQ(both(seldom, often).sample_every, milliseconds(5));
}

TEST(Measured, ADiagnosisSamplesAsOftenAsItsWindowNeeds)
{
    EXPECT_EQ(sample_every(0.1), milliseconds(5));
    EXPECT_EQ(sample_every(1), milliseconds(10));
    EXPECT_EQ(sample_every(10), milliseconds(100));
    EXPECT_EQ(sample_every(3600), milliseconds(100));
}

} // namespace
} // namespace vtrace
