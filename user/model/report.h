// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/snapshot.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

struct EntityName {
    std::string kind;
    std::string name;
    bool operator==(const EntityName&) const = default;
};

// Whom a figure belongs to. Strings are raw bytes; renderers make them printable.
struct Entity {
    std::string kind; // host, vm, pod, container, unit, cgroup or other
    std::string name;
    std::string cgroup; // its path in the hierarchy, empty if it has or is known to have none
    uint64_t id = 0;    // cgroup id, 0 if it has none
    uint32_t pid = 0;   // of a VM: the process of its VMM
    uint32_t tid = 0;   // of a vCPU: its thread
    bool ended = false; // removed while it was traced
    std::string uid;    // the engine's id of a container, a pod's uid, a VM's uuid
    std::string image;
    std::vector<EntityName> parents; // whom it is in, the nearest first
    std::vector<EntityName> labels;  // what else tells it apart, by kind
};

// A figure that is no histogram.
struct Metric {
    enum class Type { kCounter, kGauge, kShare };
    std::string name; // in JSON
    Type type = Type::kCounter;
    std::string unit; // "ns", "1" for a number of things; of a share "1": 0.25 is a quarter
    double value = 0; // exact up to 2^53, which is 104 days of nanoseconds
};

// Where and why a task was off its CPU.
struct Stack {
    std::string reason;
    std::string comm; // raw bytes, as the frames
    uint32_t pid = 0;
    std::vector<std::string> user; // the innermost first
    std::vector<std::string> kernel;
};

// A histogram of something else than the report's metric.
struct NamedHistogram {
    std::string name; // in JSON
    Histogram histogram;
};

struct Row {
    Entity entity;
    Histogram histogram; // of Report::metric
    std::vector<NamedHistogram> histograms;
    std::vector<Metric> metrics;
    std::vector<Row> rows;      // what it is made of, by Report::nested
    std::optional<Stack> stack; // in place of an entity
};

// What held the CPU for a part of a wait.
struct OpenPartRow {
    Entity entity;
    uint64_t ns = 0;
};

struct OpenRow {
    Entity entity;
    OpenWait wait;
    std::vector<OpenPartRow> parts; // with blame, the longest first
    std::optional<Stack> stack;     // of a time off the CPU
};

// A request to a disk that had not completed.
struct RequestRow {
    Entity entity;
    std::string disk; // raw bytes
    OpenRequest request;
};

// A process that the kernel killed for its memory.
struct KillRow {
    Entity victim;
    Entity cause; // whose task asked for memory
    OomKill kill;
};

// A TCP connection that nobody had answered.
struct ConnectRow {
    Entity entity;
    Entity peer;
    OpenConnect connect;
};

// What one tool says about one window. Data only.
struct Report {
    std::string tool;
    std::string title;          // what is measured, with its limits, in a line
    std::string event = "wait"; // what the rows count
    std::string metric;         // the name of the rows' histogram in JSON; empty: they have none
    std::string nested;         // the name of rows' rows in JSON
    std::string nested_again;   // and of the rows in them, if they have some
    std::string group; // the kind of the rows, worst first; empty: there is one row, the host
    HostFacts host;
    int64_t start_ns = 0; // ns since 1970
    uint64_t duration_ns = 0;
    std::vector<Row> rows;
    size_t rows_left_out = 0;           // by --top
    Histogram left_out;                 // their merged histogram
    std::vector<OpenRow> open;          // longest first
    std::vector<RequestRow> requests;   // likewise
    std::vector<KillRow> kills;         // in the order of time
    std::vector<ConnectRow> connecting; // longest first
    std::vector<std::string> notes;
    Loss loss;
    Overhead overhead;
};

} // namespace vtrace
