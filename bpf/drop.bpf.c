/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dropped packets: why, where, and whose. The kernel frees a packet that reached nobody by kfree_skb(); of one that
 * did its work, by consume_skb().
 *
 * A flood of packets that are dropped runs this a million times a second: fields are loaded directly (tp_btf), not
 * by a helper each.
 */
#include "common/kernel.bpf.h"
#include "common/socket.bpf.h"
#include "vtrace/drop.h"

#include <bpf/bpf_endian.h>

/* (skb, location); since 5.17 and reason, since 6.11 and the socket that it was for. Set from the kernel's BTF. */
const volatile __u32 drop_arguments = 2;
/* 0 is SKB_NOT_DROPPED_YET: no drop. On 5.17 it is a reason (SKB_DROP_REASON_NOT_SPECIFIED). */
const volatile bool drop_not_yet = true;
/* SKB_CONSUMED: no drop, either; 0 where the kernel has none. */
const volatile __u32 drop_consumed = 0;

const volatile __u32 drop_slots_per_cpu = 1;

__u32 drop_changes = 1; /* counts that slots were taken back */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct vt_drop_key);
    __type(value, __u32);
} drop_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1);
    __type(value, __u32);
} drop_free_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_drop_kind);
} drop_kinds SEC(".maps");

/* All slots of one CPU, then those of the next one. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_drop_count);
} drop_counts SEC(".maps");

/*
 * Before drop_slots, the lookup in which takes longer than all else: drop_changes << 32 | slot, by CPU and by
 * near_place(). Whether that is the slot of a key its drop_kinds tells, which stays as long as drop_changes does.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} drop_near SEC(".maps");

#define VT_AF_INET 2
#define VT_AF_INET6 10
#define VT_ETH_P_IP 0x0800
#define VT_ETH_P_IPV6 0x86dd
#define VT_IPPROTO_TCP 6
#define VT_IPPROTO_UDP 17
#define VT_PROTOCOL_OF_IP 9 /* where it stands in the header */
#define VT_PROTOCOL_OF_IPV6 6
#define VT_NO_HEADER 0xffff    /* sk_buff.network_header that was not set */
#define VT_DST_POINTER (~7ULL) /* SKB_DST_PTRMASK, without the bits below that it has had */

/* Inode numbers of namespaces begin here: PROC_DYNAMIC_FIRST, and below it those of the first ones. */
#define VT_NAMESPACE_FIRST 0xe0000000U

static __always_inline __u32 namespace_of(struct net *net)
{
    __u32 inum = net->ns.inum;

    return inum >= VT_NAMESPACE_FIRST ? inum : 0;
}

/* In a queue of UDP, and in one that is a tree, something else is in its place. */
static __always_inline struct net_device *device_of(struct sk_buff *skb)
{
    struct net_device *device = skb->dev;

    /* A jump, which the compiler would make arithmetic of that the verifier does not take. */
    asm volatile("if %0 s< 0 goto +1\n%0 = 0" : "+r"(device));
    return device;
}

/* The route's, where the packet has no device any more. */
static __always_inline __u32 namespace_of_route(struct sk_buff *skb)
{
    struct dst_entry *route = (void *)(skb->_skb_refdst & VT_DST_POINTER);
    __u32 inum;

    if (!route)
        return 0;
    inum = BPF_CORE_READ(route, dev, nd_net.net, ns.inum);
    return inum >= VT_NAMESPACE_FIRST ? inum : 0;
}

static __always_inline __u64 socket_cgroup_id(struct sock *sk)
{
    struct cgroup *cgroup;

    /* One of the kernel's own is in the cgroup of whom it was made for, if of any. */
    if (BPF_CORE_READ_BITFIELD(sk, sk_kern_sock))
        return 0;
    if (bpf_core_field_exists(struct sock_cgroup_data___since_5_15, cgroup)) {
        cgroup = ((struct sock___since_5_15 *)sk)->sk_cgrp_data.cgroup;
        return cgroup ? cgroup->kn->id : 0;
    }
    return BPF_CORE_READ(socket_cgroup(sk), kn, id);
}

/* In the IP header: not of a socket that tells, as that takes longer than all else that is read. */
static __always_inline __u8 ip_protocol(struct sk_buff *skb, __u16 ether)
{
    __u16 at = skb->network_header;
    __u8 protocol;

    if ((ether != VT_ETH_P_IP && ether != VT_ETH_P_IPV6) || at == VT_NO_HEADER)
        return 0;
    at += ether == VT_ETH_P_IP ? VT_PROTOCOL_OF_IP : VT_PROTOCOL_OF_IPV6;
    return bpf_probe_read_kernel(&protocol, sizeof(protocol), skb->head + at) ? 0 : protocol;
}

/* A key by words: one that is read by words as soon as it is written by its fields has to wait for them. */
union drop_key {
    struct vt_drop_key of;
    __u64 words[VT_DROP_WORDS];
};

/*
 * Multilinear: the upper bits of the sum depend on all of the key. Both halves of a factor spread small numbers, as both
 * halves of a word have such.
 */
static __always_inline __u32 near_place(const union drop_key *key, __u32 cpu)
{
    __u64 sum = key->words[0] * 0x9e3779b97f4a7c15ULL + key->words[1] * 0xc2b2ae3d27d4eb4fULL +
                key->words[2] * 0x165667b1c2b2ae35ULL + key->words[3] * 0x85ebca779e3779b9ULL;

    return cpu << VT_DROP_NEAR_BITS | sum >> (64 - VT_DROP_NEAR_BITS);
}

static __always_inline bool is_of(const struct vt_drop_kind *kind, const union drop_key *key)
{
    const union drop_key *its = (const void *)&kind->key;

    return its->words[0] == key->words[0] && its->words[1] == key->words[1] &&
           its->words[2] == key->words[2] && its->words[3] == key->words[3];
}

/* 0 if none is free. */
static __noinline __u32 take_slot(struct vt_drop_key *key, struct sk_buff *skb)
{
    __u32 slot, *taken = bpf_map_lookup_elem(&drop_slots, key);
    struct net_device *device;
    struct vt_drop_kind *kind;

    if (taken)
        return *taken;
    if (bpf_map_pop_elem(&drop_free_slots, &slot))
        return 0;
    kind = bpf_map_lookup_elem(&drop_kinds, &slot);
    if (!kind)
        return 0;
    kind->key = *key;
    kind->taken = 1;
    device = BPF_CORE_READ(skb, dev);
    if (key->ifindex && (__s64)device < 0 && (__u32)BPF_CORE_READ(device, ifindex) == key->ifindex)
        BPF_CORE_READ_INTO(&kind->device, device, name);
    if (!bpf_map_update_elem(&drop_slots, key, &slot, BPF_NOEXIST))
        return slot;
    /* Another CPU, or an interrupt, was faster. */
    kind->taken = 0;
    __builtin_memset(kind->device, 0, sizeof(kind->device));
    bpf_map_push_elem(&drop_free_slots, &slot, 0);
    taken = bpf_map_lookup_elem(&drop_slots, key);
    return taken ? *taken : 0;
}

static __always_inline __u32 slot_of(union drop_key *key, struct sk_buff *skb, __u32 cpu)
{
    __u32 place = near_place(key, cpu), slot, changes = *(volatile __u32 *)&drop_changes;
    __u64 *near = bpf_map_lookup_elem(&drop_near, &place), there;
    struct vt_drop_kind *kind;

    if (!near)
        return 0;
    there = *(volatile __u64 *)near; /* once: an interrupt may write it */
    slot = there;
    if (there >> 32 == changes) {
        kind = bpf_map_lookup_elem(&drop_kinds, &slot);
        if (kind && is_of(kind, key))
            return slot;
    }
    slot = take_slot(&key->of, skb);
    /* What found no slot is looked up anew each time. */
    if (slot)
        *near = (__u64)changes << 32 | slot;
    return slot;
}

static __always_inline void count(union drop_key *key, struct sk_buff *skb)
{
    __u32 cpu = bpf_get_smp_processor_id();
    __u32 place = cpu * drop_slots_per_cpu + slot_of(key, skb, cpu);
    struct vt_drop_count *counts = bpf_map_lookup_elem(&drop_counts, &place);

    if (!counts)
        return;
    /* Atomic: an interrupt may drop one meanwhile. */
    __sync_fetch_and_add(&counts->packets, 1);
    __sync_fetch_and_add(&counts->bytes, skb->len);
}

SEC("tp_btf/kfree_skb")
int drop_packet(__u64 *ctx)
{
    struct sk_buff *skb = (void *)ctx[0];
    __u64 cgroup_id = 0, location = ctx[1];
    __u32 netns, reason = 0, ifindex = 0;
    struct net_device *device;
    struct sock *sk = NULL;
    __u8 protocol = 0, state = 0;
    union drop_key key;
    __u16 ether;

    if (drop_arguments > 2) {
        reason = ctx[2];
        if (reason ? reason == drop_consumed : drop_not_yet)
            return 0;
    }
    if (drop_arguments > 3)
        sk = (void *)ctx[3];
    if (!sk)
        sk = skb->sk;
    ether = bpf_ntohs(skb->protocol);
    device = device_of(skb);
    if (sk) {
        __u16 family = sk->__sk_common.skc_family;

        /* A message of AF_UNIX or netlink is no packet. */
        if (!ether && !device && family != VT_AF_INET && family != VT_AF_INET6)
            return 0;
        state = sk->__sk_common.skc_state;
        if (state == BPF_TCP_NEW_SYN_RECV) {
            cgroup_id = BPF_CORE_READ(socket_cgroup(sk), kn, id);
        } else if (state != BPF_TCP_TIME_WAIT) {
            __u16 its = sk->sk_protocol;

            cgroup_id = socket_cgroup_id(sk);
            if (its == VT_IPPROTO_TCP || its == VT_IPPROTO_UDP)
                protocol = its;
            /* What TCP has received may have been in a tree: see device_of(). */
            if (skb->skb_iif && its == VT_IPPROTO_TCP) {
                device = NULL;
                ifindex = skb->skb_iif;
            }
        }
    } else if (!ether && !device) {
        return 0;
    }
    if (!protocol)
        protocol = ip_protocol(skb, ether);
    if (protocol != VT_IPPROTO_TCP)
        state = 0;
    if (device) {
        netns = namespace_of(device->nd_net.net);
        ifindex = netns ? device->ifindex : 0;
    } else if (sk) {
        netns = namespace_of(sk->__sk_common.skc_net.net);
    } else {
        netns = namespace_of_route(skb);
        ifindex = netns ? skb->skb_iif : 0;
    }
    key.words[0] = cgroup_id;
    key.words[1] = location;
    key.words[2] = (__u64)reason << 32 | netns;
    key.words[3] = (__u64)state << 56 | (__u64)protocol << 48 | (__u64)ether << 32 | ifindex;
    count(&key, skb);
    return 0;
}
