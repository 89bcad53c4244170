// SPDX-License-Identifier: GPL-2.0-only
#include "entity/entity_finder.h"

#include "entity/cgroup_meaning.h"
#include "entity/record_json.h"

#include <algorithm>

namespace vtrace {
namespace {

// Engines make the cgroup first, and put the container on record then.
constexpr auto kPatience = std::chrono::seconds(15);
// From when the end of a cgroup was seen: its record may have been written in the meantime. Longer than a
// miss stays.
constexpr auto kPatienceAfterEnd = std::chrono::seconds(2);
// For questions to engines, each time. One question may take as long again (kPatience of docker_records).
constexpr auto kTimeToAsk = std::chrono::milliseconds(20);

// Of a container or pod without a known name: as much of the id as Docker shows.
constexpr size_t kShortId = 12;

constexpr const char* kFromCgroup = "cgroup";

std::string_view name_of(const CgroupFact* cgroup)
{
    return cgroup == nullptr ? std::string_view() : std::string_view(cgroup->name);
}

// Outside Kubernetes containerd's are at /NAMESPACE/NAME, Docker's may be at any PARENT/ID (/ecs/TASK/ID).
bool may_be_container(std::string_view path, std::string_view name)
{
    return std::ranges::count(path, '/') == 2 || is_hex_id(name);
}

} // namespace

void EntityFinder::update(CgroupTree& tree, Clock::time_point now)
{
    const std::vector<uint64_t> made = tree.take_made();
    if (!loaded_ && !made.empty()) {
        records_.load();
        loaded_ = true;
    }
    for (const uint64_t id : made) {
        if (const CgroupFact* cgroup = tree.find(id))
            look_at(tree, *cgroup, now);
    }
    const auto enough = Clock::now() + kTimeToAsk;
    // Each in turn, the new ones first: those whom nobody knows must not keep the others waiting.
    for (size_t left = waiting_.size(); left > 0 && Clock::now() < enough; left--) {
        Waiting waiting = std::move(waiting_.front());
        waiting_.pop_front();
        if (!ask_for(waiting, tree, now))
            waiting_.push_back(std::move(waiting));
    }
}

void EntityFinder::look_at(const CgroupTree& tree, const CgroupFact& cgroup, Clock::time_point now)
{
    std::vector<EntityFact> facts;
    const auto meaning = container_or_pod(name_of(tree.find(cgroup.parent)), cgroup.name);
    if (meaning) {
        EntityFact fact{.cgroup_id = cgroup.id,
                        .kind = meaning->kind,
                        .name =
                            meaning->name.empty() ? meaning->id.substr(0, kShortId) : meaning->name,
                        .id = meaning->id,
                        .source = kFromCgroup};
        if (const ContainerRecord* record = records_.known(fact.id))
            take_record(fact, *record, tree);
        else if (fact.kind == "container" && !fact.id.empty())
            waiting_.push_front({cgroup.id, cgroup.name, fact.id, "", now + kPatience});
        facts.push_back(std::move(fact));
    } else if (std::string path = tree.path(cgroup.id); may_be_container(path, cgroup.name)) {
        if (const ContainerRecord* record = records_.find_by_cgroup(path)) {
            EntityFact fact{.cgroup_id = cgroup.id, .kind = "container", .id = record->id};
            take_record(fact, *record, tree);
            facts.push_back(std::move(fact));
        } else {
            waiting_.push_front(
                {cgroup.id, cgroup.name, cgroup.name, std::move(path), now + kPatience});
        }
    }
    if (auto found = unit(cgroup.name)) {
        facts.push_back({.cgroup_id = cgroup.id,
                         .kind = found->kind,
                         .name = std::move(found->name),
                         .source = kFromCgroup});
    }
    if (facts.empty())
        by_cgroup_.erase(cgroup.id); // renamed
    else
        by_cgroup_[cgroup.id] = std::move(facts);
}

bool EntityFinder::ask_for(Waiting& waiting, const CgroupTree& tree, Clock::time_point now)
{
    const CgroupFact* cgroup = tree.find(waiting.cgroup_id);
    if (cgroup == nullptr || cgroup->name != waiting.name)
        return true; // forgotten, or renamed and looked at again
    records_.find(waiting.id);
    const ContainerRecord* record =
        waiting.path.empty() ? records_.known(waiting.id) : records_.find_by_cgroup(waiting.path);
    if (cgroup->removed)
        waiting.until = std::min(waiting.until, now + kPatienceAfterEnd);
    if (record == nullptr)
        return now > waiting.until;
    std::vector<EntityFact>& facts = by_cgroup_[waiting.cgroup_id];
    auto fact = std::ranges::find(facts, std::string("container"), &EntityFact::kind);
    if (fact == facts.end()) {
        fact = facts.insert(
            facts.begin(), {.cgroup_id = waiting.cgroup_id, .kind = "container", .id = record->id});
    }
    take_record(*fact, *record, tree);
    return true;
}

void EntityFinder::take_record(EntityFact& fact, const ContainerRecord& record,
                               const CgroupTree& tree)
{
    fact.name = record.name.empty() ? record.id.substr(0, kShortId) : record.name;
    fact.image = record.image;
    fact.source = record.source;
    if (record.pod_uid.empty() || record.pod_name.empty())
        return;
    // A pod's name is on record with its containers, below it.
    for (const CgroupFact* above = tree.find(fact.cgroup_id); above != nullptr;
         above = tree.find(above->parent)) {
        const auto here = by_cgroup_.find(above->id);
        if (here == by_cgroup_.end())
            continue;
        for (EntityFact& pod : here->second) {
            if (pod.kind != "pod" || pod.id != record.pod_uid)
                continue;
            pod.name = record.pod_namespace + "/" + record.pod_name;
            pod.source = record.source;
        }
    }
}

void EntityFinder::forget(uint64_t cgroup_id)
{
    const auto found = by_cgroup_.find(cgroup_id);
    if (found == by_cgroup_.end())
        return;
    for (const EntityFact& fact : found->second) {
        if (fact.kind == "container")
            records_.forget(fact.id);
    }
    by_cgroup_.erase(found);
}

std::vector<EntityFact> EntityFinder::facts() const
{
    std::vector<EntityFact> facts;
    for (const auto& [id, of_one] : by_cgroup_)
        facts.insert(facts.end(), of_one.begin(), of_one.end());
    return facts;
}

} // namespace vtrace
