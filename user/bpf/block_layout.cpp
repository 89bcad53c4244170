// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/block_layout.h"

#include <bpf/btf.h>

#include <memory>
#include <string_view>

namespace vtrace {
namespace {

struct FreeBtf {
    void operator()(btf* b) const { btf__free(b); }
};

} // namespace

RequestFlags request_flags(const btf* types)
{
    RequestFlags flags{.io_stat = 1U << 13, .flush_seq = 1U << 4};
    for (uint32_t id = 1; id < btf__type_cnt(types); id++) {
        const btf_type* type = btf__type_by_id(types, id);
        if (!btf_is_enum(type))
            continue;
        const auto* values = btf_enum(type);
        for (uint32_t i = 0; i < btf_vlen(type); i++) {
            const std::string_view name = btf__name_by_offset(types, values[i].name_off);
            if (name == "__RQF_IO_STAT")
                flags.io_stat = 1U << static_cast<uint32_t>(values[i].val);
            else if (name == "__RQF_FLUSH_SEQ")
                flags.flush_seq = 1U << static_cast<uint32_t>(values[i].val);
        }
    }
    return flags;
}

RequestFlags request_flags()
{
    const std::unique_ptr<btf, FreeBtf> types(btf__parse("/sys/kernel/btf/vmlinux", nullptr));
    return types ? request_flags(types.get()) : RequestFlags{};
}

} // namespace vtrace
