// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "entity/cgroup_tree.h"
#include "entity/container_records.h"
#include "model/snapshot.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vtrace {

// Finds the containers, pods and units among the cgroups of a host, and their names. Looks at each cgroup
// once; a container that its engine does not know yet is asked for again for some seconds.
class EntityFinder {
public:
    using Clock = std::chrono::steady_clock;

    explicit EntityFinder(ContainerRecords records) : records_(std::move(records)) {}

    // Takes in the cgroups made since the last call.
    void update(CgroupTree& tree, Clock::time_point now);

    void forget(uint64_t cgroup_id);

    [[nodiscard]] std::vector<EntityFact> facts() const;

private:
    struct Waiting {
        uint64_t cgroup_id;
        std::string container;
        Clock::time_point until;
    };

    void look_at(const CgroupTree& tree, const CgroupFact& cgroup, Clock::time_point now);
    // True if an engine has it on record, by now.
    bool name_container(EntityFact& fact, const std::string& id);
    void take_record(EntityFact& fact, const ContainerRecord& record);

    ContainerRecords records_;
    bool loaded_ = false;
    std::unordered_map<uint64_t, std::vector<EntityFact>> by_cgroup_;
    std::unordered_map<std::string, std::string> pod_names_; // by uid
    std::vector<Waiting> waiting_;
};

} // namespace vtrace
