// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <bpf/btf.h>

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

// What of the declared types (as `ours` describes them) `kernel` lacks, one line each. Of the
// flavours of a struct one has to match whole, and so has the struct without a flavour.
std::vector<std::string> contract_violations(const btf* ours,
                                             const std::vector<std::string>& declared,
                                             const btf* kernel);

} // namespace vtrace::test
