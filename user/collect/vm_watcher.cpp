// SPDX-License-Identifier: GPL-2.0-only
#include "collect/vm_watcher.h"

#include "bpf/mapped_array.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace vtrace {
namespace {

using std::chrono::seconds;

// A thread that is exiting may end a last wait after its process has gone.
constexpr seconds kGrace{1};
constexpr seconds kUpdateEvery{1};
// For VMs that the program does not see, and threads that come to serve a VM later.
constexpr seconds kScanEvery{30};

} // namespace

void VmWatcher::prepare(BpfObject& object)
{
    bpf_program__set_autoload(object->progs.kvm_vm_found, true);
}

Result<std::unique_ptr<VmWatcher>> VmWatcher::start(BpfObject& object,
                                                    const CgroupHierarchy& hierarchy)
{
    std::unique_ptr<VmWatcher> self(new VmWatcher(object, hierarchy));
    if (auto polled = self->poll(); !polled)
        return polled.error();
    return self;
}

// KVM may be a module that is loaded later.
void VmWatcher::attach_with_kvm()
{
    if (link_ || !no_link_.empty() || !kernel_has_kvm())
        return;
    auto link = attach((*object_)->progs.kvm_vm_found);
    if (link)
        link_ = std::move(*link);
    else
        no_link_ = link.error().what + ": VMs that start are found up to 30 s later";
    scanned_.reset(); // after this: no VM starts unseen between the two
}

VmFinder::Processes VmWatcher::in_map() const
{
    Processes processes;
    const int fd = bpf_map__fd((*object_)->maps.vms);
    uint32_t pid = 0;
    for (const uint32_t* before = nullptr; bpf_map_get_next_key(fd, before, &pid) == 0;
         before = &pid) {
        vt_vm_process process{};
        if (bpf_map_lookup_elem(fd, &pid, &process) == 0)
            processes[pid] = process;
    }
    return processes;
}

// What the program has put into its map.
void VmWatcher::take_found()
{
    const uint64_t changes = load_relaxed((*object_)->bss->owner_changes);
    if (changes == changes_seen_)
        return;
    changes_seen_ = changes;
    Processes found = in_map();
    std::erase_if(found, [&](const auto& entry) {
        const auto& [pid, process] = entry;
        // Else it is one that serves a VM, or is known.
        return process.vm != vt_vm_id(pid, process.start_time) || finder_.knows(process.vm);
    });
    if (!found.empty())
        finder_.found(found, Clock::now());
}

void VmWatcher::update()
{
    const auto now = Clock::now();
    const bool all = !scanned_ || now - *scanned_ >= kScanEvery;
    if (all) {
        if (kernel_has_kvm())
            finder_.scan(now);
        scanned_ = now;
    }
    finder_.update(now, all);
    updated_ = now;
}

void VmWatcher::count_change()
{
    __atomic_fetch_add(&(*object_)->bss->owner_changes, 1, __ATOMIC_RELEASE);
}

// Makes the map what the finder knows; who has ended stays in it until it is forgotten.
Status VmWatcher::publish()
{
    if (published_ == finder_.changes())
        return ok();
    published_ = finder_.changes();
    const int fd = bpf_map__fd((*object_)->maps.vms);
    const Processes wanted = finder_.processes();
    const Processes there = in_map();
    bool changed = false;
    const auto same = [](const vt_vm_process& a, const vt_vm_process& b) {
        return a.start_time == b.start_time && a.vm == b.vm;
    };
    for (const auto& [pid, process] : there) {
        // Who serves a VM no more. (A VMM that is not known yet has come this moment.)
        const bool serves = process.vm != vt_vm_id(pid, process.start_time);
        if (serves && !wanted.contains(pid))
            changed = bpf_map_delete_elem(fd, &pid) == 0 || changed;
    }
    full_ = false;
    for (const auto& [pid, process] : wanted) {
        const auto found = there.find(pid);
        if (found != there.end() &&
            (same(found->second, process) || found->second.start_time > process.start_time))
            continue;
        if (bpf_map_update_elem(fd, &pid, &process, BPF_ANY) == 0)
            changed = true;
        else if (errno == E2BIG)
            full_ = true;
        else
            return errno_error("cannot tell the programs of a VM");
    }
    if (changed)
        count_change();
    return ok();
}

Status VmWatcher::poll()
{
    attach_with_kvm();
    take_found();
    if (!scanned_ || Clock::now() - updated_ >= kUpdateEvery)
        update();
    return publish();
}

Status VmWatcher::read(Snapshot& snapshot)
{
    take_found();
    update();
    if (auto published = publish(); !published)
        return published;
    for (EntityFact& vm : finder_.facts()) {
        if (vm.ended && std::ranges::find(reported_, vm.vm, &Reported::vm) == reported_.end())
            reported_.push_back({vm.vm, Clock::now()});
        snapshot.entities.push_back(std::move(vm));
    }
    std::vector<std::string>& fallbacks = snapshot.loss.fallbacks;
    std::ranges::move(finder_.problems(), std::back_inserter(fallbacks));
    if (!no_link_.empty())
        fallbacks.push_back(no_link_);
    if (full_ || load_relaxed((*object_)->bss->vms_dropped) != 0)
        fallbacks.emplace_back("more VMs than vtrace keeps apart: some are missing");
    return ok();
}

std::vector<uint64_t> VmWatcher::forget_reported()
{
    std::vector<uint64_t> vms;
    const auto ripe = Clock::now() - kGrace;
    const int fd = bpf_map__fd((*object_)->maps.vms);
    while (!reported_.empty() && reported_.front().when <= ripe) {
        vms.push_back(reported_.front().vm);
        finder_.forget(vms.back());
        reported_.pop_front();
    }
    if (vms.empty())
        return vms;
    for (const auto& [pid, process] : in_map()) {
        if (std::ranges::find(vms, process.vm) != vms.end())
            bpf_map_delete_elem(fd, &pid);
    }
    count_change();
    return vms;
}

} // namespace vtrace
