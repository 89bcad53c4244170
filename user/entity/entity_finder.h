// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/cgroup_tree.h"
#include "entity/container_records.h"
#include "model/snapshot.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vtrace {

// Finds the containers, pods and units among the cgroups of a host, and their names. Looks at each cgroup
// once; a container that its engine does not know yet is asked for again for some seconds, and no longer
// at a time than leaves room for all else.
class EntityFinder {
public:
    using Clock = std::chrono::steady_clock;

    explicit EntityFinder(ContainerRecords records) : records_(std::move(records)) {}

    // Takes in the cgroups made since the last call.
    void update(CgroupTree& tree, Clock::time_point now);

    void forget(uint64_t cgroup_id);

    [[nodiscard]] std::vector<EntityFact> facts() const;

    // Why names may be missing, a line each.
    [[nodiscard]] const std::vector<std::string>& problems() const { return records_.problems(); }

private:
    // A cgroup that may be a container's which its engine has yet to put on record.
    struct Waiting {
        uint64_t cgroup_id;
        std::string name; // of the cgroup
        std::string id;   // of the container
        std::string path; // that the record has to name, empty: any
        Clock::time_point until;
    };

    void look_at(const CgroupTree& tree, const CgroupFact& cgroup, Clock::time_point now);
    // True if there is nothing more to wait for.
    bool ask_for(Waiting& waiting, const CgroupTree& tree, Clock::time_point now);
    // Names the container, and the pod above it.
    void take_record(EntityFact& fact, const ContainerRecord& record, const CgroupTree& tree);

    ContainerRecords records_;
    bool loaded_ = false;
    std::unordered_map<uint64_t, std::vector<EntityFact>> by_cgroup_;
    std::deque<Waiting> waiting_;
};

} // namespace vtrace
