/* SPDX-License-Identifier: GPL-2.0-only */
/* Which cgroup a task is in, and whether it is in the subtree that was asked for. */
#ifndef VTRACE_COMMON_CGROUP_BPF_H
#define VTRACE_COMMON_CGROUP_BPF_H

#include "common/kernel.bpf.h"

/* The hierarchy that figures are charged to: v1's cpu controller, or the default one. */
const volatile bool cgroup_v1_cpu __weak = false;
/* The root of the subtree to watch; 0 watches all. */
const volatile __u64 cgroup_target __weak = 0;

/* Of a controller: on v2 the nearest cgroup upwards that has it. */
static __always_inline struct cgroup *read_controller_cgroup(struct task_struct *task,
                                                             __u64 controller)
{
    struct css_set *set = BPF_CORE_READ(task, cgroups);
    struct cgroup_subsys_state *state;

    bpf_core_read(&state, sizeof(state), &set->subsys[controller]);
    return BPF_CORE_READ(state, cgroup);
}

/* Read by helper, which is slower to run but faster to load (see bpf/cgroup.bpf.c). */
static __always_inline struct cgroup *read_task_cgroup(struct task_struct *task)
{
    if (cgroup_v1_cpu)
        return read_controller_cgroup(task,
                                      bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id));
    return BPF_CORE_READ(task, cgroups, dfl_cgrp);
}

static __always_inline __u64 cgroup_id(struct cgroup *cgroup)
{
    return BPF_CORE_READ(cgroup, kn, id);
}

/* Bounded for the verifiers of old kernels; a cgroup nested deeper than this is outside. */
#define CGROUP_MAX_DEPTH 64

static __noinline bool cgroup_selected(struct cgroup *cgroup)
{
    if (!cgroup_target)
        return true;
    for (int i = 0; i < CGROUP_MAX_DEPTH && cgroup; i++) {
        if (cgroup_id(cgroup) == cgroup_target)
            return true;
        cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup); /* NULL above the root */
    }
    return false;
}

#endif
