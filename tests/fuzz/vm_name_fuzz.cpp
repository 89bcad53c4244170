// SPDX-License-Identifier: GPL-2.0-only
// A comm, a cgroup's path and a command line, each up to a newline; the command line has the rest.
#include "entity/vm_name.h"

#include "entity/vm_process.h"
#include "require.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    using namespace vtrace;
    using fuzz::require;
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    const auto line = [&] {
        const std::string_view text = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(text.size() < rest.size() ? text.size() + 1 : text.size());
        return text;
    };
    const std::string_view comm = line();
    const std::string_view cgroup = line();

    const VmName vm = vm_name(rest, comm, cgroup);
    require(vm.name.empty() == vm.source.empty(), "a name is from somewhere", vm.name);
    require(vm.name.size() <= rest.size() + cgroup.size(), "a name is in the text", vm.name);
    require(vm.uuid.empty() || rest.find(vm.uuid) != std::string_view::npos,
            "a uuid is in the text", vm.uuid);
    require(vm.vmm == comm || vm.vmm.size() <= 16, "a VMM is known or the comm", vm.vmm);
    require(vm.name.find('\0') == std::string::npos || cgroup.find('\0') != std::string_view::npos,
            "a name ends with its argument", vm.name);

    const std::string role = role_of_name(comm);
    require(!role.starts_with("vcpu ") || comm.ends_with(role.back()) || comm.ends_with("/KVM"),
            "a vCPU has the number that its name ends in", role);
    return 0;
}
