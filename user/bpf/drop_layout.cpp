// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/drop_layout.h"

#include <bpf/btf.h>

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string_view>

namespace vtrace {
namespace {

constexpr uint32_t kSubsystemShift = 16; // SKB_DROP_REASON_SUBSYS_SHIFT
constexpr std::string_view kNotYet = "SKB_NOT_DROPPED_YET";
constexpr std::string_view kConsumed = "SKB_CONSUMED";

struct FreeBtf {
    void operator()(btf* b) const { btf__free(b); }
};

// By value, without a prefix.
void add_names(const btf* types, const char* enumeration, std::string_view prefix,
               std::map<uint32_t, std::string>& names)
{
    const int id = btf__find_by_name_kind(types, enumeration, BTF_KIND_ENUM);
    const btf_type* type = id > 0 ? btf__type_by_id(types, static_cast<uint32_t>(id)) : nullptr;
    if (type == nullptr)
        return;
    const auto* values = btf_enum(type);
    for (uint32_t i = 0; i < btf_vlen(type); i++) {
        std::string_view name = btf__name_by_offset(types, values[i].name_off);
        if (name.starts_with(prefix))
            name.remove_prefix(prefix.size());
        if (!name.starts_with("__"))
            names.try_emplace(static_cast<uint32_t>(values[i].val), name);
    }
}

// Its prototype has one before those of the tracepoint.
uint32_t arguments_of(const btf* types, const char* tracepoint)
{
    const int id = btf__find_by_name_kind(types, tracepoint, BTF_KIND_TYPEDEF);
    const btf_type* type = id > 0 ? btf__type_by_id(types, static_cast<uint32_t>(id)) : nullptr;
    while (type != nullptr && (btf_is_typedef(type) || btf_is_ptr(type)))
        type = btf__type_by_id(types, type->type);
    if (type == nullptr || !btf_is_func_proto(type))
        return 0;
    return std::max<uint32_t>(btf_vlen(type), 1) - 1;
}

} // namespace

std::string DropLayout::name(uint32_t reason) const
{
    const auto known = reasons.find(reason);
    if (known != reasons.end())
        return known->second;
    const auto subsystem = subsystems.find(reason >> kSubsystemShift);
    if (reason >> kSubsystemShift != 0 && subsystem != subsystems.end())
        return subsystem->second + ":" +
               std::to_string(reason & ((uint32_t{1} << kSubsystemShift) - 1));
    return std::to_string(reason);
}

DropLayout drop_layout(const btf* types)
{
    DropLayout layout;
    layout.arguments = std::max(arguments_of(types, "btf_trace_kfree_skb"), layout.arguments);
    add_names(types, "skb_drop_reason", "SKB_DROP_REASON_", layout.reasons);
    layout.not_yet = layout.reasons.contains(0) && layout.reasons.at(0) == kNotYet;
    const auto consumed = std::ranges::find(layout.reasons, kConsumed,
                                            &std::pair<const uint32_t, std::string>::second);
    if (consumed != layout.reasons.end())
        layout.consumed = consumed->first;
    for (const char* other : {"qdisc_drop_reason", "mac80211_drop_reason", "ovs_drop_reason"})
        add_names(types, other, "", layout.reasons);
    add_names(types, "skb_drop_reason_subsys", "SKB_DROP_REASON_SUBSYS_", layout.subsystems);
    return layout;
}

DropLayout drop_layout()
{
    const std::unique_ptr<btf, FreeBtf> types(btf__parse("/sys/kernel/btf/vmlinux", nullptr));
    return types ? drop_layout(types.get()) : DropLayout{};
}

} // namespace vtrace
