/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where packets wait on a host: how long they are in the queues of devices and in their drivers, the path that they take
 * from device to device, and NAPI polls that were late, or that their budget was too small for. Bytes and packets are the
 * devices' own counters.
 *
 * The network stack runs all of this with softirqs off, so that state of a CPU needs no atomics; but who takes packets
 * from a tap lets go of them with softirqs on.
 */
#include "common/hist_add.bpf.h"
#include "common/kernel.bpf.h"
#include "common/softirq.bpf.h"
#include "vtrace/netq.h"

extern struct vt_softirq_cpus softirq_cpus SEC(".maps");

const volatile __u32 netq_cpus = 1; /* possible ones */

__u32 netq_epoch = 1;   /* counts reports */
__u32 netq_changes = 1; /* counts reports that took slots back */
__u64 netq_clock_anomaly = 0;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1 << VT_NETQ_QUEUED_BITS);
    __type(key, __u32);
    __type(value, struct vt_netq_queued_place);
} netq_queued SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1 << VT_NETQ_PACKETS_BITS);
    __type(key, __u32);
    __type(value, struct vt_netq_packet_place);
} netq_packets SEC(".maps");

struct vt_netq_device_key {
    __u64 device;
    __u64 cpu;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct vt_netq_device_key);
    __type(value, __u32);
} netq_device_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct vt_netq_hop_key);
    __type(value, __u32);
} netq_hop_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1);
    __type(value, __u32);
} netq_free_devices SEC(".maps"), netq_free_hops SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_netq_device);
} netq_devices SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_netq_hop);
} netq_hops SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_netq_known);
} netq_known SEC(".maps");

static __always_inline struct vt_netq_known *known_here(void)
{
    __u32 zero = 0;

    return bpf_map_lookup_elem(&netq_known, &zero);
}

/* Fibonacci's: the upper bits of the product depend on all of the value. */
static __always_inline __u32 place_of(__u64 value)
{
    return (value * 0x9e3779b97f4a7c15ULL >> 56) & (VT_NETQ_CACHE - 1);
}

/* Of the lower half of an address, which differs in all of its bits but the lowest: the finalizer of MurmurHash3. */
static __always_inline __u32 place_of_address(__u32 low, __u32 bits)
{
    low ^= low >> 16;
    low *= 0x85ebca6bU;
    low ^= low >> 13;
    low *= 0xc2b2ae35U;
    return low >> (32 - bits);
}

/* The verifier lets half of a pointer go as a number. */
static __always_inline __u32 place_of_skb(struct sk_buff *skb, __u32 bits)
{
    __u32 low;

    asm volatile("%0 = %1" : "=w"(low) : "w"((__u32)(__u64)skb));
    return place_of_address(low, bits);
}

static __always_inline __u64 number_of(struct net_device *device)
{
    return (__u64)device->nd_net.net->ns.inum << 32 | (__u32)device->ifindex;
}

/* ---- devices ---- */

static __noinline __u32 take_device(struct net_device *device, __u64 number)
{
    struct vt_netq_device_key key = {.device = number, .cpu = bpf_get_smp_processor_id()};
    __u32 slot, *taken = bpf_map_lookup_elem(&netq_device_slots, &key);
    struct vt_netq_device *own;

    if (taken)
        return *taken;
    if (bpf_map_pop_elem(&netq_free_devices, &slot))
        return key.cpu;
    own = bpf_map_lookup_elem(&netq_devices, &slot);
    if (!own)
        return key.cpu;
    own->device = number;
    own->cpu = key.cpu;
    own->taken = 1;
    if (device)
        bpf_probe_read_kernel_str(own->name, sizeof(own->name), (void *)device->name);
    if (!bpf_map_update_elem(&netq_device_slots, &key, &slot, BPF_NOEXIST))
        return slot;
    /* A softirq came in between, and was faster. */
    own->taken = 0;
    bpf_map_push_elem(&netq_free_devices, &slot, 0);
    taken = bpf_map_lookup_elem(&netq_device_slots, &key);
    return taken ? *taken : key.cpu;
}

/* `device` may be NULL: then it has no name. */
static __always_inline __u32 device_slot(struct net_device *device, __u64 number)
{
    struct vt_netq_known *known = known_here();
    __u32 changes = netq_changes, slot;
    struct vt_netq_known_device *last;

    if (!known)
        return bpf_get_smp_processor_id();
    last = &known->devices[place_of(number)];
    slot = last->slot;
    if (last->changes != changes || last->device != number) {
        slot = take_device(device, number);
        /* Whatever comes in between finds none or all of it. */
        last->changes = 0;
        barrier();
        last->slot = slot;
        last->device = number;
        barrier();
        /* What found no slot is looked up anew each time. */
        last->changes = slot < netq_cpus ? 0 : changes;
    }
    return slot;
}

static __always_inline struct vt_netq_device *own_device(struct net_device *device, __u64 number)
{
    __u32 slot = device_slot(device, number);

    return bpf_map_lookup_elem(&netq_devices, &slot);
}

/* ---- queues ---- */

#define VT_LINK_HEADER 64 /* more than the header of a link takes */

/*
 * These cut a large packet up, and let go of it: when the kernel tells of it its memory may be another's. What is cut up
 * is not timed.
 */
static __always_inline bool may_be_cut(struct Qdisc *qdisc, struct net_device *device,
                                       struct sk_buff *skb)
{
    const char *id = qdisc->ops->id;
    bool cuts = id[0] == 't' ? id[1] == 'b' && id[2] == 'f' : id[0] == 'c' && id[1] == 'a';

    return cuts && skb->len > device->mtu + VT_LINK_HEADER; /* of tbf and of cake */
}

/* The packet in its place; NULL if it is not there. */
static __always_inline struct vt_netq_queued *find_queued(struct vt_netq_queued_place *place,
                                                          __u64 skb)
{
    int i;

#pragma unroll
    for (i = 0; i < VT_NETQ_WAYS; i++) {
        if (place->packets[i].skb == skb)
            return &place->packets[i];
    }
    return NULL;
}

static __always_inline int enqueue(struct sk_buff *skb)
{
    __u32 at = place_of_skb(skb, VT_NETQ_QUEUED_BITS);
    struct vt_netq_queued_place *place = bpf_map_lookup_elem(&netq_queued, &at);
    struct vt_netq_queued *packet;

    if (!place)
        return 0;
    packet = find_queued(place, (__u64)skb);
    if (!packet)
        packet = find_queued(place, 0);
    if (!packet)
        packet = &place->packets[0];
    packet->time = bpf_ktime_get_ns();
    packet->skb = (__u64)skb;
    return 0;
}

/* Since 5.15. */
SEC("tp_btf/qdisc_enqueue")
int BPF_PROG(netq_enqueue, struct Qdisc *qdisc, struct netdev_queue *txq, struct sk_buff *skb)
{
    return may_be_cut(qdisc, txq->dev, skb) ? 0 : enqueue(skb);
}

/* Before: each packet to a device with a queue, also those that go past it. */
SEC("tp_btf/net_dev_queue")
int BPF_PROG(netq_come, struct sk_buff *skb)
{
    struct net_device *device = skb->dev;

    if (!device->qdisc->enqueue || may_be_cut(device->qdisc, device, skb))
        return 0;
    return enqueue(skb);
}

/* `skb` by its address. A function of its own to the verifier, which takes it once and not for each of a list. */
__noinline int netq_leave(__u64 skb, __u32 slot, __u64 now)
{
    __u32 at = place_of_address(skb, VT_NETQ_QUEUED_BITS);
    struct vt_netq_queued_place *place = bpf_map_lookup_elem(&netq_queued, &at);
    struct vt_netq_device *own = bpf_map_lookup_elem(&netq_devices, &slot);
    struct vt_netq_queued *packet;

    if (!own || !place)
        return 0;
    packet = find_queued(place, skb);
    if (!packet) {
        own->not_timed++;
        return 0;
    }
    packet->skb = 0;
    if (now < packet->time)
        __sync_fetch_and_add(&netq_clock_anomaly, 1);
    else
        hist_add_in(&own->wait, now - packet->time, 0, netq_epoch);
    return 0;
}

/* As a number: the verifier takes no arithmetic on a pointer of the kernel's but this. */
static __always_inline __u64 address_of(struct sk_buff *skb)
{
    __u64 at = (__u64)skb;

    asm volatile("%0 = -%0; %0 = -%0" : "+r"(at));
    return at;
}

/* Of several at once, which are a list, the first; those that are too many for here are not timed. */
SEC("tp_btf/qdisc_dequeue")
int BPF_PROG(netq_dequeue, struct Qdisc *qdisc, struct netdev_queue *txq, int packets,
             struct sk_buff *skb)
{
    struct vt_netq_device *own;
    __u32 slot;
    __u64 now;
    int i;

    if (!skb)
        return 0; /* the queue was asked, and has none */
    slot = device_slot(txq->dev, number_of(txq->dev));
    now = bpf_ktime_get_ns();
    netq_leave(address_of(skb), slot, now);
    for (i = 1; i < VT_NETQ_AT_ONCE; i++) {
        if (i >= packets)
            return 0;
        skb = skb->next;
        netq_leave(address_of(skb), slot, now);
    }
    own = bpf_map_lookup_elem(&netq_devices, &slot);
    if (own && packets > VT_NETQ_AT_ONCE)
        own->not_timed += packets - VT_NETQ_AT_ONCE;
    return 0;
}

/* ---- paths ---- */

static __noinline __u32 take_hop(struct vt_netq_hop_key *key, struct net_device *device)
{
    __u32 slot, *taken;
    struct vt_netq_hop *own;

    if (!key || !device)
        return 0;
    taken = bpf_map_lookup_elem(&netq_hop_slots, key);
    if (taken)
        return *taken;
    if (bpf_map_pop_elem(&netq_free_hops, &slot))
        return key->cpu;
    own = bpf_map_lookup_elem(&netq_hops, &slot);
    if (!own)
        return key->cpu;
    own->key = *key;
    bpf_probe_read_kernel_str(own->name, sizeof(own->name), (void *)device->name);
    if (!bpf_map_update_elem(&netq_hop_slots, key, &slot, BPF_NOEXIST))
        return slot;
    own->key.to_point = 0;
    bpf_map_push_elem(&netq_free_hops, &slot, 0);
    taken = bpf_map_lookup_elem(&netq_hop_slots, key);
    return taken ? *taken : key->cpu;
}

static __always_inline __u32 points_of(const struct vt_netq_hop_key *key)
{
    return (__u32)key->from_point << 2 | key->to_point;
}

static __always_inline __u32 hop_slot(struct vt_netq_hop_key *key, struct net_device *device)
{
    struct vt_netq_known *known = known_here();
    __u32 changes = netq_changes;
    struct vt_netq_known_hop *last;

    if (!known)
        return 0;
    last = &known->hops[place_of(key->from * 31 + key->to + points_of(key))];
    if (last->changes == changes && last->key.from == key->from && last->key.to == key->to &&
        points_of(&last->key) == points_of(key))
        return last->slot;
    key->cpu = bpf_get_smp_processor_id();
    last->slot = take_hop(key, device);
    last->key = *key;
    last->changes = last->slot < netq_cpus ? 0 : changes;
    return last->slot;
}

static __noinline void put_out(__u64 device)
{
    struct vt_netq_device *own = own_device(NULL, device);

    if (own)
        own->put_out++;
}

/* The packet in its place, or else where it may be put: one that is empty, or the older one. */
static __always_inline struct vt_netq_packet *place_for(struct vt_netq_packet_place *place,
                                                        __u64 skb)
{
    struct vt_netq_packet *first = &place->packets[0], *second = &place->packets[1];

    if (first->skb == skb)
        return first;
    if (second->skb == skb || !second->skb)
        return second;
    return first->skb && second->time < first->time ? second : first;
}

static __always_inline int pass(struct sk_buff *skb, struct net_device *device, __u32 point)
{
    struct vt_netq_hop_key key = {.to = number_of(device), .to_point = point};
    __u32 at = place_of_skb(skb, VT_NETQ_PACKETS_BITS), before, slot;
    struct vt_netq_packet_place *place = bpf_map_lookup_elem(&netq_packets, &at);
    __u64 now = bpf_ktime_get_ns(), ns = 0;
    struct vt_netq_packet *packet;
    struct vt_netq_hop *hop;

    if (!place)
        return 0;
    packet = place_for(place, (__u64)skb);
    before = packet->point;
    if (packet->skb != (__u64)skb) {
        if (packet->skb && before == VT_NETQ_SENT)
            put_out(packet->device);
    } else if (before == point && packet->device == key.to) {
        return 0; /* the driver was busy, and is given it again */
    } else if (before == VT_NETQ_SENT || (skb->skb_iif && packet->device >> 32 == key.to >> 32)) {
        /*
         * What a socket has received is let go without a word, and its struct sk_buff is used again. The kernel notes in
         * each, and in its clones, what it came in by (skb_iif), and forgets that as it gives it to another namespace.
         */
        key.from = packet->device;
        key.from_point = before;
        ns = now - packet->time;
    }
    /* Another CPU may come to the same place: it finds none, or all of it. */
    packet->skb = 0;
    barrier();
    packet->time = now;
    packet->device = key.to;
    packet->point = point;
    barrier();
    packet->skb = (__u64)skb;
    if ((__s64)ns < 0) {
        __sync_fetch_and_add(&netq_clock_anomaly, 1);
        ns = 0;
    }
    slot = hop_slot(&key, device);
    hop = bpf_map_lookup_elem(&netq_hops, &slot);
    if (hop)
        hist_add_in(&hop->time, ns, 0, netq_epoch);
    return 0;
}

SEC("tp_btf/net_dev_start_xmit")
int BPF_PROG(netq_sent, struct sk_buff *skb, struct net_device *device)
{
    return pass(skb, device, VT_NETQ_SENT);
}

SEC("tp_btf/netif_receive_skb")
int BPF_PROG(netq_received, struct sk_buff *skb)
{
    return pass(skb, skb->dev, VT_NETQ_RECEIVED);
}

/* The end of a path. A driver that lets go of a packet has sent it. */
static __always_inline int ends(struct sk_buff *skb, bool sent)
{
    __u32 at = place_of_skb(skb, VT_NETQ_PACKETS_BITS), in_queue;
    struct vt_netq_packet_place *place = bpf_map_lookup_elem(&netq_packets, &at);
    struct vt_netq_queued_place *queue;
    struct vt_netq_queued *queued;
    struct vt_netq_packet *packet;
    struct vt_netq_device *own;
    __u64 now;

    if (!sent) {
        in_queue = place_of_skb(skb, VT_NETQ_QUEUED_BITS);
        queue = bpf_map_lookup_elem(&netq_queued, &in_queue);
        queued = queue ? find_queued(queue, (__u64)skb) : NULL;
        if (queued)
            queued->skb = 0; /* dropped by its queue */
    }
    if (!place)
        return 0;
    packet = place_for(place, (__u64)skb);
    if (packet->skb != (__u64)skb)
        return 0;
    packet->skb = 0;
    if (!sent || packet->point != VT_NETQ_SENT)
        return 0;
    own = own_device(NULL, packet->device);
    if (!own)
        return 0;
    now = bpf_ktime_get_ns();
    if (now < packet->time)
        __sync_fetch_and_add(&netq_clock_anomaly, 1);
    else
        hist_add_shared(&own->sent, now - packet->time, netq_epoch);
    return 0;
}

/* (skb, …) of both. */
SEC("raw_tp/consume_skb")
int netq_consumed(struct bpf_raw_tracepoint_args *args)
{
    return ends((void *)args->args[0], true);
}

SEC("raw_tp/kfree_skb")
int netq_dropped(struct bpf_raw_tracepoint_args *args)
{
    return ends((void *)args->args[0], false);
}

/* ---- NAPI ---- */

SEC("tp_btf/napi_poll")
int BPF_PROG(netq_napi_poll, struct napi_struct *napi, int work, int budget)
{
    struct net_device *device = napi->dev;
    __u32 cpu = bpf_get_smp_processor_id();
    struct vt_softirq *packets;
    struct vt_softirq_cpu *softirqs;
    struct vt_netq_device *own;

    /* Without: the backlog of a CPU, of loopback, veth and RPS. */
    own = own_device(device, device ? number_of(device) : 0);
    if (!own)
        return 0;
    own->polls++;
    own->exhausted += budget && work >= budget;
    softirqs = bpf_map_lookup_elem(&softirq_cpus, &cpu);
    if (!softirqs)
        return 0;
    packets = &softirqs->softirqs[VT_NET_RX];
    if (packets->start && packets->late)
        hist_add_in(&own->late, packets->late, 0, netq_epoch);
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
