// SPDX-License-Identifier: GPL-2.0-only
#include "tools/net_paths.h"

#include <algorithm>
#include <functional>
#include <map>

namespace vtrace {
namespace {

constexpr size_t kDeepest = 16; // hops: the stack of a container in a VM in a bond has fewer
constexpr size_t kSteps = 256;

using Hops = std::map<NetPoint, std::vector<const NetHop*>>;

class Walk {
public:
    // From `leading` points packets come to the devices.
    Walk(const Hops& next, const std::set<NetDeviceId>& devices, const std::set<NetPoint>& leading)
        : next_(next), devices_(devices), leading_(leading)
    {
    }

    NetPaths paths()
    {
        follow(NetPoint{}, 0, false);
        return std::move(paths_);
    }

private:
    void follow(const NetPoint& from, size_t depth, bool came_by)
    {
        const auto hops = next_.find(from);
        if (hops == next_.end())
            return;
        for (const NetHop* hop : hops->second) {
            if ((!came_by && !leading_.contains(hop->to)) || !on_path_.insert(hop->to).second)
                continue;
            if (paths_.steps.size() < kSteps && depth < kDeepest) {
                paths_.steps.push_back({.hop = hop, .depth = depth});
                follow(hop->to, depth + 1, came_by || devices_.contains(hop->to.device));
            } else {
                paths_.left_out++;
            }
            on_path_.erase(hop->to);
        }
    }

    const Hops& next_;
    const std::set<NetDeviceId>& devices_;
    const std::set<NetPoint>& leading_;
    std::set<NetPoint> on_path_;
    NetPaths paths_;
};

} // namespace

NetPathFinder::NetPathFinder(const NetqSnapshot& snapshot)
{
    for (const NetHop& hop : snapshot.hops) {
        const bool is_new = hop.from.where == NetPoint::Where::kNew;
        next_[is_new ? NetPoint{} : hop.from].push_back(&hop);
        ends_[hop.to.device].insert(hop.to);
        if (!is_new)
            before_[hop.to].push_back(hop.from);
    }
    for (auto& [point, hops] : next_)
        std::ranges::stable_sort(hops, std::greater{},
                                 [](const NetHop* hop) { return hop->time.count(); });
}

NetPaths NetPathFinder::through(const std::set<NetDeviceId>& devices) const
{
    std::set<NetPoint> leading;
    std::vector<NetPoint> look_at;
    const auto add = [&](const NetPoint& point) {
        if (leading.insert(point).second)
            look_at.push_back(point);
    };
    for (const NetDeviceId& device : devices) {
        const auto ends = ends_.find(device);
        if (ends != ends_.end())
            std::ranges::for_each(ends->second, add);
    }
    while (!look_at.empty()) {
        const auto before = before_.find(look_at.back());
        look_at.pop_back();
        if (before != before_.end())
            std::ranges::for_each(before->second, add);
    }
    return Walk(next_, devices, leading).paths();
}

} // namespace vtrace
