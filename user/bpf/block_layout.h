// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstdint>

struct btf;

namespace vtrace {

// Bits of request.rq_flags.
struct RequestFlags {
    uint32_t io_stat = 0;
    uint32_t flush_seq = 0;
};

// Since 6.12 (5f89154e8e9e) they are enumerators, of an enum without a name at first, which CO-RE cannot find;
// before that, they are not in the types, and had the same values in all versions from 5.10 on.
RequestFlags request_flags(const btf* types);

// Of the running kernel.
RequestFlags request_flags();

} // namespace vtrace
