// SPDX-License-Identifier: GPL-2.0-only
#include "model/exit_reasons.h"
#include "support.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

// Their strings are for the kernel's trace events of x86; asm/kvm.h has the vectors.
#if defined(__x86_64__) && __has_include(<asm/vmx.h>) && __has_include(<asm/svm.h>)
#include <asm/kvm.h>
#include <asm/svm.h>
#include <asm/vmx.h>
#define HAVE_X86_EXIT_REASONS
#endif

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace vtrace {
namespace {

using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr auto kVmx = static_cast<uint32_t>(ExitIsa::kVmx);
constexpr auto kSvm = static_cast<uint32_t>(ExitIsa::kSvm);
constexpr auto kArm64 = static_cast<uint32_t>(ExitIsa::kArm64);
constexpr auto kUserspace = static_cast<uint32_t>(ExitIsa::kUserspace);

std::string name_of(uint32_t isa, uint64_t code)
{
    return exit_reason(isa, code).name;
}

ExitClass class_of(uint32_t isa, uint64_t code)
{
    return exit_reason(isa, code).kind;
}

// ---- against the kernel's own headers ----

#ifdef HAVE_X86_EXIT_REASONS

// SVM_EXIT_ERR is -1 or, in newer headers, -1ull: in braces, neither fits the other's type.
struct KernelName {
    template <typename Code>
    KernelName(Code c, const char* n) : code(static_cast<uint64_t>(c)), name(n)
    {
    }
    uint64_t code;
    std::string name;
};

TEST(ExitReasons, AreNamedAsVmxOfTheKernel)
{
    const std::vector<KernelName> kernel = {VMX_EXIT_REASONS};
    ASSERT_THAT(kernel, Not(IsEmpty()));
    for (const KernelName& k : kernel) {
        EXPECT_EQ(name_of(kVmx, k.code), k.name) << k.code;
        EXPECT_EQ(name_of(kVmx, k.code | VMX_EXIT_REASONS_FAILED_VMENTRY),
                  k.name + " FAILED_VMENTRY");
    }
}

TEST(ExitReasons, AreNamedAsSvmOfTheKernel)
{
    const std::vector<KernelName> kernel = {SVM_EXIT_REASONS};
    ASSERT_THAT(kernel, Not(IsEmpty()));
    for (const KernelName& k : kernel) {
        EXPECT_EQ(name_of(kSvm, k.code), k.name) << k.code;
        EXPECT_EQ(name_of(kSvm, static_cast<uint32_t>(k.code)), k.name) << k.code;
    }
}

#else

TEST(ExitReasons, AreNamedAsVmxOfTheKernel)
{
    GTEST_SKIP() << "no <asm/vmx.h> of x86 here";
}

TEST(ExitReasons, AreNamedAsSvmOfTheKernel)
{
    GTEST_SKIP() << "no <asm/svm.h> of x86 here";
}

#endif

// KVM_EXIT_HYPERV_SYNIC, KVM_EXIT_IO_IN and the like are no reasons: those are in one block without gaps,
// from KVM_EXIT_UNKNOWN on.
TEST(ExitReasons, AreNamedAsKvmExitOfTheKernel)
{
    const std::string path = "/usr/include/linux/kvm.h";
    if (!std::filesystem::exists(path))
        GTEST_SKIP() << "no " << path;
    std::ifstream header(path);
    ASSERT_TRUE(header.is_open()) << path;
    std::ostringstream content;
    content << header.rdbuf();
    uint64_t next = 0;
    for (const std::string& line : test::lines_of(content.str())) {
        std::istringstream words(line);
        std::string define;
        std::string macro;
        uint64_t code = 0;
        words >> define >> macro >> code;
        if (next == 0 && macro != "KVM_EXIT_UNKNOWN")
            continue;
        if (define != "#define")
            break;
        EXPECT_EQ(code, next) << line;
        EXPECT_EQ("KVM_EXIT_" + name_of(kUserspace, code), macro);
        next++;
    }
    EXPECT_GT(next, 20U) << "the block was not found";
}

// ---- classes ----

TEST(ExitReasons, ClassesHaveNames)
{
    std::set<std::string_view> names;
    for (const ExitClass kind : kExitClasses)
        names.insert(exit_class_name(kind));
    EXPECT_THAT(names, SizeIs(16));
    EXPECT_EQ(exit_class_name(kExitClasses.front()), "idle");
    EXPECT_EQ(exit_class_name(ExitClass::kMemoryFault), "memory-fault");
    EXPECT_EQ(exit_class_name(ExitClass::kDirtyLog), "dirty-log");
    EXPECT_EQ(exit_class_name(kExitClasses.back()), "other");
    EXPECT_EQ(exit_class_name(static_cast<ExitClass>(99)), "other");
}

TEST(ExitReasons, ClassesOfVmx)
{
    EXPECT_EQ(class_of(kVmx, 12), ExitClass::kHalt);        // HLT
    EXPECT_EQ(class_of(kVmx, 36), ExitClass::kHalt);        // MWAIT
    EXPECT_EQ(class_of(kVmx, 1), ExitClass::kInterrupt);    // EXTERNAL_INTERRUPT
    EXPECT_EQ(class_of(kVmx, 7), ExitClass::kInterrupt);    // INTERRUPT_WINDOW
    EXPECT_EQ(class_of(kVmx, 30), ExitClass::kPio);         // IO_INSTRUCTION
    EXPECT_EQ(class_of(kVmx, 49), ExitClass::kMmio);        // EPT_MISCONFIG
    EXPECT_EQ(class_of(kVmx, 48), ExitClass::kMemoryFault); // EPT_VIOLATION
    EXPECT_EQ(class_of(kVmx, 32), ExitClass::kMsr);         // MSR_WRITE
    EXPECT_EQ(class_of(kVmx, 84), ExitClass::kMsr);         // MSR_READ_IMM
    EXPECT_EQ(class_of(kVmx, 40), ExitClass::kSpin);        // PAUSE
    EXPECT_EQ(class_of(kVmx, 43), ExitClass::kApic);        // TPR_BELOW_THRESHOLD
    EXPECT_EQ(class_of(kVmx, 56), ExitClass::kApic);        // APIC_WRITE
    EXPECT_EQ(class_of(kVmx, 52), ExitClass::kTimer);       // PREEMPTION_TIMER
    EXPECT_EQ(class_of(kVmx, 18), ExitClass::kHypercall);   // VMCALL
    EXPECT_EQ(class_of(kVmx, 10), ExitClass::kCpuid);       // CPUID
    EXPECT_EQ(class_of(kVmx, 62), ExitClass::kDirtyLog);    // PML_FULL
    EXPECT_EQ(class_of(kVmx, 24), ExitClass::kNested);      // VMRESUME
    EXPECT_EQ(class_of(kVmx, 53), ExitClass::kNested);      // INVVPID
    EXPECT_EQ(class_of(kVmx, 77), ExitClass::kSev);         // TDCALL
    EXPECT_EQ(class_of(kVmx, 28), ExitClass::kEmulation);   // CR_ACCESS
    EXPECT_EQ(class_of(kVmx, 54), ExitClass::kEmulation);   // WBINVD
    EXPECT_EQ(class_of(kVmx, 0), ExitClass::kOther);        // EXCEPTION_NMI
    EXPECT_EQ(class_of(kVmx, 74), ExitClass::kOther);       // BUS_LOCK
}

TEST(ExitReasons, ClassesOfSvm)
{
    EXPECT_EQ(class_of(kSvm, 0x78), ExitClass::kHalt);         // hlt
    EXPECT_EQ(class_of(kSvm, 0xa6), ExitClass::kHalt);         // idle-halt
    EXPECT_EQ(class_of(kSvm, 0x60), ExitClass::kInterrupt);    // interrupt
    EXPECT_EQ(class_of(kSvm, 0x64), ExitClass::kInterrupt);    // vintr
    EXPECT_EQ(class_of(kSvm, 0x7b), ExitClass::kPio);          // io
    EXPECT_EQ(class_of(kSvm, 0x400), ExitClass::kMemoryFault); // npf
    EXPECT_EQ(class_of(kSvm, 0x4e), ExitClass::kMemoryFault);  // PF
    EXPECT_EQ(class_of(kSvm, 0x4d), ExitClass::kOther);        // GP
    EXPECT_EQ(class_of(kSvm, 0x7c), ExitClass::kMsr);          // msr
    EXPECT_EQ(class_of(kSvm, 0x77), ExitClass::kSpin);         // pause
    EXPECT_EQ(class_of(kSvm, 0x18), ExitClass::kApic);         // write_cr8
    EXPECT_EQ(class_of(kSvm, 0x402), ExitClass::kApic);        // avic
    EXPECT_EQ(class_of(kSvm, 0x81), ExitClass::kHypercall);    // vmmcall
    EXPECT_EQ(class_of(kSvm, 0x72), ExitClass::kCpuid);        // cpuid
    EXPECT_EQ(class_of(kSvm, 0x80), ExitClass::kNested);       // vmrun
    EXPECT_EQ(class_of(kSvm, 0x7a), ExitClass::kNested);       // invlpga
    EXPECT_EQ(class_of(kSvm, 0x403), ExitClass::kSev);         // vmgexit
    EXPECT_EQ(class_of(kSvm, 0x80000010), ExitClass::kSev);    // page state change
    EXPECT_EQ(class_of(kSvm, 0x14), ExitClass::kEmulation);    // write_cr4
    EXPECT_EQ(class_of(kSvm, 0xa5), ExitClass::kOther);        // buslock
}

TEST(ExitReasons, ClassesOfArm64)
{
    EXPECT_EQ(class_of(kArm64, 0x01), ExitClass::kHalt);        // WFx
    EXPECT_EQ(class_of(kArm64, 0x100), ExitClass::kInterrupt);  // IRQ
    EXPECT_EQ(class_of(kArm64, 0x20), ExitClass::kMemoryFault); // IABT_LOW
    EXPECT_EQ(class_of(kArm64, 0x24), ExitClass::kMemoryFault); // DABT_LOW
    EXPECT_EQ(class_of(kArm64, 0x18), ExitClass::kMsr);         // SYS64
    EXPECT_EQ(class_of(kArm64, 0x16), ExitClass::kHypercall);   // HVC64
    EXPECT_EQ(class_of(kArm64, 0x1a), ExitClass::kNested);      // ERET
    EXPECT_EQ(class_of(kArm64, 0x101), ExitClass::kOther);      // SERROR
}

TEST(ExitReasons, ClassesOfUserspace)
{
    EXPECT_EQ(class_of(kUserspace, 5), ExitClass::kHalt);         // HLT
    EXPECT_EQ(class_of(kUserspace, 10), ExitClass::kInterrupt);   // INTR
    EXPECT_EQ(class_of(kUserspace, 7), ExitClass::kInterrupt);    // IRQ_WINDOW_OPEN
    EXPECT_EQ(class_of(kUserspace, 2), ExitClass::kPio);          // IO
    EXPECT_EQ(class_of(kUserspace, 6), ExitClass::kMmio);         // MMIO
    EXPECT_EQ(class_of(kUserspace, 39), ExitClass::kMemoryFault); // MEMORY_FAULT
    EXPECT_EQ(class_of(kUserspace, 29), ExitClass::kMsr);         // X86_RDMSR
    EXPECT_EQ(class_of(kUserspace, 26), ExitClass::kApic);        // IOAPIC_EOI
    EXPECT_EQ(class_of(kUserspace, 3), ExitClass::kHypercall);    // HYPERCALL
    EXPECT_EQ(class_of(kUserspace, 31), ExitClass::kDirtyLog);    // DIRTY_RING_FULL
    EXPECT_EQ(class_of(kUserspace, 40), ExitClass::kSev);         // TDX
    EXPECT_EQ(class_of(kUserspace, 17), ExitClass::kOther);       // INTERNAL_ERROR
}

// ---- what has no name ----

TEST(ExitReasons, WithoutANameAreTheirNumber)
{
    EXPECT_EQ(exit_reason(kVmx, 0x7f), (ExitReason{"0x7f", ExitClass::kOther}));
    EXPECT_EQ(exit_reason(kVmx, 5), (ExitReason{"0x5", ExitClass::kOther})); // a gap
    EXPECT_EQ(exit_reason(kSvm, 0x42), (ExitReason{"0x42", ExitClass::kOther}));
    EXPECT_EQ(exit_reason(kSvm, 0x3ff), (ExitReason{"0x3ff", ExitClass::kOther}));
    EXPECT_EQ(exit_reason(kSvm, 0x404), (ExitReason{"0x404", ExitClass::kOther}));
    EXPECT_EQ(exit_reason(kSvm, 0x80000006), (ExitReason{"0x80000006", ExitClass::kOther}));
    EXPECT_EQ(exit_reason(kArm64, 0x3f), (ExitReason{"0x3f", ExitClass::kOther}));
    EXPECT_EQ(exit_reason(kArm64, 0x104), (ExitReason{"0x104", ExitClass::kOther}));
    EXPECT_EQ(exit_reason(kUserspace, 4711), (ExitReason{"0x1267", ExitClass::kOther}));
}

TEST(ExitReasons, WithoutANameAndNegativeAreDecimal)
{
    for (const uint32_t isa : {kVmx, kArm64, kUserspace}) {
        EXPECT_EQ(name_of(isa, UINT64_MAX), "-1") << isa;
        EXPECT_EQ(name_of(isa, UINT32_MAX), "-1") << isa;
    }
    EXPECT_EQ(name_of(kSvm, static_cast<uint64_t>(-2)), "-2");
    EXPECT_EQ(name_of(kSvm, static_cast<uint32_t>(-2)), "-2");
    EXPECT_EQ(name_of(kUserspace, static_cast<uint64_t>(-4095)), "-4095");
    EXPECT_EQ(name_of(kUserspace, static_cast<uint64_t>(-4096)), "0xfffffffffffff000");
}

TEST(ExitReasons, TooWideAreNoneThatIsNarrow)
{
    EXPECT_EQ(name_of(kVmx, 0x1'0000'0030), "0x100000030");
    EXPECT_EQ(name_of(kSvm, 0x1'0000'0400), "0x100000400");
    EXPECT_EQ(name_of(kSvm, 0x8000'0000'0000'0400), "0x8000000000000400");
    EXPECT_EQ(name_of(kSvm, 0xffff'ffff'0000'0400), "0xffffffff00000400");
    EXPECT_EQ(class_of(kArm64, 1ULL << 32), ExitClass::kOther);
    EXPECT_EQ(name_of(kUserspace, INT64_MAX), "0x7fffffffffffffff");
}

TEST(ExitReasons, OfSvmInEitherWidth)
{
    EXPECT_EQ(name_of(kSvm, UINT64_MAX), "invalid_guest_state");
    EXPECT_EQ(name_of(kSvm, UINT32_MAX), "invalid_guest_state");
    EXPECT_EQ(name_of(kSvm, 0x80000001), "vmgexit_mmio_read");
    EXPECT_EQ(name_of(kSvm, 0xffffffff80000001), "vmgexit_mmio_read");
}

TEST(ExitReasons, OfVmxWithFlags)
{
    EXPECT_EQ(name_of(kVmx, 0x80000021), "INVALID_STATE FAILED_VMENTRY");
    EXPECT_EQ(name_of(kVmx, 0xffffffff80000021), "INVALID_STATE FAILED_VMENTRY");
    EXPECT_EQ(name_of(kVmx, 0x08000030), "EPT_VIOLATION"); // in an enclave
    EXPECT_EQ(class_of(kVmx, 0x08000030), ExitClass::kMemoryFault);
    EXPECT_EQ(name_of(kVmx, 0x8000007f), "0x8000007f");
}

TEST(ExitReasons, OfNoIsa)
{
    for (const uint32_t isa : {0U, 5U, 99U, UINT32_MAX}) {
        EXPECT_EQ(exit_reason(isa, 12), (ExitReason{"0xc", ExitClass::kOther})) << isa;
        EXPECT_EQ(name_of(isa, UINT64_MAX), "-1") << isa;
    }
}

// ---- against what hosts have printed ----

// The code that has this name. The trace of x86 prints no more than that.
uint64_t code_of(uint32_t isa, const std::string& name)
{
    for (uint64_t code = 0; code <= 0xffff; code++) {
        if (name_of(isa, code) == name)
            return code;
    }
    ADD_FAILURE() << "no code is named " << name;
    return UINT64_MAX;
}

// The lines of a fixture that are events.
std::vector<std::string> events_of(const std::string& fixture)
{
    std::vector<std::string> events = test::lines_of(test::fixture(fixture));
    std::erase_if(events, [](const std::string& e) { return e.empty() || e.starts_with('#'); });
    EXPECT_THAT(events, Not(IsEmpty()));
    return events;
}

// What is in the line between two texts.
std::string between(const std::string& line, std::string_view before, std::string_view after)
{
    const size_t found = line.find(before);
    const size_t begin = found + before.size();
    const size_t end = found == std::string::npos ? found : line.find(after, begin);
    EXPECT_NE(end, std::string::npos) << "no \"" << before << "…" << after << "\" in: " << line;
    return end == std::string::npos ? "" : line.substr(begin, end - begin);
}

TEST(ExitReasons, OfAnIntelHostsTrace)
{
    constexpr std::string_view kFailed = " FAILED_VMENTRY";
    std::set<uint64_t> codes;
    for (const std::string& event : events_of("kvm/intel.trace")) {
        const std::string printed = between(event, "reason ", " rip ");
        const bool failed = printed.ends_with(kFailed);
        const uint64_t code =
            code_of(kVmx, printed.substr(0, printed.size() - (failed ? kFailed.size() : 0)));
        codes.insert(code);
        EXPECT_EQ(name_of(kVmx, failed ? code | 0x80000000 : code), printed);
    }
    // By the SDM, volume 3, appendix C.
    EXPECT_EQ(codes, (std::set<uint64_t>{0, 1, 2, 10, 28, 30, 31, 32, 33, 47, 48}));
}

TEST(ExitReasons, OfAnAmdHostsTrace)
{
    std::set<uint64_t> codes;
    for (const std::string& event : events_of("kvm/amd.trace"))
        codes.insert(code_of(kSvm, between(event, "reason ", " rip ")));
    // By the APM, volume 2, appendix C.
    EXPECT_EQ(codes, (std::set<uint64_t>{0x64, 0x78, 0x7c}));
}

TEST(ExitReasons, OfAnArm64HostsTrace)
{
    std::set<std::string> names;
    for (const std::string& event : events_of("kvm/arm64.trace")) {
        const std::string type = between(event, "kvm_exit: ", ": ");
        const uint64_t ec = std::stoull(between(event, "HSR_EC: 0x", " "), nullptr, 16);
        if (type == "TRAP")
            EXPECT_EQ(name_of(kArm64, ec), between(event, " (", "), PC: "));
        else
            EXPECT_EQ(name_of(kArm64, 0x100), type); // of the others there is but IRQ, 0
        names.insert(type == "TRAP" ? name_of(kArm64, ec) : type);
    }
    EXPECT_EQ(names, (std::set<std::string>{"IABT_LOW", "IRQ", "SYS64"}));
}

TEST(ExitReasons, OfAHostsTraceOfUserspace)
{
    std::set<std::string> names;
    for (const std::string& event : events_of("kvm/userspace.trace")) {
        const std::string printed = between(event, "reason ", " (");
        const std::string number = between(event, " (", ")");
        if (printed == "error") {
            EXPECT_EQ(name_of(kUserspace, -std::stoull(number)), "-" + number);
        } else {
            EXPECT_EQ("KVM_EXIT_" + name_of(kUserspace, std::stoull(number)), printed);
            names.insert(printed);
        }
    }
    EXPECT_THAT(names, SizeIs(3));
}

} // namespace
} // namespace vtrace
