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

bool drop_full = false;     /* no room for another key; vtrace takes it back */
__u64 drop_other = 0;       /* packets that found no room of their own */
__u64 drop_other_bytes = 0; /* and their bytes */

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __uint(max_entries, 1);
    __type(key, struct vt_drop_key);
    __type(value, struct vt_drop_count);
} drop_counts SEC(".maps");

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

/* In the IP header. That takes as long as all else but the map: not of a socket that tells. */
static __always_inline __u8 ip_protocol(struct sk_buff *skb, __u16 ether)
{
    __u16 at = skb->network_header;
    __u8 protocol;

    if ((ether != VT_ETH_P_IP && ether != VT_ETH_P_IPV6) || at == VT_NO_HEADER)
        return 0;
    at += ether == VT_ETH_P_IP ? VT_PROTOCOL_OF_IP : VT_PROTOCOL_OF_IPV6;
    return bpf_probe_read_kernel(&protocol, sizeof(protocol), skb->head + at) ? 0 : protocol;
}

static __noinline int count_new(struct vt_drop_key *key, struct sk_buff *skb, __u32 bytes)
{
    struct vt_drop_count first = {.packets = 1, .bytes = bytes}, *count;
    struct net_device *device;

    if (!key || !skb)
        return 0;
    device = BPF_CORE_READ(skb, dev);
    if (key->ifindex && (__s64)device < 0 && (__u32)BPF_CORE_READ(device, ifindex) == key->ifindex)
        BPF_CORE_READ_INTO(&first.device, device, name);
    if (!drop_full) {
        if (!bpf_map_update_elem(&drop_counts, key, &first, BPF_NOEXIST))
            return 0;
        count = bpf_map_lookup_elem(&drop_counts, key); /* another CPU was faster */
        if (count) {
            __sync_fetch_and_add(&count->packets, 1);
            __sync_fetch_and_add(&count->bytes, bytes);
            return 0;
        }
        drop_full = true;
    }
    __sync_fetch_and_add(&drop_other, 1);
    __sync_fetch_and_add(&drop_other_bytes, bytes);
    return 0;
}

SEC("tp_btf/kfree_skb")
int drop_packet(__u64 *ctx)
{
    struct sk_buff *skb = (void *)ctx[0];
    struct vt_drop_key key = {.location = ctx[1]};
    struct net_device *device;
    struct vt_drop_count *count;
    struct sock *sk = NULL;
    __u8 state = 0;

    if (drop_arguments > 2) {
        key.reason = ctx[2];
        if (key.reason ? key.reason == drop_consumed : drop_not_yet)
            return 0;
    }
    if (drop_arguments > 3)
        sk = (void *)ctx[3];
    if (!sk)
        sk = skb->sk;
    key.ether = bpf_ntohs(skb->protocol);
    device = device_of(skb);
    if (sk) {
        __u16 family = sk->__sk_common.skc_family;

        /* A message of AF_UNIX or netlink is no packet. */
        if (!key.ether && !device && family != VT_AF_INET && family != VT_AF_INET6)
            return 0;
        state = sk->__sk_common.skc_state;
        if (state == BPF_TCP_NEW_SYN_RECV) {
            key.cgroup_id = BPF_CORE_READ(socket_cgroup(sk), kn, id);
        } else if (state != BPF_TCP_TIME_WAIT) {
            __u16 protocol = sk->sk_protocol;

            key.cgroup_id = socket_cgroup_id(sk);
            if (protocol == VT_IPPROTO_TCP || protocol == VT_IPPROTO_UDP)
                key.protocol = protocol;
            /* What TCP has received may have been in a tree: see device_of(). */
            if (skb->skb_iif && protocol == VT_IPPROTO_TCP) {
                device = NULL;
                key.ifindex = skb->skb_iif;
            }
        }
    } else if (!key.ether && !device) {
        return 0;
    }
    if (!key.protocol)
        key.protocol = ip_protocol(skb, key.ether);
    if (key.protocol == VT_IPPROTO_TCP)
        key.tcp_state = state;
    if (device) {
        key.netns = namespace_of(device->nd_net.net);
        key.ifindex = key.netns ? device->ifindex : 0;
    } else if (sk) {
        key.netns = namespace_of(sk->__sk_common.skc_net.net);
    } else {
        key.netns = namespace_of_route(skb);
        key.ifindex = key.netns ? skb->skb_iif : 0;
    }
    count = bpf_map_lookup_elem(&drop_counts, &key);
    if (!count)
        return count_new(&key, skb, skb->len);
    /* Atomic: an interrupt may drop one meanwhile. */
    __sync_fetch_and_add(&count->packets, 1);
    __sync_fetch_and_add(&count->bytes, skb->len);
    return 0;
}
