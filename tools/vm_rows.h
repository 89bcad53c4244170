// SPDX-License-Identifier: GPL-2.0-only
// The rows of reports about VMs: one for each entity that VMs are called by, with rows of their vCPUs in it.
#pragma once

#include "entity/entities.h"
#include "model/report.h"
#include "model/snapshot.h"
#include "tools/options.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vtrace {

// Why a tool about VMs has no --pid and no --comm.
inline constexpr std::string_view kVmsInstead =
    "--vm=NAME selects a VM, by its name or the pid of its VMM";

// "vcpu 3" is 3.
std::optional<uint32_t> vcpu_number(const std::string& role);

class VmRows {
public:
    // Both must outlive this.
    VmRows(const Snapshot& snapshot, const ToolOptions& options);

    // The row of a VM; made at its first call.
    Row& row(uint64_t vm);

    // Says in a row of what VM it is, where VMs have no rows of their own.
    void label(Row& row, uint64_t vm) const;

    // The role of a thread, "vcpu 3" and the like; "tid TID" if that is not known.
    [[nodiscard]] std::string role(uint64_t vm, uint32_t tid) const;
    // Whether figures of the thread were asked for: all are, without --vcpu.
    [[nodiscard]] bool wanted(uint64_t vm, uint32_t tid) const;

    // Puts the rows into the report in the order that they were made.
    void give_to(Report& report);

private:
    const ToolOptions& options_;
    Entities entities_;
    std::string kind_;
    std::map<uint64_t, uint64_t> cgroup_of_; // by VM
    std::map<std::pair<uint64_t, uint32_t>, std::string> roles_;
    std::map<std::string, size_t> known_;
    std::vector<Row> rows_;
};

// What of KVM's own account is missing here, as a note; empty if it is complete.
std::string missing_of_kvm(const KvmSnapshot& kvm, const std::string& figures);

// Adds to a counter of the row, or makes it.
void add_counter(Row& row, std::string_view name, std::string_view unit, uint64_t value);

// The times that an exit is divided into, as metrics.
void add_parts(Row& row, const ExitParts& parts);

} // namespace vtrace
