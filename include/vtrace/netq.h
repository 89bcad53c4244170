/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/netq.bpf.c and user/collect/netq_collector.cpp share. All times in nanoseconds; all counts only ever grow. */
#ifndef VTRACE_NETQ_H
#define VTRACE_NETQ_H

#include "vtrace/histogram.h"

#include <linux/types.h>

#define VT_NETQ_QUEUED_BITS 13  /* places for packets in queues: 512 KB */
#define VT_NETQ_PACKETS_BITS 12 /* for packets on their way: 256 KB, which stay in the caches */
#define VT_NETQ_WAYS 4          /* packets in a place, which is a cache line: in queues */
#define VT_NETQ_PATH_WAYS 2     /* and on their way */
#define VT_NETQ_CACHE 256
#define VT_NETQ_NAME_LEN 16 /* IFNAMSIZ */
#define VT_NETQ_AT_ONCE 64  /* packets that leave a queue together, of which each is timed */

/* Where a packet was seen. */
enum vt_netq_point {
    VT_NETQ_NEW = 0,      /* nowhere before */
    VT_NETQ_SENT = 1,     /* its device's driver was given it */
    VT_NETQ_RECEIVED = 2, /* the stack took it from its device */
};

/*
 * Packets are told by the address of their struct sk_buff, in tables with a place for each hash of it. One that finds its
 * place full puts out another one, which then counts as not seen before.
 */
struct vt_netq_queued {
    __u64 skb;
    __u64 time;
};

struct vt_netq_packet {
    __u64 skb;
    __u64 time;
    __u64 device; /* as in struct vt_netq_device */
    __u32 point;  /* enum vt_netq_point */
    __u32 zero;
};

struct vt_netq_queued_place {
    struct vt_netq_queued packets[VT_NETQ_WAYS];
};

struct vt_netq_packet_place {
    struct vt_netq_packet packets[VT_NETQ_PATH_WAYS];
};

/* A device on one CPU. The first slots are of devices that found none, one for each CPU. */
struct vt_netq_device {
    __u64
        device; /* inode number of its network namespace << 32 | ifindex; 0: the backlog of the CPU */
    __u32 cpu;
    __u32 taken;                 /* 0: of nobody */
    char name[VT_NETQ_NAME_LEN]; /* as it was at first */
    __u64 not_timed; /* left its queue, but were not seen to come: put out, or cut up in it */
    __u64
        put_out; /* in its driver when another one took their place: no time, if they were still there */
    __u64 polls;
    __u64 exhausted;     /* polls that took all of their budget: there was more */
    struct vt_hist wait; /* in its queue (qdisc) */
    struct vt_hist sent; /* from its driver's start until it let go of the packet */
    struct vt_hist late; /* of each poll, how late its softirq was: from the raise to the run */
};

/* From one point of packets' paths to the next, on one CPU. */
struct vt_netq_hop_key {
    __u64 from; /* a device */
    __u64 to;
    __u16 from_point; /* enum vt_netq_point */
    __u16 to_point;
    __u32 cpu;
};

/* The first slots are of hops that found none, one for each CPU. */
struct vt_netq_hop {
    struct vt_netq_hop_key key;
    char name[VT_NETQ_NAME_LEN]; /* of `to`, as it was at first */
    struct vt_hist time;         /* 0 from VT_NETQ_NEW */
};

/* What one CPU has looked up before. Those of other `changes` are not valid; 0 is empty. */
struct vt_netq_known_device {
    __u64 device;
    __u32 slot;
    __u32 changes;
};

struct vt_netq_known_hop {
    struct vt_netq_hop_key key;
    __u32 slot;
    __u32 changes;
};

struct vt_netq_known {
    struct vt_netq_known_device devices[VT_NETQ_CACHE];
    struct vt_netq_known_hop hops[VT_NETQ_CACHE];
};

#endif
