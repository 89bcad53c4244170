/* SPDX-License-Identifier: GPL-2.0-only */
/* Which cgroup a socket is in: that of the task which created it, or of its listener's. */
#ifndef VTRACE_COMMON_SOCKET_BPF_H
#define VTRACE_COMMON_SOCKET_BPF_H

#include "common/kernel.bpf.h"

/* The socket itself, the listener of a connection that begins, or NULL after the end of one. */
static __always_inline struct sock *full_socket(struct sock *sk)
{
    unsigned char state = BPF_CORE_READ(sk, __sk_common.skc_state);

    if (state == BPF_TCP_NEW_SYN_RECV)
        return BPF_CORE_READ(sk, __sk_common.skc_listener);
    return state == BPF_TCP_TIME_WAIT ? NULL : sk;
}

/* In the default (v2) hierarchy; NULL if it is not known, as in a socket that is closed for good. */
static __always_inline struct cgroup *full_socket_cgroup(struct sock *sk)
{
    __u64 value;

    if (bpf_core_field_exists(struct sock_cgroup_data___since_5_15, cgroup))
        return BPF_CORE_READ((struct sock___since_5_15 *)sk, sk_cgrp_data.cgroup);
    value = BPF_CORE_READ((struct sock___until_5_14 *)sk, sk_cgrp_data.val);
    /* Tagged: of net_cls or net_prio (v1), which took its place, or without a reference to it. */
    return value & 3 ? NULL : (struct cgroup *)value;
}

/* Likewise, of a socket that the kernel told of as one (tp_btf): loaded directly. */
static __always_inline struct cgroup *given_socket_cgroup(struct sock *sk)
{
    if (bpf_core_field_exists(struct sock_cgroup_data___since_5_15, cgroup))
        return ((struct sock___since_5_15 *)sk)->sk_cgrp_data.cgroup;
    return full_socket_cgroup(sk);
}

/* Of given_socket_cgroup(); 0 if it is not known. */
static __always_inline __u64 given_cgroup_id(struct cgroup *cgroup)
{
    if (bpf_core_field_exists(struct sock_cgroup_data___since_5_15, cgroup))
        return cgroup ? cgroup->kn->id : 0;
    return BPF_CORE_READ(cgroup, kn, id);
}

static __always_inline struct cgroup *socket_cgroup(struct sock *sk)
{
    sk = full_socket(sk);
    return sk ? full_socket_cgroup(sk) : NULL;
}

#endif
