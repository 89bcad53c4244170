// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace vtrace {

// What the code of an exit is of. The kernel gives VMX and SVM in kvm_exit itself (KVM_ISA_VMX and
// KVM_ISA_SVM, arch/x86/kvm/trace.h); the others are numbers of ours.
enum class ExitIsa : uint32_t {
    kVmx = 1,
    kSvm = 2,
    kArm64 = 3,
    kUserspace = 4, // for hosts that have nothing but kvm_userspace_exit
};

// What a guest left for, coarsely.
enum class ExitClass {
    kHalt, // "idle"
    kInterrupt,
    kPio,
    kMmio,
    kMemoryFault,
    kMsr,
    kSpin,
    kApic,
    kTimer,
    kHypercall,
    kCpuid,
    kDirtyLog,
    kNested,
    kSev, // of confidential guests: SEV-ES, SNP and TDX
    kEmulation,
    kOther,
};

inline constexpr std::array kExitClasses = {
    ExitClass::kHalt,        ExitClass::kInterrupt, ExitClass::kPio,       ExitClass::kMmio,
    ExitClass::kMemoryFault, ExitClass::kMsr,       ExitClass::kSpin,      ExitClass::kApic,
    ExitClass::kTimer,       ExitClass::kHypercall, ExitClass::kCpuid,     ExitClass::kDirtyLog,
    ExitClass::kNested,      ExitClass::kSev,       ExitClass::kEmulation, ExitClass::kOther,
};

// "idle", "memory-fault", …
std::string_view exit_class_name(ExitClass kind);

struct ExitReason {
    std::string name;
    ExitClass kind = ExitClass::kOther;
    bool operator==(const ExitReason&) const = default;
};

// Names are those that the kernel prints in its trace, as of Linux 7.2; where it knows a code but has
// no text for it, they are formed after the macro. A code is 32 bits, or these with their sign
// extended: SVM's are 64 bits wide since "KVM: SVM: Treat exit_code as an unsigned 64-bit value
// through all of KVM" (https://lore.kernel.org/kvm/20251113225621.1688428-8-seanjc@google.com/). By
// ExitIsa, it is:
//
// kVmx        kvm_exit's exit_reason (arch/x86/include/uapi/asm/vmx.h). Bits 0-15 are the reason; of
//             the flags above, a failed VM entry (bit 31) shows as in the kernel's trace:
//             "INVALID_STATE FAILED_VMENTRY". The others say nothing about the reason.
// kSvm        kvm_exit's exit_reason (arch/x86/include/uapi/asm/svm.h).
// kArm64      of kvm_exit's (ret, esr_ec, vcpu_pc) (arch/arm64/kvm/trace_arm.h): esr_ec, which is
//             ESR_ELx_EC_* (arch/arm64/include/asm/esr.h), if ret is ARM_EXCEPTION_TRAP, else
//             0x100 + ret, which is ARM_EXCEPTION_* (kvm_asm.h). Both for ARM_EXCEPTION_CODE(ret):
//             bit 31 tells of a pending SError; the fields of the event are without it, the
//             arguments of the tracepoint are not.
// kUserspace  kvm_userspace_exit's reason, KVM_EXIT_* (include/uapi/linux/kvm.h), or its errno if that
//             is below 0: the kernel, too, prints errno then, and not the reason
//             (include/trace/events/kvm.h).
//
// A code that has no name has its number for one, and is kOther: in decimal if it is -1 … -4095 in 32
// or in 64 bits, else in hex. So is any code of an isa that is not an ExitIsa.
ExitReason exit_reason(uint32_t isa, uint64_t code);

} // namespace vtrace
