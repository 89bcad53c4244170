// SPDX-License-Identifier: GPL-2.0-only
#include "collect/knob_reader.h"

#include "base/files.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace vtrace {
namespace {

constexpr std::array kFiles = {
    std::string_view("/proc/sys/vm/swappiness"),
    std::string_view("/proc/sys/vm/min_free_kbytes"),
    std::string_view("/sys/kernel/mm/transparent_hugepage/enabled"),
    std::string_view("/sys/module/kvm/parameters/halt_poll_ns"),
    std::string_view("/sys/module/kvm_intel/parameters/enable_apicv"),
    std::string_view("/sys/module/kvm_intel/parameters/ple_gap"),
    std::string_view("/sys/module/kvm_amd/parameters/avic"),
    std::string_view("/sys/module/kvm_amd/parameters/pause_filter_count"),
    std::string_view("/sys/devices/system/cpu/cpuidle/current_governor"),
    std::string_view("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    std::string_view("/sys/module/intel_idle/parameters/max_cstate"),
    std::string_view("/proc/sys/net/core/rmem_max"),
    std::string_view("/proc/sys/net/core/somaxconn"),
    std::string_view("/proc/sys/net/core/netdev_max_backlog"),
    std::string_view("/proc/sys/net/core/netdev_budget_usecs"),
    std::string_view("/proc/sys/net/core/dev_weight"),
    std::string_view("/proc/sys/net/core/default_qdisc"),
    std::string_view("/proc/sys/net/ipv4/tcp_congestion_control"),
    std::string_view("/proc/sys/net/ipv4/tcp_rmem"),
    std::string_view("/proc/sys/net/ipv4/tcp_mem"),
    std::string_view("/proc/sys/net/ipv4/udp_mem"),
    std::string_view("/proc/sys/net/ipv4/tcp_syncookies"),
    std::string_view("/proc/sys/net/ipv4/neigh/default/unres_qlen_bytes"),
    std::string_view("/proc/sys/net/ipv4/neigh/default/gc_thresh3"),
    std::string_view("/proc/sys/net/ipv4/conf/all/rp_filter"),
};

constexpr std::array kOfDisks = {
    std::string_view("queue/scheduler"),
    std::string_view("queue/nr_requests"),
    std::string_view("queue/rotational"),
};

void add(std::vector<Knob>& knobs, const std::string& root, const std::string& name)
{
    const auto text = read_file(root + name.substr(1));
    if (text)
        knobs.push_back({.name = name, .value = text->substr(0, text->find('\n'))});
}

} // namespace

std::vector<Knob> read_knobs(const std::string& root)
{
    std::vector<Knob> knobs;
    for (const std::string_view file : kFiles)
        add(knobs, root, std::string(file));
    std::vector<std::string> disks;
    std::error_code none; // a host without disks
    for (std::filesystem::directory_iterator disk(root + "sys/block", none), end;
         !none && disk != end; disk.increment(none))
        disks.push_back(disk->path().filename());
    std::ranges::sort(disks);
    for (const std::string& disk : disks) {
        for (const std::string_view file : kOfDisks)
            add(knobs, root, "/sys/block/" + disk + "/" + std::string(file));
    }
    return knobs;
}

} // namespace vtrace
