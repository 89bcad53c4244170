// SPDX-License-Identifier: GPL-2.0-only
// Who has the taps of this host open: the VMM of a VM, a VPN, and so on.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace vtrace {

// The device of a text of /proc/PID/fdinfo/N (line "iff:", tun_chr_show_fdinfo() of drivers/net/tun.c); empty if it
// has none.
std::string_view tap_of(std::string_view fdinfo);

struct TapHolder {
    uint32_t pid = 0;
    std::string descriptor; // its number
};

// By the inode number of the holder's network namespace and the name of the device. Where several processes have one
// of that name open, whose it is is not known: pid 0.
using TapHolders = std::map<std::pair<uint32_t, std::string>, TapHolder>;

// Of processes in one of these namespaces. What vanishes or is denied meanwhile is left out.
TapHolders tap_holders(const std::set<uint32_t>& namespaces, const std::string& proc = "/proc");

// Whether it has the device of this name open still.
bool holds_tap(const TapHolder& holder, std::string_view device, const std::string& proc = "/proc");

} // namespace vtrace
