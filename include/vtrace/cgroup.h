/* SPDX-License-Identifier: GPL-2.0-only */
/* What bpf/cgroup.bpf.c and user/collect/cgroup_watcher.cpp share. */
#ifndef VTRACE_CGROUP_H
#define VTRACE_CGROUP_H

#include <linux/types.h>

#define VT_CGROUP_NAME_LEN 256 /* NAME_MAX and the terminating zero */

enum vt_cgroup_change {
    VT_CGROUP_MADE = 1,
    VT_CGROUP_REMOVED = 2,
    VT_CGROUP_RENAMED = 3,
};

/* One change in the hierarchy that is watched, in the order in which the kernel made them. */
struct vt_cgroup_event {
    __u64 id;
    __u64 parent_id; /* 0 for a root */
    __u32 change;    /* enum vt_cgroup_change */
    __u32 zero;
    char name[VT_CGROUP_NAME_LEN];
};

#endif
