// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/kvm_layout.h"

#include <bpf/btf.h>
#include <unistd.h>

#include <memory>
#include <span>
#include <string_view>

namespace vtrace {
namespace {

struct FreeBtf {
    void operator()(btf* types) const { btf__free(types); }
};
using Btf = std::unique_ptr<btf, FreeBtf>;

constexpr uint32_t kBitsPerByte = 8;

// A member and where it is from the start of what was asked for.
struct Found {
    const btf_type* type;
    uint32_t offset;
};

const btf_type* resolved(const btf* types, uint32_t id)
{
    const int plain = btf__resolve_type(types, id);
    return plain < 0 ? nullptr : btf__type_by_id(types, static_cast<uint32_t>(plain));
}

// The member of a struct or union, looked for in its nameless parts, too.
std::optional<Found> member(const btf* types, const btf_type* type, std::string_view name)
{
    if (type == nullptr || !btf_is_composite(type))
        return std::nullopt;
    for (uint32_t i = 0; i < btf_vlen(type); i++) {
        const btf_member& m = btf_members(type)[i];
        const uint32_t offset = btf_member_bit_offset(type, i) / kBitsPerByte;
        const btf_type* of = resolved(types, m.type);
        if (name == btf__name_by_offset(types, m.name_off))
            return of == nullptr ? std::nullopt : std::optional(Found{of, offset});
        if (m.name_off != 0)
            continue;
        if (const auto inner = member(types, of, name))
            return Found{inner->type, offset + inner->offset};
    }
    return std::nullopt;
}

std::optional<Found> walk(const btf* types, const btf_type* type,
                          std::span<const std::string_view> path)
{
    Found at{type, 0};
    for (const std::string_view name : path) {
        const auto next = member(types, at.type, name);
        if (!next)
            return std::nullopt;
        at = {next->type, at.offset + next->offset};
    }
    return at;
}

const btf_type* struct_named(const btf* types, const char* name)
{
    const int id = btf__find_by_name_kind(types, name, BTF_KIND_STRUCT);
    return id < 0 ? nullptr : btf__type_by_id(types, static_cast<uint32_t>(id));
}

bool begins_with_vcpu(const btf* types, const btf_type* type)
{
    const auto vcpu = member(types, type, "vcpu");
    return vcpu && vcpu->offset == 0;
}

std::optional<vt_kvm_place> of_size(vt_kvm_place place, const Found& reason)
{
    place.offset = reason.offset;
    place.size = reason.type->size;
    // A union has the number as one of its members.
    const bool number = btf_is_int(reason.type) || btf_is_composite(reason.type);
    const bool known = place.size == sizeof(uint32_t) || place.size == sizeof(uint64_t);
    return number && known ? std::optional(place) : std::nullopt;
}

Btf module_types(const std::string& directory, const char* module, btf* base)
{
    const std::string path = directory + "/" + module;
    return Btf(::access(path.c_str(), R_OK) == 0 ? btf__parse_split(path.c_str(), base) : nullptr);
}

} // namespace

std::optional<vt_kvm_place> vmx_reason_place(const btf* types)
{
    // A union with the same as a number of 32 bits since 5.11 (8e53324021645); in struct vcpu_vt since 6.16.
    constexpr std::string_view kDirect[] = {"exit_reason"};
    constexpr std::string_view kInCommon[] = {"vt", "exit_reason"};
    const btf_type* vcpu = struct_named(types, "vcpu_vmx");
    if (!begins_with_vcpu(types, vcpu))
        return std::nullopt;
    auto reason = walk(types, vcpu, kDirect);
    if (!reason)
        reason = walk(types, vcpu, kInCommon);
    return reason ? of_size({}, *reason) : std::nullopt;
}

std::optional<vt_kvm_place> svm_reason_place(const btf* types)
{
    constexpr std::string_view kPath[] = {"control", "exit_code"};
    const btf_type* vcpu = struct_named(types, "vcpu_svm");
    if (!begins_with_vcpu(types, vcpu))
        return std::nullopt;
    const auto pointer = member(types, vcpu, "vmcb");
    if (!pointer || !btf_is_ptr(pointer->type))
        return std::nullopt;
    const auto reason = walk(types, resolved(types, pointer->type->type), kPath);
    return reason ? of_size({.pointer = pointer->offset}, *reason) : std::nullopt;
}

KvmLayout kvm_layout(const std::string& directory)
{
    KvmLayout layout;
    const Btf kernel(btf__parse((directory + "/vmlinux").c_str(), nullptr));
    if (!kernel)
        return layout;
    const Btf intel = module_types(directory, "kvm_intel", kernel.get());
    const Btf amd = module_types(directory, "kvm_amd", kernel.get());
    layout.vmx = vmx_reason_place(intel ? intel.get() : kernel.get());
    layout.svm = svm_reason_place(amd ? amd.get() : kernel.get());
    return layout;
}

} // namespace vtrace
