/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/tcp.bpf.c and user/collect/tcp_collector.cpp share. All times in nanoseconds. */
#ifndef VTRACE_TCP_H
#define VTRACE_TCP_H

#include "vtrace/histogram.h"

#include <linux/types.h>

#define VT_TCP_SLOT_OTHER 0U /* of keys that found no slot: counted, not told apart */

#define VT_TCP_COMM_LEN 16

/* Who began a connection. */
enum vt_tcp_side {
    VT_TCP_SIDE_UNKNOWN = 0, /* it was there before, and the kernel's counts do not tell */
    VT_TCP_OUT,
    VT_TCP_IN,
};

/* An IPv6 address, or ::ffff:a.b.c.d, in network order; zero: not told apart. */
struct vt_address {
    __u64 half[2];
};

struct vt_tcp_key {
    __u64 cgroup_id; /* of the socket */
    struct vt_address remote;
    struct vt_address local;
    __u16 port;   /* of the service, host order: the remote one of VT_TCP_OUT, else the local one */
    __u8 side;    /* enum vt_tcp_side */
    __u8 no_peer; /* those of this cgroup that found no slot of their own */
    __u32 used;   /* 1; 0 is a slot without a key */
};

/* Why a connection did not come about. */
enum vt_tcp_cause {
    VT_TCP_REFUSED = 0, /* ECONNREFUSED */
    VT_TCP_TIMED_OUT,   /* ETIMEDOUT: nobody answered */
    VT_TCP_UNREACHABLE, /* EHOSTUNREACH, ENETUNREACH and the like, from a router or a neighbour */
    VT_TCP_RESET,       /* ECONNRESET */
    VT_TCP_NOT_SENT,    /* no segment was sent: no port was free, or no route */
    VT_TCP_CLOSED,      /* without an error: its owner closed it before an answer came */
    VT_TCP_FAILED,      /* another error */
    VT_TCP_CAUSES,
};

/* Why a segment was sent again. */
enum vt_tcp_retransmit {
    VT_TCP_BY_TIMEOUT = 0, /* the retransmission timer went off: TCP_CA_Loss */
    VT_TCP_FAST,           /* duplicate ACKs, SACK or RACK told of a loss: TCP_CA_Recovery */
    VT_TCP_PROBE,          /* tail loss probe */
    VT_TCP_SYN,
    VT_TCP_SYN_ACK,
    VT_TCP_OTHER, /* outside recovery: after a smaller path MTU, or a local congestion */
    VT_TCP_RETRANSMITS,
};

#define VT_TCP_STATES 16 /* TCP_ESTABLISHED is 1, TCP_NEW_SYN_RECV 12: include/net/tcp_states.h */

/* What was sent and received. */
struct vt_tcp_volume {
    __u64 sent; /* bytes of payload, those that were sent again once */
    __u64 received;
    __u64 segments_out; /* with those that were sent again, and with those without payload */
    __u64 segments_in;
    __u64 retransmitted; /* segments */
};

/* Figures of one key, of all CPUs, added with atomics: none is added to by each packet. Only ever grow. */
struct vt_tcp_stat {
    __u64 connected;     /* of VT_TCP_OUT */
    __u64 accepted;      /* of VT_TCP_IN */
    __u64 untimed;       /* of them, without a round trip that was timed */
    __u64 no_first_byte; /* connections that ended without a byte received */
    __u64 sessions;      /* that ended */
    __u64 ages_unknown;  /* of them, begun before vtrace was there: in no histogram */
    __u64 failed[VT_TCP_CAUSES];
    struct vt_tcp_volume volume; /* of sessions that ended, since they or vtrace began */
};

/* Segments sent again, by why and in which state. */
struct vt_tcp_retransmits {
    __u64 segments[VT_TCP_RETRANSMITS][VT_TCP_STATES];
    __u64 events[VT_TCP_RETRANSMITS][VT_TCP_STATES];
};

enum vt_tcp_hist {
    VT_TCP_CONNECT = 0, /* from the SYN to the SYN-ACK */
    VT_TCP_ACCEPT,      /* from the SYN-ACK to its ACK */
    VT_TCP_FIRST_BYTE,  /* from the SYN to the first byte received */
    VT_TCP_DURATION,    /* of sessions that ended */
    VT_TCP_HISTS,
};

/* A socket, by its address. */
struct vt_tcp_socket {
    __u64 start;                 /* CLOCK_MONOTONIC, of its SYN or of its session; 0: not seen */
    struct vt_tcp_volume before; /* what it had when it was first seen */
    __u32 slot;
    __u32 retransmitted; /* segments, of which is known why */
    __u32 tgid;          /* who connected; 0: not known */
    __u8 side;
    __u8 connecting; /* its SYN was not answered yet */
    __u8 wants_byte; /* none was received yet */
    __u8 ending;     /* what it had is in the sum of sessions that have ended */
    __u8 replaces;   /* another one, which was at that address, and whose end was not seen */
    __u8 zero[7];
    char comm[VT_TCP_COMM_LEN];
};

/*
 * The slot of a socket that a segment came for, in the one place that its address leads to: another socket may take
 * it. One word, so that it is written at once: the 48 lowest bits of the address (what the kernel has of memory at
 * addresses one to one is less) and the slot. 0: none.
 */
#define VT_TCP_NEAR_BITS 16 /* of a place */
#define VT_TCP_SLOT_BITS 16

static inline __attribute__((always_inline)) __u32 vt_tcp_near_place(__u64 address)
{
    return (__u32)((address * 0x9e3779b97f4a7c15ULL) >> (64 - VT_TCP_NEAR_BITS));
}

static inline __attribute__((always_inline)) __u64 vt_tcp_near(__u64 address, __u32 slot)
{
    return address << VT_TCP_SLOT_BITS | slot;
}

static inline __attribute__((always_inline)) __u32 vt_tcp_near_slot(__u64 near)
{
    return near & ((1U << VT_TCP_SLOT_BITS) - 1);
}

static inline __attribute__((always_inline)) int vt_tcp_is_near(__u64 near, __u64 address)
{
    return near >> VT_TCP_SLOT_BITS == address << VT_TCP_SLOT_BITS >> VT_TCP_SLOT_BITS;
}

/* A socket that is there: one record of the iterator. */
struct vt_tcp_open {
    __u64 socket; /* its address */
    __u64 start;
    struct vt_tcp_volume volume; /* since it or vtrace began */
    __u32 slot;
    __u32 tgid;
    __u8 connecting;
    __u8 state;
    __u8 ending;
    __u8 replaces;
    __u8 zero[4];
    char comm[VT_TCP_COMM_LEN];
};

/* A session that has ended. */
struct vt_tcp_session {
    __u64 time; /* CLOCK_MONOTONIC, of its end */
    __u64 ns;
    __u64 cgroup_id;
    struct vt_tcp_volume volume;
    struct vt_address remote;
    struct vt_address local;
    __u16 remote_port; /* host order */
    __u16 local_port;
    __u8 side;
    __u8 zero[3];
    __u32 tgid;
    __u32 zero_too;
    char comm[VT_TCP_COMM_LEN];
};

#endif
