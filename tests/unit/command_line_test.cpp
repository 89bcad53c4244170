// SPDX-License-Identifier: GPL-2.0-only
#include "tools/command_line.h"
#include "tools/completion.h"

#include "collect/block_queues.h"
#include "support.h"
#include "tools/known_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace vtrace {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::Not;
using testing::StartsWith;
using testing::UnorderedElementsAre;

using Words = std::vector<std::string>;

Result<Command> parse(const Words& words)
{
    std::vector<const char*> argv = {"vtrace"};
    for (const std::string& word : words)
        argv.push_back(word.c_str());
    const int argc = static_cast<int>(argv.size());
    argv.push_back(nullptr);
    return parse_command_line(argc, argv.data());
}

// The options of a line of words, which must be right.
ToolOptions options_of(const std::string& line)
{
    std::istringstream stream(line);
    Words words = {"runqlat"};
    for (std::string word; stream >> word;)
        words.push_back(word);
    const auto command = parse(words);
    EXPECT_TRUE(command) << line << ": " << command.error().message();
    if (!command)
        return {};
    EXPECT_NE(command->tool, nullptr) << line;
    return command->options;
}

void expect_usage(const Words& words, const std::string& part)
{
    const auto command = parse(words);
    ASSERT_FALSE(command) << testing::PrintToString(words);
    EXPECT_EQ(command.error().exit, ExitCode::kUsage) << testing::PrintToString(words);
    const std::string message = command.error().message();
    EXPECT_THAT(message, HasSubstr(part)) << testing::PrintToString(words);
    EXPECT_THAT(message, Not(HasSubstr("\n"))) << "one line";
    EXPECT_THAT(message, Not(HasSubstr("\x1b")));
}

TEST(CommandLine, DefaultsOfATool)
{
    const auto command = parse({"runqlat"});
    ASSERT_TRUE(command);
    ASSERT_NE(command->tool, nullptr);
    EXPECT_EQ(command->tool->name, "runqlat");
    EXPECT_FALSE(command->list || command->check || command->completion || command->text);
    const ToolOptions& o = command->options;
    EXPECT_EQ(o.group + o.target + o.target_kind, "");
    EXPECT_FALSE(o.json || o.timestamp || o.overhead || o.include_self || o.verbose);
    EXPECT_EQ(o.target + o.comm + o.output, "");
    EXPECT_EQ(o.pid, 0);
    EXPECT_EQ(o.top, 0u);
    EXPECT_EQ(o.slower_ms, 0);
    EXPECT_EQ(o.interval, 0);
    EXPECT_EQ(o.count, 0u);
}

TEST(CommandLine, IntervalAndCount)
{
    EXPECT_EQ(options_of("1").interval, 1);
    EXPECT_EQ(options_of("1").count, 0u);
    EXPECT_EQ(options_of("0.5 3").interval, 0.5);
    EXPECT_EQ(options_of("0.5 3").count, 3u);
    EXPECT_EQ(options_of("0.01").interval, 0.01);
    EXPECT_EQ(options_of("31536000 1000000000").interval, 31'536'000);
    EXPECT_EQ(options_of("31536000 1000000000").count, 1'000'000'000u);
    EXPECT_EQ(options_of("1e2").interval, 100);
}

TEST(CommandLine, CgroupWithAndWithoutValue)
{
    EXPECT_EQ(options_of("--cgroup").group, "cgroup");
    EXPECT_EQ(options_of("--cgroup").target, "");
    EXPECT_EQ(options_of("--cgroup=/docker").group, "cgroup");
    EXPECT_EQ(options_of("--cgroup=/docker").target, "/docker");
    EXPECT_EQ(options_of("--cgroup=docker/4f").target, "docker/4f");
    EXPECT_EQ(options_of("--cgroup=/a=b").target, "/a=b");
    for (const char* word : {"false", "true", "0", "1", "off", "-1"})
        EXPECT_EQ(options_of(std::string("--cgroup=") + word).target, word);
    // The root is all there is.
    EXPECT_EQ(options_of("--cgroup=/").group, "cgroup");
    EXPECT_EQ(options_of("--cgroup=/").target, "");
    EXPECT_EQ(options_of("--cgroup=///").target, "");
}

TEST(CommandLine, OneToGroupByAndOneToSelect)
{
    for (const std::string kind : {"container", "pod", "unit"}) {
        EXPECT_EQ(options_of("--" + kind).group, kind);
        EXPECT_EQ(options_of("--" + kind).target, "");
        const ToolOptions one = options_of("--" + kind + "=a/b");
        EXPECT_EQ(one.group, kind);
        EXPECT_EQ(one.target_kind, kind);
        EXPECT_EQ(one.target, "a/b");
        EXPECT_EQ(parse({"runqlat", "--" + kind, "web"}).error().exit, ExitCode::kUsage);
        EXPECT_THAT(parse({"runqlat", "--" + kind, "web"}).error().message(),
                    testing::HasSubstr("--" + kind + "=web"));
        EXPECT_FALSE(parse({"runqlat", "--" + kind + "="}));
    }
    const ToolOptions both = options_of("--pod=shop/web --container 1 3");
    EXPECT_EQ(both.group, "container");
    EXPECT_EQ(both.target_kind, "pod");
    EXPECT_EQ(both.target, "shop/web");
    EXPECT_EQ(both.count, 3u);
    EXPECT_FALSE(parse({"runqlat", "--pod", "--container"})) << "two to group by";
    EXPECT_FALSE(parse({"runqlat", "--pod=a", "--container=b"})) << "two to select";
}

TEST(CommandLine, RowsOfSomeToolsAreVms)
{
    for (const std::string tool : {"vcpu", "vmcost", "kvmmem"}) {
        const auto parsed = parse({tool, "--pod=shop/web"});
        ASSERT_TRUE(parsed) << tool;
        EXPECT_EQ(parsed->options.group, "vm");
        EXPECT_EQ(parsed->options.target_kind, "pod");
        EXPECT_TRUE(parse({tool, "--vm"}));
        EXPECT_THAT(parse({tool, "--pod"}).error().message(),
                    testing::HasSubstr("--pod can select, not group"));
        EXPECT_FALSE(parse({tool, "--container", "--vm=web"}));
    }
    EXPECT_EQ(parse({"kvmexit", "--pod"})->options.group, "pod");
}

TEST(CommandLine, ACgroupCalledBracesIsACgroup)
{
    EXPECT_EQ(options_of("--cgroup=/{}").target, "/{}");
}

TEST(CommandLine, CgroupDoesNotSwallowTheInterval)
{
    const ToolOptions o = options_of("--cgroup 1 3");
    EXPECT_EQ(o.group, "cgroup");
    EXPECT_EQ(o.target, "");
    EXPECT_EQ(o.interval, 1);
    EXPECT_EQ(o.count, 3u);
}

TEST(CommandLine, ABarePathNamesTheEqualsForm)
{
    expect_usage({"runqlat", "--cgroup", "/docker"}, "--cgroup=/docker");
    expect_usage({"runqlat", "--cgroup", "/docker", "1"}, "--cgroup=/docker");
    expect_usage({"runqlat", "--cgroup="}, "--cgroup= has no path");
}

TEST(CommandLine, EveryOption)
{
    EXPECT_EQ(options_of("--pid 42").pid, 42);
    EXPECT_EQ(options_of("--pid=4194304").pid, 4'194'304);
    EXPECT_EQ(options_of("--comm nginx*").comm, "nginx*");
    EXPECT_EQ(options_of("--comm=[a-z]").comm, "[a-z]");
    EXPECT_EQ(options_of("--slower 10").slower_ms, 10);
    EXPECT_EQ(options_of("--slower 0.001").slower_ms, 0.001);
    EXPECT_EQ(options_of("--top 5").top, 5u);
    EXPECT_EQ(options_of("--top 1000000").top, 1'000'000u);
    EXPECT_FALSE(options_of("--format text").json);
    EXPECT_TRUE(options_of("--format json").json);
    EXPECT_TRUE(options_of("--format=json").json);
    EXPECT_EQ(options_of("--output /tmp/x").output, "/tmp/x");
    EXPECT_TRUE(options_of("--timestamp").timestamp);
    EXPECT_TRUE(options_of("--overhead").overhead);
    EXPECT_TRUE(options_of("--include-self").include_self);
    EXPECT_TRUE(options_of("--verbose").verbose);
}

TEST(CommandLine, AllTogetherInAnyOrder)
{
    for (const char* line :
         {"--cgroup=/a --pid 7 --comm x --slower 1 --top 2 --format json --output f "
          "--timestamp --overhead --include-self --verbose 0.1 9",
          "0.1 9 --verbose --include-self --overhead --timestamp --output f --format json "
          "--top 2 --slower 1 --comm x --pid 7 --cgroup=/a",
          "--cgroup=/a 0.1 --pid=7 --comm=x --slower=1 9 --top=2 --format=json --output=f "
          "--timestamp --overhead --include-self --verbose"}) {
        const ToolOptions o = options_of(line);
        EXPECT_EQ(o.group, "cgroup");
        EXPECT_TRUE(o.json && o.timestamp && o.overhead && o.include_self && o.verbose) << line;
        EXPECT_EQ(o.target, "/a") << line;
        EXPECT_EQ(o.pid, 7) << line;
        EXPECT_EQ(o.comm, "x") << line;
        EXPECT_EQ(o.slower_ms, 1) << line;
        EXPECT_EQ(o.top, 2u) << line;
        EXPECT_EQ(o.output, "f") << line;
        EXPECT_EQ(o.interval, 0.1) << line;
        EXPECT_EQ(o.count, 9u) << line;
    }
}

TEST(CommandLine, RefusesNumbersThatAreNone)
{
    for (const char* word : {"x", "0", "0.0", "0.009", "1s", "1,5", "nan", "inf", "infinity",
                             "1e400", "31536001", "0x10", "+1", " 1", "1 ", "1.5.5", "\x1b[31m\n"})
        expect_usage({"runqlat", word}, "INTERVAL");
    for (const char* word :
         {"x", "0", "1.5", "1000000001", "99999999999999999999", "1e3", "+1", "\x1b[31m\n"})
        expect_usage({"runqlat", "1", word}, "COUNT");
    for (const char* word :
         {"x", "0", "1.5", "4194305", "99999999999", "0x10", "all", "\x1b[31m\n"})
        expect_usage({"runqlat", "--pid", word}, "--pid");
    for (const char* word : {"x", "0", "1.5", "1000001", "all", "\x1b[31m\n"})
        expect_usage({"runqlat", "--top", word}, "--top");
    for (const char* word : {"x", "0", "0.0001", "nan", "inf", "86400001", "10ms", "\x1b[31m\n"})
        expect_usage({"runqlat", "--slower", word}, "--slower");
}

// A shell variable that is not set must not turn a filter off.
TEST(CommandLine, RefusesEmptyValues)
{
    for (const char* option : {"--pid", "--comm", "--slower", "--top", "--output", "--format"}) {
        expect_usage({"runqlat", option, ""}, "");
        expect_usage({"runqlat", std::string(option) + "="}, "");
        expect_usage({"runqlat", std::string(option) + "=", "1"}, "");
    }
    expect_usage({"runqlat", ""}, "");
    expect_usage({"runqlat", "1", ""}, "");
    expect_usage({""}, "");
}

TEST(CommandLine, RefusesNegativeNumbers)
{
    for (const Words& words : {Words{"runqlat", "-1"},
                               {"runqlat", "1", "-1"},
                               {"runqlat", "-.5"},
                               {"runqlat", "--pid", "-1"},
                               {"runqlat", "--top", "-1"},
                               {"-1"}})
        expect_usage(words, "negative");
}

TEST(CommandLine, RefusesWhatItDoesNotKnow)
{
    expect_usage({}, "tool");
    expect_usage({"nonsense"}, "nonsense");
    expect_usage({"runqlat", "--nonsense"}, "--nonsense");
    expect_usage({"runqlat", "--nonsense=\x1b[31m\n"}, "nonsense");
    expect_usage({"runqlat", "1", "2", "3"}, "3");
    expect_usage({"runqlat", "--format", "xml"}, "xml");
    expect_usage({"runqlat", "--format", "\x1b[31m\n"}, "format");
    expect_usage({"runqlat", "--pid"}, "--pid");
    expect_usage({"runqlat", "--format"}, "--format");
    expect_usage({"runqlat", "list"}, "list");
    expect_usage({"list", "runqlat"}, "runqlat");
    expect_usage({"check", "1"}, "1");
    expect_usage({"check", "--format", "xml"}, "xml");
    expect_usage({"completion", "x"}, "x");
    expect_usage({"--cgroup", "runqlat"}, "cgroup");
    expect_usage({"\x1b[31m\n"}, "\\x1b");
}

// A filter that does nothing would be worse than none.
TEST(CommandLine, RefusesFiltersByTaskWhereThereAreNoTasks)
{
    for (const Words& words : {Words{"runqlen", "--pid", "1"},
                               {"runqlen", "--pid=1"},
                               {"runqlen", "--comm", "x"},
                               {"runqlen", "--cgroup", "--comm=x", "1"}}) {
        expect_usage(words, words.at(1) == "--cgroup" ? "has no --comm" : "runqlen has no --");
        expect_usage(words, "vtrace runqlat");
    }
    const auto help = parse({"runqlen", "--help"});
    ASSERT_TRUE(help && help->text);
    EXPECT_THAT(*help->text, Not(HasSubstr("--pid")));
    EXPECT_THAT(*help->text, Not(HasSubstr("--comm")));
    const KnownNames none = [](const std::string&, const std::string&) {
        return std::vector<std::string>{};
    };
    EXPECT_EQ(complete({"runqlen", "--pi"}, none), "");
    EXPECT_EQ(complete({"runqlat", "--pi"}, none), "--pid\n");
}

TEST(CommandLine, CompletesTheFormatsOfATool)
{
    const KnownNames none = [](const std::string&, const std::string&) {
        return std::vector<std::string>{};
    };
    EXPECT_EQ(complete({"runqlat", "--format", ""}, none), "text\njson\n");
    EXPECT_EQ(complete({"offcputime", "--format", "f"}, none), "folded\n");
    EXPECT_EQ(complete({"offcputime", "--format=f"}, none), "--format=folded\n");
    EXPECT_EQ(complete({"ps", "--format", "f"}, none), "");
}

TEST(CommandLine, OtherCommands)
{
    const auto list = parse({"list"});
    ASSERT_TRUE(list);
    EXPECT_TRUE(list->list && !list->check && !list->completion && list->tool == nullptr &&
                !list->text);
    const auto check = parse({"check", "--format", "json"});
    ASSERT_TRUE(check);
    EXPECT_TRUE(check->check && !check->list && !check->completion && check->tool == nullptr &&
                check->options.json);
    const auto completion = parse({"completion"});
    ASSERT_TRUE(completion);
    EXPECT_TRUE(completion->completion && !completion->list && !completion->check &&
                completion->tool == nullptr);
}

TEST(CommandLine, Demo)
{
    const auto demo = parse({"demo", "cpu-self", "--format", "json"});
    ASSERT_TRUE(demo);
    ASSERT_TRUE(demo->demo);
    EXPECT_EQ(demo->demo->scenario, "cpu-self");
    EXPECT_TRUE(demo->options.json && demo->tool == nullptr);
    const auto list = parse({"demo", "--list"});
    ASSERT_TRUE(list && list->demo);
    EXPECT_EQ(list->demo->scenario, "");
    expect_usage({"demo"}, "no scenario");
    expect_usage({"demo", "nosuch"}, "nosuch");
    expect_usage({"demo", "--list", "cpu-self"}, "--list");
}

TEST(CommandLine, PsWatches)
{
    const auto watch = [](const Words& words) {
        const auto command = parse(words);
        EXPECT_TRUE(command && command->ps) << testing::PrintToString(words);
        return command ? command->ps_watch : -1;
    };
    EXPECT_EQ(watch({"ps"}), 0);
    EXPECT_EQ(watch({"ps", "--watch"}), 2);
    EXPECT_EQ(watch({"ps", "--watch=5"}), 5);
    EXPECT_EQ(watch({"ps", "--watch=0.1", "--format", "json"}), 0.1);
    EXPECT_EQ(watch({"ps", "--format", "json", "--watch"}), 2);
    for (const char* word : {"0", "0.09", "86401", "x", "false", "nan", "1s", "\x1b[31m\n"})
        expect_usage({"ps", std::string("--watch=") + word}, "--watch=");
    expect_usage({"ps", "--watch="}, "--watch= has no value");
    expect_usage({"ps", "--watch", "5"}, "equals sign: --watch=5");
    expect_usage({"ps", "--watch", "x"}, "x");
    expect_usage({"runqlat", "--watch"}, "--watch");
    expect_usage({"list", "--watch"}, "--watch");
}

TEST(CommandLine, HelpAndVersion)
{
    const auto version = parse({"--version"});
    ASSERT_TRUE(version);
    EXPECT_EQ(version->text, "vtrace " VTRACE_VERSION "\n");
    const auto help = parse({"--help"});
    ASSERT_TRUE(help);
    ASSERT_TRUE(help->text);
    EXPECT_THAT(*help->text, HasSubstr("runqlat"));
    EXPECT_THAT(*help->text, HasSubstr("Exit codes"));
    for (const Words& words : {Words{"runqlat", "--help"},
                               {"runqlat", "-h"},
                               {"runqlat", "1", "--help"},
                               {"runqlat", "--cgroup", "--help"}}) {
        const auto tool = parse(words);
        ASSERT_TRUE(tool) << testing::PrintToString(words);
        ASSERT_TRUE(tool->text);
        for (const char* part : {"--cgroup", "--pid", "--comm", "--slower", "--top", "--format",
                                 "--output", "--timestamp", "--overhead", "--include-self",
                                 "--verbose", "INTERVAL", "COUNT", "Examples:"})
            EXPECT_THAT(*tool->text, HasSubstr(part));
    }
}

TEST(CommandLine, NamesAreTakenAsTheyAre)
{
    const auto command =
        parse({"runqlat", "--comm", "\xff\n*", "--output", "\x1b", "--cgroup=/\xff"});
    ASSERT_TRUE(command);
    EXPECT_EQ(command->options.comm, "\xff\n*");
    EXPECT_EQ(command->options.output, "\x1b");
    EXPECT_EQ(command->options.target, "/\xff");
}

// Of a host where all is called by these names, whatever it is.
Words completions(const Words& words, const Words& names = {})
{
    const KnownNames known = [&](const std::string&, const std::string&) { return names; };
    std::istringstream stream(complete(words, known));
    Words lines;
    for (std::string line; std::getline(stream, line);)
        lines.push_back(line);
    return lines;
}

TEST(Complete, Commands)
{
    EXPECT_THAT(completions({}),
                IsSupersetOf({"runqlat", "list", "check", "completion", "--help", "--version"}));
    EXPECT_THAT(completions({""}), IsSupersetOf({"runqlat", "list", "check", "completion"}));
    EXPECT_THAT(completions({"r"}), Contains("runqlat"));
    EXPECT_THAT(completions({"r"}), Each(StartsWith("r")));
    EXPECT_THAT(completions({"che"}), ElementsAre("check"));
    EXPECT_THAT(completions({"nonsense"}), IsEmpty());
    EXPECT_THAT(completions({"demo", "memory-"}), ElementsAre("memory-limit", "memory-oom"));
}

TEST(Complete, Options)
{
    EXPECT_THAT(
        completions({"runqlat", ""}),
        IsSupersetOf({"--cgroup", "--pid", "--comm", "--slower", "--top", "--format", "--output",
                      "--timestamp", "--overhead", "--include-self", "--verbose", "--help"}));
    EXPECT_THAT(completions({"runqlat", "--o"}), ElementsAre("--output", "--overhead"));
    EXPECT_THAT(completions({"runqlat", "1", "--ve"}), ElementsAre("--verbose"));
    EXPECT_THAT(completions({"check", "--f"}), ElementsAre("--format"));
    EXPECT_THAT(completions({"nonsense", "--f"}), IsEmpty());
}

TEST(Complete, Values)
{
    EXPECT_THAT(completions({"runqlat", "--format", ""}), ElementsAre("text", "json"));
    EXPECT_THAT(completions({"runqlat", "--format", "j"}), ElementsAre("json"));
    // What follows is a number or a name of the user's: no option fits.
    for (const char* option : {"--pid", "--comm", "--top", "--slower", "--output"})
        EXPECT_THAT(completions({"runqlat", option, ""}), IsEmpty()) << option;
    EXPECT_THAT(completions({"runqlat", "--cgroup", "--p"}), ElementsAre("--pod", "--pid"));
}

TEST(Complete, NamesThatExist)
{
    EXPECT_THAT(completions({"runqlat", "--container="}, {"web", "db", "web"}),
                ElementsAre("--container=db", "--container=web"));
    EXPECT_THAT(completions({"runqlat", "--container=w"}, {"web", "db"}),
                ElementsAre("--container=web"));
    EXPECT_THAT(completions({"runqlat", "--pod=shop/"}, {"shop/web", "kube/dns"}),
                ElementsAre("--pod=shop/web"));
    EXPECT_THAT(completions({"runqlat", "1", "--unit=a:b="}, {"a:b=c"}),
                ElementsAre("--unit=a:b=c"));
    EXPECT_THAT(completions({"runqlat", "--container=x"}, {"web"}), IsEmpty());
    EXPECT_THAT(completions({"runqlat", "--comm="}, {"web"}), IsEmpty());
    EXPECT_THAT(completions({"runqlat", "--pid", "--unit="}, {"web"}), IsEmpty());
    EXPECT_THAT(completions({"ps", "--container="}, {"web"}), IsEmpty()) << "ps does not have it";
}

TEST(Complete, AsksForTheKindAndWhatIsTyped)
{
    Words asked;
    const KnownNames known = [&](const std::string& kind, const std::string& typed) {
        asked.push_back(kind + " " + typed);
        return Words{};
    };
    (void)complete({"runqlat", "--container=we"}, known);
    (void)complete({"runqlat", "--cgroup=/a\\ b/c\\\\x2d"}, known);
    (void)complete({"runqlat", "--cgroup"}, known);
    (void)complete({"runqlat", "--cgroup='/a"}, known);
    (void)complete({"runqlat", "--cgroup=$(a"}, known);
    (void)complete({"runqlat", "--cgroup=/a\\"}, known);
    EXPECT_THAT(asked, ElementsAre("container we", "cgroup /a b/c\\x2d"));
}

TEST(Complete, Disks)
{
    const Words disks = {"sda", "sdb", "nvme0n1"};
    for (const std::string tool : {"biolatency", "iotop"}) {
        EXPECT_THAT(completions({tool, "--dev", ""}, disks), ElementsAre("nvme0n1", "sda", "sdb"));
        EXPECT_THAT(completions({tool, "--dev", "s"}, disks), ElementsAre("sda", "sdb"));
        EXPECT_THAT(completions({tool, "--dev=n"}, disks), ElementsAre("--dev=nvme0n1"));
    }
    EXPECT_THAT(completions({"biolatency", "--dev", "'s"}, disks), IsEmpty()) << "in quotes";
    EXPECT_THAT(completions({"biolatency", "--de"}, disks), ElementsAre("--dev"));
    EXPECT_THAT(completions({"biolatency", "--dev", "sda", "--si"}, disks), ElementsAre("--size"));
    EXPECT_THAT(completions({"runqlat", "--dev="}, disks), IsEmpty()) << "runqlat does not have it";
    Words asked;
    const KnownNames known = [&](const std::string& kind, const std::string& typed) {
        asked.push_back(kind + " " + typed);
        return Words{};
    };
    (void)complete({"biolatency", "--dev", "/dev/s"}, known);
    (void)complete({"biolatency", "--dev=s"}, known);
    EXPECT_THAT(asked, ElementsAre("disk /dev/s", "disk s"));
}

TEST(Complete, NamesAreEscapedForTheShell)
{
    for (const auto& [name, word] : std::vector<std::pair<std::string, std::string>>{
             {"a b", "a\\ b"},
             {"$(id)", "\\$\\(id\\)"},
             {"`id`", "\\`id\\`"},
             {"a;b|c&d>e<f", "a\\;b\\|c\\&d\\>e\\<f"},
             {"it's \"x\"", "it\\'s\\ \\\"x\\\""},
             {"!a*?[b]{c}~#^", "\\!a\\*\\?\\[b\\]\\{c\\}\\~\\#\\^"},
             {"a\\x2db", "a\\\\x2db"},
             {"größe@1.service", "größe@1.service"}}) {
        EXPECT_THAT(completions({"runqlat", "--unit="}, {name}), ElementsAre("--unit=" + word));
        EXPECT_THAT(completions({"runqlat", "--unit=" + word}, {name}),
                    ElementsAre("--unit=" + word))
            << "what is complete";
    }
}

TEST(Complete, NamesThatCannotBeShownAreLeftOut)
{
    EXPECT_THAT(completions({"runqlat", "--container="},
                            {"", "a\nb", "\x1b[31m", "\xff", "a\tb", "\xe2\x80\xae", "good"}),
                ElementsAre("--container=good"));
}

TEST(Complete, ValuesBehindAnEqualsSign)
{
    EXPECT_THAT(completions({"runqlat", "--format="}),
                ElementsAre("--format=text", "--format=json"));
    EXPECT_THAT(completions({"ps", "--format=j"}), ElementsAre("--format=json"));
    EXPECT_THAT(completions({"ps", "--w"}), ElementsAre("--watch"));
}

TEST(KnownNames, CgroupsOneLevelAtATime)
{
    const test::TempDir dir;
    (void)dir.mkdir("docker/a/inner");
    (void)dir.mkdir("docker/b c");
    (void)dir.mkdir("dock");
    (void)dir.mkdir("x");
    dir.write("dockfile", "");
    const auto like = [&](const std::string& typed) { return cgroups_like(dir.path(), typed); };
    EXPECT_THAT(like(""), UnorderedElementsAre("/docker/", "/dock", "/x"));
    EXPECT_THAT(like("/"), UnorderedElementsAre("/docker/", "/dock", "/x"));
    EXPECT_THAT(like("/do"), UnorderedElementsAre("/docker/", "/dock"));
    EXPECT_THAT(like("/docker/"), UnorderedElementsAre("/docker/a/", "/docker/b c"));
    EXPECT_THAT(like("/docker/b"), UnorderedElementsAre("/docker/b c"));
    for (const char* none : {"/docker/a/inner/", "/no/such/", "/../", "/docker/../", "x", "dock"})
        EXPECT_THAT(like(none), IsEmpty()) << none;
}

TEST(KnownNames, DisksThatCanBeLookedAt)
{
    const std::vector<Disk> disks = {{.number = 7U << 20, .name = "loop0"},
                                     {.number = 253U << 20, .name = "dm-0", .bio_based = true},
                                     {.number = 0, .name = "nvme0c0n1"},
                                     {.number = 8U << 20, .name = "sda"}};
    EXPECT_THAT(disks_like(disks, ""), ElementsAre("loop0", "sda"));
    EXPECT_THAT(disks_like(disks, "/dev/s"), ElementsAre("/dev/loop0", "/dev/sda"));
}

TEST(Complete, EveryCandidateIsAccepted)
{
    for (const std::string& option : completions({"runqlat", "--"})) {
        const auto alone = parse({"runqlat", option});
        const auto with_value = parse({"runqlat", option, option == "--format" ? "json" : "1"});
        EXPECT_TRUE(alone || with_value) << option;
    }
}

TEST(BashCompletion, AsksTheProgram)
{
    EXPECT_THAT(std::string(bash_completion()), HasSubstr("__complete"));
}

} // namespace
} // namespace vtrace
