// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "bpf/skeleton.h"
#include "model/snapshot.h"

#include <memory>
#include <string>
#include <vector>

namespace vtrace {

struct DestroySkeleton {
    void operator()(vtrace_bpf* skeleton) const { vtrace_bpf::destroy(skeleton); }
};

struct DestroyLink {
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using Link = std::unique_ptr<bpf_link, DestroyLink>;

struct FreeRing {
    void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};
using Ring = std::unique_ptr<ring_buffer, FreeRing>;

// All of vtrace's BPF programs and maps, opened once. Every program is off until a collector's prepare()
// turns it on; what is off is never loaded. Nothing is pinned: the kernel drops all with the process.
class BpfObject {
public:
    static Result<BpfObject> open();

    vtrace_bpf* operator->() { return skeleton_.get(); }

    // Loads what was turned on. The error names the program that the kernel refused.
    Status load();

    // Runs and time of the loaded programs, since they were loaded; recursion_misses summed.
    [[nodiscard]] std::vector<ProgramCost> costs(uint64_t& recursion_misses) const;

private:
    explicit BpfObject(vtrace_bpf* skeleton) : skeleton_(skeleton) {}

    std::unique_ptr<vtrace_bpf, DestroySkeleton> skeleton_;
};

// libbpf's messages are kept, not printed; the newest 64 KiB of them.
void capture_libbpf_log();
const std::string& libbpf_log();

Result<Link> attach(bpf_program* program);

// Runs an iterator program from start to end and returns what it wrote.
Result<std::string> run_iterator(bpf_link* link, const std::string& name);

// Time accounting of BPF programs, on for as long as this lives. Needs CAP_SYS_ADMIN.
Result<Fd> enable_bpf_stats();

} // namespace vtrace
