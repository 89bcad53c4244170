// SPDX-License-Identifier: GPL-2.0-only
#include "model/states.h"

#include <algorithm>
#include <numeric>

namespace vtrace {
namespace {

void take(uint64_t& whole, uint64_t part)
{
    whole -= std::min(whole, part);
}

} // namespace

uint64_t StateTimes::sum() const
{
    return std::accumulate(ns.begin(), ns.end(), stolen);
}

StateTimes& StateTimes::operator+=(const StateTimes& other)
{
    lived += other.lived;
    for (size_t i = 0; i < kStates; i++)
        ns.at(i) += other.ns.at(i);
    stolen += other.stolen;
    utime += other.utime;
    stime += other.stime;
    gtime += other.gtime;
    voluntary += other.voluntary;
    return *this;
}

StateTimes& StateTimes::operator-=(const StateTimes& other)
{
    take(lived, other.lived);
    for (size_t i = 0; i < kStates; i++)
        take(ns.at(i), other.ns.at(i));
    take(stolen, other.stolen);
    take(utime, other.utime);
    take(stime, other.stime);
    take(gtime, other.gtime);
    take(voluntary, other.voluntary);
    return *this;
}

} // namespace vtrace
