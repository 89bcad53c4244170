// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "model/snapshot.h"
#include "tools/options.h"
#include "tools/registry.h"

#include <string>
#include <utility>
#include <vector>

namespace vtrace::test {

const ToolSpec& tool(std::string_view name);

// A histogram of `count` values each.
Histogram histogram(const std::vector<std::pair<uint64_t, uint64_t>>& values_and_counts);

// Waits of a cgroup; 0 is what is in none.
OwnerTime waits(uint64_t cgroup_id, Histogram time);

// Those of no cgroup in a snapshot, empty if there are none.
Histogram rest_of(const Snapshot& snapshot);

// One of each kind of thing that a report shows. Names in snapshots are raw bytes.
Snapshot host_snapshot();
Snapshot grouped_snapshot();
Snapshot empty_snapshot();
Snapshot lossy_snapshot();
Snapshot waiting_snapshot();
Snapshot hostile_snapshot();
Snapshot huge_snapshot(); // the largest figures that months on a large host can give

// All of the above, by name.
std::vector<std::pair<std::string, Snapshot>> all_snapshots();

// Two VMs of a pod: web-1 has vCPUs 1 (tid 4001) and 10 (4010), an iothread (4020) and a vhost (4030), db-1 has
// vCPU 0 (5001) and a thread without a role (5020).
inline constexpr uint64_t kWebVm = (uint64_t{7} << 22) + 4'000;
inline constexpr uint64_t kDbVm = (uint64_t{8} << 22) + 5'000;
Snapshot kvm_snapshot();

// `count` times of `ns` each, none of it divided.
KvmFigure kvm_figure(uint32_t kind, uint64_t vm, uint32_t tid, uint64_t code, uint64_t count,
                     uint64_t ns);

// A container db (cgroup 42) that reads and writes on sda, in a queue beside web (43) and the kernel's writeback, whose
// limit holds it back and one request of which hangs; batch (44) stands for its children, too. zram0 has no requests.
inline constexpr uint32_t kSda = 8U << 20;
Snapshot block_snapshot();

// A container db (cgroup 42) at its limit, one process of which is killed for it, and one that reclaims still; web (43)
// waits for pages from swap and of files; batch (44) finds the host short of memory.
Snapshot memory_snapshot();

// A container web (cgroup 43) that is connected to and connects to db (42), which sends again what was lost on its way to
// web; one of web's connections was refused, another is not answered. What db had beyond its peers is in `other`.
Snapshot tcp_snapshot();
// Packets that interrupt a container web (cgroup 43), batch (44) and an idle CPU 1, and that ksoftirqd is left with;
// timers on CPU 0; a disk and a network card, the latter with a handler of a hostile name on its line.
Snapshot irq_snapshot();
// Of containers: db (42) has a socket that is full, web (43) lost packets by its network namespace, batch (44) sends
// faster than its device; and there are a namespace that only has a name, one that has nothing, and the host's.
Snapshot drop_snapshot();
// A container behind a veth and a bridge, a VM's tap, the host's card, a namespace by name.
Snapshot netq_snapshot();

// The kind and the name of each: "container db".
std::vector<std::string> names_of(const std::vector<Row>& rows);

// Of a metric; -1 if the row has none of that name.
double value(const Row& row, const std::string& name);

Report report_of(const Snapshot& snapshot, const ToolOptions& options = {});

} // namespace vtrace::test
