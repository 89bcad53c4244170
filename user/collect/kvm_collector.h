// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "collect/histogram_reader.h"
#include "model/snapshot.h"
#include "vtrace/kvm.h"

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace vtrace {

// What is to be measured of KVM; all that is off costs nothing.
struct KvmParts {
    bool exits =
        false; // from guests, by reason; where KVM does not tell them, what it tells instead
    bool accesses = false;   // by port and address
    bool interrupts = false; // that are injected
    bool memory = false;     // faults of the second level, and what the host takes back
    bool halts = false;      // polled or slept
    bool threads = false;    // the threads of VMs and their roles

    [[nodiscard]] bool any() const
    {
        return exits || accesses || interrupts || memory || halts || threads;
    }
};

struct KvmConfig {
    KvmParts parts;
    uint64_t target_vm = 0;  // EntityFact::vm; 0 is all
    uint32_t vm_threads = 0; // of the VMs present, for the size of the tables
};

// Fails with kNotPossible if the kernel has no KVM.
Status check_kvm();

// What implements KVM here, and whether it has kvm_exit and kvm_entry.
struct KvmFlavour {
    std::string name;
    bool tells_exits = true;
};
KvmFlavour kvm_flavour(const std::string& modules = "/sys/module");

// What vCPUs leave their guests for, from bpf/kvm.bpf.c.
class KvmCollector {
public:
    static void prepare(BpfObject& object, const KvmConfig& config);
    // Attaches. The object must outlive the collector.
    static Result<std::unique_ptr<KvmCollector>> start(BpfObject& object, const KvmConfig& config);

    // Adds what came since the last read to the snapshot.
    void read(Snapshot& snapshot);

    // A VM that has ended, when its last figures have been reported.
    void release_vm(uint64_t vm);

private:
    struct Before {
        vt_kvm_stat stat{}; // but for its histogram
        HistogramTotals time;
    };
    struct Vcpu {
        uint64_t vm = 0;
        uint64_t guest = 0; // ns, with the stay that has not ended
        std::optional<OpenExit> open;
    };

    KvmCollector(BpfObject& object, const KvmConfig& config)
        : object_(&object), config_(config), flavour_(kvm_flavour())
    {
    }

    void attach_if_there(bpf_program* program);
    Status attach_all();
    Status attach_exit();
    void attach_injections();
    KvmFigure figure(uint32_t slot, uint32_t epoch);
    void read_figures(KvmSnapshot& kvm);
    void add_ended(KvmSnapshot& kvm, const KvmFigure& figure);
    void read_counts();
    void read_vcpus(KvmSnapshot& kvm);
    KvmVcpu vcpu_of(const vt_vcpu& vcpu);
    void read_losses(Loss& loss);
    void free_ended();
    void free_slots_of(uint64_t vm);

    BpfObject* object_;
    KvmConfig config_;
    KvmFlavour flavour_;
    std::vector<Link> links_;
    std::vector<std::string> missing_; // what could not be attached, and what is not known for that
    MappedArray<vt_kvm_key> keys_;
    MappedArray<vt_kvm_stat> stats_;
    MappedArray<vt_vcpu> places_;
    std::vector<uint64_t> counts_;   // events, by slot
    std::vector<Before> before_;     // by slot
    std::map<uint32_t, Vcpu> vcpus_; // by tid, as they were last
    Loss counted_;
    struct Unknown { // of events, as it was last
        uint64_t ends = 0;
        uint64_t vcpus = 0;
        uint64_t messages = 0;
        uint64_t unmaps = 0;
    } unknown_;
    std::set<uint64_t> ended_; // VMs whose slots are not free yet
};

} // namespace vtrace
