// SPDX-License-Identifier: GPL-2.0-only
#include "tools/check.h"

#include "base/files.h"
#include "base/output.h"
#include "bpf/probe.h"
#include "tools/collectors.h"
#include "tools/registry.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/utsname.h>

#include <string>
#include <vector>

namespace vtrace {
namespace {

struct Finding {
    std::string name;
    bool good;
    std::string remark; // what it is, or what its absence means
};

std::string joined(const std::vector<std::string>& names)
{
    std::string text;
    for (const std::string& name : names)
        text += (text.empty() ? "" : ", ") + name;
    return text;
}

void add_privileges(std::vector<Finding>& findings)
{
    const auto status = read_file("/proc/self/status");
    const auto mask = status ? effective_capabilities(*status) : status.error();
    for (const Capability& capability : capabilities()) {
        const bool have = mask && has_capability(*mask, capability);
        const std::string purpose = "for " + std::string(capability.purpose);
        findings.push_back({std::string(capability.name), have, purpose});
    }
}

void add_kernel(std::vector<Finding>& findings)
{
    const auto memory = check_locked_memory();
    findings.push_back({"memory for BPF", memory.has_value(),
                        memory ? "not limited by RLIMIT_MEMLOCK" : memory.error().message()});
    const auto btf = check_btf();
    findings.push_back(
        {"BTF", btf.has_value(), btf ? "the kernel describes its types" : btf.error().message()});
    if (btf) {
        const auto missing = missing_sched_fields();
        const bool all = missing && missing->empty();
        findings.push_back({"run-queue accounting", all,
                            all       ? "sched_info in every task"
                            : missing ? "missing: " + joined(*missing)
                                      : missing.error().message()});
    }
    const bool storage = has_task_storage();
    findings.push_back({"task storage", storage,
                        storage
                            ? "state lives and dies with its task"
                            : "fallback: a hash of tasks (kernel before 5.12, or no privilege)"});
}

void add_cgroups(std::vector<Finding>& findings)
{
    const auto hierarchy = hierarchy_of(kCpuController);
    findings.push_back({"cgroups", hierarchy.has_value(),
                        hierarchy ? fmt::format("{} at {}, about {} cgroups", hierarchy->label(),
                                                hierarchy->mount_point, hierarchy->cgroups)
                                  : hierarchy.error().message()});
}

// The proof: what a tool needs is loaded, attached and taken down again.
Status trial(const ToolSpec& tool)
{
    ToolOptions options;
    options.group = "cgroup";
    auto collectors =
        Collectors::start(options, measured_by(tool, options), std::chrono::steady_clock::now());
    if (!collectors)
        return collectors.error();
    return ok();
}

std::string as_text(const std::vector<Finding>& findings, const std::string& kernel)
{
    std::string text = fmt::format("vtrace {} on Linux {}\n\n", VTRACE_VERSION, kernel);
    for (const Finding& f : findings)
        text += fmt::format("{:<22} {:<4} {}\n", f.name, f.good ? "yes" : "no", f.remark);
    return text;
}

std::string as_json(const std::vector<Finding>& findings, const std::string& kernel)
{
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Finding& f : findings)
        list.push_back({{"name", f.name}, {"available", f.good}, {"remark", f.remark}});
    const nlohmann::ordered_json json = {
        {"schema", "vtrace/1"}, {"version", VTRACE_VERSION}, {"kernel", kernel}, {"checks", list}};
    return json.dump() + "\n";
}

} // namespace

Status run_check(bool json)
{
    utsname name{};
    ::uname(&name);
    std::vector<Finding> findings;
    add_privileges(findings);
    add_kernel(findings);
    add_cgroups(findings);
    bool any = false;
    for (const ToolSpec& tool : tools()) {
        const auto tried = trial(tool);
        any = any || tried;
        findings.push_back({std::string(tool.name), tried.has_value(),
                            tried ? "loads and attaches here" : tried.error().message()});
    }
    const auto output = Output::open("");
    if (!output)
        return output.error();
    auto written =
        output->write(json ? as_json(findings, name.release) : as_text(findings, name.release));
    if (!written)
        return written;
    if (!any) {
        return Error{.what = "no tool can run here",
                     .hint = "see the lines with `no`",
                     .exit = ExitCode::kNotPossible};
    }
    return ok();
}

} // namespace vtrace
