// SPDX-License-Identifier: GPL-2.0-only
#include "tools/vm_rows.h"

#include "tools/report_parts.h"

#include <algorithm>
#include <charconv>

namespace vtrace {

std::optional<uint32_t> vcpu_number(const std::string& role)
{
    constexpr std::string_view kVcpu = "vcpu ";
    uint32_t number = 0;
    if (!role.starts_with(kVcpu))
        return std::nullopt;
    const char* end = role.data() + role.size();
    const auto [at, error] = std::from_chars(role.data() + kVcpu.size(), end, number);
    return error == std::errc{} && at == end ? std::optional(number) : std::nullopt;
}

VmRows::VmRows(const Snapshot& snapshot, const ToolOptions& options)
    : options_(options), entities_(snapshot.cgroups, snapshot.entities),
      kind_(options.group.empty() ? "vm" : options.group)
{
    for (const EntityFact& fact : snapshot.entities) {
        if (fact.kind == "vm")
            cgroup_of_[fact.vm] = fact.cgroup_id;
    }
    for (const KvmThread& thread : snapshot.kvm.threads)
        roles_[{thread.vm, thread.tid}] = thread.role;
}

Row& VmRows::row(uint64_t vm)
{
    const auto cgroup = cgroup_of_.find(vm);
    Entity entity = entity_of(
        entities_, {.cgroup_id = cgroup == cgroup_of_.end() ? 0 : cgroup->second, .vm = vm}, kind_);
    const auto [at, is_new] = known_.try_emplace(key_of(entity), rows_.size());
    if (is_new)
        rows_.push_back({.entity = std::move(entity)});
    return rows_[at->second];
}

void VmRows::label(Row& row, uint64_t vm) const
{
    if (kind_ != "vm")
        row.entity.labels.insert(row.entity.labels.begin(),
                                 {"vm", entities_.owner(0, vm, "vm").name});
}

std::string VmRows::role(uint64_t vm, uint32_t tid) const
{
    const auto found = roles_.find({vm, tid});
    // "thread": the VMM has given it no name, and it does not sleep in KVM.
    const bool known = found != roles_.end() && found->second != "thread";
    return known ? found->second : "tid " + std::to_string(tid);
}

bool VmRows::wanted(uint64_t vm, uint32_t tid) const
{
    return !options_.vcpu || vcpu_number(role(vm, tid)) == options_.vcpu;
}

void VmRows::give_to(Report& report)
{
    report.group = kind_;
    report.rows = std::move(rows_);
}

std::string missing_of_kvm(const KvmSnapshot& kvm, const std::string& figures)
{
    if (kvm.tells_exits)
        return {};
    return kvm.flavour + " does not tell of exits (no kvm_exit, no kvm_entry): missing here are " +
           figures;
}

void add_counter(Row& row, std::string_view name, std::string_view unit, uint64_t value)
{
    const auto known = std::ranges::find(row.metrics, name, &Metric::name);
    if (known != row.metrics.end()) {
        known->value += static_cast<double>(value);
        return;
    }
    row.metrics.push_back({.name = std::string(name),
                           .unit = std::string(unit),
                           .value = static_cast<double>(value)});
}

void add_parts(Row& row, const ExitParts& parts)
{
    add_counter(row, "kernel", "ns", parts.kernel);
    add_counter(row, "vmm", "ns", parts.vmm);
    add_counter(row, "blocked", "ns", parts.blocked);
    add_counter(row, "waited", "ns", parts.waited);
}

} // namespace vtrace
