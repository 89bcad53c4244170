// SPDX-License-Identifier: GPL-2.0-only
#include "render/diagnosis.h"

#include "base/numbers.h"
#include "base/printable.h"
#include "diagnose/rule.h"
#include "render/text_parts.h"
#include "render/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace vtrace {
namespace {

constexpr size_t kWidest = 100;

std::string figure(double value, FigureUnit unit)
{
    switch (unit) {
    case FigureUnit::kTime: return format_duration(whole_number(value));
    case FigureUnit::kShare: return percent(value);
    case FigureUnit::kCount:
        return std::floor(value) == value ? fmt::format("{:.0f}", value)
                                          : fmt::format("{:.4g}", value);
    case FigureUnit::kRate: return fmt::format("{:.4g} a second", value);
    case FigureUnit::kBytes: return format_bytes(value) + "B";
    }
    return "";
}

std::string evidence_text(const Evidence& evidence)
{
    std::string text = evidence.what + ": " + figure(evidence.value, evidence.unit);
    std::string more;
    if (evidence.samples)
        more = fmt::format("of {} events", *evidence.samples);
    if (evidence.against) {
        more += fmt::format("{}{} {}", more.empty() ? "" : "; ", evidence.against_what,
                            figure(*evidence.against, evidence.unit));
    }
    return more.empty() ? text : text + " (" + more + ")";
}

std::string advice_text(const Advice& advice)
{
    std::string setting = advice.knob;
    if (!advice.present.empty())
        setting += (setting.empty() ? "now " : "; now ") + advice.present;
    if (!advice.suggested.empty())
        setting += (setting.empty() ? "rather " : "; rather ") + advice.suggested;
    return setting.empty() ? advice.text : advice.text + " [" + setting + "]";
}

// "  name       text", and the lines after the first below the text.
std::string item(std::string_view name, std::string_view text, const TextStyle& style)
{
    constexpr size_t kIndent = 14;
    const std::string lines = wrapped(std::string(kIndent, ' ') + std::string(text), style);
    return fmt::format("  {:<{}}", name, kIndent - 2) + lines.substr(kIndent);
}

std::string_view colour_of(Severity severity)
{
    return severity <= Severity::kP1 ? kYellow : kBold;
}

std::string who(const Entity& entity)
{
    return entity.kind + " " + label(entity);
}

std::string finding_text(const Finding& finding, const TextStyle& style)
{
    const std::string head = fmt::format("{}  {}", severity_name(finding.severity), finding.what);
    std::string text = paint(wrapped(head, style), colour_of(finding.severity), style);
    text += item("rule", finding.rule, style) + item("who", who(finding.entity), style);
    if (finding.culprit) {
        const bool itself = who(*finding.culprit) == who(finding.entity);
        text += item("culprit", itself ? "itself" : who(*finding.culprit), style);
    }
    std::string_view name = "evidence";
    for (const Evidence& evidence : finding.evidence) {
        text += item(name, evidence_text(evidence), style);
        name = "";
    }
    name = "besides";
    for (const std::string& cause : finding.ruled_out) {
        text += item(name, cause, style);
        name = "";
    }
    name = "change";
    for (const Advice& advice : finding.advice) {
        text += item(name, advice_text(advice), style);
        name = "";
    }
    return text + item("confidence", fmt::format("{:.2f}", finding.confidence), style);
}

void add_tree(std::string& text, const Explained& node, const std::string& indent,
              const TextStyle& style)
{
    text += shorten(fmt::format("{}{:>6} {:>8}  {}{}", indent, percent(node.share),
                                format_duration(whole_number(node.ns)), node.name,
                                node.largest ? style.utf8 ? "  ◀" : "  <" : ""),
                    style.width, style.utf8) +
            "\n";
    for (const Explained& part : node.parts)
        add_tree(text, part, indent + "   ", style);
}

std::string not_looked_text(const Diagnosis& diagnosis, const TextStyle& style)
{
    std::map<std::string, std::string> rules; // by why
    for (const auto& [rule, why] : diagnosis.not_looked)
        rules[why] += (rules[why].empty() ? "" : ", ") + rule;
    std::string text;
    for (const auto& [why, names] : rules)
        text += wrapped(fmt::format("not looked for: {}: {}", names, printable(why)), style);
    return text;
}

} // namespace

std::string diagnosis_text(const Diagnosis& diagnosis, const TextStyle& given)
{
    TextStyle style = given;
    style.width = std::clamp<size_t>(style.width, 60, kWidest);
    const size_t count = diagnosis.findings.size();
    std::string text =
        wrapped(fmt::format("{}, Linux {}, {} from {}: {}", printable(diagnosis.host.name),
                            printable(diagnosis.host.kernel),
                            format_duration(diagnosis.duration_ns), format_time(diagnosis.start_ns),
                            count == 0 ? std::string("no bottleneck found")
                                       : fmt::format("{} finding{}", count, count == 1 ? "" : "s")),
                style);
    for (const Finding& finding : diagnosis.findings)
        text += "\n" + finding_text(finding, style);
    for (const Explained& tree : diagnosis.trees) {
        text += "\n";
        add_tree(text, tree, "", style);
    }
    if (const std::string rules = not_looked_text(diagnosis, style); !rules.empty())
        text += "\n" + rules;
    return text + ledger_text(diagnosis.loss, style); // which begins with an empty line
}

} // namespace vtrace
