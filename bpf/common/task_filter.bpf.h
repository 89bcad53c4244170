/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether a task is one that was asked for; its cgroup and VM are tested elsewhere. */
#ifndef VTRACE_COMMON_TASK_FILTER_BPF_H
#define VTRACE_COMMON_TASK_FILTER_BPF_H

#include "common/comm_glob.bpf.h"
#include "common/kernel.bpf.h"

const volatile bool include_self __weak = false;
const volatile int target_tgid __weak = 0; /* 0 is every process */

int self_tgid __weak = 0; /* in the initial PID namespace, whatever namespace vtrace runs in */

static __always_inline bool task_selected(struct task_struct *task, int tgid)
{
    if (!include_self && tgid == self_tgid)
        return false;
    if (target_tgid && tgid != target_tgid)
        return false;
    return !comm_filter || comm_matches(task);
}

#endif
