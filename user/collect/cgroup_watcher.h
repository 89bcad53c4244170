// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"
#include "bpf/mapped_array.h"
#include "bpf/object.h"
#include "entity/cgroup_hierarchy.h"
#include "entity/cgroup_tree.h"
#include "entity/entity_finder.h"
#include "model/snapshot.h"

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace vtrace {

// Keeps the names of the cgroups of one hierarchy, from bpf/cgroup.bpf.c and one scan; and, where asked
// to, of the containers, pods and units in them.
class CgroupWatcher {
public:
    static void prepare(BpfObject& object, const CgroupHierarchy& hierarchy);
    // Attaches. The object must outlive the watcher.
    static Result<std::unique_ptr<CgroupWatcher>> start(BpfObject& object,
                                                        const CgroupHierarchy& hierarchy,
                                                        bool with_entities);

    // Names the cgroups that were there before. Takes 100 ms for 5,000: for after the start.
    Status scan();

    // Takes in the changes so far; call it about ten times a second.
    void poll();

    // The names as they are now.
    [[nodiscard]] CgroupFacts facts() const;
    [[nodiscard]] std::vector<EntityFact> entities() const;

    void read(Snapshot& snapshot);

    // Cgroups whose removal the last report has shown at least a second ago.
    std::vector<uint64_t> forget_reported();

private:
    CgroupWatcher(BpfObject& object, CgroupHierarchy hierarchy)
        : object_(&object), hierarchy_(std::move(hierarchy))
    {
    }
    struct Reported {
        uint64_t id;
        std::chrono::steady_clock::time_point when;
    };

    static int on_event(void* self, void* data, size_t size);

    BpfObject* object_;
    CgroupHierarchy hierarchy_;
    CgroupTree tree_;
    std::optional<EntityFinder> finder_;
    std::vector<Link> links_;
    Ring ring_;
    uint64_t dropped_before_ = 0;
    std::deque<Reported> reported_;
};

} // namespace vtrace
