// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/probe.h"

#include "base/fd.h"
#include "base/files.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>

namespace vtrace {
namespace {

constexpr const char* kBtf = "/sys/kernel/btf/vmlinux";

struct FreeBtf {
    void operator()(btf* b) const { btf__free(b); }
};

struct Field {
    const char* type;
    const char* member;
    const char* option; // the kernel configuration that has it
};

constexpr std::array kSchedFields = {
    Field{"sched_info", "pcount", "CONFIG_SCHED_INFO"},
    Field{"sched_info", "run_delay", "CONFIG_SCHED_INFO"},
    Field{"sched_info", "last_queued", "CONFIG_SCHED_INFO"},
    Field{"sched_entity", "cfs_rq", "CONFIG_FAIR_GROUP_SCHED"},
    Field{"cfs_rq", "rq", "CONFIG_FAIR_GROUP_SCHED"},
    Field{"task_struct", "cgroups", "CONFIG_CGROUPS"},
};

bool has_member(const btf* types, const Field& field)
{
    const int id = btf__find_by_name_kind(types, field.type, BTF_KIND_STRUCT);
    if (id < 0)
        return false;
    const btf_type* type = btf__type_by_id(types, static_cast<__u32>(id));
    for (int i = 0; i < btf_vlen(type); i++) {
        const char* name = btf__name_by_offset(types, btf_members(type)[i].name_off);
        if (name != nullptr && std::string_view(name) == field.member)
            return true;
    }
    return false;
}

// VTRACE_WITHOUT=FEATURE makes vtrace act as on a kernel that lacks it: for tests of the fallbacks.
bool without(std::string_view feature)
{
    const char* value = std::getenv("VTRACE_WITHOUT");
    return value != nullptr && feature == value;
}

} // namespace

const std::vector<Capability>& capabilities()
{
    static const std::vector<Capability> all = {
        {CAP_BPF, "CAP_BPF", "loading BPF programs", true},
        {CAP_PERFMON, "CAP_PERFMON", "reading kernel memory in them", true},
        {CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "--overhead", false},
    };
    return all;
}

Result<uint64_t> effective_capabilities(std::string_view status)
{
    constexpr std::string_view kKey = "CapEff:\t";
    for (const std::string_view line : split(status, '\n')) {
        if (!line.starts_with(kKey))
            continue;
        uint64_t mask = 0;
        const std::string_view digits = line.substr(kKey.size());
        const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), mask, 16);
        if (end.ec == std::errc{})
            return mask;
    }
    return Error{.what = "cannot tell the capabilities of this process"};
}

bool has_capability(uint64_t mask, const Capability& capability)
{
    const auto bit = [&](int number) { return (mask >> static_cast<unsigned>(number) & 1) != 0; };
    return bit(capability.number) || bit(CAP_SYS_ADMIN);
}

Status check_privileges()
{
    const auto status = read_file("/proc/self/status");
    if (!status)
        return status.error();
    const auto mask = effective_capabilities(*status);
    if (!mask)
        return mask.error();
    std::string missing;
    for (const Capability& capability : capabilities()) {
        if (!capability.required || has_capability(*mask, capability))
            continue;
        missing += (missing.empty() ? "" : " and ") + std::string(capability.name);
    }
    if (missing.empty())
        return ok();
    return Error{.what = "not enough privilege: " + missing + " missing",
                 .hint = "run as root, or once: setcap cap_bpf,cap_perfmon+ep on vtrace",
                 .exit = ExitCode::kNotPossible};
}

Status check_btf()
{
    if (::access(kBtf, R_OK) == 0)
        return ok();
    Error error = errno_error(std::string("no type information of the kernel at ") + kBtf,
                              "it takes a kernel with CONFIG_DEBUG_INFO_BTF=y and /sys mounted");
    error.exit = ExitCode::kNotPossible;
    return error;
}

Status check_locked_memory()
{
    constexpr uint32_t kPiece = 65536;
    rlimit limit{};
    // More than this no report takes; without privilege any map is refused, whatever the limit.
    constexpr rlim_t kEnough = 256UL << 20;
    if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur >= kEnough ||
        !check_privileges())
        return ok();
    // A map that the limit cannot hold. libbpf first raises the limit where it has to and may.
    const auto pieces = static_cast<uint32_t>(limit.rlim_cur / kPiece) + 1;
    const Fd map(
        bpf_map_create(BPF_MAP_TYPE_ARRAY, "memlock", sizeof(uint32_t), kPiece, pieces, nullptr));
    if (map || errno != EPERM)
        return ok();
    return Error{.what = "this kernel counts BPF memory as locked, and RLIMIT_MEMLOCK is " +
                         std::to_string(limit.rlim_cur / 1024) + " KiB",
                 .hint = "run after `ulimit -l unlimited`, or with CAP_SYS_RESOURCE, too",
                 .exit = ExitCode::kNotPossible};
}

Result<std::vector<std::string>> missing_sched_fields()
{
    const std::unique_ptr<btf, FreeBtf> types(btf__parse(kBtf, nullptr));
    if (!types)
        return errno_error(std::string("cannot read ") + kBtf);
    std::vector<std::string> missing;
    for (const Field& field : kSchedFields) {
        if (!has_member(types.get(), field)) {
            missing.push_back(std::string(field.type) + "." + field.member + " (" + field.option +
                              ")");
        }
    }
    return missing;
}

bool has_task_storage()
{
    return !without("task_storage") &&
           libbpf_probe_bpf_map_type(BPF_MAP_TYPE_TASK_STORAGE, nullptr) == 1;
}

bool has_module_types()
{
    return !without("module_types");
}

} // namespace vtrace
