// SPDX-License-Identifier: GPL-2.0-only
#include "collect/vm_watcher.h"

#include "bpf/mapped_array.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace vtrace {
namespace {

// A thread that is exiting may end a last wait after its process has gone.
constexpr auto kGrace = std::chrono::seconds(1);
constexpr auto kUpdateEvery = std::chrono::seconds(1);

} // namespace

void VmWatcher::prepare(BpfObject& object)
{
    bpf_program__set_autoload(object->progs.kvm_vm_found, true);
}

Result<std::unique_ptr<VmWatcher>> VmWatcher::start(BpfObject& object,
                                                    const CgroupHierarchy& hierarchy)
{
    std::unique_ptr<VmWatcher> self(new VmWatcher(object, hierarchy));
    // Before the scan, so that no VM starts unseen between the two.
    if (auto attached = self->attach_with_kvm(); !attached)
        return attached.error();
    if (auto polled = self->poll(); !polled)
        return polled.error();
    return self;
}

// KVM may be a module that is loaded later.
Status VmWatcher::attach_with_kvm()
{
    if (link_ || !kernel_has_kvm())
        return ok();
    auto link = attach((*object_)->progs.kvm_vm_found);
    if (!link)
        return link.error();
    link_ = std::move(*link);
    finder_.scan(Clock::now());
    return ok();
}

// The processes that the program has put into its map.
void VmWatcher::take_found()
{
    const uint64_t changes = load_relaxed((*object_)->bss->owner_changes);
    if (changes == changes_seen_)
        return;
    changes_seen_ = changes;
    const int fd = bpf_map__fd((*object_)->maps.vms);
    uint32_t key = 0;
    const uint32_t* before = nullptr;
    while (bpf_map_get_next_key(fd, before, &key) == 0) {
        before = &key;
        const bool is_new = published_.try_emplace(key, key).second;
        if (is_new)
            finder_.found(key, Clock::now());
    }
}

void VmWatcher::count_change()
{
    __atomic_fetch_add(&(*object_)->bss->owner_changes, 1, __ATOMIC_RELEASE);
}

// Makes the map what the finder knows; who has ended stays in it until it is forgotten.
Status VmWatcher::publish()
{
    const int fd = bpf_map__fd((*object_)->maps.vms);
    bool changed = false;
    const auto put = [&](uint32_t pid, uint32_t vm) {
        const auto [at, is_new] = published_.try_emplace(pid, vm);
        if (!is_new && at->second == vm)
            return true;
        at->second = vm;
        changed = true;
        // E2BIG: it is full; the program, too, counts that.
        return bpf_map_update_elem(fd, &pid, &vm, BPF_ANY) == 0 || errno == E2BIG;
    };
    for (const EntityFact& vm : finder_.facts()) {
        bool put_all = put(vm.pid, vm.pid);
        for (const uint32_t helper : vm.helpers)
            put_all = put(helper, vm.pid) && put_all;
        if (!put_all)
            return errno_error("cannot tell the programs of a VM");
    }
    if (changed)
        count_change();
    return ok();
}

Status VmWatcher::poll()
{
    if (auto attached = attach_with_kvm(); !attached)
        return attached;
    take_found();
    if (Clock::now() - updated_ >= kUpdateEvery)
        update();
    return publish();
}

void VmWatcher::update()
{
    finder_.update(Clock::now());
    updated_ = Clock::now();
}

Status VmWatcher::read(Snapshot& snapshot)
{
    take_found();
    update();
    if (auto published = publish(); !published)
        return published;
    for (EntityFact& vm : finder_.facts()) {
        if (vm.ended && std::ranges::find(reported_, vm.pid, &Reported::pid) == reported_.end())
            reported_.push_back({vm.pid, Clock::now()});
        snapshot.entities.push_back(std::move(vm));
    }
    std::ranges::move(finder_.problems(), std::back_inserter(snapshot.loss.fallbacks));
    if (load_relaxed((*object_)->bss->vms_dropped) != 0)
        snapshot.loss.fallbacks.emplace_back("more VMs than vtrace keeps apart: some are missing");
    return ok();
}

std::vector<uint32_t> VmWatcher::forget_reported()
{
    std::vector<uint32_t> pids;
    const auto ripe = Clock::now() - kGrace;
    const int fd = bpf_map__fd((*object_)->maps.vms);
    while (!reported_.empty() && reported_.front().when <= ripe) {
        const uint32_t pid = reported_.front().pid;
        reported_.pop_front();
        finder_.forget(pid);
        std::erase_if(published_, [&](const auto& entry) {
            return entry.second == pid && bpf_map_delete_elem(fd, &entry.first) == 0;
        });
        count_change();
        pids.push_back(pid);
    }
    return pids;
}

} // namespace vtrace
