// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "model/report.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// How much of its work an owner loses: P0 nearly all, P1 a large part, P2 what users notice, P3 what is worth to know.
enum class Severity { kP0, kP1, kP2, kP3 };

// "P0" to "P3".
std::string_view severity_name(Severity severity);
std::optional<Severity> severity_of(std::string_view name);

// What a figure is counted in.
enum class FigureUnit { kTime, kShare, kCount, kRate, kBytes };

// "ns", "1" (a share: 0.25 is a quarter), "count", "1/s" or "bytes".
std::string_view unit_name(FigureUnit unit);

// One figure, measured in this window, and what it is held against.
struct Evidence {
    std::string what; // "waits for a CPU behind others"
    double value = 0;
    FigureUnit unit = FigureUnit::kCount;
    std::optional<uint64_t> samples; // events that it is of
    std::optional<double> against;   // in the same unit
    std::string against_what;        // "P2 from"; empty: nothing
};

// What to change. Nothing is ever changed by vtrace.
struct Advice {
    std::string text;      // a sentence
    std::string knob;      // where: a file, an option; empty if there is none
    std::string present;   // its value now; empty: not known
    std::string suggested; // empty: no value can be told from what was measured
};

// A bottleneck.
struct Finding {
    std::string rule;
    Severity severity = Severity::kP3;
    Entity entity;    // who suffers
    std::string what; // one sentence, printable
    std::optional<Entity> culprit;
    std::vector<Evidence> evidence;     // the first is what the severity is from
    std::vector<std::string> ruled_out; // printable
    std::vector<Advice> advice;
    double confidence = 0; // 0 to 1
    double impact = 0;     // orders findings of one severity: the share of its time that is lost
};

} // namespace vtrace
