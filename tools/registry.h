// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"
#include "model/snapshot.h"
#include "render/text.h"
#include "tools/collectors.h"
#include "tools/options.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// An option that only one tool has.
struct ToolFlag {
    std::string_view name; // with its dashes
    std::string_view help;
    bool ToolOptions::*value;
};

// A tool: one question, answered from the Snapshot of the collectors.
struct ToolSpec {
    std::string_view name;
    std::string_view summary;                // one line
    std::string_view details;                // what it measures, how, and its limits
    std::string_view examples;               // lines for --help
    SchedParts (*parts)(const ToolOptions&); // what has to be measured for it
    Report (*build)(const Snapshot&, const ToolOptions&);
    ReportText text = histograms_text; // the rows for people
    ReportText folded = nullptr;       // its --format folded, if it has that
    KvmParts kvm = {};                 // what has to be measured of KVM
    BlockParts block = {};             // and of block I/O; with a pattern if the options say so
    bool memory = false;               // and of stalls for memory
    TcpParts tcp = {};                 // and of TCP; first bytes if the options say so
    IrqParts irq = {};                 // and of interrupts
    bool drops = false;                // and of packets that the kernel drops
    bool netq = false;                 // and of packets in network devices
    std::string_view group;            // the kind of the rows unless a target says it
    std::vector<ToolFlag> flags;
    bool single_waits = false;    // has --slower
    bool single_requests = false; // likewise, for requests to disks
    bool single_sessions = false; // likewise, for TCP sessions
    bool peers = false;           // has --by and --subnet
    bool disks = false;           // has --dev
    bool quotas = false;          // shows what the kernel counts of CPU quotas
    bool block_times = false;     // has --min and --max
    bool vcpus = false;           // has --vcpu
    bool only_vms = false;        // its rows are VMs, however they are selected
    // Why there is no --pid and no --comm, and what to use; empty: there are.
    std::string_view without_tasks;
    // Why there is no --vm, and what to use; empty: there is.
    std::string_view without_vms;
};

// What the collectors have to measure for it.
Measured measured_by(const ToolSpec& tool, const ToolOptions& options);

// Every measuring tool, in the order of `vtrace list`.
std::span<const ToolSpec> tools();

} // namespace vtrace
