// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vtrace {

// What a cgroup is limited to; nothing is no limit.
struct DemoLimits {
    std::optional<double> cpus;
    std::optional<uint64_t> memory; // bytes
    std::optional<uint64_t> reads;  // bytes per second of `disk`
    std::string disk;               // its number: "7:0"
};

// What to write into a file of a cgroup.
struct CgroupSetting {
    std::string_view controller;
    std::string file;
    std::string value;

    friend bool operator==(const CgroupSetting&, const CgroupSetting&) = default;
};

// The limit on CPU time, memory or reads as the hierarchy of its controller, of v1 or not, has it.
std::vector<CgroupSetting> cpu_settings(bool v1, double cpus);
std::vector<CgroupSetting> memory_settings(bool v1, uint64_t bytes);
std::vector<CgroupSetting> read_settings(bool v1, std::string_view disk, uint64_t bytes_per_second);

// The vtrace that made a cgroup of this name; 0 for any other name.
int demo_pid(std::string_view cgroup_name);

// Throw-away cgroups: /vtrace-demo-PID in every hierarchy (v1's of cpu, memory and blkio, and v2's), and those below
// it. They end with this object, and so do the processes in them.
class DemoCgroups {
public:
    // Removes what a vtrace that was killed has left, then makes the outer one. On v2 the controllers cpu, memory and
    // io are enabled for it where they are not, until it ends. kNotPossible without the right to do so.
    static Result<DemoCgroups> create();

    DemoCgroups(DemoCgroups&&) noexcept = default;
    DemoCgroups& operator=(DemoCgroups&&) noexcept = default;
    DemoCgroups(const DemoCgroups&) = delete;
    DemoCgroups& operator=(const DemoCgroups&) = delete;
    ~DemoCgroups();

    // Makes one below it.
    Status add(const std::string& name, const DemoLimits& limits);

    // Moves the calling process into one that was made.
    [[nodiscard]] Status enter(const std::string& name) const;

    // From the root of each hierarchy: "/vtrace-demo-12".
    [[nodiscard]] std::string path() const { return "/" + name_; }

private:
    struct Tree {
        std::string root; // where the hierarchy is mounted
        bool v1 = false;
        std::vector<std::string> controllers; // of those above
        std::vector<std::string> enabled;     // by us, at the root
    };

    explicit DemoCgroups(std::string name) : name_(std::move(name)) {}

    Status make_outer(Tree tree);
    [[nodiscard]] const Tree* tree_of(std::string_view controller) const;
    [[nodiscard]] Status set(const std::string& name, const CgroupSetting& setting) const;

    std::string name_;
    std::vector<Tree> trees_;
    std::vector<std::string> inner_;
};

} // namespace vtrace
