// SPDX-License-Identifier: GPL-2.0-only
// What rules are made of. A rule is a pure function from reports to findings.
#pragma once

#include "diagnose/finding.h"
#include "model/knobs.h"
#include "model/report.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace vtrace {

// From where on a measure is of which severity; each is at least the one before.
struct Limits {
    double p3 = 0;
    double p2 = 0;
    double p1 = 0;
    double p0 = 0;
    double least = 0; // events below which nothing is found
    bool operator==(const Limits&) const = default;
};

struct Rule;

// All that rules look at: of one window.
struct Facts {
    std::map<std::string, Report, std::less<>> reports;      // by tool
    std::map<std::string, std::string, std::less<>> missing; // why there is none of a tool
    std::vector<Knob> knobs;                                 // settings of the host
    std::set<std::string> held; // finding_key() of what was found in the window before

    // Null if the tool could not be run.
    [[nodiscard]] const Report* report(std::string_view tool) const;
    // Printable; empty if it is not known.
    [[nodiscard]] std::string knob(std::string_view name) const;
};

// Tells findings apart from one window to the next.
std::string finding_key(std::string_view rule, const Entity& entity);

// What a rule is given.
struct Context {
    const Rule& rule;
    const Limits& limits;
    const Facts& facts;

    // How bad a measure of an entity is; none if it is no finding. One that was found in the window before stays until
    // it is a fifth below its lowest limit, so that it does not come and go.
    [[nodiscard]] std::optional<Severity> severity_for(const Entity& entity, double measure,
                                                       uint64_t events) const;

    // A finding with what all of them have. `measure` is what its severity is from.
    [[nodiscard]] Finding finding(const Entity& entity, Severity severity, Evidence measure,
                                  const Report& report) const;
};

struct Rule {
    std::string_view name;
    std::string_view summary; // one line
    std::string_view measure; // what the limits are of
    FigureUnit unit = FigureUnit::kShare;
    Limits limits;
    std::string_view source; // of the limits
    std::vector<std::string_view>
        tools; // whose reports it looks at; it finds nothing without the first
    void (*find)(const Context& context, std::vector<Finding>& findings);
};

// How sure a finding can be that is of so many events, of which so many more were lost: 0 to 0.99. A handful is no proof:
// ten events give a half.
double confidence_of(uint64_t events, uint64_t lost);

// Events that a report's ledger has as lost, or measured wrong.
uint64_t lost_events(const Loss& loss);

// The time, in ns, in which threads of a row of `states` had something to do: on a CPU, able to run, or held up; not asleep,
// waiting for others, or idle.
double busy_ns(const Row& states);

// The row of `states` of that entity; null if there is none.
const Row* states_of(const Facts& facts, const Entity& entity);

// "12.3 %"
std::string percent(double share);

} // namespace vtrace
