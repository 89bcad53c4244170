// SPDX-License-Identifier: GPL-2.0-only
// The rules on recordings of real bottlenecks: one of each scenario of `vtrace demo` (CONTRIBUTING says how they are
// made). Each has one interval.
#include "diagnose/diagnose.h"
#include "record/recording.h"
#include "support.h"
#include "tools/facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace vtrace {
namespace {

using testing::EndsWith;
using testing::IsEmpty;
using testing::Not;

struct Recorded {
    const char* rule; // and the file's name; "healthy" has none
    const char* victim;
    const char* culprit; // null if nobody is
};

class Corpus : public testing::TestWithParam<Recorded> {
protected:
    static std::vector<Finding> findings()
    {
        const std::string bytes =
            test::fixture("recordings/" + std::string(GetParam().rule) + ".rec");
        auto reader = RecordingReader::open(bytes);
        EXPECT_TRUE(reader);
        const auto interval = reader->next();
        EXPECT_TRUE(interval && *interval);
        const Facts facts = facts_of(reader->head(), **interval, {});
        EXPECT_THAT(facts.knobs, Not(IsEmpty()));
        return diagnose(facts, {});
    }
};

TEST_P(Corpus, TheRightCauseComesFirst)
{
    const std::vector<Finding> found = findings();
    if (std::string_view(GetParam().rule) == "healthy") {
        EXPECT_THAT(found, IsEmpty());
        return;
    }
    ASSERT_THAT(found, Not(IsEmpty()));
    const Finding& first = found.front();
    EXPECT_EQ(first.rule, GetParam().rule);
    EXPECT_THAT(first.entity.name, EndsWith(GetParam().victim));
    ASSERT_EQ(first.culprit.has_value(), GetParam().culprit != nullptr);
    if (first.culprit) {
        EXPECT_THAT(first.culprit->name, EndsWith(GetParam().culprit));
    }
    EXPECT_THAT(first.evidence, Not(IsEmpty()));
    EXPECT_THAT(first.advice, Not(IsEmpty()));
    EXPECT_GT(first.confidence, 0.5);
}

INSTANTIATE_TEST_SUITE_P(
    Scenarios, Corpus,
    testing::Values(Recorded{"cpu-throttled", "/web", "/web"},
                    Recorded{"cpu-neighbour", "/web", "/batch"},
                    Recorded{"cpu-self", "/web", "/web"}, Recorded{"memory-limit", "/db", "/db"},
                    Recorded{"memory-oom", "/web", "/web"}, Recorded{"disk-limit", "/db", "/db"},
                    Recorded{"disk-neighbour", "/db", "/backup"},
                    Recorded{"lock-contention", "/web", "/web"},
                    Recorded{"net-drops", "/web", "/web"},
                    Recorded{"net-queue", "/backup", nullptr}, Recorded{"healthy", "", nullptr}),
    [](const auto& one) {
        std::string name = one.param.rule;
        std::ranges::replace(name, '-', '_');
        return name;
    });

} // namespace
} // namespace vtrace
