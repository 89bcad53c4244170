// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "collect/histogram_reader.h"
#include "collect/softirq_counts.h"
#include "model/snapshot.h"
#include "vtrace/irq.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace vtrace {

struct IrqParts {
    bool soft = false;
    bool hard = false;
    [[nodiscard]] bool any() const { return soft || hard; }
};

struct IrqConfig {
    IrqParts parts;
    bool softirq_payers = true; // whose CPU time softirqs take
    bool by_vm = false;
    uint64_t target_vm = 0; // EntityFact::vm; 0 is all
    uint32_t entities = 0;  // cgroups present, for the size of the tables
};

// How long interrupts ran, how late softirqs were, and whose CPU time they took, from bpf/irq.bpf.c. Which cgroups
// are asked for SchedCollector::prepare() says.
class IrqCollector {
public:
    static void prepare(BpfObject& object, const IrqConfig& config);
    // Attaches. The object must outlive the collector.
    static Result<std::unique_ptr<IrqCollector>> start(BpfObject& object, const IrqConfig& config);

    // Adds what came since the last read to the snapshot.
    void read(Snapshot& snapshot);

    // A removed cgroup, or a VM that has ended, when its last figures have been reported.
    void release_cgroup(uint64_t cgroup_id);
    void release_vm(uint64_t vm);

private:
    struct SoftCpu {
        std::array<HistogramTotals, VT_SOFTIRQS> time;
        std::array<HistogramTotals, VT_SOFTIRQS> delay;
        std::array<uint64_t, VT_SOFTIRQS> seen{}; // runs since the start
        std::array<uint64_t, VT_SOFTIRQS> unseen{};
    };
    struct Hard {
        HistogramTotals time;
        uint64_t not_handled = 0;
    };
    struct Charge {
        uint64_t count = 0;
        uint64_t ns = 0;
    };

    explicit IrqCollector(BpfObject& object) : object_(&object) {}
    Status map_all();
    Status attach_all();
    Status hand_out_slots();
    void read_softirqs(Snapshot& snapshot, uint32_t epoch);
    void read_unseen(Loss& loss, const SoftirqCounts& counts);
    void read_hardirqs(Snapshot& snapshot, uint32_t epoch);
    void read_charges(IrqSnapshot& irq);
    void read_losses(Loss& loss);
    [[nodiscard]] IrqKind hard_kind(uint32_t slot) const;
    void release(const std::function<bool(const vt_irq_charge_key&)>& is_gone);

    BpfObject* object_;
    IrqConfig config_;
    uint32_t cpus_ = 0; // possible ones
    std::vector<Link> links_;
    MappedArray<vt_softirq_cpu> soft_;
    MappedArray<vt_hardirq_cpu> hard_cpus_;
    MappedArray<vt_hardirq> hard_;
    MappedArray<vt_irq_charge> charges_;
    std::vector<SoftCpu> soft_before_;   // by CPU
    SoftirqCounts first_;                // the kernel's own at the start
    std::vector<Hard> hard_before_;      // by slot
    std::vector<Charge> charges_before_; // by slot
    Loss counted_;
};

} // namespace vtrace
