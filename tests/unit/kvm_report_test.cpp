// SPDX-License-Identifier: GPL-2.0-only
// The tools about VMs: from a snapshot to the text and the JSON of each.
#include "model/exit_reasons.h"
#include "render/json.h"
#include "samples.h"
#include "support.h"
#include "vtrace/kvm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace vtrace {
namespace {

using test::kDbVm;
using test::kvm_snapshot;
using test::kWebVm;
using test::lines_of;
using test::value;
using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

constexpr uint64_t kUs = 1'000;
constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kSecond = 1'000'000'000;
constexpr auto kVmx = static_cast<uint32_t>(ExitIsa::kVmx);
constexpr auto kSvm = static_cast<uint32_t>(ExitIsa::kSvm);
constexpr auto kToUser = static_cast<uint32_t>(ExitIsa::kUserspace);

constexpr auto kTools = {"kvmexit", "kvmio", "kvmirq", "kvmmem", "vcpu", "vmcost"};
// Those with rows by the kind that is asked for.
constexpr auto kGrouping = {"kvmexit", "kvmio", "kvmirq"};

Report report_of(std::string_view tool, const Snapshot& snapshot,
                 const ToolOptions& options = {.group = "vm"})
{
    return test::tool(tool).build(snapshot, options);
}

std::string text_of(std::string_view tool, const Snapshot& snapshot,
                    const ToolOptions& options = {.group = "vm"})
{
    return test::tool(tool).text(report_of(tool, snapshot, options), {});
}

// Of an entity of this name; an empty row if there is none.
Row row_of(const Report& report, std::string_view name)
{
    const auto found =
        std::ranges::find(report.rows, name, [](const Row& row) { return row.entity.name; });
    EXPECT_NE(found, report.rows.end()) << name;
    return found == report.rows.end() ? Row{} : *found;
}

std::vector<std::string> names_of(const std::vector<Row>& rows)
{
    std::vector<std::string> names;
    std::ranges::transform(rows, std::back_inserter(names),
                           [](const Row& row) { return row.entity.name; });
    return names;
}

std::string label_of(const Row& row, std::string_view kind)
{
    for (const EntityName& label : row.entity.labels) {
        if (label.kind == kind)
            return label.name;
    }
    return "";
}

// The line that begins so, behind spaces.
std::string line_of(const std::string& text, std::string_view start)
{
    for (const std::string& line : lines_of(text)) {
        const size_t first = line.find_first_not_of(' ');
        if (first != std::string::npos && std::string_view(line).substr(first).starts_with(start))
            return line;
    }
    return "";
}

// A host whose KVM has no kvm_exit.
Snapshot plain_snapshot()
{
    Snapshot s = kvm_snapshot();
    s.kvm.flavour = "kvm_pvm";
    s.kvm.tells_exits = false;
    for (KvmVcpu& vcpu : s.kvm.vcpus)
        vcpu = {.vm = vcpu.vm, .tid = vcpu.tid};
    KvmFigure io = test::kvm_figure(VT_KVM_USER, kWebVm, 4'001, 2, 30, 0);
    KvmFigure unknown = test::kvm_figure(VT_KVM_USER, kWebVm, 4'010, 4'711, 2, 0);
    io.isa = unknown.isa = kToUser;
    KvmFigure port = test::kvm_figure(VT_KVM_PIO, kWebVm, 4'001, 0x3f8, 20, 0);
    port.flags = VT_KVM_WRITE;
    s.kvm.figures = {io,
                     unknown,
                     port,
                     test::kvm_figure(VT_KVM_PIO, kWebVm, 4'001, 0x60, 5, 0),
                     test::kvm_figure(VT_KVM_MMIO, kWebVm, 4'001, 0xfee00000, 4, 0),
                     test::kvm_figure(VT_KVM_EVENT, kWebVm, 4'001, VT_KVM_CPUID, 7, 0),
                     test::kvm_figure(VT_KVM_EVENT, kWebVm, 4'010, VT_KVM_HALT_POLLED, 8, kUs),
                     test::kvm_figure(VT_KVM_EVENT, kWebVm, 4'010, VT_KVM_HALT_SLEPT, 40, 9 * kMs),
                     test::kvm_figure(VT_KVM_MSI, kWebVm, 0, 0x22, 25, 0)};
    return s;
}

// 64 vCPUs with a thousand seconds of everything each, and another VM that the first does not hide.
Snapshot large_snapshot()
{
    constexpr uint64_t kMany = 1'000'000'000;
    constexpr uint64_t kLong = 1'000 * kSecond;
    Snapshot s = kvm_snapshot();
    s.entities[1].name = std::string(120, 'w');
    s.kvm.vcpus.clear();
    s.kvm.figures.clear();
    s.kvm.threads.clear();
    const ThreadStates model = s.states.threads.front();
    s.states.threads.clear();
    for (uint32_t number = 0; number < 64; number++) {
        const uint32_t tid = 1'000'000 + number;
        const auto add = [&](uint32_t kind, uint64_t code, uint32_t flags) {
            KvmFigure figure = test::kvm_figure(kind, kWebVm, tid, code, kMany, kUs);
            figure.isa = kSvm;
            figure.flags = flags;
            figure.to_vmm = kMany;
            figure.parts = {.kernel = kLong, .vmm = kLong, .blocked = kLong, .waited = kLong};
            s.kvm.figures.push_back(std::move(figure));
        };
        add(VT_KVM_EXIT, 0x400, 0);
        add(VT_KVM_EXIT, 0x400, VT_KVM_IS_MMIO);
        add(VT_KVM_EXIT, 0x402, 0); // the longest name
        add(VT_KVM_EXIT, UINT64_MAX / 3, 0);
        add(VT_KVM_EXIT, 0x78, 0);
        add(VT_KVM_PIO, 0xffff, VT_KVM_WRITE);
        add(VT_KVM_MMIO, (uint64_t{1} << 52) - 1, VT_KVM_WRITE);
        add(VT_KVM_MMIO, 0xfebc0000, 0);
        add(VT_KVM_VECTOR, 0x22, 0);
        s.kvm.vcpus.push_back({.vm = kWebVm, .tid = tid, .guest_ns = kLong});
        s.kvm.threads.push_back(
            {.vm = kWebVm, .tid = tid, .role = "vcpu " + std::to_string(number)});
        ThreadStates thread = model;
        thread.tid = tid;
        thread.times.lived = 4 * kLong;
        thread.times.ns.at(VT_REASON_NONE) = 2 * kLong;
        thread.times.ns.at(VT_REASON_RUNNABLE) = 2 * kLong;
        thread.times.ns.at(VT_REASON_OTHER) = 0;
        s.states.threads.push_back(std::move(thread));
    }
    s.kvm.memory[0] = {.vm = kWebVm,
                       .rss_bytes = UINT64_MAX / 2,
                       .swapped_bytes = UINT64_MAX / 2,
                       .shared_bytes = UINT64_MAX / 2,
                       .minor_faults = 999'999,
                       .major_faults = 999'999,
                       .reclaimed_bytes = UINT64_MAX / 2,
                       .stalled_ns = kLong};
    KvmFigure unmapped = test::kvm_figure(VT_KVM_UNMAP, kWebVm, 0, 0, kMany, 0);
    unmapped.amount = 1'023'900'000'000;
    s.kvm.figures.push_back(unmapped);
    return s;
}

// A user decides how a VM is called.
Snapshot hostile_snapshot()
{
    Snapshot s = kvm_snapshot();
    s.entities[1].name = "\033[2J\u202eweb\r\n\xff" + std::string(60, 'y');
    s.kvm.threads[0].role = "\033[31m";
    return s;
}

// A VM whose facts are not there, and threads whose roles are not.
Snapshot unknown_snapshot()
{
    Snapshot s = kvm_snapshot();
    s.entities.clear();
    s.kvm.threads.clear();
    return s;
}

std::vector<std::pair<std::string, Snapshot>> snapshots()
{
    return {{"kvm", kvm_snapshot()},         {"plain", plain_snapshot()},
            {"large", large_snapshot()},     {"hostile", hostile_snapshot()},
            {"unknown", unknown_snapshot()}, {"empty", Snapshot{}}};
}

std::vector<std::string> groups_of(const char* name)
{
    if (test::tool(name).only_vms)
        return {"vm"};
    return {"vm", "pod", "cgroup"};
}

TEST(KvmReports, TextFitsTheScreen)
{
    for (const auto& [name, snapshot] : snapshots()) {
        for (const char* tool : kTools) {
            for (const std::string& group : groups_of(tool)) {
                for (const std::string& line :
                     lines_of(text_of(tool, snapshot, {.group = group}))) {
                    EXPECT_LE(line.size(), TextStyle{}.width)
                        << name << ", " << tool << ": " << line;
                    EXPECT_THAT(line, Not(HasSubstr("\033"))) << name << ", " << tool;
                }
            }
        }
    }
}

TEST(KvmReports, JsonIsJson)
{
    for (const auto& [name, snapshot] : snapshots()) {
        for (const char* tool : kTools) {
            SCOPED_TRACE(name + ", " + tool);
            const Report report = report_of(tool, snapshot, {.group = "vm", .json = true});
            const auto document = nlohmann::json::parse(render_json(report, true));
            EXPECT_EQ(document.at("tool"), tool);
            EXPECT_EQ(document.at("rows").size(), report.rows.size());
            for (size_t i = 0; i < report.rows.size() && !report.nested.empty(); i++) {
                EXPECT_EQ(document.at("rows").at(i).at(report.nested).size(),
                          report.rows[i].rows.size());
            }
        }
    }
}

void expect_good_metrics(const Row& row)
{
    std::set<std::string> names;
    for (const Metric& metric : row.metrics) {
        EXPECT_THAT(metric.name, MatchesRegex("[a-z][a-z0-9_]*"));
        EXPECT_TRUE(names.insert(metric.name).second) << "twice: " << metric.name;
    }
    for (const Row& inner : row.rows)
        expect_good_metrics(inner);
}

// By tests/fixtures/vtrace-1.schema.json; and an object has a name once.
TEST(KvmReports, MetricsAreCalledByNames)
{
    for (const auto& [name, snapshot] : snapshots()) {
        for (const char* tool : kTools) {
            for (const std::string& group : groups_of(tool)) {
                SCOPED_TRACE(name + ", " + tool + " --" + group);
                for (const Row& row : report_of(tool, snapshot, {.group = group}).rows)
                    expect_good_metrics(row);
            }
        }
    }
}

TEST(KvmReports, NoNameIsEmpty)
{
    for (const auto& [name, snapshot] : snapshots()) {
        for (const char* tool : kTools) {
            for (const Row& row : report_of(tool, snapshot).rows) {
                EXPECT_THAT(row.entity.name, Not(IsEmpty())) << name << ", " << tool;
                for (const Row& inner : row.rows) {
                    EXPECT_THAT(inner.entity.name, Not(IsEmpty())) << name << ", " << tool;
                    for (const EntityName& label : inner.entity.labels) {
                        EXPECT_THAT(label.name, Not(IsEmpty()))
                            << name << ", " << tool << ": " << label.kind << " of "
                            << inner.entity.name;
                    }
                }
            }
        }
    }
}

TEST(KvmReports, ALoadedSnapshotGivesTheSame)
{
    for (const auto& [name, snapshot] : snapshots()) {
        const auto loaded = load_snapshot(save_snapshot(snapshot));
        ASSERT_TRUE(loaded) << name;
        for (const char* tool : kTools)
            EXPECT_EQ(render_json(report_of(tool, *loaded), true),
                      render_json(report_of(tool, snapshot), true))
                << name << ", " << tool;
    }
}

TEST(KvmReports, SayThatThereIsNothing)
{
    const std::pair<const char*, const char*> texts[] = {
        {"kvmexit", "no vCPU left its guest\n"},
        {"kvmio", "no guest used a port or a device's memory\n"},
        {"kvmirq", "no interrupts were seen\n"},
        {"kvmmem", "there is no VM\n"},
        {"vcpu", "there is no VM\n"},
        {"vmcost", "there is no VM\n"},
    };
    for (const auto& [tool, text] : texts) {
        const Report report = report_of(tool, Snapshot{});
        EXPECT_EQ(test::tool(tool).text(report, {}), text);
        EXPECT_THAT(report.notes, IsEmpty()) << tool;
        EXPECT_EQ(report.group, "vm") << tool;
    }
}

TEST(KvmReports, NotesOnlyOfWhatIsMissing)
{
    const std::pair<const char*, const char*> missing[] = {
        {"kvmexit", "reasons of exits"},
        {"kvmio", "how long accesses took"},
        {"kvmirq", "interrupts as they are injected"},
        {"kvmmem", "faults of the second level with their times"},
        {"vcpu", "exits by class"},
        {"vmcost", "the budget by causes"},
    };
    for (const auto& [tool, what] : missing) {
        EXPECT_THAT(report_of(tool, kvm_snapshot()).notes, IsEmpty()) << tool;
        EXPECT_THAT(
            report_of(tool, plain_snapshot()).notes,
            ElementsAre(AllOf(StartsWith("kvm_pvm does not tell of exits"), HasSubstr(what))))
            << tool;
    }
}

TEST(KvmReports, AHostileNameIsEscaped)
{
    for (const char* tool : kTools) {
        const std::string text = text_of(tool, hostile_snapshot());
        EXPECT_THAT(text, HasSubstr("\\x1")) << tool; // where there is little room, no more of it
        for (const char* raw : {"\033", "\r", "\xe2\x80", "\xff"})
            EXPECT_THAT(text, Not(HasSubstr(raw))) << tool;
        const std::string json = render_json(report_of(tool, hostile_snapshot()), false);
        EXPECT_THAT(json, HasSubstr(R"(\\x1b[2J\\xe2\\x80\\xaeweb\\x0d\\x0a\\xff)")) << tool;
    }
}

TEST(KvmReports, AVmWithoutANameIsCalledByItsProcess)
{
    for (const char* tool : kTools) {
        const Report report = report_of(tool, unknown_snapshot());
        const Row row = row_of(report, "vm-4000");
        EXPECT_EQ(row.entity.kind, "vm") << tool;
        EXPECT_EQ(row.entity.pid, 4'000U) << tool;
        EXPECT_THAT(report.rows, SizeIs(2)) << tool;
    }
    EXPECT_THAT(text_of("kvmexit", unknown_snapshot()), HasSubstr("\ntid 4001"));
    const Report report = report_of("vcpu", unknown_snapshot());
    EXPECT_THAT(names_of(row_of(report, "vm-4000").rows),
                ElementsAre("tid 4001", "tid 4010", "tid 4020", "tid 4030", "vm-5000", "irq"))
        << "KVM knows which are vCPUs";
}

TEST(KvmReports, TopCountsTheOthers)
{
    for (const char* tool : kTools) {
        const ToolOptions options{.group = "vm", .top = 1};
        const Report report = report_of(tool, kvm_snapshot(), options);
        EXPECT_THAT(report.rows, SizeIs(1)) << tool;
        EXPECT_EQ(report.rows_left_out, 1U) << tool;
        EXPECT_THAT(test::tool(tool).text(report, {}), HasSubstr("\n(1 more)\n")) << tool;
    }
}

TEST(KvmReports, VmsOfAPodAreOneRow)
{
    for (const char* tool : kGrouping) {
        const Report by_vm = report_of(tool, kvm_snapshot());
        const Report by_pod = report_of(tool, kvm_snapshot(), {.group = "pod"});
        EXPECT_EQ(by_pod.group, "pod");
        ASSERT_THAT(by_vm.rows, SizeIs(2)) << tool;
        ASSERT_THAT(by_pod.rows, SizeIs(1)) << tool;
        const Row& pod = by_pod.rows.front();
        EXPECT_EQ(pod.entity.kind, "pod") << tool;
        EXPECT_EQ(pod.entity.name, "shop/vms") << tool;
        EXPECT_EQ(pod.histogram.sum, by_vm.rows[0].histogram.sum + by_vm.rows[1].histogram.sum);
        EXPECT_EQ(pod.rows.size(), by_vm.rows[0].rows.size() + by_vm.rows[1].rows.size()) << tool;
        for (const Metric& metric : pod.metrics) {
            double sum = 0;
            for (const Row& row : by_vm.rows)
                sum += std::max(value(row, metric.name), 0.0);
            EXPECT_EQ(value(pod, metric.name), sum) << tool << ": " << metric.name;
        }
    }
}

TEST(KvmReports, AVcpuByItsNumber)
{
    ToolOptions options{.group = "vm"};
    options.vcpu = 1;
    for (const char* tool : {"kvmexit", "kvmio", "kvmirq", "vcpu"}) {
        const Report report = report_of(tool, kvm_snapshot(), options);
        EXPECT_THAT(names_of(report.rows), ElementsAre("web-1")) << tool;
        for (const Row& row : report.rows.front().rows) {
            EXPECT_NE(row.entity.name, "vcpu 10") << tool;
            EXPECT_NE(row.entity.tid, 4'010U) << tool << ": " << row.entity.name;
            EXPECT_NE(label_of(row, "vcpu"), "vcpu 10") << tool;
        }
        options.vcpu = 2;
        EXPECT_THAT(report_of(tool, kvm_snapshot(), options).rows, IsEmpty()) << tool;
        options.vcpu = 1;
    }
    EXPECT_EQ(value(report_of("vcpu", kvm_snapshot(), options).rows.at(0), "vcpus"), 1);
    EXPECT_EQ(value(report_of("kvmexit", kvm_snapshot(), options).rows.at(0), "guest"), 2e9);
}

// What found no slot is counted under no VM.
TEST(KvmReports, WhatFoundNoRoomIsOfNoVm)
{
    Snapshot s = kvm_snapshot();
    KvmFigure other = test::kvm_figure(VT_KVM_EXIT, 0, 0, 0x7c, 5, kUs);
    other.isa = kSvm;
    s.kvm.figures.push_back(other);
    const Report report = report_of("kvmexit", s);
    ASSERT_THAT(report.rows, SizeIs(3));
    EXPECT_EQ(value(row_of(report, "other"), "count"), 5);
    EXPECT_EQ(value(row_of(report, "web-1"), "count"), 1'123);
}

// ---- kvmexit ----

TEST(KvmexitReport, ReasonsOfEachVcpu)
{
    const Report report = report_of("kvmexit", kvm_snapshot());
    ASSERT_EQ(names_of(report.rows), (std::vector<std::string>{"web-1", "db-1"}));
    const Row& web = report.rows[0];
    ASSERT_THAT(web.rows, SizeIs(6));
    const auto find = [&](std::string_view name, uint32_t tid) {
        const auto found = std::ranges::find_if(web.rows, [&](const Row& row) {
            return row.entity.name == name && row.entity.tid == tid;
        });
        EXPECT_NE(found, web.rows.end()) << name;
        return found == web.rows.end() ? Row{} : *found;
    };
    const Row fault = find("npf", 4'001);
    EXPECT_EQ(label_of(fault, "vcpu"), "vcpu 1");
    EXPECT_EQ(label_of(fault, "exit_class"), "memory-fault");
    EXPECT_EQ(value(fault, "count"), 100);
    EXPECT_EQ(value(fault, "kernel"), 700e3);
    EXPECT_EQ(value(fault, "blocked"), 200e3);
    EXPECT_EQ(value(fault, "waited"), 100e3);
    EXPECT_EQ(fault.histogram.sum, kMs);
    const Row mapped = find("npf, mmio", 4'001);
    EXPECT_EQ(label_of(mapped, "exit_class"), "mmio");
    EXPECT_EQ(value(mapped, "to_vmm"), 20);
    EXPECT_EQ(value(mapped, "vmm"), 800e3);
    EXPECT_EQ(label_of(find("msr", 4'010), "vcpu"), "vcpu 10");
    EXPECT_EQ(value(find("0x7777", 4'010), "count"), 3) << "a code without a name";
    EXPECT_EQ(value(find("hlt", 4'010), "count"), 10);
    for (const size_t last : {4U, 5U})
        EXPECT_EQ(web.rows[last].entity.name, "hlt");
    EXPECT_EQ(web.rows[4].entity.tid, 4'001U) << "the longer first";
}

TEST(KvmexitReport, HaltsAreInNoSum)
{
    const Report report = report_of("kvmexit", kvm_snapshot());
    const Row& web = report.rows.at(0);
    EXPECT_EQ(value(web, "count"), 100 + 20 + 1'000 + 3);
    EXPECT_EQ(value(web, "halts"), 60);
    EXPECT_EQ(value(web, "halted"), 1.5e9);
    EXPECT_EQ(value(web, "to_vmm"), 20);
    EXPECT_EQ(value(web, "kernel"), 700e3 + 200e3 + 1e6 + 15e3);
    EXPECT_EQ(value(web, "blocked"), 200e3);
    EXPECT_EQ(value(web, "guest"), 3e9);
    EXPECT_EQ(web.histogram.sum, 3 * kMs + 15 * kUs);
    EXPECT_EQ(web.histogram.count(), 1'123U);
}

// Numbers of VMX and SVM are not those of each other.
TEST(KvmexitReport, VmsAreNotChargedForEachOther)
{
    const Report report = report_of("kvmexit", kvm_snapshot());
    const Row db = row_of(report, "db-1");
    EXPECT_THAT(names_of(db.rows), ElementsAre("EPT_VIOLATION", "HLT"));
    EXPECT_EQ(value(db, "count"), 10);
    EXPECT_EQ(value(db, "guest"), 100e6);
    EXPECT_EQ(value(db, "halted"), 500e6);
    EXPECT_EQ(db.histogram.sum, 200 * kUs);
}

TEST(KvmexitReport, OneThreadIdOfTwoVms)
{
    Snapshot s = kvm_snapshot(); // a thread of a VM that ended had the number before
    KvmFigure old = test::kvm_figure(VT_KVM_EXIT, kDbVm, 4'001, 48, 3, kUs);
    old.isa = kVmx;
    s.kvm.figures.push_back(old);
    const Report report = report_of("kvmexit", s);
    EXPECT_EQ(value(row_of(report, "web-1"), "count"), 1'123);
    const Row db = row_of(report, "db-1");
    EXPECT_EQ(value(db, "count"), 13);
    EXPECT_EQ(label_of(db.rows.at(1), "vcpu"), "tid 4001") << "its role is not known";
}

TEST(KvmexitReport, HaltsOfAPodComeLast)
{
    const Report report = report_of("kvmexit", kvm_snapshot(), {.group = "pod"});
    const std::vector<Row>& rows = report.rows.at(0).rows;
    const auto is_halt = [](const Row& row) { return label_of(row, "exit_class") == "idle"; };
    ASSERT_THAT(rows, SizeIs(8));
    EXPECT_TRUE(std::ranges::is_partitioned(rows, [&](const Row& row) { return !is_halt(row); }));
    EXPECT_TRUE(is_halt(rows.back()));
}

TEST(KvmexitText, IsOneTableOfEachVm)
{
    const std::string text = text_of("kvmexit", kvm_snapshot());
    EXPECT_THAT(text, StartsWith("web-1: 1123 exits (225 a second, 20 to the VMM) took 3.02ms; "
                                 "halted 1.50s,"));
    EXPECT_THAT(text, HasSubstr("\n\ndb-1: 10 exits (2 a second, 0 to the VMM) took 200us;"));
    for (const char* part :
         {"npf, mmio ", "0x7777 ", "EPT_VIOLATION ", "exits of web-1, but for halts", "count 1123"})
        EXPECT_THAT(text, HasSubstr(part));
    EXPECT_THAT(text, ContainsRegex("\n1 +npf +100 +20 .* 700us +0 +200us +100us\n"));
    EXPECT_THAT(text, ContainsRegex("\n10 +msr +1000 +200 "));
}

TEST(KvmexitReport, WithoutExitsThereIsWhatKvmTells)
{
    const Report report = report_of("kvmexit", plain_snapshot());
    const Row web = row_of(report, "web-1");
    const auto count_of = [&](std::string_view name) {
        const auto found =
            std::ranges::find(web.rows, name, [](const Row& row) { return row.entity.name; });
        return found == web.rows.end() ? -1 : value(*found, "count");
    };
    EXPECT_EQ(count_of("to VMM: IO"), 30);
    EXPECT_EQ(count_of("to VMM: 0x1267"), 2);
    EXPECT_EQ(count_of("pio"), 25) << "of all ports";
    EXPECT_EQ(count_of("mmio"), 4);
    EXPECT_EQ(count_of("cpuid"), 7);
    EXPECT_EQ(count_of("halt, polled"), 8);
    EXPECT_EQ(count_of("halt, slept"), 40) << "a message is no halt";
    EXPECT_EQ(value(web, "to_vmm"), 32);
    EXPECT_EQ(value(web, "halts"), 48);
    EXPECT_EQ(value(web, "kernel"), -1) << "not divided";
    EXPECT_THAT(names_of(report.rows), ElementsAre("web-1")) << "a fault is no halt";
    const std::string text = text_of("kvmexit", plain_snapshot());
    EXPECT_THAT(text, StartsWith("web-1: 32 times to the VMM, 48 halts\n"));
    EXPECT_THAT(text, Not(HasSubstr("KERNEL")));
}

// ---- kvmio ----

TEST(KvmioReport, WhereGuestsGo)
{
    const Report report = report_of("kvmio", kvm_snapshot());
    ASSERT_EQ(names_of(report.rows), (std::vector<std::string>{"web-1", "db-1"}));
    const Row& web = report.rows[0];
    EXPECT_EQ(value(web, "count"), 1'020);
    EXPECT_EQ(value(web, "pio"), 20);
    EXPECT_EQ(value(web, "mmio"), 1'000);
    EXPECT_EQ(names_of(web.rows), (std::vector<std::string>{"0x80003000", "0x03f8"}))
        << "as long each, more often";
    EXPECT_EQ(web.rows[0].entity.kind, "address");
    EXPECT_EQ(label_of(web.rows[0], "device"), "doorbell");
    const Row& serial = web.rows[1];
    EXPECT_EQ(serial.entity.kind, "port");
    EXPECT_EQ(label_of(serial, "access"), "write");
    EXPECT_EQ(label_of(serial, "device"), "serial COM1");
    EXPECT_EQ(value(serial, "to_vmm"), 20);
    EXPECT_EQ(value(serial, "vmm"), 800e3);
    const Row& clock = report.rows[1].rows.at(0);
    EXPECT_EQ(label_of(clock, "access"), "read");
    EXPECT_EQ(label_of(clock, "device"), "RTC");
}

TEST(KvmioReport, OneAddressIsNotAnother)
{
    Snapshot s = kvm_snapshot();
    KvmFigure read = test::kvm_figure(VT_KVM_MMIO, kWebVm, 4'010, 0x80003000, 5, kUs);
    KvmFigure same = test::kvm_figure(VT_KVM_MMIO, kWebVm, 4'001, 0x80003000, 6, kUs);
    KvmFigure port = test::kvm_figure(VT_KVM_PIO, kWebVm, 4'001, 0x3000, 7, kUs);
    s.kvm.figures = {read, same, port};
    const Report report = report_of("kvmio", s);
    const Row& web = report.rows.at(0);
    ASSERT_THAT(web.rows, SizeIs(2));
    EXPECT_EQ(value(web.rows[0], "count"), 11) << "of both vCPUs";
    EXPECT_EQ(label_of(web.rows[0], "device"), "PCI device") << "a read rings for nobody";
    EXPECT_EQ(value(web.rows[1], "count"), 7);
}

// Of virtio's devices most are there: by QEMU's default machine, by Firecracker, by OVMF.
TEST(KvmioReport, DoorbellsOfEveryBus)
{
    for (const uint64_t at : {uint64_t{0xfebf3000}, uint64_t{0x380000003000}}) {
        Snapshot s = kvm_snapshot();
        KvmFigure bell = test::kvm_figure(VT_KVM_MMIO, kWebVm, 4'001, at, 5, kUs);
        bell.flags = VT_KVM_WRITE;
        KvmFigure served = bell;
        served.code++;
        served.to_vmm = 1;
        s.kvm.figures = {bell, served};
        const Report report = report_of("kvmio", s);
        const std::vector<Row>& rows = report.rows.at(0).rows;
        EXPECT_EQ(label_of(rows.at(0), "device"), "doorbell") << at;
        EXPECT_NE(label_of(rows.at(1), "device"), "doorbell") << at;
        EXPECT_THAT(text_of("kvmio", s), ContainsRegex("000 write +doorbell "))
            << "whatever the length of the address";
    }
}

TEST(KvmioText, Lines)
{
    const std::string text = text_of("kvmio", kvm_snapshot());
    EXPECT_THAT(text,
                StartsWith("web-1: 1020 accesses (204 a second): 20 to ports, 1000 to memory; "
                           "took 2.00ms\n"));
    EXPECT_THAT(text, ContainsRegex("\n0x03f8 write +serial COM1 +20 +4 +20 "));
    EXPECT_THAT(text, ContainsRegex("\n0x80003000 write +doorbell +1000 +200 +0 "));
    EXPECT_THAT(text, ContainsRegex("\n0x0070 read +RTC +4 +1 +0 "));
    const std::string plain = text_of("kvmio", plain_snapshot());
    EXPECT_THAT(plain, ContainsRegex("\n0x03f8 write +serial COM1 +20 +4\n"));
    EXPECT_THAT(plain, Not(HasSubstr("TO VMM")));
}

TEST(KvmioText, CountsTheRowsThatItDoesNotShow)
{
    Snapshot s = kvm_snapshot();
    for (uint32_t port = 0; port < 30; port++)
        s.kvm.figures.push_back(test::kvm_figure(VT_KVM_PIO, kDbVm, 5'001, port, 1, kUs));
    EXPECT_THAT(text_of("kvmio", s), HasSubstr("\n(11 more)\n"));
    EXPECT_THAT(row_of(report_of("kvmio", s), "db-1").rows, SizeIs(31));
}

// ---- kvmirq ----

TEST(KvmirqReport, VectorsAndMessages)
{
    const Report report = report_of("kvmirq", kvm_snapshot());
    const Row web = row_of(report, "web-1");
    EXPECT_EQ(value(web, "injected"), 37);
    EXPECT_EQ(value(web, "messages"), 25);
    ASSERT_EQ(names_of(web.rows), (std::vector<std::string>{"0x22", "0x22", "0xfd"}));
    EXPECT_EQ(label_of(web.rows[0], "event"), "injected");
    EXPECT_EQ(label_of(web.rows[0], "vcpu"), "vcpu 1");
    EXPECT_EQ(web.rows[0].histogram.count(), 20U) << "a message asked for these";
    EXPECT_EQ(label_of(web.rows[1], "event"), "message");
    EXPECT_EQ(label_of(web.rows[1], "vcpu"), "") << "of the VM";
    EXPECT_EQ(value(row_of(report, "db-1"), "injected"), 9);
    EXPECT_EQ(value(row_of(report, "db-1"), "messages"), 0);
}

TEST(KvmirqReport, MessagesAreOfNoVcpu)
{
    ToolOptions options{.group = "vm"};
    options.vcpu = 1;
    const Report report = report_of("kvmirq", kvm_snapshot(), options);
    EXPECT_THAT(names_of(report.rows.at(0).rows), ElementsAre("0x22"));
    EXPECT_EQ(value(report.rows.at(0), "messages"), 0);
}

TEST(KvmirqText, Lines)
{
    const std::string text = text_of("kvmirq", kvm_snapshot());
    EXPECT_THAT(text, StartsWith("web-1: 37 injected (7 a second), 25 messages\n"));
    EXPECT_THAT(text, ContainsRegex("\n1 +0x22 +injected +30 +6 +20 "));
    EXPECT_THAT(text, ContainsRegex("\n +0x22 +message +25 +5 +0 +- +- +-\n"));
    EXPECT_THAT(text, ContainsRegex("\n10 +0xfd +injected +7 +1 +0 +- +- +-\n"));
}

// ---- kvmmem ----

TEST(KvmmemReport, FaultsAndWhatTheHostTakes)
{
    const Report report = report_of("kvmmem", kvm_snapshot());
    ASSERT_EQ(names_of(report.rows), (std::vector<std::string>{"web-1", "db-1"}));
    const Row& web = report.rows[0];
    EXPECT_EQ(value(web, "faults"), 100);
    EXPECT_EQ(web.histogram.sum, kMs) << "without those to devices";
    EXPECT_EQ(value(web, "kernel"), 700e3);
    EXPECT_EQ(value(web, "unmaps"), 2);
    EXPECT_EQ(value(web, "unmapped"), 8 << 20);
    EXPECT_EQ(value(web, "resident"), 512 << 20);
    EXPECT_EQ(value(web, "swapped"), 64 << 20);
    EXPECT_EQ(value(web, "ksm_shared"), 4'096);
    EXPECT_EQ(value(web, "host_minor_faults"), 900);
    EXPECT_EQ(value(web, "host_major_faults"), 3);
    EXPECT_EQ(value(web, "cgroup_reclaimed"), 16 << 20);
    EXPECT_EQ(value(web, "cgroup_stalled"), 7e6);
    EXPECT_EQ(value(report.rows[1], "faults"), 10);
    EXPECT_EQ(value(report.rows[1], "resident"), 256 << 20);
    EXPECT_EQ(value(report.rows[1], "unmapped"), -1);
}

TEST(KvmmemReport, DirtyLoggingIsNoFault)
{
    Snapshot s = kvm_snapshot();
    KvmFigure full = test::kvm_figure(VT_KVM_EXIT, kDbVm, 5'001, 62, 4, kUs); // PML_FULL
    full.isa = kVmx;
    s.kvm.figures.push_back(full);
    const Row db = row_of(report_of("kvmmem", s), "db-1");
    EXPECT_EQ(value(db, "dirty_log_full"), 4);
    EXPECT_EQ(value(db, "faults"), 10);
    EXPECT_EQ(db.histogram.sum, 200 * kUs);
}

TEST(KvmmemText, Lines)
{
    const std::string text = text_of("kvmmem", kvm_snapshot());
    EXPECT_THAT(text, StartsWith("VM  "));
    EXPECT_THAT(text, ContainsRegex("\nweb-1 +100 .* 8.0M +900 +3 +512M +64M +4.0K\n"));
    EXPECT_THAT(text, HasSubstr("\n  of its cgroup: reclaimed 16M, stalled 7.00ms\n"));
    EXPECT_THAT(text, ContainsRegex("\ndb-1 +10 .* 0 +100 +0 +256M +0 +-\n$"));
    const std::string plain = text_of("kvmmem", plain_snapshot());
    EXPECT_THAT(plain, ContainsRegex("\ndb-1 +- +- +- +0 +100 "));
}

TEST(KvmmemText, FiguresDoNotTouch)
{
    const std::string line = line_of(text_of("kvmmem", large_snapshot()), "ww");
    EXPECT_THAT(line, ContainsRegex(" 999999 +999999 ")) << line;
}

// ---- vcpu ----

TEST(VcpuReport, TimesOfEachVcpu)
{
    const Report report = report_of("vcpu", kvm_snapshot());
    ASSERT_EQ(names_of(report.rows), (std::vector<std::string>{"db-1", "web-1"})) << "by name";
    const Row& web = report.rows[1];
    EXPECT_EQ(names_of(web.rows),
              (std::vector<std::string>{"vcpu 1", "vcpu 10", "iothread", "vhost", "db-1", "irq"}));
    EXPECT_EQ(value(web, "vcpus"), 2);
    EXPECT_EQ(value(web, "lived"), 10e9);
    EXPECT_EQ(value(web, "states_sum"), 10e9);
    const Row& first = web.rows[0];
    EXPECT_EQ(first.entity.tid, 4'001U);
    EXPECT_EQ(value(first, "guest"), 2e9);
    EXPECT_EQ(value(first, "exits"), 1'900e3);
    EXPECT_EQ(value(first, "exits_memory_fault"), 700e3);
    EXPECT_EQ(value(first, "exits_mmio"), 200e3);
    EXPECT_EQ(value(first, "polled"), 4e6);
    EXPECT_EQ(value(first, "poll_wasted"), 5e6);
    EXPECT_EQ(value(first, "exits_idle"), 1e6) << "halts, but for polling";
    EXPECT_EQ(value(first, "vmm"), 2'100e3);
    EXPECT_EQ(value(first, "halted"), 975e6) << "15 ms of it were before the window";
    EXPECT_EQ(value(first, "waited"), 100e6);
    EXPECT_NEAR(value(first, "waited_share"), 0.02, 1e-9);
    const Row& second = web.rows[1];
    EXPECT_EQ(value(second, "halted"), 3'499e6) << "3 s of it go on";
    EXPECT_EQ(value(second, "exits"), 2'015e3);
    EXPECT_EQ(value(second, "waited"), 0);
}

TEST(VcpuReport, OtherThreadsAndCulprits)
{
    const Report report = report_of("vcpu", kvm_snapshot());
    const Row& web = report.rows.at(1);
    const Row& iothread = web.rows.at(2);
    EXPECT_EQ(iothread.entity.kind, "role");
    EXPECT_EQ(value(iothread, "threads"), 1);
    EXPECT_EQ(value(iothread, "ran"), 12e6);
    EXPECT_EQ(value(iothread, "waited"), 1e6);
    EXPECT_EQ(web.rows.at(4).entity.kind, "vm");
    EXPECT_EQ(value(web.rows.at(4), "held"), 60e6);
    EXPECT_EQ(value(web.rows.at(5), "held"), 3e6);
    const Row& db = report.rows.at(0);
    EXPECT_EQ(names_of(db.rows), (std::vector<std::string>{"vcpu 0", "tid 5020"}));
    EXPECT_EQ(value(db, "lived"), 5e9) << "of vCPUs";
    EXPECT_EQ(value(db, "guest"), 100e6);
}

TEST(VcpuReport, SharesAddUp)
{
    for (const auto& snapshot : {kvm_snapshot(), plain_snapshot()}) {
        const Report report = report_of("vcpu", snapshot);
        for (const Row& row : report.rows) {
            double sum = 0;
            for (const char* state : {"guest", "exits", "vmm", "polled", "poll_wasted", "halted",
                                      "blocked", "waited", "throttled", "stolen", "unknown"})
                sum += value(row, std::string(state) + "_share");
            EXPECT_NEAR(sum, 1, 1e-6) << row.entity.name;
        }
    }
}

// A vCPU whose number another had before it was taken out.
TEST(VcpuReport, TwoThreadsOfOneNumber)
{
    Snapshot s = kvm_snapshot();
    s.kvm.threads[1].role = "vcpu 1";
    const Row web = row_of(report_of("vcpu", s), "web-1");
    EXPECT_EQ(value(web, "vcpus"), 2);
    EXPECT_EQ(std::ranges::count(names_of(web.rows), "vcpu 1"), 2);
}

TEST(VcpuReport, WithoutExitsByTheKernelsCount)
{
    const Report report = report_of("vcpu", plain_snapshot());
    const Row& second = report.rows.at(1).rows.at(1);
    EXPECT_EQ(value(second, "guest"), 251e6);
    EXPECT_EQ(value(second, "exits"), 502e6);
    EXPECT_EQ(value(second, "vmm"), 251e6);
    EXPECT_EQ(value(second, "halted"), 360e6);
}

TEST(VcpuText, Lines)
{
    const std::string text = text_of("vcpu", kvm_snapshot());
    EXPECT_THAT(text, StartsWith("db-1: 1 vCPU\n"));
    EXPECT_THAT(text, HasSubstr("\n\nweb-1: 2 vCPUs\n"));
    EXPECT_THAT(text, ContainsRegex("\n  vcpu 1 +40.0% +<0.1% +<0.1% +0.1% +0.1% +2.0% +0.0% "
                                    "+19.5% +38.2%\n"));
    EXPECT_THAT(text, ContainsRegex("\n  vcpu 10 +20.0% "));
    EXPECT_THAT(text, ContainsRegex("\n  all +30.0% "));
    EXPECT_THAT(text, HasSubstr("\n  iothread: 1 thread, ran 12.0ms, waited 1.00ms\n"));
    EXPECT_THAT(text, HasSubstr("\n  waits were held by db-1 60.0ms, irq 3.00ms\n"));
    ToolOptions options{.group = "vm"};
    options.vcpu = 1;
    EXPECT_THAT(text_of("vcpu", kvm_snapshot(), options), Not(HasSubstr("vcpu 10")));
}

TEST(VcpuText, ShowsEveryVcpu)
{
    const std::vector<std::string> lines = lines_of(text_of("vcpu", large_snapshot()));
    EXPECT_EQ(std::ranges::count_if(
                  lines, [](const std::string& line) { return line.starts_with("  vcpu "); }),
              64);
}

// ---- vmcost ----

TEST(VmcostReport, TheBudget)
{
    const Report report = report_of("vmcost", kvm_snapshot());
    ASSERT_EQ(names_of(report.rows), (std::vector<std::string>{"web-1", "db-1"})) << "worst first";
    const Row& web = report.rows[0];
    EXPECT_EQ(value(web, "vcpus"), 2);
    EXPECT_EQ(value(web, "lived"), 10e9);
    EXPECT_EQ(value(web, "guest"), 3e9);
    EXPECT_EQ(value(web, "steal"), 100e6) << "of vCPUs only";
    EXPECT_EQ(value(web, "memory"), 900e3) << "the wait in it is steal";
    EXPECT_EQ(value(web, "memory_count"), 100);
    EXPECT_EQ(value(web, "io"), 1e6);
    EXPECT_EQ(value(web, "io_count"), 20);
    EXPECT_EQ(value(web, "emulation"), 1'015e3);
    EXPECT_EQ(value(web, "emulation_count"), 1'003);
    EXPECT_EQ(value(web, "interrupts"), 0);
    EXPECT_EQ(value(web, "poll_wasted"), 5e6);
    EXPECT_EQ(value(web, "network"), 30e6);
    EXPECT_EQ(value(web, "overhead"), 100e6 + 900e3 + 1e6 + 1'015e3 + 5e6) << "without NET";
    EXPECT_NEAR(value(web, "overhead_share"), 0.0107915, 1e-9);
    const Row& db = report.rows[1];
    EXPECT_EQ(value(db, "steal"), 8e3);
    EXPECT_EQ(value(db, "memory"), 200e3);
    EXPECT_EQ(value(db, "network"), 0);
}

TEST(VmcostReport, WithoutExits)
{
    const Report report = report_of("vmcost", plain_snapshot());
    const Row web = row_of(report, "web-1");
    EXPECT_EQ(value(web, "memory"), -1);
    EXPECT_EQ(value(web, "exits"), 1'006.5e6 + 502e6);
    EXPECT_EQ(value(web, "vmm"), 503.25e6 + 251e6);
    EXPECT_EQ(value(web, "overhead"), value(web, "exits") + value(web, "vmm") + 100e6);
}

TEST(VmcostText, Lines)
{
    std::string text = text_of("vmcost", kvm_snapshot());
    EXPECT_THAT(text, StartsWith("VM  "));
    EXPECT_THAT(text,
                ContainsRegex("\nweb-1 +1.1% +1.0% +<0.1% +<0.1% +0.0% +<0.1% +0.1% +0.3%\n"));
    text = std::regex_replace(text, std::regex("\n  "), " "); // the evidence is more than a line
    EXPECT_THAT(text, HasSubstr("1003 emulated instructions of 1.01us"));
    EXPECT_THAT(text, HasSubstr("100 faults of 9.00us"));
    EXPECT_THAT(text, HasSubstr("20 accesses of 50.0us"));
    const std::string plain = text_of("vmcost", plain_snapshot());
    EXPECT_THAT(plain, HasSubstr("EXITS"));
    EXPECT_THAT(plain, Not(HasSubstr("MEMORY")));
}

} // namespace
} // namespace vtrace
