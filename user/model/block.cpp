// SPDX-License-Identifier: GPL-2.0-only
#include "model/block.h"

namespace vtrace {
namespace {

std::string base_name(uint32_t op)
{
    switch (op) {
    case VT_REQ_OP_READ: return "read";
    case VT_REQ_OP_WRITE: return "write";
    case VT_REQ_OP_FLUSH: return "flush";
    case VT_REQ_OP_DISCARD: return "discard";
    case VT_REQ_OP_SECURE_ERASE: return "secure erase";
    case VT_REQ_OP_WRITE_ZEROES: return "write zeroes";
    case VT_REQ_OP_DRV_IN:
    case VT_REQ_OP_DRV_OUT: return "command";
    case kAnyOperation: return "any";
    default: return "op " + std::to_string(op);
    }
}

} // namespace

std::string operation_name(uint32_t op, uint32_t flags)
{
    std::string name = base_name(op);
    if (op == VT_REQ_OP_READ && (flags & VT_BLOCK_AHEAD) != 0)
        name = "readahead";
    if (op == VT_REQ_OP_WRITE)
        name += (flags & VT_BLOCK_SYNC) != 0 ? " sync" : " async";
    if ((flags & VT_BLOCK_META) != 0)
        name += " meta";
    if ((flags & VT_BLOCK_FUA) != 0)
        name += " fua";
    return name;
}

OwnerId block_owner(const vt_request_key& key)
{
    switch (key.origin) {
    case VT_BLOCK_OF_CGROUP: return {.cgroup_id = key.cgroup_id};
    case VT_BLOCK_WRITEBACK: return {.kthread = kWriteback};
    case VT_BLOCK_JOURNAL: return {.kthread = kJournal};
    case VT_BLOCK_SWAP: return {.kthread = kSwap};
    case VT_BLOCK_FLUSH: return {.kthread = kFlush};
    default: return {.kthread = kNobody};
    }
}

} // namespace vtrace
