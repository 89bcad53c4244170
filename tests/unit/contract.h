// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <bpf/btf.h>

#include <compare>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace::test {

struct FreeBtf {
    void operator()(btf* b) const { btf__free(b); }
};
using Btf = std::unique_ptr<btf, FreeBtf>;

// The names of the structs, unions and enums that a C header declares with a body.
std::vector<std::string> declared_types(std::string_view header);

// `name` without the suffix of its flavour: "task_struct___until_5_13" is a task_struct.
std::string base_name(std::string_view name);

// The two leading numbers of a kernel's release, as uname prints it.
struct KernelVersion {
    int major = 0;
    int minor = 0;
    auto operator<=>(const KernelVersion&) const = default;
};

// {0, 0} if the text does not begin with two numbers.
KernelVersion kernel_version(std::string_view release);

// False for a type that only kernels of another machine have, ___x86_64 or ___aarch64.
bool is_of_this_machine(std::string_view name);

// True if a kernel of that version has to match the type: a flavour, ___since_X_Y or ___until_X_Y,
// holds for some versions only, any other type for all.
bool applies(std::string_view name, KernelVersion version);

// What of the declared types (as `ours` describes them) that apply to `version` its BTF `kernel`
// lacks, one line each.
std::vector<std::string> contract_violations(const btf* ours,
                                             const std::vector<std::string>& declared,
                                             const btf* kernel, KernelVersion version);

} // namespace vtrace::test
