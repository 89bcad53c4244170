// SPDX-License-Identifier: GPL-2.0-only
#include "entity/vm_name.h"

#include "base/files.h"
#include "entity/cgroup_meaning.h"
#include "entity/record_json.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

namespace vtrace {
namespace {

using Words = std::vector<std::string_view>;

constexpr size_t kLongestName = 256; // a process may call itself what it wants

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool is_number(std::string_view text)
{
    return !text.empty() && std::ranges::all_of(text, is_digit);
}

// 8-4-4-4-12 hex digits: the only form that QEMU takes.
bool is_uuid(std::string_view text)
{
    constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    const auto fits = [](char c, char form) {
        const bool hex = is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        return form == 'x' ? hex : c == form;
    };
    return text.size() == kForm.size() && std::equal(text.begin(), text.end(), kForm.begin(), fits);
}

// What ends with a zero byte, empty ones too.
Words arguments_of(std::string_view cmdline)
{
    Words arguments;
    for (size_t end = cmdline.find('\0'); end != std::string_view::npos; end = cmdline.find('\0')) {
        arguments.push_back(cmdline.substr(0, end));
        cmdline.remove_prefix(end + 1);
    }
    return arguments;
}

// The VMM that a program's name stands for, empty if it is none that is known here.
std::string_view vmm_of_program(std::string_view path)
{
    const std::string_view program = path.substr(path.rfind('/') + 1);
    if (program.starts_with("qemu-") || program == "qemu" || program == "kvm")
        return "qemu";
    if (program.starts_with("firecracker"))
        return "firecracker";
    if (program.starts_with("cloud-hyperviso")) // as far as a comm goes
        return "cloud-hypervisor";
    if (program == "crosvm")
        return "crosvm";
    if (program == "lkvm" || program == "lkvm-static" || program == "kvmtool")
        return "kvmtool";
    return "";
}

// The values of -OPTION and --OPTION of QEMU. One that looks like an option is left out: most likely
// what stands before it was itself the value of another option.
Words qemu_values(const Words& arguments, std::string_view option)
{
    Words values;
    for (size_t i = 1; i + 1 < arguments.size(); i++) {
        std::string_view argument = arguments[i];
        if (argument.starts_with("--"))
            argument.remove_prefix(1);
        if (!argument.starts_with('-') || argument.substr(1) != option)
            continue;
        i++;
        if (!arguments[i].starts_with('-'))
            values.push_back(arguments[i]);
    }
    return values;
}

// The value of a key in QEMU's KEY=VALUE,KEY=VALUE; ",," is a comma in a value. The first key may be
// left out: it is `implied` then. The last one counts, as in QEMU.
std::optional<std::string> qemu_key(std::string_view text, std::string_view key,
                                    std::string_view implied = "")
{
    std::optional<std::string> found;
    for (bool first = true; !text.empty(); first = false) {
        std::string_view name = first ? implied : "";
        const size_t end = text.find_first_of("=,");
        if (end != std::string_view::npos && text[end] == '=') {
            name = text.substr(0, end);
            text.remove_prefix(end + 1);
        }
        std::string value;
        while (!text.empty() && (text[0] != ',' || text.starts_with(",,"))) {
            value += text[0];
            text.remove_prefix(text[0] == ',' ? 2 : 1);
        }
        if (!text.empty())
            text.remove_prefix(1);
        if (!name.empty() && name == key)
            found = value;
    }
    return found;
}

std::string qemu_uuid(const Words& arguments)
{
    std::string uuid;
    for (const std::string_view table : qemu_values(arguments, "smbios")) {
        if (qemu_key(table, "type") == "1")
            uuid = qemu_key(table, "uuid").value_or(uuid);
    }
    for (const std::string_view value : qemu_values(arguments, "uuid"))
        uuid = value;
    return is_uuid(uuid) ? uuid : "";
}

// KubeVirt says so in the SMBIOS (unless configured otherwise) and by the directory of its sockets.
bool is_kubevirt(const Words& arguments)
{
    for (const std::string_view table : qemu_values(arguments, "smbios")) {
        if (qemu_key(table, "manufacturer") == "KubeVirt" ||
            qemu_key(table, "family") == "KubeVirt")
            return true;
    }
    return std::ranges::any_of(arguments, [](std::string_view argument) {
        return argument.find("/var/run/kubevirt-private/") != std::string_view::npos;
    });
}

void take_qemu(const Words& arguments, VmName& vm)
{
    vm.uuid = qemu_uuid(arguments);
    for (const std::string_view value : qemu_values(arguments, "name"))
        vm.name = qemu_key(value, "guest", "guest").value_or(vm.name);
    if (vm.name.empty())
        return;
    vm.source = "qemu -name";
    // NAMESPACE_NAME: names in Kubernetes have no "_".
    const size_t bar = vm.name.find('_');
    if (bar != std::string::npos && bar > 0 && bar + 1 < vm.name.size() &&
        bar == vm.name.rfind('_') && is_kubevirt(arguments)) {
        vm.name[bar] = '/';
        vm.source = "kubevirt";
        return;
    }
    // An option that only Proxmox's QEMU has.
    const Words ids = qemu_values(arguments, "id");
    if (!ids.empty() && is_number(ids.back()))
        vm.source = "proxmox, id " + std::string(ids.back());
}

// --OPTION VALUE or --OPTION=VALUE, before "--".
std::string_view long_option(const Words& arguments, std::string_view option)
{
    std::string_view value;
    for (size_t i = 1; i < arguments.size() && arguments[i] != "--"; i++) {
        std::string_view argument = arguments[i];
        if (!argument.starts_with(option))
            continue;
        argument.remove_prefix(option.size());
        if (argument.starts_with('='))
            value = argument.substr(1);
        else if (argument.empty() && i + 1 < arguments.size() && !arguments[i + 1].starts_with('-'))
            value = arguments[++i];
    }
    return value;
}

// The id of Kata's sandbox by the directories that its sockets are in, and by its cgroups. Empty if there
// is none, or if there are several.
std::string_view kata_sandbox(const Words& arguments, const Words& cgroups)
{
    std::string_view id;
    bool several = false;
    const auto add = [&](std::string_view other) {
        several = several || (!id.empty() && id != other);
        id = other;
    };
    // A cgroup has the whole id. Firecracker's directory has the first 32 characters of it.
    for (size_t i = 0; i < cgroups.size(); i++) {
        constexpr std::string_view kPrefix = "kata_";
        if (cgroups[i].starts_with(kPrefix) && is_hex_id(cgroups[i].substr(kPrefix.size())))
            add(cgroups[i].substr(kPrefix.size()));
        else if (i > 0 && cgroups[i - 1] == "kata_overhead" && is_hex_id(cgroups[i]))
            add(cgroups[i]);
    }
    for (const std::string_view argument : arguments) {
        for (const std::string_view directory :
             {"/run/vc/vm/", "/run/vc/firecracker/", "/run/kata/"}) {
            const size_t at = argument.find(directory);
            if (at == std::string_view::npos)
                continue;
            const std::string_view rest = argument.substr(at + directory.size());
            const std::string_view part = rest.substr(0, rest.find('/'));
            if (part.size() < rest.size() && is_safe_id(part) && !id.starts_with(part))
                add(part);
        }
    }
    return several ? "" : id;
}

void take_kata(const Words& arguments, const Words& cgroups, VmName& vm)
{
    const std::string id(kata_sandbox(arguments, cgroups));
    // An option that says something else is somebody's wish.
    if (id.empty() || (vm.name != "sandbox-" + id && !id.starts_with(vm.name)))
        return;
    vm.name = id;
    vm.source = "kata sandbox";
}

// What libvirt calls a machine: DRIVER-N-NAME. systemd and the older layout have it as part of a cgroup's
// name. Nothing of LXC, and nothing that is as long as libvirt lets it become.
std::string name_of_machine(std::string_view machine)
{
    constexpr size_t kLongest = 64;
    for (const std::string_view driver : {"qemu-", "ch-"}) {
        if (!machine.starts_with(driver) || machine.size() >= kLongest)
            continue;
        const std::string_view rest = machine.substr(driver.size());
        const size_t dash = rest.find('-');
        if (dash != std::string_view::npos && is_number(rest.substr(0, dash)))
            return std::string(rest.substr(dash + 1));
    }
    return "";
}

std::string libvirt_name(std::string_view cgroup)
{
    constexpr std::string_view kPrefix = "machine-";
    constexpr std::string_view kSuffix = ".scope";
    if (cgroup.starts_with(kPrefix) && cgroup.ends_with(kSuffix)) {
        cgroup.remove_prefix(kPrefix.size());
        cgroup.remove_suffix(kSuffix.size());
        return name_of_machine(unescape_unit(cgroup));
    }
    for (const std::string_view suffix : {".libvirt-qemu", ".libvirt-ch"}) {
        if (!cgroup.ends_with(suffix))
            continue;
        cgroup.remove_suffix(suffix.size());
        // Before libvirt 1.2.x it was the name alone.
        const bool machine = cgroup.starts_with("qemu-") || cgroup.starts_with("ch-");
        return machine ? name_of_machine(cgroup) : std::string(cgroup);
    }
    return "";
}

// Proxmox puts VM 100 into /qemu.slice/100.scope.
std::optional<std::string> proxmox_id(std::string_view parent, std::string_view name)
{
    constexpr std::string_view kSuffix = ".scope";
    if (parent != "qemu.slice" || !name.ends_with(kSuffix))
        return std::nullopt;
    name.remove_suffix(kSuffix.size());
    return is_number(name) ? std::optional<std::string>(name) : std::nullopt;
}

// --id of the jailer: it names the cgroup, below one that has the name of the program.
bool is_jail(std::string_view parent, std::string_view name)
{
    constexpr size_t kLongest = 64;
    const auto allowed = [](char c) {
        return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
    };
    return parent.starts_with("firecracker") && name.size() <= kLongest &&
           std::ranges::all_of(name, allowed);
}

void take_cgroup(const Words& cgroups, VmName& vm)
{
    for (size_t i = cgroups.size(); i-- > 0;) {
        const std::string_view parent = i > 0 ? cgroups[i - 1] : "";
        if (std::string name = libvirt_name(cgroups[i]); !name.empty()) {
            vm.name = std::move(name);
            vm.source = "libvirt scope";
        } else if (const auto id = proxmox_id(parent, cgroups[i])) {
            vm.name = *id;
            vm.source = "proxmox id";
        } else if (vm.vmm == "firecracker" && i + 1 == cgroups.size() &&
                   is_jail(parent, cgroups[i])) {
            vm.name = cgroups[i];
            vm.source = "firecracker jailer";
        } else {
            continue;
        }
        return;
    }
}

} // namespace

VmName vm_name(std::string_view cmdline, std::string_view comm, std::string_view cgroup_path)
{
    const Words arguments = arguments_of(cmdline);
    const Words cgroups = split(cgroup_path, '/');
    std::string_view vmm = arguments.empty() ? "" : vmm_of_program(arguments[0]);
    if (vmm.empty())
        vmm = vmm_of_program(comm);

    VmName vm = {.vmm = std::string(vmm.empty() ? comm : vmm)};
    if (vmm == "qemu") {
        take_qemu(arguments, vm);
    } else if (vmm == "firecracker" || vmm == "crosvm" || vmm == "kvmtool") {
        const std::string option = vmm == "firecracker" ? "--id" : "--name";
        vm.name = long_option(arguments, option);
        if (!vm.name.empty())
            vm.source = vm.vmm + " " + option;
    }
    if (vmm == "qemu" || vmm == "firecracker" || vmm == "cloud-hypervisor")
        take_kata(arguments, cgroups, vm);
    if (vm.name.empty())
        take_cgroup(cgroups, vm);
    for (std::string* text : {&vm.name, &vm.source})
        text->resize(std::min(text->size(), kLongestName));
    return vm;
}

} // namespace vtrace
