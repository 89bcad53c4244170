// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/explain.h"

#include "base/printable.h"
#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>
#include <utility>

namespace vtrace {
namespace {

// States of threads, and whether they are work (or what comes between) and no loss.
struct State {
    std::string_view metric;
    std::string_view meaning;
    bool lost;
};

constexpr std::array kStatesShown = {
    State{"user", "ran in user space", false},
    State{"system", "ran in the kernel", false},
    State{"guest", "ran as a guest", false},
    State{"running", "ran", false},
    State{"runnable", "waited for a CPU", true},
    State{"throttled", "throttled by its CPU quota", true},
    State{"disk", "waited for disks", true},
    State{"memory", "waited for memory", true},
    State{"fault", "waited for pages", true},
    State{"blocked", "blocked in the kernel", true},
    State{"lock", "waited for locks (or for work, behind one)", true},
    State{"stolen", "its CPU was taken by interrupts or the hypervisor", true},
    State{"socket", "waited for the network", false},
    State{"poll", "waited for events", false},
    State{"sleep", "slept", false},
    State{"pipe", "waited for a pipe", false},
    State{"wait", "waited for other processes", false},
    State{"aio", "waited for I/O that it had begun", false},
    State{"stopped", "stopped", false},
    State{"kthread", "idle threads of the kernel", false},
    State{"other", "off its CPU for another reason", false},
    State{"unknown", "unknown", false},
};

constexpr double kLeastShare = 0.001; // below it a part is left out
constexpr double kLeastLost = 0.01;   // of the window: whose loss is explained

void sort(std::vector<Explained>& parts)
{
    std::ranges::stable_sort(parts, std::greater{}, &Explained::ns);
}

// The culprits of waits for a CPU, disks or memory: the nested rows of the report that tells.
std::vector<Explained> culprits(const Facts& facts, const char* tool, const Entity& entity,
                                double whole)
{
    std::vector<Explained> parts;
    const Report* report = facts.report(tool);
    if (report == nullptr)
        return parts;
    for (const Row& row : report->rows) {
        if (owner_key(row.entity) != owner_key(entity))
            continue;
        for (const Row& part : row.rows) {
            const auto ns = static_cast<double>(part.histogram.sum);
            if (ns >= kLeastShare * whole)
                parts.push_back(
                    {.name = printable(part.entity.name), .ns = ns, .share = ns / whole});
        }
    }
    sort(parts);
    return parts;
}

std::vector<Explained> disks_of(const Facts& facts, const Entity& entity, double whole)
{
    std::vector<Explained> parts;
    const Report* report = facts.report("iotop");
    if (report == nullptr)
        return parts;
    for (const Row& row : report->rows) {
        if (owner_key(row.entity) != owner_key(entity))
            continue;
        const auto ns = static_cast<double>(row.histogram.sum);
        Explained disk{
            .name = fmt::format("requests to {}, many at once", printable(label_of(row, "disk"))),
            .ns = ns,
            .share = ns / whole};
        for (const Row& other : row.rows)
            disk.parts.push_back({.name = fmt::format("beside {}", printable(other.entity.name)),
                                  .ns = ns * value_of(other, "beside"),
                                  .share = ns * value_of(other, "beside") / whole});
        parts.push_back(std::move(disk));
    }
    sort(parts);
    return parts;
}

std::vector<Explained> split_of(const Facts& facts, std::string_view state, const Entity& entity,
                                double whole)
{
    if (state == "runnable")
        return culprits(facts, "blame", entity, whole);
    if (state == "memory" || state == "fault")
        return culprits(facts, "memstall", entity, whole);
    if (state == "disk")
        return disks_of(facts, entity, whole);
    return {};
}

Explained explained(const Facts& facts, const Row& row, double& lost)
{
    const double whole = std::max(1.0, value_of(row, "thread_time"));
    Explained owner{
        .name = printable(row.entity.kind + " " + row.entity.name), .ns = whole, .share = 1};
    std::string_view worst;
    double most = 0;
    for (const State& state : kStatesShown) {
        const double ns = value_of(row, state.metric);
        if (ns < kLeastShare * whole)
            continue;
        owner.parts.push_back({.name = std::string(state.meaning), .ns = ns, .share = ns / whole});
        // Locks may be idle workers: they explain nothing where there is something else.
        const double loss = state.lost && state.metric != "lock" ? ns : 0;
        lost += loss;
        if (loss > most) {
            most = loss;
            worst = state.metric;
            for (Explained& part : owner.parts)
                part.largest = &part == &owner.parts.back();
        }
    }
    for (Explained& part : owner.parts) {
        if (part.largest)
            part.parts = split_of(facts, worst, row.entity, whole);
    }
    sort(owner.parts);
    return owner;
}

} // namespace

std::vector<Explained> explain(const Facts& facts)
{
    std::vector<std::pair<double, Explained>> owners;
    const Report* states = facts.report("states");
    if (states == nullptr)
        return {};
    for (const Row& row : states->rows) {
        double lost = 0;
        Explained owner = explained(facts, row, lost);
        if (lost >= kLeastLost * static_cast<double>(states->duration_ns))
            owners.emplace_back(lost, std::move(owner));
    }
    std::ranges::stable_sort(owners, std::greater{}, &std::pair<double, Explained>::first);
    std::vector<Explained> trees;
    trees.reserve(owners.size());
    for (auto& [lost, owner] : owners)
        trees.push_back(std::move(owner));
    return trees;
}

} // namespace vtrace
