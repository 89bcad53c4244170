// SPDX-License-Identifier: GPL-2.0-only
#include "entity/vm_name.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <ostream>
#include <string>

namespace vtrace {

static void PrintTo(const VmName& vm, std::ostream* out)
{
    *out << vm.vmm << " name=" << vm.name << " uuid=" << vm.uuid << " from " << vm.source;
}

namespace {

const std::string kUuid = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";
const std::string kOther = "11111111-2222-3333-4444-555555555555";
const std::string kSandbox = "b87430f9f1f787676c46a31e21afa658513903dda5b6d02e41e48131b8010329";

std::string cmdline(std::initializer_list<std::string> arguments)
{
    std::string text;
    for (const std::string& argument : arguments)
        text += argument + '\0';
    return text;
}

VmName qemu(std::initializer_list<std::string> options, const std::string& cgroup = "")
{
    std::string text = cmdline({"/usr/bin/qemu-system-x86_64"});
    return vm_name(text + cmdline(options), "qemu-system-x86", cgroup);
}

VmName named(const std::string& vmm, const std::string& name, const std::string& source)
{
    return {.vmm = vmm, .name = name, .source = source};
}

TEST(VmName, TheProgramTellsTheVmm)
{
    struct Case {
        std::string program;
        std::string comm;
        std::string vmm;
    };
    for (const Case& c : {
             Case{"/usr/bin/qemu-system-x86_64", "qemu-system-x86", "qemu"},
             Case{"/usr/libexec/qemu-kvm", "qemu-kvm", "qemu"},
             Case{"/usr/bin/kvm", "kvm", "qemu"},
             Case{"qemu-system-aarch64", "web", "qemu"},
             Case{"/opt/kata/bin/qemu-lite-system-x86_64", "x", "qemu"},
             Case{"/firecracker", "firecracker", "firecracker"},
             Case{"./firecracker-v1.7.0", "firecracker-v1.", "firecracker"},
             Case{"/opt/cloud-hypervisor-v40", "", "cloud-hypervisor"},
             Case{"crosvm", "main", "crosvm"},
             Case{"/usr/bin/lkvm", "lkvm", "kvmtool"},
             Case{"rewritten", "cloud-hyperviso", "cloud-hypervisor"},
             Case{"", "lkvm-static", "kvmtool"},
             Case{"/bin/mine", "mine", "mine"},
             Case{"", "", ""},
             Case{"qemu-system-x86_64/", "a/qemu", "qemu"},
             Case{"crosvm2", "lkvmx", "lkvmx"},
         })
        EXPECT_EQ(vm_name(cmdline({c.program}), c.comm, ""), named(c.vmm, "", ""))
            << c.program << " " << c.comm;
}

TEST(VmName, OfQemuIsAnOption)
{
    const auto web = named("qemu", "web", "qemu -name");
    EXPECT_EQ(qemu({"-name", "guest=web,debug-threads=on", "-S"}), web);
    EXPECT_EQ(qemu({"-name", "web"}), web);
    EXPECT_EQ(qemu({"--name", "web"}), web);
    EXPECT_EQ(qemu({"-name", "web,process=x"}), web);
    EXPECT_EQ(qemu({"-name", "process=x,guest=web"}), web);
    EXPECT_EQ(qemu({"-name", "old", "-name", "guest=web"}), web) << "the last one counts";
    EXPECT_EQ(qemu({"-name", "web", "-name", "debug-threads=on"}), web);
    EXPECT_EQ(qemu({"-name", "guest=a,guest=web"}), web);
    EXPECT_EQ(qemu({"-name", "a,,b,,,process=x"}).name, "a,b,");
    EXPECT_EQ(qemu({"-name", "guest=,,a=b"}).name, ",a=b");
    EXPECT_EQ(qemu({"-name", "guest=a b\n\x1b[1m\xff"}).name, "a b\n\x1b[1m\xff");
}

TEST(VmName, OfQemuIsEmptyWhenUnsure)
{
    const auto none = named("qemu", "", "");
    for (const char* value : {"", "guest=", "process=x", "debug-threads=on", ",guest", "=", ",,="})
        EXPECT_EQ(qemu({"-name", value}).name.find("guest"), std::string::npos) << value;
    EXPECT_EQ(qemu({"-name", ""}), none);
    EXPECT_EQ(qemu({"-name", "guest="}), none);
    EXPECT_EQ(qemu({"-name", "process=x"}), none);
    EXPECT_EQ(qemu({"-name"}), none);
    EXPECT_EQ(qemu({"-named", "web"}), none);
    EXPECT_EQ(qemu({"name", "web"}), none);
    EXPECT_EQ(qemu({"---name", "web"}), none);
    EXPECT_EQ(qemu({"-append", "-name", "-m", "16"}), none) << "a value of another option";
    EXPECT_EQ(qemu({"-append", "-name web"}), none);
    const std::string cut = cmdline({"qemu-system-x86_64", "-name"}) + "guest=we";
    EXPECT_EQ(vm_name(cut, "qemu-system-x86", ""), none) << "cut off";
    EXPECT_EQ(vm_name("qemu-system-x86_64 -name web", "qemu-system-x86", ""), none) << "rewritten";
}

TEST(VmName, UuidOfQemu)
{
    const std::string smbios = "type=1,manufacturer=a,,uuid=" + kOther + ",uuid=" + kUuid;
    EXPECT_EQ(qemu({"-uuid", kUuid}).uuid, kUuid);
    EXPECT_EQ(qemu({"-smbios", smbios}).uuid, kUuid);
    EXPECT_EQ(qemu({"-uuid", kUuid, "-smbios", "type=1,uuid=" + kOther}).uuid, kUuid);
    EXPECT_EQ(qemu({"-smbios", "type=3,uuid=" + kUuid}).uuid, "");
    EXPECT_EQ(qemu({"-smbios", "file=x"}).uuid, "");
    for (const std::string& bad :
         {std::string("x"), kUuid + "0", kUuid.substr(1), "g" + kUuid.substr(1), "{" + kUuid + "}"})
        EXPECT_EQ(qemu({"-uuid", bad}).uuid, "") << bad;
}

TEST(VmName, ProxmoxHasAnId)
{
    const std::string text =
        cmdline({"/usr/bin/kvm", "-id", "100", "-name", "web,debug-threads=on"});
    const std::string scope = "/qemu.slice/100.scope";
    EXPECT_EQ(vm_name(text, "kvm", scope), named("qemu", "web", "proxmox, id 100"));
    EXPECT_EQ(vm_name("", "kvm", scope), named("qemu", "100", "proxmox id"));
    EXPECT_EQ(vm_name("", "kvm", "/qemu.slice/.scope").name, "");
    EXPECT_EQ(vm_name("", "kvm", "/qemu.slice/1x.scope").name, "");
    EXPECT_EQ(vm_name("", "kvm", "/other.slice/100.scope").name, "");
    EXPECT_EQ(vm_name("", "kvm", "/qemu.slice/100").name, "");
    EXPECT_EQ(vm_name("", "kvm", "/qemu.slice/100.scope.d").name, "");
    EXPECT_EQ(qemu({"-name", "web", "-id", "x"}).source, "qemu -name");
}

TEST(VmName, KubeVirtIsTakenApartWhenClear)
{
    const auto vm = named("qemu", "shop/web-1", "kubevirt");
    const std::string smbios = "type=1,manufacturer=KubeVirt,product=None";
    EXPECT_EQ(qemu({"-name", "guest=shop_web-1,debug-threads=on", "-smbios", smbios}), vm);
    EXPECT_EQ(qemu({"-name", "guest=shop_web-1", "-vnc",
                    "vnc=unix:/var/run/kubevirt-private/" + kUuid + "/virt-vnc"}),
              vm);
    EXPECT_EQ(qemu({"-name", "guest=shop_web-1"}), named("qemu", "shop_web-1", "qemu -name"));
    for (const char* name : {"shop", "_web", "shop_", "a_b_c"})
        EXPECT_EQ(qemu({"-name", name, "-smbios", smbios}), named("qemu", name, "qemu -name"));
}

TEST(VmName, KataNamesTheSandbox)
{
    const std::string directory = "/run/vc/vm/" + kSandbox;
    const std::string cgroup = "/kubepods/pod" + kUuid + "/kata_" + kSandbox;
    const auto vm = [](const std::string& vmm) { return named(vmm, kSandbox, "kata sandbox"); };
    EXPECT_EQ(qemu({"-name", "sandbox-" + kSandbox + ",debug-threads=on", "-qmp",
                    "unix:" + directory + "/qmp.sock,server=on"}),
              vm("qemu"));
    EXPECT_EQ(qemu({"-name", "sandbox-" + kSandbox}, cgroup), vm("qemu"));
    EXPECT_EQ(vm_name(cmdline({"cloud-hypervisor", "--api-socket", directory + "/clh-api.sock"}),
                      "cloud-hyperviso", "/"),
              vm("cloud-hypervisor"));
    EXPECT_EQ(vm_name(cmdline({"cloud-hypervisor", "--api-socket",
                               "/run/kata/" + kSandbox + "/ch-api.sock"}),
                      "cloud-hyperviso", "/"),
              vm("cloud-hypervisor"));
    EXPECT_EQ(vm_name("", "cloud-hyperviso", "/kata_overhead/" + kSandbox), vm("cloud-hypervisor"));
    // Firecracker's id is cut at 32 characters, its cgroup has all of it.
    const std::string half = kSandbox.substr(0, 32);
    EXPECT_EQ(vm_name(cmdline({"/firecracker", "--id", half}), "firecracker", cgroup),
              vm("firecracker"));
    const std::string socket = "/run/vc/firecracker/" + half + "/root/run/firecracker.socket";
    EXPECT_EQ(vm_name(cmdline({"/firecracker", "--api-sock", socket}), "firecracker", cgroup),
              vm("firecracker"));
    EXPECT_EQ(vm_name(cmdline({"/firecracker", "--api-sock", socket}), "firecracker", ""),
              named("firecracker", half, "kata sandbox"));
}

TEST(VmName, WhatOnlyLooksLikeKataIsNot)
{
    const std::string socket = "unix:/run/vc/vm/b1/qmp.sock";
    EXPECT_EQ(qemu({"-name", "sandbox-b1"}), named("qemu", "sandbox-b1", "qemu -name"));
    EXPECT_EQ(qemu({"-name", "sandbox-b2", "-qmp", socket}),
              named("qemu", "sandbox-b2", "qemu -name"));
    EXPECT_EQ(qemu({"-qmp", socket, "-mon", "/run/vc/vm/b2/x"}), named("qemu", "", "")) << "two";
    for (const char* path : {"/run/vc/vm/", "/run/vc/vm/b1", "/run/vc/vm//x", "/run/vc/vm/../x",
                             "/run/kata-containers/b1/x", "/run/vc/vm/a b/x"})
        EXPECT_EQ(qemu({"-qmp", path}), named("qemu", "", "")) << path;
    for (const char* cgroup : {"/kata_overhead", "/kata_web", "/kata_", "/kata_overhead/web"})
        EXPECT_EQ(qemu({}, cgroup), named("qemu", "", "")) << cgroup;
    EXPECT_EQ(vm_name("", "mine", "/kata_" + kSandbox), named("mine", "", ""));
}

TEST(VmName, OptionsOfOtherVmms)
{
    const auto firecracker = named("firecracker", "web-1", "firecracker --id");
    EXPECT_EQ(vm_name(cmdline({"/firecracker", "--id", "web-1", "--start-time-us", "5"}), "", "/"),
              firecracker);
    EXPECT_EQ(vm_name(cmdline({"/firecracker", "--id=web-1"}), "", "/"), firecracker);
    EXPECT_EQ(vm_name(cmdline({"crosvm", "run", "--name", "web", "vmlinux"}), "", ""),
              named("crosvm", "web", "crosvm --name"));
    EXPECT_EQ(vm_name(cmdline({"lkvm", "run", "--name", "web"}), "", ""),
              named("kvmtool", "web", "kvmtool --name"));

    const auto none = named("firecracker", "", "");
    EXPECT_EQ(vm_name(cmdline({"/firecracker", "--", "--id", "web"}), "", ""), none);
    EXPECT_EQ(vm_name(cmdline({"/firecracker", "--id"}), "", ""), none);
    EXPECT_EQ(vm_name(cmdline({"/firecracker", "--id", "--no-api"}), "", ""), none);
    EXPECT_EQ(vm_name(cmdline({"/firecracker", "--identity", "web"}), "", ""), none);
    EXPECT_EQ(vm_name(cmdline({"/firecracker", "--id="}), "", ""), none);
    EXPECT_EQ(vm_name(cmdline({"cloud-hypervisor", "--api-socket", "/run/web.sock", "--disk",
                               "path=/var/web.raw"}),
                      "", ""),
              named("cloud-hypervisor", "", ""))
        << "it has no name";
    EXPECT_EQ(vm_name(cmdline({"mine", "--name", "web", "-name", "web"}), "mine", ""),
              named("mine", "", ""));
}

TEST(VmName, OfTheJailerIsTheCgroup)
{
    const auto name = [](const char* cgroup) { return vm_name("", "firecracker", cgroup); };
    EXPECT_EQ(name("/firecracker/web-1"), named("firecracker", "web-1", "firecracker jailer"));
    EXPECT_EQ(name("/vms/firecracker-v1.7/a").name, "a");
    for (const char* cgroup : {"/firecracker", "/web", "/firecracker/a/b", "/firecracker/a_b"})
        EXPECT_EQ(name(cgroup), named("firecracker", "", "")) << cgroup;
    EXPECT_EQ(name(("/firecracker/" + std::string(65, 'a')).c_str()).name, "");
    EXPECT_EQ(vm_name("", "mine", "/firecracker/web"), named("mine", "", ""));
}

TEST(VmName, OfLibvirtIsTheCgroup)
{
    const auto name = [](const std::string& cgroup) {
        const VmName vm = vm_name("", "qemu-system-x86", cgroup);
        EXPECT_EQ(vm.source, vm.name.empty() ? "" : "libvirt scope") << cgroup;
        return vm.name;
    };
    const std::string scope = R"(/machine.slice/machine-qemu\x2d1\x2dweb\x2d3.scope)";
    EXPECT_EQ(name(scope), "web-3");
    EXPECT_EQ(name(scope + "/libvirt/emulator"), "web-3");
    EXPECT_EQ(name(scope + "/libvirt/vcpu0"), "web-3");
    EXPECT_EQ(name(R"(/machine.slice/machine-ch\x2d12\x2dweb.scope)"), "web");
    EXPECT_EQ(name("/machine/qemu-1-web.libvirt-qemu"), "web");
    EXPECT_EQ(name("/machine/prod.partition/qemu-2-a-b.libvirt-qemu/emulator"), "a-b");
    EXPECT_EQ(name("/machine/web.libvirt-qemu/vcpu0"), "web");
    EXPECT_EQ(qemu({"-name", "guest=web_3"}, scope), named("qemu", "web_3", "qemu -name"))
        << "the option first";

    for (const char* none : {
             R"(/machine.slice/machine-lxc\x2d1\x2dweb.scope)",
             R"(/machine.slice/machine-qemu\x2dweb.scope)",
             R"(/machine.slice/machine-qemu\x2d1\x2d.scope)",
             R"(/machine.slice/machine-qemu\x2d1.scope)",
             R"(/machine.slice/machine-qemu\x2dx1\x2dweb.scope)",
             R"(/machine.slice/machine-qemu\x2dembed\x2d0123\x2d1\x2dweb.scope)",
             "/machine.slice/machine-.scope",
             "/machine.slice/machine-web.scope",
             "/machine/web.libvirt-lxc",
             "/machine/.libvirt-qemu",
             "/machine/qemu-web.libvirt-qemu",
             "/machine.slice",
             "",
             "/",
         })
        EXPECT_EQ(name(none), "") << none;
    // libvirt cuts the name of a machine at 64 characters.
    const auto long_name = [](size_t size) {
        return "/machine/qemu-1-" + std::string(size - 7, 'a') + ".libvirt-qemu";
    };
    EXPECT_EQ(name(long_name(63)), std::string(56, 'a'));
    EXPECT_EQ(name(long_name(64)), "");
}

TEST(VmName, HostileTexts)
{
    EXPECT_EQ(vm_name("", "", ""), VmName{});
    EXPECT_EQ(vm_name(std::string(1000, '\0'), "qemu-kvm", "////"), named("qemu", "", ""));
    const std::string commas(100'000, ',');
    EXPECT_EQ(qemu({"-name", commas}).name, commas.substr(0, 256));
    const std::string huge(1'000'000, 'a');
    EXPECT_EQ(qemu({"-name", huge}).name, huge.substr(0, 256));
}

} // namespace
} // namespace vtrace
