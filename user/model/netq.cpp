// SPDX-License-Identifier: GPL-2.0-only
#include "model/netq.h"

#include <algorithm>

namespace vtrace {
namespace {

bool is_hosts(const NetqSnapshot& snapshot, uint32_t netns)
{
    const NetNamespaceFact* fact = find_namespace(snapshot.namespaces, netns);
    return fact != nullptr && fact->host;
}

NetOwner owner_of_namespace(const NetqSnapshot& snapshot, uint32_t netns, NetOwner::ToldBy told_by)
{
    const NetNamespaceFact* fact = find_namespace(snapshot.namespaces, netns);
    return {.told_by = told_by, .cgroup_id = fact == nullptr ? 0 : fact->cgroup_id, .netns = netns};
}

} // namespace

NetOwner owner_of(const NetqSnapshot& snapshot, const NetDevice& device)
{
    if (device.holder_pid != 0)
        return {.told_by = NetOwner::ToldBy::kHolder,
                .cgroup_id = device.holder_cgroup,
                .pid = device.holder_pid};
    if (device.id == NetDeviceId{})
        return {};
    if (!is_hosts(snapshot, device.id.netns))
        return owner_of_namespace(snapshot, device.id.netns, NetOwner::ToldBy::kNetns);
    if (device.peer.netns != 0 && !is_hosts(snapshot, device.peer.netns))
        return owner_of_namespace(snapshot, device.peer.netns, NetOwner::ToldBy::kPeer);
    if (device.away && device.peer.netns == 0)
        return {.told_by = NetOwner::ToldBy::kAway};
    return {};
}

const NetDevice* find_device(const NetqSnapshot& snapshot, const NetDeviceId& id)
{
    const auto found = std::ranges::find(snapshot.devices, id, &NetDevice::id);
    return found == snapshot.devices.end() ? nullptr : &*found;
}

} // namespace vtrace
