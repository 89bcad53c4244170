// SPDX-License-Identifier: GPL-2.0-only
#include "tools/ps_table.h"

#include "base/printable.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace vtrace {
namespace {

using test::lines_of;
using testing::Each;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

PsRow row(const std::string& kind, const std::string& name, const std::string& cgroup)
{
    PsRow row;
    row.entity = {.kind = kind, .name = name, .cgroup = cgroup, .id = 7};
    row.threads = 12;
    row.source = "cgroup";
    return row;
}

PsRow vm()
{
    PsRow one = row("vm", "web-3", "/machine/web-3");
    one.entity.pid = 42;
    one.vm_threads = {{42, "emulator"}, {43, "vcpu 0"},   {44, "vcpu 1"},
                      {45, "iothread"}, {46, "emulator"}, {50, "vhost"}};
    one.threads = one.vm_threads.size();
    return one;
}

TEST(PsTable, ThreadsOfAVmByRole)
{
    EXPECT_THAT(ps_table({vm()}, {}), HasSubstr(" 6 (2 vcpu, 1 iothread, 1 vhost, 2 emulator) "));
    const auto document = nlohmann::json::parse(ps_json({vm()}));
    const auto& one = document["entities"][0];
    EXPECT_EQ(one["pid"], 42);
    EXPECT_EQ(one["threads"]["all"], 6);
    EXPECT_EQ(one["threads"]["roles"][1], nlohmann::json({{"tid", 43}, {"role", "vcpu 0"}}));
}

PsRow container()
{
    const std::string id(64, 'a');
    PsRow one = row("container", "checkout-api", "/docker/" + id);
    one.entity.uid = id;
    one.entity.image = "shop:1";
    one.limits = {.cpus = 1.5, .memory_bytes = 64 << 20};
    one.source = "docker API";
    return one;
}

size_t widest(const std::string& text)
{
    size_t most = 0;
    for (const std::string& line : lines_of(text))
        most = std::max(most, columns(line));
    return most;
}

TEST(PsTable, WithoutATerminalNothingIsCut)
{
    const std::string name(200, 'n');
    const std::string text = ps_table({container(), row("unit", name, "/" + name)}, {});
    EXPECT_THAT(text, HasSubstr(" /docker/" + std::string(64, 'a') + "\n"));
    EXPECT_THAT(text, HasSubstr(name + " "));
    EXPECT_THAT(lines_of(text)[0],
                testing::MatchesRegex("KIND +NAME +ID +CPUS +MEMORY +THREADS +FROM +CGROUP"));
}

TEST(PsTable, ShowsLimitsAndThreads)
{
    EXPECT_EQ(
        ps_table({container(), row("unit", "a.service", "/a.service")}, {.width = 83}),
        "KIND      NAME         ID           CPUS MEMORY THREADS FROM       CGROUP\n"
        "container checkout-api aaaaaaaaaaaa 1.50    64M 12      docker API /doc...aaaaaaaaa\n"
        "unit      a.service    -               -      - 12      cgroup     /a.service\n");
}

TEST(PsTable, Fits80Columns)
{
    const std::string name(100, 'n');
    for (const size_t width : {80U, 81U, 90U, 100U, 120U, 150U, 300U}) {
        const std::string text =
            ps_table({container(), row("unit", name, "/" + name)}, {.width = width});
        EXPECT_LE(widest(text), width) << text;
        EXPECT_THAT(text, HasSubstr("THREADS"));
        EXPECT_THAT(text, HasSubstr(" checkout-api "));
        EXPECT_THAT(text, HasSubstr("CGROUP"));
    }
}

TEST(PsTable, ANarrowTerminalGetsTheColumnsThatMatterMost)
{
    const std::string text = ps_table({container()}, {.width = 50});
    EXPECT_THAT(text, Not(HasSubstr("FROM")));
    EXPECT_THAT(text, Not(HasSubstr("CGROUP")));
    EXPECT_THAT(text, HasSubstr("checkout-api"));
    EXPECT_THAT(lines_of(text), Each(Not(testing::EndsWith(" "))));
}

TEST(PsTable, KeepsToTheHeightAndCountsTheRest)
{
    const std::vector<PsRow> rows(9, container());
    EXPECT_THAT(lines_of(ps_table(rows, {.height = 10})), SizeIs(10));
    EXPECT_THAT(ps_table(rows, {.height = 10}), Not(HasSubstr("more")));
    const auto cut = lines_of(ps_table(rows, {.height = 9}));
    ASSERT_THAT(cut, SizeIs(9));
    EXPECT_THAT(cut.front(), StartsWith("KIND"));
    EXPECT_EQ(cut.back(), "... and 2 more");
    for (const size_t height : {0U, 1U, 2U})
        EXPECT_EQ(lines_of(ps_table(rows, {.height = height})).back(), "... and 9 more");
}

TEST(PsTable, ANameDoesNotDriveTheTerminal)
{
    const std::string text = ps_table({row("unit", "\x1b[31m\n\xff", "/\x1b[31m\n\xff")}, {});
    EXPECT_THAT(text, Not(HasSubstr("\x1b")));
    EXPECT_THAT(lines_of(text), SizeIs(2));
}

TEST(PsTable, RedrawnOverwritesAndErasesTheRest)
{
    EXPECT_EQ(redrawn("a\nb\n"), "\x1b[H\x1b[?7la\x1b[K\nb\x1b[K\n\x1b[J\x1b[?7h");
}

TEST(PsJson, HasAllOfIt)
{
    PsRow one = container();
    one.entity.parents = {{"pod", "shop/web"}};
    const auto document = nlohmann::json::parse(ps_json({one, row("unit", "a\xff", "/a")}));
    EXPECT_EQ(document["schema"], "vtrace/1");
    const auto& first = document["entities"][0];
    EXPECT_EQ(first["threads"], nlohmann::json({{"all", 12}}));
    EXPECT_EQ(first["cpus"], 1.5);
    EXPECT_EQ(first["memory_bytes"], 64 << 20);
    EXPECT_EQ(first["parents"][0]["name"], "shop/web");
    EXPECT_EQ(document["entities"][1]["name"], "a\\xff");
    EXPECT_TRUE(document["entities"][1]["uid"].is_null());
    EXPECT_THAT(lines_of(ps_json({})), SizeIs(1));
}

} // namespace
} // namespace vtrace
