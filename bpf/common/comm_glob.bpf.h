/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Matches a task's name against a glob, as a bit-parallel automaton: state i means that the
 * first i elements of the pattern are matched. user/collect/comm_glob.cpp compiles the pattern.
 */
#ifndef VTRACE_COMMON_COMM_GLOB_BPF_H
#define VTRACE_COMMON_COMM_GLOB_BPF_H

#include "common/kernel.bpf.h"
#include "vtrace/sched.h"

const volatile bool comm_filter __weak = false;
const volatile __u64
    comm_advance[256] __weak;              /* by character: the states that it moves on by one */
const volatile __u64 comm_stay __weak = 0; /* the states behind a star: any character keeps them */
const volatile __u64 comm_accept __weak = 0; /* the state in which the whole pattern is matched */

static __always_inline bool comm_matches(struct task_struct *task)
{
    char comm[VT_COMM_LEN];
    __u64 states = 1;

    bpf_probe_read_kernel(comm, sizeof(comm), task->comm);
    for (int i = 0; i < VT_COMM_LEN; i++) {
        __u8 c = comm[i];

        if (!c)
            break;
        states = ((states & comm_advance[c]) << 1) | (states & comm_stay);
    }
    return states & comm_accept;
}

#endif
