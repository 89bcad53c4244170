/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The log-linear histogram of vtrace: kernel layout and bucket function, one header for BPF and C++.
 *
 * A value in nanoseconds is first divided by 16. Quotients below 8 have a bucket each; above,
 * each power of two is divided linearly into 8. So the width of a bucket is at most 1/8 of its lower edge
 * and a quantile given as the middle of a bucket is wrong by at most 1/16 (6.25 %) of the
 * true value from 128 ns on, and by at most 8 ns below that.
 * Values from 2^36 ns (68.7 s) on share the last bucket; sum and max stay exact for them.
 */
#ifndef VTRACE_HISTOGRAM_H
#define VTRACE_HISTOGRAM_H

#include <linux/types.h>

#define VT_HIST_UNIT_SHIFT 4 /* resolution 16 ns */
#define VT_HIST_SUB_SHIFT 3  /* 8 buckets per power of two */
#define VT_HIST_BUCKETS 240  /* 8 + 29 * 8: quotients of 32 bits */

/* The last throttling of a task group on one CPU that has ended: bpf/common/throttle.bpf.h. */
struct vt_throttled {
    __u64 queue; /* the group's cfs_rq: a slot is used again for others */
    __u64 total; /* throttled_clock_pelt_time as it was after it */
    __u64 from;  /* rq clock */
    __u64 to;
};

/*
 * One histogram of one key on one CPU: 1 KiB, the header on a cache line of its own.
 * Written by that CPU only, without atomics; read by difference of two reads.
 * Buckets wrap at 2^32: a reader must come by before 2^32 events (at 1 M/s after 71 minutes).
 */
struct vt_hist {
    __u64 sum;      /* ns, since the map was made */
    __u64 max[2];   /* ns, the largest value in the epoch with that parity */
    __u32 epoch[2]; /* the epoch that max[i] belongs to; another one means there was no value */
    struct vt_throttled throttled; /* of an owner: kept here as it has the same key */
    __u32 buckets[VT_HIST_BUCKETS];
};

#define VT_4_TIMES(n) n, n, n, n
#define VT_16_TIMES(n) VT_4_TIMES(n), VT_4_TIMES(n), VT_4_TIMES(n), VT_4_TIMES(n)
#define VT_64_TIMES(n) VT_16_TIMES(n), VT_16_TIMES(n), VT_16_TIMES(n), VT_16_TIMES(n)

/*
 * floor(log2(v)) for v > 0. By a table: clang 14's BPF backend crashes on __builtin_clz, and halving takes a
 * third longer.
 */
static inline __attribute__((always_inline)) __u32 vt_log2(__u32 v)
{
    static const __u8 of_byte[256] = {
        0,
        0,
        1,
        1,
        VT_4_TIMES(2),
        VT_4_TIMES(3),
        VT_4_TIMES(3),
        VT_16_TIMES(4),
        VT_16_TIMES(5),
        VT_16_TIMES(5),
        VT_64_TIMES(6),
        VT_64_TIMES(7),
        VT_64_TIMES(7),
    };

    if (v < 1U << 8)
        return of_byte[v];
    if (v < 1U << 16)
        return 8U + of_byte[v >> 8 & 0xff];
    if (v < 1U << 24)
        return 16U + of_byte[v >> 16 & 0xff];
    return 24U + of_byte[v >> 24];
}

/* The bucket of a value in ns, in 0 .. VT_HIST_BUCKETS - 1. */
static inline __attribute__((always_inline)) __u32 vt_hist_bucket(__u64 ns)
{
    __u64 quotient = ns >> VT_HIST_UNIT_SHIFT;
    __u32 v = quotient > 0xffffffffULL ? 0xffffffffU : (__u32)quotient;
    __u32 shift = 0;

    if (v < (1U << VT_HIST_SUB_SHIFT))
        return v;
    shift = vt_log2(v) - VT_HIST_SUB_SHIFT;
    return (shift << VT_HIST_SUB_SHIFT) + (v >> shift);
}

#endif
