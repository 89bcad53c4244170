// SPDX-License-Identifier: GPL-2.0-only
#include "model/exit_reasons.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <span>

namespace vtrace {
namespace {

using enum ExitClass;

struct Entry {
    uint32_t code;
    std::string_view name;
    ExitClass kind;
};

// EXIT_REASON_*; the names of VMX_EXIT_REASONS. OTHER_SMI and SEAMCALL have none there.
constexpr auto kVmxReasons = std::to_array<Entry>({
    // A page fault of shadow paging, a host's NMI or an instruction to emulate: the code does not tell.
    {0, "EXCEPTION_NMI", kOther},
    {1, "EXTERNAL_INTERRUPT", kInterrupt},
    {2, "TRIPLE_FAULT", kOther},
    {3, "INIT_SIGNAL", kInterrupt},
    {4, "SIPI_SIGNAL", kInterrupt},
    {6, "OTHER_SMI", kInterrupt},
    {7, "INTERRUPT_WINDOW", kInterrupt}, // PENDING_INTERRUPT before 9dadc2f918df
    {8, "NMI_WINDOW", kInterrupt},
    {9, "TASK_SWITCH", kEmulation},
    {10, "CPUID", kCpuid},
    {12, "HLT", kHalt},
    {13, "INVD", kEmulation},
    {14, "INVLPG", kMemoryFault}, // only with shadow paging: it is the price of that
    {15, "RDPMC", kEmulation},
    {16, "RDTSC", kEmulation},
    {18, "VMCALL", kHypercall},
    {19, "VMCLEAR", kNested},
    {20, "VMLAUNCH", kNested},
    {21, "VMPTRLD", kNested},
    {22, "VMPTRST", kNested},
    {23, "VMREAD", kNested},
    {24, "VMRESUME", kNested},
    {25, "VMWRITE", kNested},
    {26, "VMOFF", kNested},
    {27, "VMON", kNested},
    {28, "CR_ACCESS", kEmulation},
    {29, "DR_ACCESS", kEmulation},
    {30, "IO_INSTRUCTION", kPio},
    {31, "MSR_READ", kMsr},
    {32, "MSR_WRITE", kMsr},
    {33, "INVALID_STATE", kOther},
    {34, "MSR_LOAD_FAIL", kOther},
    {36, "MWAIT_INSTRUCTION", kHalt},
    {37, "MONITOR_TRAP_FLAG", kOther},
    {39, "MONITOR_INSTRUCTION", kEmulation},
    {40, "PAUSE_INSTRUCTION", kSpin},
    {41, "MCE_DURING_VMENTRY", kOther},
    {43, "TPR_BELOW_THRESHOLD", kApic},
    {44, "APIC_ACCESS", kApic},
    {45, "EOI_INDUCED", kApic},
    {46, "GDTR_IDTR", kEmulation},
    {47, "LDTR_TR", kEmulation},
    {48, "EPT_VIOLATION", kMemoryFault},
    {49, "EPT_MISCONFIG", kMmio}, // how KVM marks pages of MMIO
    {50, "INVEPT", kNested},
    {51, "RDTSCP", kEmulation},
    {52, "PREEMPTION_TIMER", kTimer},
    {53, "INVVPID", kNested},
    {54, "WBINVD", kEmulation},
    {55, "XSETBV", kEmulation},
    {56, "APIC_WRITE", kApic},
    {57, "RDRAND", kEmulation},
    {58, "INVPCID", kMemoryFault}, // as INVLPG
    {59, "VMFUNC", kNested},
    {60, "ENCLS", kEmulation},
    {61, "RDSEED", kEmulation},
    {62, "PML_FULL", kDirtyLog},
    {63, "XSAVES", kEmulation},
    {64, "XRSTORS", kEmulation},
    {67, "UMWAIT", kHalt},
    {68, "TPAUSE", kHalt},
    {74, "BUS_LOCK", kOther},
    {75, "NOTIFY", kOther},
    {76, "SEAMCALL", kSev},
    {77, "TDCALL", kSev},
    {84, "MSR_READ_IMM", kMsr},
    {85, "MSR_WRITE_IMM", kMsr},
});

// VMX_EXIT_REASONS_FAILED_VMENTRY, and what VMX_EXIT_REASON_FLAGS calls it.
constexpr uint32_t kVmxBasic = 0xffff;
constexpr uint32_t kVmxFailedEntry = 0x80000000;
constexpr std::string_view kVmxFailedEntryName = " FAILED_VMENTRY";

// SVM_EXIT_* and SVM_VMGEXIT_*; the names of SVM_EXIT_REASONS, "rt" for TR among them. mwait_cond, rdpru
// and four of vmgexit have none there.
constexpr auto kSvmReasons = std::to_array<Entry>({
    {0x000, "read_cr0", kEmulation},
    {0x002, "read_cr2", kEmulation},
    {0x003, "read_cr3", kEmulation},
    {0x004, "read_cr4", kEmulation},
    {0x008, "read_cr8", kApic}, // the TPR
    {0x010, "write_cr0", kEmulation},
    {0x012, "write_cr2", kEmulation},
    {0x013, "write_cr3", kEmulation},
    {0x014, "write_cr4", kEmulation},
    {0x018, "write_cr8", kApic},
    {0x020, "read_dr0", kEmulation},
    {0x021, "read_dr1", kEmulation},
    {0x022, "read_dr2", kEmulation},
    {0x023, "read_dr3", kEmulation},
    {0x024, "read_dr4", kEmulation},
    {0x025, "read_dr5", kEmulation},
    {0x026, "read_dr6", kEmulation},
    {0x027, "read_dr7", kEmulation},
    {0x030, "write_dr0", kEmulation},
    {0x031, "write_dr1", kEmulation},
    {0x032, "write_dr2", kEmulation},
    {0x033, "write_dr3", kEmulation},
    {0x034, "write_dr4", kEmulation},
    {0x035, "write_dr5", kEmulation},
    {0x036, "write_dr6", kEmulation},
    {0x037, "write_dr7", kEmulation},
    {0x040, "DE excp", kOther},
    {0x041, "DB excp", kOther},
    {0x043, "BP excp", kOther},
    {0x044, "OF excp", kOther},
    {0x045, "BR excp", kOther},
    {0x046, "UD excp", kOther},
    {0x047, "NM excp", kOther},
    {0x048, "DF excp", kOther},
    {0x04a, "TS excp", kOther},
    {0x04b, "NP excp", kOther},
    {0x04c, "SS excp", kOther},
    {0x04d, "GP excp", kOther},
    {0x04e, "PF excp", kMemoryFault}, // shadow paging
    {0x050, "MF excp", kOther},
    {0x051, "AC excp", kOther},
    {0x052, "MC excp", kOther},
    {0x053, "XF excp", kOther},
    {0x060, "interrupt", kInterrupt},
    {0x061, "nmi", kInterrupt},
    {0x062, "smi", kInterrupt},
    {0x063, "init", kInterrupt},
    {0x064, "vintr", kInterrupt}, // the interrupt window
    {0x065, "cr0_sel_write", kEmulation},
    {0x066, "read_idtr", kEmulation},
    {0x067, "read_gdtr", kEmulation},
    {0x068, "read_ldtr", kEmulation},
    {0x069, "read_rt", kEmulation},
    {0x06a, "write_idtr", kEmulation},
    {0x06b, "write_gdtr", kEmulation},
    {0x06c, "write_ldtr", kEmulation},
    {0x06d, "write_rt", kEmulation},
    {0x06e, "rdtsc", kEmulation},
    {0x06f, "rdpmc", kEmulation},
    {0x070, "pushf", kEmulation},
    {0x071, "popf", kEmulation},
    {0x072, "cpuid", kCpuid},
    {0x073, "rsm", kEmulation},
    {0x074, "iret", kInterrupt}, // the NMI window
    {0x075, "swint", kEmulation},
    {0x076, "invd", kEmulation},
    {0x077, "pause", kSpin},
    {0x078, "hlt", kHalt},
    {0x079, "invlpg", kMemoryFault}, // only with shadow paging: it is the price of that
    {0x07a, "invlpga", kNested},
    {0x07b, "io", kPio},
    {0x07c, "msr", kMsr},
    {0x07d, "task_switch", kEmulation},
    {0x07e, "ferr_freeze", kOther},
    {0x07f, "shutdown", kOther},
    {0x080, "vmrun", kNested},
    {0x081, "hypercall", kHypercall},
    {0x082, "vmload", kNested},
    {0x083, "vmsave", kNested},
    {0x084, "stgi", kNested},
    {0x085, "clgi", kNested},
    {0x086, "skinit", kNested},
    {0x087, "rdtscp", kEmulation},
    {0x088, "icebp", kOther},
    {0x089, "wbinvd", kEmulation},
    {0x08a, "monitor", kEmulation},
    {0x08b, "mwait", kHalt},
    {0x08c, "mwait_cond", kHalt},
    {0x08d, "xsetbv", kEmulation},
    {0x08e, "rdpru", kEmulation},
    {0x08f, "write_efer_trap", kMsr},
    {0x090, "write_cr0_trap", kEmulation},
    {0x094, "write_cr4_trap", kEmulation},
    {0x098, "write_cr8_trap", kApic},
    {0x0a2, "invpcid", kMemoryFault}, // as invlpg
    {0x0a5, "buslock", kOther},
    {0x0a6, "idle-halt", kHalt},
    {0x400, "npf", kMemoryFault}, // MMIO, too: the code does not tell
    {0x401, "avic_incomplete_ipi", kApic},
    {0x402, "avic_unaccelerated_access", kApic},
    {0x403, "vmgexit", kSev},
    {0x80000001, "vmgexit_mmio_read", kSev},
    {0x80000002, "vmgexit_mmio_write", kSev},
    {0x80000003, "vmgexit_nmi_complete", kSev},
    {0x80000004, "vmgexit_ap_hlt_loop", kSev},
    {0x80000005, "vmgexit_ap_jump_table", kSev},
    {0x80000010, "vmgexit_page_state_change", kSev},
    {0x80000011, "vmgexit_guest_request", kSev},
    {0x80000012, "vmgexit_ext_guest_request", kSev},
    {0x80000013, "vmgexit_ap_creation", kSev},
    {0x80000018, "vmgexit_snp_run_vmpl", kSev},
    {0x8000001a, "vmgexit_savic", kSev},
    {0x8000fffd, "vmgexit_hypervisor_feature", kSev},
    {0x8000fffe, "vmgexit_term_request", kSev},
    {0x8000ffff, "vmgexit_unsupported_event", kSev},
    {0xffffffff, "invalid_guest_state", kOther}, // SVM_EXIT_ERR, -1
});

// ESR_ELx_EC_*, and from 0x100 on ARM_EXCEPTION_*; the names of kvm_arm_exception_class (kvm_arm.h) and
// kvm_arm_exception_type (kvm_asm.h). OTHER, BTI, ILL, *32, FPAC, SME, MOPS, GCS and IL have none there.
constexpr auto kArm64Reasons = std::to_array<Entry>({
    {0x00, "UNKNOWN", kOther},
    {0x01, "WFx", kHalt},    // WFI; WFE, which spins, has the same class
    {0x03, "CP15_32", kMsr}, // CP*: system registers of 32-bit guests
    {0x04, "CP15_64", kMsr},
    {0x05, "CP14_MR", kMsr},
    {0x06, "CP14_LS", kMsr},
    {0x07, "FP_ASIMD", kOther},
    {0x08, "CP10_ID", kMsr},
    {0x09, "PAC", kOther},
    {0x0a, "OTHER", kOther},
    {0x0c, "CP14_64", kMsr},
    {0x0d, "BTI", kOther},
    {0x0e, "ILL", kOther},
    {0x11, "SVC32", kOther},
    {0x12, "HVC32", kHypercall},
    {0x13, "SMC32", kHypercall}, // KVM answers SMC as it does HVC
    {0x15, "SVC64", kOther},
    {0x16, "HVC64", kHypercall},
    {0x17, "SMC64", kHypercall},
    {0x18, "SYS64", kMsr}, // MSR, MRS and system instructions
    {0x19, "SVE", kOther},
    {0x1a, "ERET", kNested},
    {0x1c, "FPAC", kOther},
    {0x1d, "SME", kOther},
    {0x1f, "IMP_DEF", kOther},
    {0x20, "IABT_LOW", kMemoryFault},
    {0x21, "IABT_CUR", kOther}, // *_CUR: not of a guest
    {0x22, "PC_ALIGN", kOther},
    {0x24, "DABT_LOW", kMemoryFault}, // MMIO, too: the code does not tell
    {0x25, "DABT_CUR", kOther},
    {0x26, "SP_ALIGN", kOther},
    {0x27, "MOPS", kOther},
    {0x28, "FP_EXC32", kOther},
    {0x2c, "FP_EXC64", kOther},
    {0x2d, "GCS", kOther},
    {0x2f, "SERROR", kOther},
    {0x30, "BREAKPT_LOW", kOther},
    {0x31, "BREAKPT_CUR", kOther},
    {0x32, "SOFTSTP_LOW", kOther},
    {0x33, "SOFTSTP_CUR", kOther},
    {0x34, "WATCHPT_LOW", kOther},
    {0x35, "WATCHPT_CUR", kOther},
    {0x38, "BKPT32", kOther},
    {0x3a, "VECTOR32", kOther},
    {0x3c, "BRK64", kOther},
    {0x100, "IRQ", kInterrupt},
    {0x101, "SERROR", kOther}, // a fault of the hardware, as x86's MC
    {0x102, "TRAP", kOther},   // not by the rule above: a trap has its class
    {0x103, "IL", kOther},
    {0x100 + 0xbadca11, "HYP_GONE", kOther}, // HVC_STUB_ERR (asm/virt.h)
});

// KVM_EXIT_*, without that prefix.
constexpr auto kUserspaceReasons = std::to_array<Entry>({
    {0, "UNKNOWN", kOther},
    {1, "EXCEPTION", kOther},
    {2, "IO", kPio},
    {3, "HYPERCALL", kHypercall},
    {4, "DEBUG", kOther},
    {5, "HLT", kHalt},
    {6, "MMIO", kMmio},
    {7, "IRQ_WINDOW_OPEN", kInterrupt},
    {8, "SHUTDOWN", kOther},
    {9, "FAIL_ENTRY", kOther},
    {10, "INTR", kInterrupt},
    {11, "SET_TPR", kApic},
    {12, "TPR_ACCESS", kApic},
    {13, "S390_SIEIC", kOther},
    {14, "S390_RESET", kOther},
    {15, "DCR", kOther},
    {16, "NMI", kInterrupt},
    {17, "INTERNAL_ERROR", kOther},
    {18, "OSI", kHypercall},
    {19, "PAPR_HCALL", kHypercall},
    {20, "S390_UCONTROL", kOther},
    {21, "WATCHDOG", kOther},
    {22, "S390_TSCH", kOther},
    {23, "EPR", kInterrupt}, // PowerPC's acknowledgement of one
    {24, "SYSTEM_EVENT", kOther},
    {25, "S390_STSI", kOther},
    {26, "IOAPIC_EOI", kApic},
    {27, "HYPERV", kHypercall},
    {28, "ARM_NISV", kMmio}, // by an instruction that has no syndrome
    {29, "X86_RDMSR", kMsr},
    {30, "X86_WRMSR", kMsr},
    {31, "DIRTY_RING_FULL", kDirtyLog},
    {32, "AP_RESET_HOLD", kSev},
    {33, "X86_BUS_LOCK", kOther},
    {34, "XEN", kHypercall},
    {35, "RISCV_SBI", kHypercall},
    {36, "RISCV_CSR", kMsr},
    {37, "NOTIFY", kOther},
    {38, "LOONGARCH_IOCSR", kPio}, // a space of its own for I/O, with its own instructions
    {39, "MEMORY_FAULT", kMemoryFault},
    {40, "TDX", kSev},
    {41, "ARM_SEA", kOther}, // a fault of the hardware
    {42, "ARM_LDST64B", kMmio},
    {43, "SNP_REQ_CERTS", kSev},
    {0xfffffffcU, "restart", kInterrupt}, // -EINTR: a signal
});

static_assert(std::ranges::is_sorted(kVmxReasons, {}, &Entry::code));
static_assert(std::ranges::is_sorted(kSvmReasons, {}, &Entry::code));
static_assert(std::ranges::is_sorted(kArm64Reasons, {}, &Entry::code));
static_assert(std::ranges::is_sorted(kUserspaceReasons, {}, &Entry::code));

const Entry* find(std::span<const Entry> table, uint32_t code)
{
    const auto found = std::ranges::lower_bound(table, code, {}, &Entry::code);
    return found != table.end() && found->code == code ? &*found : nullptr;
}

// The 32 bits of a code that is no wider, or that has only its sign above them.
std::optional<uint32_t> narrow(uint64_t code)
{
    const auto low = static_cast<uint32_t>(code);
    const auto extended = static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(low)));
    if (code == low || code == extended)
        return low;
    return std::nullopt;
}

std::string raw(uint64_t code)
{
    // What the kernel takes for an errno (MAX_ERRNO). Further down are codes that it writes in hex, too:
    // those of vmgexit, and the flags of VMX.
    constexpr int32_t kLowest = -4095;
    const std::optional<uint32_t> low = narrow(code);
    if (low && static_cast<int32_t>(*low) < 0 && static_cast<int32_t>(*low) >= kLowest)
        return std::to_string(static_cast<int32_t>(*low));
    std::array<char, 16> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), code, 16).ptr;
    return "0x" + std::string(digits.data(), end);
}

} // namespace

std::string_view exit_class_name(ExitClass kind)
{
    switch (kind) {
    case kHalt: return "idle";
    case kInterrupt: return "interrupt";
    case kPio: return "pio";
    case kMmio: return "mmio";
    case kMemoryFault: return "memory-fault";
    case kMsr: return "msr";
    case kSpin: return "spin";
    case kApic: return "apic";
    case kTimer: return "timer";
    case kHypercall: return "hypercall";
    case kCpuid: return "cpuid";
    case kDirtyLog: return "dirty-log";
    case kNested: return "nested";
    case kSev: return "sev";
    case kEmulation: return "emulation";
    case kOther: break;
    }
    return "other";
}

ExitReason exit_reason(uint32_t isa, uint64_t code)
{
    const std::optional<uint32_t> low = narrow(code);
    const Entry* entry = nullptr;
    std::string_view suffix;
    if (low) {
        switch (static_cast<ExitIsa>(isa)) {
        case ExitIsa::kVmx:
            entry = find(kVmxReasons, *low & kVmxBasic);
            if ((*low & kVmxFailedEntry) != 0)
                suffix = kVmxFailedEntryName;
            break;
        case ExitIsa::kSvm: entry = find(kSvmReasons, *low); break;
        case ExitIsa::kArm64: entry = find(kArm64Reasons, *low); break;
        case ExitIsa::kUserspace: entry = find(kUserspaceReasons, *low); break;
        }
    }
    if (entry == nullptr)
        return {.name = raw(code), .kind = kOther};
    return {.name = std::string(entry->name).append(suffix), .kind = entry->kind};
}

} // namespace vtrace
