// SPDX-License-Identifier: GPL-2.0-only
#include "collect/cgroup_watcher.h"

#include "vtrace/cgroup.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace vtrace {
namespace {

using std::chrono::steady_clock;

// A task that is exiting may end a last wait after its cgroup is gone.
constexpr auto kGrace = std::chrono::seconds(1);

} // namespace

void CgroupWatcher::prepare(BpfObject& object, const CgroupHierarchy& hierarchy)
{
    object->rodata->cgroup_hierarchy = hierarchy.kernel_id;
    for (bpf_program* program :
         {object->progs.cgroup_mkdir, object->progs.cgroup_rmdir, object->progs.cgroup_rename})
        bpf_program__set_autoload(program, true);
}

Result<std::unique_ptr<CgroupWatcher>> CgroupWatcher::start(BpfObject& object,
                                                            const CgroupHierarchy& hierarchy,
                                                            bool with_entities)
{
    std::unique_ptr<CgroupWatcher> self(new CgroupWatcher(object, hierarchy));
    if (with_entities)
        self->finder_.emplace(ContainerRecords(engine_paths()));
    self->ring_.reset(
        ring_buffer__new(bpf_map__fd(object->maps.cgroup_events), on_event, self.get(), nullptr));
    if (!self->ring_)
        return errno_error("cannot read changes of cgroups");
    for (bpf_program* program :
         {object->progs.cgroup_mkdir, object->progs.cgroup_rmdir, object->progs.cgroup_rename}) {
        auto link = attach(program);
        if (!link)
            return link.error();
        self->links_.push_back(std::move(*link));
    }
    return self;
}

Status CgroupWatcher::scan()
{
    auto scanned = tree_.scan(hierarchy_.mount_point);
    poll();
    return scanned;
}

int CgroupWatcher::on_event(void* self, void* data, size_t size)
{
    vt_cgroup_event event{};
    std::memcpy(&event, data, std::min(size, sizeof(event)));
    std::string name(event.name, ::strnlen(event.name, sizeof(event.name)));
    CgroupTree& tree = static_cast<CgroupWatcher*>(self)->tree_;
    if (event.change == VT_CGROUP_REMOVED)
        tree.removed(event.id, event.parent_id, std::move(name));
    else
        tree.made(event.id, event.parent_id, std::move(name));
    return 0;
}

void CgroupWatcher::poll()
{
    ring_buffer__consume(ring_.get());
    if (finder_)
        finder_->update(tree_, steady_clock::now());
    else
        tree_.take_made();
}

CgroupFacts CgroupWatcher::facts() const
{
    return {.hierarchy = hierarchy_.label(), .cgroups = tree_.facts()};
}

std::vector<EntityFact> CgroupWatcher::entities() const
{
    return finder_ ? finder_->facts() : std::vector<EntityFact>{};
}

void CgroupWatcher::read(Snapshot& snapshot)
{
    poll();
    snapshot.cgroups = facts();
    snapshot.entities = entities();
    if (finder_)
        std::ranges::copy(finder_->problems(), std::back_inserter(snapshot.loss.fallbacks));
    for (const uint64_t id : tree_.take_removed())
        reported_.push_back({id, steady_clock::now()});
    const uint64_t dropped = load_relaxed((*object_)->bss->cgroup_events_dropped);
    snapshot.loss.cgroup_dropped += dropped - dropped_before_;
    dropped_before_ = dropped;
}

std::vector<uint64_t> CgroupWatcher::forget_reported()
{
    std::vector<uint64_t> ids;
    const auto ripe = steady_clock::now() - kGrace;
    while (!reported_.empty() && reported_.front().when <= ripe) {
        ids.push_back(reported_.front().id);
        tree_.forget(ids.back());
        if (finder_)
            finder_->forget(ids.back());
        reported_.pop_front();
    }
    return ids;
}

} // namespace vtrace
