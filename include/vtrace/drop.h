/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/drop.bpf.c and user/collect/drop_collector.cpp share. */
#ifndef VTRACE_DROP_H
#define VTRACE_DROP_H

#include <linux/types.h>

#define VT_DEVICE_LEN 16 /* IFNAMSIZ */

/* What dropped packets are told apart by. 0 in any of them: not known, or there is none. */
struct vt_drop_key {
    __u64 cgroup_id; /* of the socket, in the default (v2) hierarchy */
    __u64 location;  /* whose code freed it: an address in the kernel */
    __u32 netns;    /* inode number of the network namespace of the device, or else of the socket */
    __u32 reason;   /* enum skb_drop_reason, or of a subsystem; always 0 before 5.17 */
    __u32 ifindex;  /* in that namespace */
    __u16 ether;    /* ETH_P_* */
    __u8 protocol;  /* IPPROTO_*: of IPv6 the first next header */
    __u8 tcp_state; /* BPF_TCP_*, of the socket, of TCP packets only */
};

#define VT_DROP_WORDS 4      /* of a key, 64 bits each */
#define VT_DROP_NEAR_BITS 10 /* places for each CPU */

/* By a slot. */
struct vt_drop_kind {
    struct vt_drop_key key;
    char device[VT_DEVICE_LEN]; /* its name at the first drop; empty: not known */
    __u64 taken;                /* 0: of nobody */
    __u64 zero;
};

/* Of a slot and one CPU: of slot 0 what found none. Only ever grow. */
struct vt_drop_count {
    __u64 packets; /* as the kernel counts them: what is one on its way through the host is one */
    __u64 bytes;   /* from the innermost header that was not taken off yet */
};

#endif
