/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/block.bpf.c and user/collect/block_collector.cpp share. All times in nanoseconds. */
#ifndef VTRACE_BLOCK_H
#define VTRACE_BLOCK_H

#include "vtrace/histogram.h"

#include <linux/types.h>

#define VT_BLOCK_SLOT_OTHER 0U /* of requests that found no slot: counted, not told apart */
#define VT_BLOCK_SLOT_EXCLUDED 0xffffffffU /* of an owner that was not asked for */

/* Of enum req_op (enum req_opf until 5.19) in include/linux/blk_types.h: these values never changed. */
#define VT_REQ_OP_READ 0
#define VT_REQ_OP_WRITE 1
#define VT_REQ_OP_FLUSH 2
#define VT_REQ_OP_DISCARD 3
#define VT_REQ_OP_SECURE_ERASE 5
#define VT_REQ_OP_WRITE_ZEROES 9
#define VT_REQ_OP_DRV_IN 34 /* commands that are no I/O of a file system */
#define VT_REQ_OP_DRV_OUT 35

/* Of vt_request_key.flags: the kernel's REQ_*. */
#define VT_BLOCK_SYNC 1
#define VT_BLOCK_META 2
#define VT_BLOCK_AHEAD 4
#define VT_BLOCK_FUA 8

/* Whom a request is of. */
enum vt_block_origin {
    VT_BLOCK_OF_CGROUP = 0,
    /* The kernel's own, charged to the root cgroup: nobody knows any more who dirtied the pages. */
    VT_BLOCK_WRITEBACK,
    VT_BLOCK_JOURNAL, /* metadata of file systems, written at once */
    VT_BLOCK_SWAP,
    VT_BLOCK_FLUSH,  /* of a device's cache: one serves all who wait for it */
    VT_BLOCK_NOBODY, /* no bio, or one without a cgroup */
};

struct vt_request_key {
    __u64 cgroup_id; /* 0 with any other origin than VT_BLOCK_OF_CGROUP */
    __u32 device;    /* of the whole disk: major << 20 | minor */
    __u8 op;         /* enum req_op */
    __u8 flags;
    __u8 origin; /* enum vt_block_origin */
    __u8 zero;
};

#define VT_BLOCK_SIZES                                                                             \
    16 /* by the binary logarithm, from 512 bytes (and less) to 16 MiB (and more) */

/* Figures of one key on one CPU, written by that CPU only. Only ever grow. */
struct vt_block_stat {
    __u64 count; /* requests that have ended: ios of /proc/diskstats */
    __u64 bytes;
    __u64 errors;      /* of them failed */
    __u64 requeued;    /* times that one went back from the driver to the queue */
    __u64 unsplit;     /* ended without the kernel keeping when they were issued: in `total` only */
    __u64 untimed;     /* without the kernel keeping when they began, either: in no histogram */
    __u64 unaccounted; /* that /proc/diskstats does not count: the device has no I/O statistics */
    __u64 sequential;  /* issued, where the one before had ended on the disk; with --pattern */
    __u64 random;
    __u64 unsplit_time; /* in all */
    __u32 sizes[VT_BLOCK_SIZES];
    struct vt_hist queue;  /* from the start of the request to its (last) issue to the driver */
    struct vt_hist device; /* from then to its completion */
    struct vt_hist total;
};

#define VT_DISK_NAME_LEN 32

struct vt_block_device {
    char name[VT_DISK_NAME_LEN];
};

/* A single request above the threshold of --slower. */
struct vt_slow_request {
    struct vt_request_key key;
    __u64 end;    /* CLOCK_MONOTONIC */
    __u64 sector; /* of 512 bytes */
    __u64 bytes;
    __u64 queue;
    __u64 device;
    __u64 total;
    __u32 error; /* blk_status_t */
    __u32 unsplit;
};

/* ---- what has not completed, as found by a walk over the requests of a hardware queue ---- */

enum vt_block_stage {
    VT_BLOCK_QUEUED = 1, /* not with the driver */
    VT_BLOCK_ISSUED,
    /* Held back before there is a request: `count` bios, or tasks. */
    VT_BLOCK_HELD_BY_LIMIT, /* of the own cgroup: io.max, blkio.throttle */
    VT_BLOCK_HELD_BY_COST,  /* iocost: the cgroup has used up its share of the disk */
    VT_BLOCK_HELD_BY_WBT,   /* writeback throttling of the disk */
};

struct vt_block_open {
    struct vt_request_key key;
    __u64 sector;
    __u64 start;  /* CLOCK_MONOTONIC; 0: not kept */
    __u64 issued; /* likewise */
    __u32 bytes;
    __u32 count;
    __u32 stage; /* enum vt_block_stage */
    __u32 zero;
};

#define VT_BLOCK_WALK_STEP 128    /* requests that one run looks at */
#define VT_BLOCK_WALK_CGROUPS 512 /* of a disk that one run looks at */
#define VT_BLOCK_WALK_WAITERS 64  /* in each of the three queues of a disk's writeback throttling */
#define VT_BLOCK_OPEN_MOST 256    /* of which one run shows so many */

/* What a run over /sys/block/DISK/mq/N found. */
struct vt_block_walk {
    __u32 requests; /* that queue has so many, free ones included */
    __u32 next;     /* the first one that was not looked at */
    __u32 open;     /* entries of block_open */
    __u32 cut;      /* there is more that is held back than was looked at */
};

#endif
