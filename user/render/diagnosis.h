// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include "diagnose/explain.h"
#include "diagnose/finding.h"
#include "model/report.h"
#include "render/text.h"

#include <map>
#include <string>
#include <vector>

namespace vtrace {

// What was found in one window, and what could be.
struct Diagnosis {
    HostFacts host;
    int64_t start_ns = 0; // ns since 1970
    uint64_t duration_ns = 0;
    std::vector<Finding> findings;                 // worst first
    std::vector<Explained> trees;                  // if they are asked for
    std::map<std::string, std::string> not_looked; // rules that could not be asked, and why
    Loss loss;                                     // of all that was measured
};

// For people: a note of at most 100 columns.
std::string diagnosis_text(const Diagnosis& diagnosis, const TextStyle& given);

// One line of JSON, schema vtrace/1, with its newline.
std::string diagnosis_json(const Diagnosis& diagnosis);

} // namespace vtrace
