// SPDX-License-Identifier: GPL-2.0-only
// vmlinux/vmlinux.h against what the running kernel says of its types. `./dev lab` runs it on others.
#include "contract.h"

#include "base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

namespace vtrace {
namespace {

using test::applies;
using test::base_name;
using test::Btf;
using test::contract_violations;
using test::declared_types;
using test::is_of_this_machine;
using test::kernel_version;
using test::KernelVersion;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using Types = std::vector<std::string>;

Btf parsed(const std::string& path)
{
    Btf types(btf__parse(path.c_str(), nullptr));
    EXPECT_TRUE(types) << path;
    return types;
}

Types contract()
{
    const auto header = read_file(VTRACE_CONTRACT);
    EXPECT_TRUE(header);
    return header ? declared_types(*header) : Types{};
}

TEST(Contract, HoldsOnThisKernel)
{
    static constexpr const char* kBtf = "/sys/kernel/btf/vmlinux";
    if (::access(kBtf, F_OK) != 0 && errno == ENOENT)
        GTEST_SKIP() << "no " << kBtf << " (a kernel without CONFIG_DEBUG_INFO_BTF)";
    utsname name{};
    ASSERT_EQ(::uname(&name), 0);
    const KernelVersion version = kernel_version(name.release);
    ASSERT_GT(version, KernelVersion{}) << name.release;
    const Btf ours = parsed(VTRACE_BPF_OBJECT);
    const Btf kernel = parsed(kBtf);
    ASSERT_TRUE(ours && kernel);
    EXPECT_THAT(contract_violations(ours.get(), contract(), kernel.get(), version), IsEmpty())
        << name.release;
}

// Against itself all matches, except what no program uses: that does not belong into the contract.
TEST(Contract, DeclaresNothingUnused)
{
    const Btf ours = parsed(VTRACE_BPF_OBJECT);
    ASSERT_TRUE(ours);
    for (const std::string& name : contract()) {
        if (!is_of_this_machine(name))
            continue;
        bool used = false;
        for (const uint32_t kind : {BTF_KIND_STRUCT, BTF_KIND_UNION, BTF_KIND_ENUM})
            used |= btf__find_by_name_kind(ours.get(), name.c_str(), kind) > 0;
        EXPECT_TRUE(used) << name << " is declared in vmlinux.h, but no program uses it";
    }
}

TEST(Contract, DeclaresWhatTheProgramsRead)
{
    EXPECT_THAT(contract(),
                testing::IsSupersetOf({"task_struct", "sched_info", "cgroup", "kernfs_node"}));
}

TEST(DeclaredTypes, AreThoseWithABody)
{
    EXPECT_THAT(declared_types("struct a { int x; };\n"
                               "struct forward;\n"
                               "struct b\n{\n    struct a *p; /* struct no1 { */\n};\n"
                               "// struct no2 {\n"
                               "/* struct no3 {\n * } **/ struct c___since_5_14 {};\n"
                               "enum d { X };\n"
                               "union e{ int x; struct { int y; }; };\n"
                               "static struct a f(struct b *p);\n"),
                ElementsAre("a", "b", "c___since_5_14", "d", "e"));
}

TEST(BaseName, IsWithoutTheFlavour)
{
    EXPECT_EQ(base_name("task_struct"), "task_struct");
    EXPECT_EQ(base_name("task_struct___until_5_13"), "task_struct");
    EXPECT_EQ(base_name("a__b"), "a__b");
    EXPECT_EQ(base_name(""), "");
}

// Builds BTF in memory.
class Builder {
public:
    Builder() : types_(btf__new_empty())
    {
        u64 = add(btf__add_int(get(), "unsigned long long", 8, 0));
        s64 = add(btf__add_int(get(), "long long", 8, BTF_INT_SIGNED));
        u32 = add(btf__add_int(get(), "unsigned int", 4, 0));
        s32 = add(btf__add_int(get(), "int", 4, BTF_INT_SIGNED));
        chars = add(btf__add_int(get(), "char", 1, BTF_INT_SIGNED));
        plain_chars = add(btf__add_int(get(), "char", 1, 0));
    }

    struct Member {
        std::string name;
        int type;
        uint32_t bits = 0;
    };
    int structure(const std::string& name, const std::vector<Member>& members,
                  bool is_union = false)
    {
        const auto size = static_cast<uint32_t>(members.size() * 64);
        const int id = add(is_union ? btf__add_union(get(), name.c_str(), size)
                                    : btf__add_struct(get(), name.c_str(), size));
        uint32_t offset = 0;
        for (const Member& m : members) {
            add(btf__add_field(get(), m.name.c_str(), m.type, is_union ? 0 : offset, m.bits), 0);
            offset += 64 * 8;
        }
        return id;
    }
    int pointer(int to) { return add(btf__add_ptr(get(), to)); }
    int array(int of, uint32_t n) { return add(btf__add_array(get(), u32, of, n)); }
    int alias(int of)
    {
        return add(btf__add_typedef(get(), "alias_t", add(btf__add_const(get(), of))));
    }
    int forward(const char* name) { return add(btf__add_fwd(get(), name, BTF_FWD_STRUCT)); }
    int function() { return add(btf__add_func_proto(get(), 0)); }
    int enumeration(const char* name, const std::vector<std::pair<const char*, int>>& values)
    {
        const int id = add(btf__add_enum(get(), name, 4));
        for (const auto& [value_name, value] : values)
            add(btf__add_enum_value(get(), value_name, value), 0);
        return id;
    }
    [[nodiscard]] btf* get() const { return types_.get(); }

    int u64 = 0;
    int s64 = 0;
    int u32 = 0;
    int s32 = 0;
    int chars = 0;
    int plain_chars = 0;

private:
    static int add(int id, int least = 1)
    {
        EXPECT_GE(id, least);
        return id;
    }

    Btf types_;
};

Types violations(const Builder& ours, const Types& declared, const Builder& kernel)
{
    return contract_violations(ours.get(), declared, kernel.get(), {6, 1});
}

class ContractCheck : public testing::Test {
protected:
    // One field of `task` on each side.
    [[nodiscard]] Types compare(int our_type, int kernel_type)
    {
        ours.structure("task", {{"field", our_type}});
        kernel.structure("task", {{"other", kernel.u64}, {"field", kernel_type}});
        return violations(ours, {"task"}, kernel);
    }
    void expect_violation(int our_type, int kernel_type, const std::string& why)
    {
        EXPECT_THAT(compare(our_type, kernel_type),
                    ElementsAre(testing::AllOf(HasSubstr("task.field"), HasSubstr(why))));
    }

    Builder ours;
    Builder kernel;
};

TEST_F(ContractCheck, EqualFieldsMatch)
{
    EXPECT_THAT(compare(ours.s32, kernel.s32), IsEmpty());
}

TEST_F(ContractCheck, AMissingFieldIsReported)
{
    ours.structure("task", {{"pid", ours.s32}, {"no_such_field", ours.u64}});
    kernel.structure("task", {{"pid", kernel.s32}});
    EXPECT_THAT(violations(ours, {"task"}, kernel),
                ElementsAre("task.no_such_field: the kernel has no such field"));
}

TEST_F(ContractCheck, AMissingStructIsReported)
{
    ours.structure("task", {{"pid", ours.s32}});
    EXPECT_THAT(violations(ours, {"task"}, kernel),
                ElementsAre("task: the kernel has no such type"));
}

TEST_F(ContractCheck, AnUnusedStructIsReported)
{
    kernel.structure("task", {{"pid", kernel.s32}});
    ours.forward("task");
    EXPECT_THAT(violations(ours, {"task"}, kernel), ElementsAre(HasSubstr("do not use it")));
}

TEST_F(ContractCheck, AnotherSizeIsReported)
{
    expect_violation(ours.u32, kernel.u64, "8 bytes");
}

TEST_F(ContractCheck, AnotherSignIsReported)
{
    expect_violation(ours.u64, kernel.s64, "signed");
}

TEST_F(ContractCheck, AnotherKindIsReported)
{
    expect_violation(ours.u64, kernel.pointer(kernel.u64), "is a pointer, not a integer");
}

TEST_F(ContractCheck, TypedefsAndQualifiersDoNotMatter)
{
    EXPECT_THAT(compare(ours.alias(ours.u64), kernel.u64), IsEmpty());
}

TEST_F(ContractCheck, TypedefsOfTheKernelDoNotMatter)
{
    EXPECT_THAT(
        compare(ours.pointer(ours.u64), kernel.alias(kernel.pointer(kernel.alias(kernel.u64)))),
        IsEmpty());
}

TEST_F(ContractCheck, ThePlainCharHasNoSign)
{
    EXPECT_THAT(compare(ours.pointer(ours.chars), kernel.pointer(kernel.plain_chars)), IsEmpty());
}

TEST_F(ContractCheck, PointersToTheSameStructMatch)
{
    EXPECT_THAT(compare(ours.pointer(ours.structure("rq___until_9_9", {})),
                        kernel.pointer(kernel.structure("rq", {}))),
                IsEmpty());
}

TEST_F(ContractCheck, PointersToAForwardDeclarationMatch)
{
    EXPECT_THAT(
        compare(ours.pointer(ours.forward("rq")), kernel.pointer(kernel.structure("rq", {}))),
        IsEmpty());
}

TEST_F(ContractCheck, AVoidPointerIsAnyPointer)
{
    EXPECT_THAT(compare(ours.pointer(0), kernel.pointer(kernel.structure("rq", {}))), IsEmpty());
}

TEST_F(ContractCheck, PointersToAnotherStructAreReported)
{
    expect_violation(ours.pointer(ours.structure("rq", {})),
                     kernel.pointer(kernel.structure("cfs_rq", {})), "is a cfs_rq, not a rq");
}

TEST_F(ContractCheck, PointersToAnIntegerAreReported)
{
    expect_violation(ours.pointer(ours.structure("rq", {})), kernel.pointer(kernel.u64),
                     "not a struct");
}

TEST_F(ContractCheck, APointerToVoidIsReported)
{
    expect_violation(ours.pointer(ours.u64), kernel.pointer(0), "points to void");
}

TEST_F(ContractCheck, FunctionPointersMatch)
{
    EXPECT_THAT(compare(ours.pointer(ours.function()), kernel.pointer(kernel.function())),
                IsEmpty());
}

TEST_F(ContractCheck, ArraysGoByElement)
{
    EXPECT_THAT(compare(ours.array(ours.chars, 16), kernel.array(kernel.chars, 16)), IsEmpty());
}

TEST_F(ContractCheck, AShorterArrayOfTheKernelMatches)
{
    EXPECT_THAT(compare(ours.array(ours.u64, 16), kernel.array(kernel.u64, 14)), IsEmpty());
}

TEST_F(ContractCheck, ALongerArrayOfTheKernelIsReported)
{
    expect_violation(ours.array(ours.u64, 16), kernel.array(kernel.u64, 17), "17 elements");
}

TEST_F(ContractCheck, AnArrayOfOthersIsReported)
{
    expect_violation(ours.array(ours.u64, 4), kernel.array(kernel.u32, 4), "elements");
}

TEST_F(ContractCheck, EmbeddedStructsGoByName)
{
    EXPECT_THAT(compare(ours.structure("se", {}), kernel.structure("se", {{"x", kernel.u64}})),
                IsEmpty());
}

TEST_F(ContractCheck, AnotherEmbeddedStructIsReported)
{
    expect_violation(ours.structure("se", {}), kernel.structure("rt", {}), "is a rt, not a se");
}

TEST_F(ContractCheck, BitFieldsAreNoWholeIntegers)
{
    ours.structure("task", {{"flag", ours.u32}});
    kernel.structure("task", {{"flag", kernel.u32, 1}});
    EXPECT_THAT(violations(ours, {"task"}, kernel), ElementsAre(HasSubstr("bit field")));
}

TEST_F(ContractCheck, FieldsAreFoundInAnonymousParts)
{
    ours.structure("task", {{"deep", ours.u64}});
    const int inner = kernel.structure("", {{"x", kernel.u32}, {"deep", kernel.u64}});
    const int both = kernel.structure("", {{"y", kernel.u32}, {"", inner}}, true);
    kernel.structure("task", {{"a", kernel.u32}, {"", both}});
    EXPECT_THAT(violations(ours, {"task"}, kernel), IsEmpty());
}

TEST_F(ContractCheck, FieldsOfNamedPartsAreNotTheirOwners)
{
    ours.structure("task", {{"deep", ours.u64}});
    kernel.structure("task", {{"part", kernel.structure("part", {{"deep", kernel.u64}})}});
    EXPECT_THAT(violations(ours, {"task"}, kernel), ElementsAre(HasSubstr("task.deep")));
}

TEST_F(ContractCheck, OneOfSeveralOfTheNameIsEnough)
{
    ours.structure("task", {{"pid", ours.s32}});
    kernel.structure("task", {{"driver_private", kernel.u64}});
    kernel.structure("task", {{"pid", kernel.s32}});
    EXPECT_THAT(violations(ours, {"task"}, kernel), IsEmpty());
}

TEST_F(ContractCheck, ASecondDefinitionDoesNotHideAMissingField)
{
    ours.structure("task", {{"pid", ours.s32}, {"tgid", ours.s32}});
    kernel.structure("task", {{"pid", kernel.s32}});
    kernel.structure("task", {{"tgid", kernel.s32}});
    EXPECT_THAT(violations(ours, {"task"}, kernel), SizeIs(1));
}

TEST_F(ContractCheck, AFlavourHasToMatchTheVersionsThatItNames)
{
    ours.structure("task", {{"pid", ours.s32}});
    ours.structure("task___since_5_14", {{"__state", ours.u32}});
    ours.structure("task___until_5_13", {{"state", ours.s64}});
    const Types declared = {"task", "task___since_5_14", "task___until_5_13"};
    const auto check = [&](const Builder& b, KernelVersion version) {
        return contract_violations(ours.get(), declared, b.get(), version);
    };
    Builder now;
    now.structure("task", {{"pid", now.s32}, {"__state", now.u32}});
    EXPECT_THAT(check(now, {5, 14}), IsEmpty());
    EXPECT_THAT(check(now, {6, 1}), IsEmpty());
    EXPECT_THAT(check(now, {5, 13}), ElementsAre(HasSubstr("task___until_5_13.state")));
    Builder then;
    then.structure("task", {{"pid", then.s32}, {"state", then.s64}});
    EXPECT_THAT(check(then, {5, 13}), IsEmpty());
    EXPECT_THAT(check(then, {5, 10}), IsEmpty());
    EXPECT_THAT(check(then, {5, 14}), ElementsAre(HasSubstr("task___since_5_14.__state")));
    // A flavour that matches does not stand in for the struct without one.
    Builder no_pid;
    no_pid.structure("task", {{"__state", no_pid.u32}});
    EXPECT_THAT(check(no_pid, {6, 1}), ElementsAre(HasSubstr("task.pid")));
}

TEST(Applies, VersionsAreNumbers)
{
    EXPECT_TRUE(applies("task", {5, 10}));
    EXPECT_TRUE(applies("task___since_5_9", {5, 10}));
    EXPECT_FALSE(applies("task___since_5_11", {5, 10}));
    EXPECT_TRUE(applies("task___until_5_10", {5, 10}));
    EXPECT_FALSE(applies("task___until_5_9", {5, 10}));
    EXPECT_FALSE(applies("task___until_5_19", {6, 1}));
    EXPECT_NE(applies("regs___x86_64", {6, 1}), applies("regs___aarch64", {6, 1}));
}

TEST(KernelVersionOf, AReleaseAsUnamePrintsIt)
{
    EXPECT_EQ(kernel_version("6.12.107+deb13-amd64"), (KernelVersion{6, 12}));
    EXPECT_EQ(kernel_version("7.2"), (KernelVersion{7, 2}));
    EXPECT_EQ(kernel_version("linux"), KernelVersion{});
    EXPECT_EQ(kernel_version(""), KernelVersion{});
}

TEST_F(ContractCheck, EnumeratorsGoByName)
{
    ours.enumeration("ids", {{"cpu_id", 1}});
    kernel.enumeration("ids", {{"cpuset_id", 0}, {"cpu_id", 7}});
    EXPECT_THAT(violations(ours, {"ids"}, kernel), IsEmpty());
}

TEST_F(ContractCheck, AMissingEnumeratorIsReported)
{
    ours.enumeration("ids", {{"cpu_id", 1}, {"io_id", 2}});
    kernel.enumeration("ids", {{"cpu_id", 1}});
    EXPECT_THAT(violations(ours, {"ids"}, kernel), ElementsAre(HasSubstr("ids.io_id")));
}

} // namespace
} // namespace vtrace
