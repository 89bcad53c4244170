// SPDX-License-Identifier: GPL-2.0-only
#include "diagnose/cpu_waits.h"

#include "model/report_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace vtrace {
namespace {

// Of the window: below it a wait is nothing that anybody notices, however little its owner wanted.
constexpr double kLeastWait = 0.05;

constexpr std::array kCauses = {
    std::pair("throttled", "its own CPU quota"), std::pair("self", "its own other threads"),
    std::pair("neighbour", "others"), std::pair("kernel", "the kernel's own work")};

double ran_ns(const Row& states)
{
    double sum = 0;
    for (const char* state : {"user", "system", "guest", "running"})
        sum += value_of(states, state);
    return sum;
}

} // namespace

double CpuWaits::share(std::string_view part) const
{
    const double wanted = ran + waited;
    return wanted > 0 ? std::min(1.0, value_of(*blame, part) / wanted) : 0;
}

std::vector<CpuWaits> cpu_waits(const Facts& facts)
{
    std::vector<CpuWaits> all;
    const Report* blame = facts.report("blame");
    if (blame == nullptr)
        return all;
    const double least = kLeastWait * static_cast<double>(blame->duration_ns);
    for (const Row& row : blame->rows) {
        const auto waited = static_cast<double>(row.histogram.sum);
        const Row* states = states_of(facts, row.entity);
        if (waited >= least && states != nullptr)
            all.push_back({.blame = &row, .ran = ran_ns(*states), .waited = waited});
    }
    return all;
}

double share_of_part(const CpuWaits& waits, std::string_view part)
{
    double sum = 0;
    for (const Row& row : waits.blame->rows) {
        if (row.entity.kind == "part" && row.entity.name == part)
            sum += static_cast<double>(row.histogram.sum);
    }
    const double wanted = waits.ran + waits.waited;
    return wanted > 0 ? std::min(1.0, sum / wanted) : 0;
}

std::vector<std::string> other_causes(const CpuWaits& waits, std::string_view part)
{
    std::vector<std::string> causes;
    for (const auto& [name, meaning] : kCauses) {
        if (name != part)
            causes.push_back(fmt::format("{}: {}", meaning, percent(waits.share(name))));
    }
    return causes;
}

} // namespace vtrace
