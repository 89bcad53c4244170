/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cgroups as they are made, renamed and removed, so that one that lives for milliseconds keeps its name.
 * The hooks run under the cgroup mutex, far from any hot path. They are raw_tp and read by helper because
 * that loads faster: for each pointer that a tp_btf program follows, the verifier (6.3 and newer)
 * searches all of the kernel's types by name, 1 to 5 ms a time.
 */
#include "common/kernel.bpf.h"
#include "vtrace/cgroup.h"

/* /proc/PID/cgroup, first column, of the hierarchy to report. */
const volatile int cgroup_hierarchy = 0;

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} cgroup_events SEC(".maps");

__u64 cgroup_events_dropped = 0;

static __always_inline int report(struct cgroup *cgroup, enum vt_cgroup_change change)
{
    struct vt_cgroup_event *event;

    if (BPF_CORE_READ(cgroup, root, hierarchy_id) != cgroup_hierarchy)
        return 0;
    event = bpf_ringbuf_reserve(&cgroup_events, sizeof(*event), 0);
    if (!event) {
        __sync_fetch_and_add(&cgroup_events_dropped, 1);
        return 0;
    }
    event->id = BPF_CORE_READ(cgroup, kn, id);
    event->parent_id = BPF_CORE_READ(cgroup, self.parent, cgroup, kn, id); /* 0 if there is none */
    event->change = change;
    event->zero = 0;
    bpf_probe_read_kernel_str(event->name, sizeof(event->name), BPF_CORE_READ(cgroup, kn, name));
    bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
    return 0;
}

SEC("raw_tp/cgroup_mkdir")
int BPF_PROG(cgroup_mkdir, struct cgroup *cgroup)
{
    return report(cgroup, VT_CGROUP_MADE);
}

SEC("raw_tp/cgroup_rmdir")
int BPF_PROG(cgroup_rmdir, struct cgroup *cgroup)
{
    return report(cgroup, VT_CGROUP_REMOVED);
}

SEC("raw_tp/cgroup_rename")
int BPF_PROG(cgroup_rename, struct cgroup *cgroup)
{
    return report(cgroup, VT_CGROUP_RENAMED);
}

char LICENSE[] SEC("license") = "GPL";
