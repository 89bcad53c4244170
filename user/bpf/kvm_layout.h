// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "vtrace/kvm.h"

#include <optional>
#include <string>

struct btf;

namespace vtrace {

// Where a program finds the reason of an exit, in the types of kvm_intel: struct vcpu_vmx. Nothing if they
// are not as known.
std::optional<vt_kvm_place> vmx_reason_place(const btf* types);
// In the types of kvm_amd: struct vcpu_svm and struct vmcb.
std::optional<vt_kvm_place> svm_reason_place(const btf* types);

struct KvmLayout {
    std::optional<vt_kvm_place> vmx;
    std::optional<vt_kvm_place> svm;
};

// Of the running kernel, from its types and those of its modules (CONFIG_DEBUG_INFO_BTF_MODULES, since 5.11).
KvmLayout kvm_layout(const std::string& directory = "/sys/kernel/btf");

} // namespace vtrace
