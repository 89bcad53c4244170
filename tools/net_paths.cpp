// SPDX-License-Identifier: GPL-2.0-only
#include "tools/net_paths.h"

#include <algorithm>
#include <functional>
#include <map>

namespace vtrace {
namespace {

constexpr size_t kDeepest = 16; // hops: the stack of a container in a VM in a bond has fewer
constexpr size_t kSteps = 256;

using Hops = std::vector<const NetHop*>;

class Walk {
public:
    Walk(const NetqSnapshot& snapshot, const std::set<NetDeviceId>& devices) : devices_(devices)
    {
        for (const NetHop& hop : snapshot.hops)
            next_[hop.from.where == NetPoint::Where::kNew ? NetPoint{} : hop.from].push_back(&hop);
        for (auto& [point, hops] : next_)
            std::ranges::stable_sort(hops, std::greater{},
                                     [](const NetHop* hop) { return hop->time.count(); });
        find_leading(snapshot);
    }

    NetPaths paths()
    {
        follow(NetPoint{}, 0, false);
        return std::move(paths_);
    }

private:
    [[nodiscard]] bool is_wanted(const NetPoint& point) const
    {
        return devices_.contains(point.device);
    }

    // From which points packets come to the devices.
    void find_leading(const NetqSnapshot& snapshot)
    {
        std::map<NetPoint, std::vector<NetPoint>> before;
        std::vector<NetPoint> look_at;
        for (const NetHop& hop : snapshot.hops) {
            if (is_wanted(hop.to) && leading_.insert(hop.to).second)
                look_at.push_back(hop.to);
            if (hop.from.where != NetPoint::Where::kNew)
                before[hop.to].push_back(hop.from);
        }
        while (!look_at.empty()) {
            const NetPoint point = look_at.back();
            look_at.pop_back();
            for (const NetPoint& from : before[point]) {
                if (leading_.insert(from).second)
                    look_at.push_back(from);
            }
        }
    }

    void follow(const NetPoint& from, size_t depth, bool came_by)
    {
        const auto hops = next_.find(from);
        if (hops == next_.end() || depth >= kDeepest)
            return;
        for (const NetHop* hop : hops->second) {
            if ((!came_by && !leading_.contains(hop->to)) || !on_path_.insert(hop->to).second)
                continue;
            if (paths_.steps.size() < kSteps) {
                paths_.steps.push_back({.hop = hop, .depth = depth});
                follow(hop->to, depth + 1, came_by || is_wanted(hop->to));
            } else {
                paths_.left_out++;
            }
            on_path_.erase(hop->to);
        }
    }

    const std::set<NetDeviceId>& devices_;
    std::map<NetPoint, Hops> next_; // by where they begin; NetPoint{}: where packets are seen first
    std::set<NetPoint> leading_;
    std::set<NetPoint> on_path_;
    NetPaths paths_;
};

} // namespace

NetPaths paths_of(const NetqSnapshot& snapshot, const std::set<NetDeviceId>& devices)
{
    return Walk(snapshot, devices).paths();
}

} // namespace vtrace
