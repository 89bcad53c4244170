// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/kvm_layout.h"
#include "support.h"

#include <bpf/btf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace vtrace {
namespace {

struct FreeBtf {
    void operator()(btf* types) const { btf__free(types); }
};

constexpr uint32_t kBitsPerByte = 8;
constexpr int kVoid = 0;

// Types in memory, as pahole writes them for a kernel or, on top of its own, for a module.
class Types {
public:
    Types() : types_(btf__new_empty()) { add_numbers(); }
    explicit Types(btf* kernel) : types_(btf__new_empty_split(kernel)) {}

    struct Member {
        std::string name;
        int type = 0;
        uint32_t at = 0; // in bytes
        uint32_t bits = 0;
    };
    [[nodiscard]] int structure(const std::string& name, const std::vector<Member>& members) const
    {
        return composite(btf__add_struct(get(), name.c_str(), kSize), members);
    }
    // A struct that no other has as a part.
    void outer(const std::string& name, const std::vector<Member>& members) const
    {
        EXPECT_GT(structure(name, members), 0);
    }
    [[nodiscard]] int joined(const std::string& name, uint32_t size,
                             const std::vector<Member>& members) const
    {
        return composite(btf__add_union(get(), name.c_str(), size), members);
    }
    [[nodiscard]] int pointer(int to) const { return added(btf__add_ptr(get(), to)); }
    [[nodiscard]] int alias(const char* name, int of) const
    {
        return added(btf__add_typedef(get(), name, of));
    }
    [[nodiscard]] int constant(int of) const { return added(btf__add_const(get(), of)); }
    [[nodiscard]] int forward(const char* name) const
    {
        return added(btf__add_fwd(get(), name, BTF_FWD_STRUCT));
    }
    [[nodiscard]] int number(const char* name, uint32_t size) const
    {
        return added(btf__add_int(get(), name, size, 0));
    }

    // As in the file that the kernel shows.
    [[nodiscard]] std::string bytes() const
    {
        uint32_t size = 0;
        const void* data = btf__raw_data(get(), &size);
        EXPECT_NE(data, nullptr);
        return data == nullptr ? "" : std::string(static_cast<const char*>(data), size);
    }
    [[nodiscard]] btf* get() const { return types_.get(); }

    int u16 = 0;
    int u32 = 0;
    int u64 = 0;
    int vcpu = 0; // struct kvm_vcpu

private:
    static constexpr uint32_t kSize = 16384; // of any: nobody asks for more than a number's

    void add_numbers()
    {
        u16 = alias("u16", number("short unsigned int", 2));
        u32 = alias("u32", number("unsigned int", 4));
        u64 = alias("u64", number("long long unsigned int", 8));
        vcpu = structure("kvm_vcpu", {{"kvm", pointer(kVoid)}});
    }
    [[nodiscard]] int composite(int id, const std::vector<Member>& members) const
    {
        added(id);
        for (const Member& m : members)
            EXPECT_EQ(btf__add_field(get(), m.name.c_str(), m.type, m.at * kBitsPerByte, m.bits), 0)
                << m.name;
        return id;
    }
    static int added(int id)
    {
        EXPECT_GT(id, 0);
        return id;
    }

    std::unique_ptr<btf, FreeBtf> types_;
};

using Place = std::optional<std::tuple<uint32_t, uint32_t, uint32_t>>; // pointer, offset, size

Place place(const std::optional<vt_kvm_place>& found)
{
    return found ? Place({found->pointer, found->offset, found->size}) : std::nullopt;
}

constexpr std::nullopt_t kNothing = std::nullopt;

// ---- VMX ----

// union vmx_exit_reason: the bits, and all of them as a number.
int reason_union(Types& t)
{
    const int bits = t.structure("", {{"basic", t.u32, 0, 16}, {"failed_vmentry", t.u32, 3, 1}});
    return t.joined("vmx_exit_reason", 4, {{"", bits}, {"full", t.u32}});
}

TEST(VmxReason, IsANumberUntil510)
{
    Types t;
    t.outer("vcpu_vmx", {{"vcpu", t.vcpu}, {"fail", t.u16, 8000}, {"exit_reason", t.u32, 8004}});
    EXPECT_EQ(place(vmx_reason_place(t.get())), Place({0, 8004, 4}));
}

TEST(VmxReason, IsAUnionSince511)
{
    Types t;
    t.outer("vcpu_vmx", {{"vcpu", t.vcpu}, {"exit_reason", reason_union(t), 6300}});
    EXPECT_EQ(place(vmx_reason_place(t.get())), Place({0, 6300, 4}));
}

TEST(VmxReason, IsInWhatTdxSharesSince616)
{
    Types t;
    const int vt =
        t.structure("vcpu_vt", {{"pi_desc", t.u64}, {"exit_reason", reason_union(t), 152}});
    t.outer("vcpu_vmx", {{"vcpu", t.vcpu}, {"vt", vt, 6400}});
    EXPECT_EQ(place(vmx_reason_place(t.get())), Place({0, 6552, 4}));
}

TEST(VmxReason, OfANamelessPartAndATypedef)
{
    Types t;
    const int inner = t.structure("", {{"x", t.u64}, {"exit_reason", t.constant(t.u32), 8}});
    const int outer = t.joined("", 16, {{"y", t.u32}, {"", inner}});
    t.outer("vcpu_vmx", {{"vcpu", t.vcpu}, {"", outer, 600}});
    EXPECT_EQ(place(vmx_reason_place(t.get())), Place({0, 608, 4}));
}

TEST(VmxReason, IsNotThatOfANamedPart)
{
    Types t;
    const int nested = t.structure("nested_vmx", {{"exit_reason", t.u32}});
    t.outer("vcpu_vmx", {{"vcpu", t.vcpu}, {"nested", nested, 600}});
    EXPECT_EQ(place(vmx_reason_place(t.get())), kNothing);
}

TEST(VmxReason, TheDirectOneComesFirst)
{
    Types t;
    const int vt = t.structure("vcpu_vt", {{"exit_reason", t.u32, 100}});
    t.outer("vcpu_vmx", {{"vcpu", t.vcpu}, {"vt", vt, 600}, {"exit_reason", t.u32, 900}});
    EXPECT_EQ(place(vmx_reason_place(t.get())), Place({0, 900, 4}));
}

TEST(VmxReason, IsMissing)
{
    Types none;
    EXPECT_EQ(place(vmx_reason_place(none.get())), kNothing);
    Types without;
    const int vt = without.structure("vcpu_vt", {{"pi_desc", without.u64}});
    without.outer("vcpu_vmx", {{"vcpu", without.vcpu}, {"vt", vt, 600}});
    EXPECT_EQ(place(vmx_reason_place(without.get())), kNothing);
    Types forward;
    EXPECT_GT(forward.forward("vcpu_vmx"), 0);
    EXPECT_EQ(place(vmx_reason_place(forward.get())), kNothing);
}

TEST(VmxReason, IsNotBehindAPointer)
{
    Types t;
    const int vt = t.structure("vcpu_vt", {{"exit_reason", t.u32}});
    t.outer("vcpu_vmx", {{"vcpu", t.vcpu}, {"vt", t.pointer(vt), 600}});
    EXPECT_EQ(place(vmx_reason_place(t.get())), kNothing);
}

TEST(VmxReason, OfAnotherSizeIsNotKnown)
{
    Types t;
    t.outer("vcpu_vmx", {{"vcpu", t.vcpu}, {"exit_reason", t.u16, 600}});
    EXPECT_EQ(place(vmx_reason_place(t.get())), kNothing);
    Types large;
    large.outer("vcpu_vmx", {{"vcpu", large.vcpu}, {"exit_reason", large.vcpu, 600}});
    EXPECT_EQ(place(vmx_reason_place(large.get())), kNothing);
}

TEST(VmxReason, TheVcpuHasToBeFirst)
{
    Types t;
    t.outer("vcpu_vmx", {{"other", t.u64}, {"vcpu", t.vcpu, 8}, {"exit_reason", t.u32, 600}});
    EXPECT_EQ(place(vmx_reason_place(t.get())), kNothing);
    Types none;
    none.outer("vcpu_vmx", {{"exit_reason", none.u32, 600}});
    EXPECT_EQ(place(vmx_reason_place(none.get())), kNothing);
}

// ---- SVM ----

// struct vmcb with its control area first, and a vcpu_svm that points to it.
void add_svm(Types& t, int control, uint32_t pointer_at = 6200)
{
    const int vmcb = t.structure("vmcb", {{"control", control}, {"save", t.u64, 1024}});
    t.outer("vcpu_svm", {{"vcpu", t.vcpu}, {"vmcb", t.pointer(vmcb), pointer_at}});
}

TEST(SvmReason, IsOf32Bits)
{
    Types t;
    add_svm(t, t.structure("vmcb_control_area", {{"int_state", t.u32, 104},
                                                 {"exit_code", t.u32, 112},
                                                 {"exit_code_hi", t.u32, 116}}));
    EXPECT_EQ(place(svm_reason_place(t.get())), Place({6200, 112, 4}));
}

TEST(SvmReason, IsOf64Bits)
{
    Types t;
    add_svm(t, t.structure("vmcb_control_area", {{"exit_code", t.u64, 112}}), 6208);
    EXPECT_EQ(place(svm_reason_place(t.get())), Place({6208, 112, 8}));
}

TEST(SvmReason, OfAControlAreaThatIsNotFirst)
{
    Types t;
    const int control = t.structure("vmcb_control_area", {{"exit_code", t.u32, 112}});
    const int vmcb = t.structure("vmcb", {{"save", t.u64}, {"control", control, 1024}});
    t.outer("vcpu_svm", {{"vcpu", t.vcpu}, {"vmcb", t.pointer(vmcb), 6200}});
    EXPECT_EQ(place(svm_reason_place(t.get())), Place({6200, 1136, 4}));
}

TEST(SvmReason, OfNamelessParts)
{
    Types t;
    const int halves = t.structure("", {{"exit_code", t.u32}, {"exit_code_hi", t.u32, 4}});
    const int both = t.joined("", 8, {{"exit_code64", t.u64}, {"", halves}});
    const int control = t.structure("vmcb_control_area", {{"", both, 112}});
    const int vmcb = t.structure("vmcb", {{"control", control}});
    const int pointers = t.structure("", {{"vmcb_pa", t.u64}, {"vmcb", t.pointer(vmcb), 8}});
    t.outer("vcpu_svm", {{"vcpu", t.vcpu}, {"", pointers, 6200}});
    EXPECT_EQ(place(svm_reason_place(t.get())), Place({6208, 112, 4}));
}

TEST(SvmReason, BehindAPointerThatIsConst)
{
    Types t;
    const int control = t.structure("vmcb_control_area", {{"exit_code", t.u32, 112}});
    const int vmcb = t.structure("vmcb", {{"control", control}});
    const int pointer = t.constant(t.pointer(t.constant(t.alias("vmcb_t", vmcb))));
    t.outer("vcpu_svm", {{"vcpu", t.vcpu}, {"vmcb", pointer, 6200}});
    EXPECT_EQ(place(svm_reason_place(t.get())), Place({6200, 112, 4}));
}

TEST(SvmReason, IsMissing)
{
    Types none;
    EXPECT_EQ(place(svm_reason_place(none.get())), kNothing);
    Types no_code;
    add_svm(no_code, no_code.structure("vmcb_control_area", {{"exit_info_1", no_code.u64, 120}}));
    EXPECT_EQ(place(svm_reason_place(no_code.get())), kNothing);
    Types no_pointer;
    no_pointer.outer("vcpu_svm", {{"vcpu", no_pointer.vcpu}});
    EXPECT_EQ(place(svm_reason_place(no_pointer.get())), kNothing);
}

TEST(SvmReason, IsNotInAVmcbThatIsNoPointer)
{
    Types t;
    const int control = t.structure("vmcb_control_area", {{"exit_code", t.u32, 112}});
    const int vmcb = t.structure("vmcb", {{"control", control}});
    t.outer("vcpu_svm", {{"vcpu", t.vcpu}, {"vmcb", vmcb, 6200}});
    EXPECT_EQ(place(svm_reason_place(t.get())), kNothing);
}

// BTF has the size of a type where a pointer has what it points to.
TEST(SvmReason, ASizeIsNoType)
{
    Types t;
    const int control = t.structure("vmcb_control_area", {{"exit_code", t.u32, 112}});
    const int vmcb = t.structure("vmcb", {{"control", control}});
    const int other = t.joined("other", static_cast<uint32_t>(vmcb), {{"x", t.u32}});
    t.outer("vcpu_svm", {{"vcpu", t.vcpu}, {"vmcb", other, 6200}});
    EXPECT_EQ(place(svm_reason_place(t.get())), kNothing);
}

TEST(SvmReason, OfAPointerToWhatIsNotKnown)
{
    Types nothing;
    nothing.outer("vcpu_svm", {{"vcpu", nothing.vcpu}, {"vmcb", nothing.pointer(kVoid), 6200}});
    EXPECT_EQ(place(svm_reason_place(nothing.get())), kNothing);
    Types forward;
    const int vmcb = forward.pointer(forward.forward("vmcb"));
    forward.outer("vcpu_svm", {{"vcpu", forward.vcpu}, {"vmcb", vmcb, 6200}});
    EXPECT_EQ(place(svm_reason_place(forward.get())), kNothing);
    Types number;
    number.outer("vcpu_svm", {{"vcpu", number.vcpu}, {"vmcb", number.pointer(number.u64), 6200}});
    EXPECT_EQ(place(svm_reason_place(number.get())), kNothing);
}

TEST(SvmReason, OfAnotherSizeIsNotKnown)
{
    Types t;
    add_svm(t, t.structure("vmcb_control_area", {{"exit_code", t.u16, 112}}));
    EXPECT_EQ(place(svm_reason_place(t.get())), kNothing);
}

TEST(SvmReason, TheVcpuHasToBeFirst)
{
    Types t;
    const int control = t.structure("vmcb_control_area", {{"exit_code", t.u32, 112}});
    const int vmcb = t.structure("vmcb", {{"control", control}});
    t.outer("vcpu_svm", {{"vmcb", t.pointer(vmcb)}, {"vcpu", t.vcpu, 8}});
    EXPECT_EQ(place(svm_reason_place(t.get())), kNothing);
}

// ---- the files of a kernel ----

class KvmLayoutFiles : public testing::Test {
protected:
    static void add_vmx(Types& module, const Types& kernel, uint32_t at)
    {
        module.outer("vcpu_vmx", {{"vcpu", kernel.vcpu}, {"exit_reason", kernel.u32, at}});
    }
    static void add_svm_of(Types& module, const Types& kernel, uint32_t at)
    {
        const int control = module.structure("vmcb_control_area", {{"exit_code", kernel.u32, 112}});
        const int vmcb = module.structure("vmcb", {{"control", control}});
        module.outer("vcpu_svm", {{"vcpu", kernel.vcpu}, {"vmcb", module.pointer(vmcb), at}});
    }

    test::TempDir directory_;
    Types kernel_;
};

TEST_F(KvmLayoutFiles, ADirectoryThatIsNotThere)
{
    const KvmLayout layout = kvm_layout(directory_.path() + "/no_such");
    EXPECT_EQ(place(layout.vmx), kNothing);
    EXPECT_EQ(place(layout.svm), kNothing);
}

TEST_F(KvmLayoutFiles, AKernelThatHasNoKvm)
{
    directory_.write("vmlinux", kernel_.bytes());
    const KvmLayout layout = kvm_layout(directory_.path());
    EXPECT_EQ(place(layout.vmx), kNothing);
    EXPECT_EQ(place(layout.svm), kNothing);
}

TEST_F(KvmLayoutFiles, WhatIsNoBtf)
{
    directory_.write("vmlinux", "nonsense");
    const KvmLayout layout = kvm_layout(directory_.path());
    EXPECT_EQ(place(layout.vmx), kNothing);
    EXPECT_EQ(place(layout.svm), kNothing);
}

TEST_F(KvmLayoutFiles, AKernelWithKvmBuiltIn)
{
    add_vmx(kernel_, kernel_, 600);
    add_svm_of(kernel_, kernel_, 700);
    directory_.write("vmlinux", kernel_.bytes());
    const KvmLayout layout = kvm_layout(directory_.path());
    EXPECT_EQ(place(layout.vmx), Place({0, 600, 4}));
    EXPECT_EQ(place(layout.svm), Place({700, 112, 4}));
}

// Their own types on top of the kernel's, with its numbers and struct kvm_vcpu.
TEST_F(KvmLayoutFiles, Modules)
{
    Types intel(kernel_.get());
    add_vmx(intel, kernel_, 600);
    Types amd(kernel_.get());
    add_svm_of(amd, kernel_, 700);
    directory_.write("vmlinux", kernel_.bytes());
    directory_.write("kvm_intel", intel.bytes());
    directory_.write("kvm_amd", amd.bytes());
    const KvmLayout layout = kvm_layout(directory_.path());
    EXPECT_EQ(place(layout.vmx), Place({0, 600, 4}));
    EXPECT_EQ(place(layout.svm), Place({700, 112, 4}));
}

TEST_F(KvmLayoutFiles, OneModule)
{
    Types amd(kernel_.get());
    add_svm_of(amd, kernel_, 700);
    directory_.write("vmlinux", kernel_.bytes());
    directory_.write("kvm_amd", amd.bytes());
    const KvmLayout layout = kvm_layout(directory_.path());
    EXPECT_EQ(place(layout.vmx), kNothing);
    EXPECT_EQ(place(layout.svm), Place({700, 112, 4}));
}

TEST_F(KvmLayoutFiles, AModuleThatIsNoBtf)
{
    directory_.write("vmlinux", kernel_.bytes());
    directory_.write("kvm_intel", "nonsense");
    EXPECT_EQ(place(kvm_layout(directory_.path()).vmx), kNothing);
}

// Whatever there is on this machine.
TEST(KvmLayout, OfThisKernel)
{
    const KvmLayout layout = kvm_layout();
    for (const std::optional<vt_kvm_place>& found : {layout.vmx, layout.svm}) {
        if (found) {
            EXPECT_THAT(found->size, testing::AnyOf(4U, 8U));
        }
    }
}

} // namespace
} // namespace vtrace
