// SPDX-License-Identifier: GPL-2.0-only
#include "render/diagnosis.h"

#include "base/printable.h"
#include "render/json_parts.h"
#include "render/units.h"

namespace vtrace {
namespace {

Json evidence_json(const Evidence& evidence)
{
    Json json = {
        {"what", evidence.what}, {"value", evidence.value}, {"unit", unit_name(evidence.unit)}};
    if (evidence.samples)
        json["samples"] = *evidence.samples;
    if (evidence.against) {
        json["against"] = *evidence.against;
        json["against_what"] = evidence.against_what;
    }
    return json;
}

Json advice_json(const Advice& advice)
{
    Json json = {{"text", advice.text}};
    if (!advice.knob.empty())
        json["knob"] = advice.knob;
    if (!advice.present.empty())
        json["present"] = advice.present;
    if (!advice.suggested.empty())
        json["suggested"] = advice.suggested;
    return json;
}

Json finding_json(const Finding& finding)
{
    Json json = {{"rule", finding.rule},
                 {"severity", severity_name(finding.severity)},
                 {"entity", entity_json(finding.entity)},
                 {"what", finding.what}};
    if (finding.culprit)
        json["culprit"] = entity_json(*finding.culprit);
    json["evidence"] = Json::array();
    for (const Evidence& evidence : finding.evidence)
        json["evidence"].push_back(evidence_json(evidence));
    json["ruled_out"] = finding.ruled_out;
    json["advice"] = Json::array();
    for (const Advice& advice : finding.advice)
        json["advice"].push_back(advice_json(advice));
    json["confidence"] = finding.confidence;
    json["impact"] = finding.impact;
    return json;
}

Json tree_json(const Explained& node)
{
    Json json = {{"name", node.name}, {"ns", node.ns}, {"share", node.share}};
    if (node.largest)
        json["largest"] = true;
    if (!node.parts.empty()) {
        json["parts"] = Json::array();
        for (const Explained& part : node.parts)
            json["parts"].push_back(tree_json(part));
    }
    return json;
}

} // namespace

std::string diagnosis_json(const Diagnosis& diagnosis)
{
    Json json = {
        {"schema", kSchema},
        {"tool", "diagnose"},
        {"host", printable(diagnosis.host.name)},
        {"kernel", printable(diagnosis.host.kernel)},
        {"start", format_time(diagnosis.start_ns)},
        {"end", format_time(diagnosis.start_ns + static_cast<int64_t>(diagnosis.duration_ns))},
        {"duration_ns", diagnosis.duration_ns}};
    json["findings"] = Json::array();
    for (const Finding& finding : diagnosis.findings)
        json["findings"].push_back(finding_json(finding));
    if (!diagnosis.trees.empty()) {
        json["explained"] = Json::array();
        for (const Explained& tree : diagnosis.trees)
            json["explained"].push_back(tree_json(tree));
    }
    json["not_looked"] = Json::array();
    for (const auto& [rule, why] : diagnosis.not_looked)
        json["not_looked"].push_back({{"rule", rule}, {"why", printable(why)}});
    json["loss"] = loss_json(diagnosis.loss);
    return json.dump() + "\n";
}

} // namespace vtrace
