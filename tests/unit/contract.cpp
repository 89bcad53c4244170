// SPDX-License-Identifier: GPL-2.0-only
#include "contract.h"

#include <algorithm>
#include <optional>
#include <regex>

namespace vtrace::test {
namespace {

using Problems = std::vector<std::string>;

constexpr std::string_view kFlavour = "___";
constexpr std::string_view kNoSuchField = ": the kernel has no such field";

struct Field {
    uint32_t type;
    bool bitfield;
};

class Comparison {
public:
    Comparison(const btf* ours, const btf* kernel) : ours_(ours), kernel_(kernel) {}

    // The type `name` of the contract against all of that name in the kernel: one has to match.
    [[nodiscard]] Problems declared(const std::string& name) const
    {
        const std::string kernel_name = base_name(name);
        std::optional<Problems> fewest;
        for (uint32_t our_id = 1; our_id < btf__type_cnt(ours_); our_id++) {
            if (!is_definition(ours_, our_id) || name_of(ours_, our_id) != name)
                continue;
            for (uint32_t id = 1; id < btf__type_cnt(kernel_); id++) {
                if (kind(kernel_, id) != kind(ours_, our_id) || name_of(kernel_, id) != kernel_name)
                    continue;
                const Problems problems = definition(our_id, id, name);
                if (!fewest || problems.size() < fewest->size())
                    fewest = problems;
            }
            if (!fewest)
                return {name + ": the kernel has no such type"};
            return *fewest;
        }
        return {name + ": declared, but vtrace's BPF programs do not use it"};
    }

private:
    static const btf_type* get(const btf* types, uint32_t id) { return btf__type_by_id(types, id); }
    static uint32_t kind(const btf* types, uint32_t id)
    {
        const uint32_t k = btf_kind(get(types, id));
        return k == BTF_KIND_ENUM64 ? uint32_t{BTF_KIND_ENUM} : k;
    }
    static std::string name_of(const btf* types, uint32_t id)
    {
        const char* name = btf__name_by_offset(types, get(types, id)->name_off);
        return name == nullptr ? "" : name;
    }
    static bool is_composite(const btf* types, uint32_t id)
    {
        return kind(types, id) == BTF_KIND_STRUCT || kind(types, id) == BTF_KIND_UNION;
    }
    static bool is_definition(const btf* types, uint32_t id)
    {
        return is_composite(types, id) || kind(types, id) == BTF_KIND_ENUM;
    }
    // The type behind typedefs and qualifiers.
    static uint32_t resolve(const btf* types, uint32_t id)
    {
        for (;;) {
            const btf_type* type = get(types, id);
            if (!btf_is_mod(type) && !btf_is_typedef(type))
                return id;
            id = type->type;
        }
    }

    // The member of that name, in anonymous structs and unions, too.
    static std::optional<Field> member(const btf* types, uint32_t id, const std::string& name)
    {
        const btf_type* type = get(types, id);
        for (uint16_t i = 0; i < btf_vlen(type); i++) {
            const btf_member& m = btf_members(type)[i];
            const std::string member_name = btf__name_by_offset(types, m.name_off);
            if (member_name == name)
                return Field{m.type, btf_member_bitfield_size(type, i) != 0};
            const uint32_t inner = resolve(types, m.type);
            if (member_name.empty() && is_composite(types, inner)) {
                if (const auto found = member(types, inner, name))
                    return found;
            }
        }
        return std::nullopt;
    }

    [[nodiscard]] Problems definition(uint32_t our_id, uint32_t id, const std::string& path) const
    {
        Problems problems;
        const btf_type* type = get(ours_, our_id);
        for (uint16_t i = 0; i < btf_vlen(type); i++) {
            Problems found =
                btf_is_enum(type) ? enumerator(type, i, id, path) : field(type, i, id, path);
            problems.insert(problems.end(), found.begin(), found.end());
        }
        return problems;
    }

    // Enumerators are relocated by name; their value may differ.
    Problems enumerator(const btf_type* type, uint16_t index, uint32_t id,
                        const std::string& path) const
    {
        const std::string name = btf__name_by_offset(ours_, btf_enum(type)[index].name_off);
        const btf_type* theirs = get(kernel_, id);
        for (uint16_t i = 0; i < btf_vlen(theirs); i++) {
            const uint32_t offset = btf_is_enum64(theirs) ? btf_enum64(theirs)[i].name_off
                                                          : btf_enum(theirs)[i].name_off;
            if (base_name(name) == btf__name_by_offset(kernel_, offset))
                return {};
        }
        return {path + "." + name + ": the kernel has no such value"};
    }

    Problems field(const btf_type* type, uint16_t index, uint32_t id, const std::string& path) const
    {
        const btf_member& ours = btf_members(type)[index];
        const std::string name = btf__name_by_offset(ours_, ours.name_off);
        if (name.empty()) // its members count as ours
            return definition(resolve(ours_, ours.type), id, path);
        const std::string full = path + "." + name;
        const auto theirs = member(kernel_, id, name);
        if (!theirs)
            return {full + std::string(kNoSuchField)};
        const bool bitfield = btf_member_bitfield_size(type, index) != 0;
        if (bitfield != theirs->bitfield)
            return {full + ": only one of the two is a bit field"};
        if (const std::string why = difference(ours.type, theirs->type); !why.empty())
            return {full + ": " + why};
        return {};
    }

    // Why the types are not compatible, nothing if they are.
    [[nodiscard]] std::string difference(uint32_t our_id, uint32_t id) const
    {
        our_id = resolve(ours_, our_id);
        id = resolve(kernel_, id);
        const btf_type* our_type = get(ours_, our_id);
        const btf_type* type = get(kernel_, id);
        if (btf_kind(our_type) == BTF_KIND_FWD || is_composite(ours_, our_id))
            return named(our_id, id);
        if (kind(ours_, our_id) != kind(kernel_, id))
            return std::string("is a ") + kind_name(kernel_, id) + ", not a " +
                   kind_name(ours_, our_id);
        switch (kind(ours_, our_id)) {
        case BTF_KIND_INT: return integer(our_type, type);
        case BTF_KIND_ENUM: return our_type->size == type->size ? "" : "is an enum of another size";
        case BTF_KIND_PTR: return pointer(our_type->type, type->type);
        case BTF_KIND_ARRAY: return array(btf_array(our_type), btf_array(type));
        default:
            return std::string("is a ") + kind_name(ours_, our_id) +
                   ", which the test does not know";
        }
    }

    // Structs are what their name says; either side may have only a forward declaration.
    [[nodiscard]] std::string named(uint32_t our_id, uint32_t id) const
    {
        const auto fits = [](const btf* types, uint32_t t) {
            return is_composite(types, t) || kind(types, t) == BTF_KIND_FWD;
        };
        if (!fits(kernel_, id))
            return std::string("is a ") + kind_name(kernel_, id) + ", not a struct";
        if (base_name(name_of(ours_, our_id)) != name_of(kernel_, id))
            return "is a " + name_of(kernel_, id) + ", not a " + name_of(ours_, our_id);
        return "";
    }

    std::string integer(const btf_type* ours, const btf_type* theirs) const
    {
        const auto text = [](const btf* types, const btf_type* t) {
            return std::to_string(t->size) + " bytes, " +
                   ((btf_int_encoding(t) & BTF_INT_SIGNED) != 0 ? "signed" : "unsigned") + " (" +
                   btf__name_by_offset(types, t->name_off) + ")";
        };
        // Whether a plain char is signed is the compiler's choice.
        const auto is_char = [](const btf* types, const btf_type* t) {
            return std::string_view(btf__name_by_offset(types, t->name_off)) == "char";
        };
        const bool chars = is_char(ours_, ours) && is_char(kernel_, theirs);
        const bool same_sign = (btf_int_encoding(ours) & BTF_INT_SIGNED) ==
                               (btf_int_encoding(theirs) & BTF_INT_SIGNED);
        if (ours->size == theirs->size && (same_sign || chars))
            return "";
        return "is of " + text(kernel_, theirs) + ", not of " + text(ours_, ours);
    }

    [[nodiscard]] std::string pointer(uint32_t our_id, uint32_t id) const
    {
        if (our_id == 0 || id == 0 || resolve(ours_, our_id) == 0)
            return our_id == 0 ? "" : "points to void"; // a void pointer of ours is any
        if (kind(ours_, resolve(ours_, our_id)) == BTF_KIND_FUNC_PROTO)
            return kind(kernel_, resolve(kernel_, id)) == BTF_KIND_FUNC_PROTO
                       ? ""
                       : "points to no function";
        const std::string why = difference(our_id, id);
        return why.empty() ? "" : "points to what " + why;
    }

    [[nodiscard]] std::string array(const struct btf_array* ours,
                                    const struct btf_array* theirs) const
    {
        // Ours is the upper bound for the compiler. 0 is a flexible one.
        if (ours->nelems != 0 && theirs->nelems > ours->nelems)
            return "has " + std::to_string(theirs->nelems) + " elements, more than " +
                   std::to_string(ours->nelems);
        const std::string why = difference(ours->type, theirs->type);
        return why.empty() ? "" : "has elements each of which " + why;
    }

    static const char* kind_name(const btf* types, uint32_t id)
    {
        switch (kind(types, id)) {
        case BTF_KIND_INT: return "integer";
        case BTF_KIND_PTR: return "pointer";
        case BTF_KIND_ARRAY: return "array";
        case BTF_KIND_STRUCT: return "struct";
        case BTF_KIND_UNION: return "union";
        case BTF_KIND_ENUM: return "enum";
        case BTF_KIND_FWD: return "forward declaration";
        case BTF_KIND_FUNC_PROTO: return "function";
        case BTF_KIND_FLOAT: return "float";
        default: return "type of another kind";
        }
    }

    const btf* ours_;
    const btf* kernel_;
};

} // namespace

std::vector<std::string> declared_types(std::string_view header)
{
    static const std::regex comment(R"(/\*[^*]*\*+(?:[^/*][^*]*\*+)*/|//[^\n]*)");
    static const std::regex definition(R"(\b(?:struct|union|enum)\s+(\w+)\s*\{)");
    const std::string text = std::regex_replace(std::string(header), comment, " ");
    std::vector<std::string> names;
    for (auto match = std::sregex_iterator(text.begin(), text.end(), definition);
         match != std::sregex_iterator(); ++match)
        names.push_back((*match)[1]);
    return names;
}

std::string base_name(std::string_view name)
{
    const size_t suffix = name.rfind(kFlavour);
    return std::string(suffix == 0 ? name : name.substr(0, suffix));
}

KernelVersion kernel_version(std::string_view release)
{
    static const std::regex numbers(R"((\d+)\.(\d+).*)");
    std::cmatch match;
    if (!std::regex_match(release.data(), release.data() + release.size(), match, numbers))
        return {};
    return {std::stoi(match[1]), std::stoi(match[2])};
}

bool is_of_this_machine(std::string_view name)
{
#ifdef __x86_64__
    return !name.ends_with("___aarch64");
#else
    return !name.ends_with("___x86_64");
#endif
}

bool applies(std::string_view name, KernelVersion version)
{
    if (!is_of_this_machine(name))
        return false;
    static const std::regex flavour(R"(.*___(since|until)_(\d+)_(\d+))");
    std::cmatch match;
    if (!std::regex_match(name.data(), name.data() + name.size(), match, flavour))
        return true;
    const KernelVersion bound{std::stoi(match[2]), std::stoi(match[3])};
    return match[1] == "since" ? version >= bound : version <= bound;
}

std::vector<std::string> contract_violations(const btf* ours,
                                             const std::vector<std::string>& declared,
                                             const btf* kernel, KernelVersion version)
{
    const Comparison comparison(ours, kernel);
    Problems problems;
    for (const std::string& name : declared) {
        if (!applies(name, version))
            continue;
        Problems found = comparison.declared(name);
        // Where the kernel's configuration decides, what is there has to match, but need not be.
        if (name.find("___with_") != std::string::npos)
            std::erase_if(found, [](const std::string& p) { return p.ends_with(kNoSuchField); });
        problems.insert(problems.end(), found.begin(), found.end());
    }
    return problems;
}

} // namespace vtrace::test
