/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TCP: connections, round trips, segments sent again and sessions, by whose socket and with whom.
 *
 * The kernel counts bytes, segments and round trips in each socket by itself: they are read when a session begins
 * and ends, and by an iterator at each report. Only round trips take a program on each segment received.
 *
 * Fields are loaded directly where the kernel tells what a pointer is to (tp_btf): a helper for each takes longer than
 * all else but the maps.
 */
#include "common/cgroup.bpf.h"
#include "common/hist_add.bpf.h"
#include "common/kernel.bpf.h"
#include "common/socket.bpf.h"
#include "vtrace/tcp.h"

#include <bpf/bpf_endian.h>

#define TCP_IPPROTO 6
#define TCP_AF_INET 2
#define TCP_AF_INET6 10
#define TCP_SOCK_DONE 1  /* enum sock_flags: its peer has sent a FIN */
#define TCP_RECOVERY 3   /* enum tcp_ca_state */
#define TCP_LOSS 4       /* likewise */
#define TCP_LOSS_PROBE 5 /* ICSK_TIME_LOSS_PROBE */
#define TCP_FIN 0x01

const volatile bool tcp_first_bytes = false;
const volatile bool tcp_round_trips = false;
const volatile bool tcp_retransmits = false;
const volatile bool tcp_sessions = false;
const volatile __u64 tcp_slower_ns =
    0; /* sessions that last at least that long are shown one by one; 0: none */
const volatile __u32 tcp_cpus = 1; /* of the table of round trips */

/* What tells peers apart: zero bits are left out. In network order, as addresses are. */
const volatile struct vt_address tcp_remote_mask4 = {};
const volatile struct vt_address tcp_remote_mask6 = {};
const volatile struct vt_address tcp_local_mask4 = {};
const volatile struct vt_address tcp_local_mask6 = {};
const volatile bool tcp_by_port = false;

__u32 tcp_epoch = 1; /* counts reports */
__u64 tcp_map_full = 0;
__u64 tcp_clock_anomaly = 0;
__u64 tcp_sockets_lost = 0; /* no room for them */
__u64 tcp_missed_start = 0; /* ends of what was not seen to begin */
__u64 tcp_ring_dropped = 0;
__u64 tcp_unseen = 0; /* ends of sockets: seen by what came after */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, __u64); /* struct sock * */
    __type(value, struct vt_tcp_socket);
} tcp_sockets SEC(".maps");

/* Before tcp_sockets, the lookup in which takes longer than all else that is done for a segment: vt_tcp_near(). */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32); /* vt_tcp_near_place() */
    __type(value, __u64);
} tcp_near SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct vt_tcp_key);
    __type(value, __u32);
} tcp_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1);
    __type(value, __u32);
} tcp_free_slots SEC(".maps");

/* Of those that have no place for their peer. */
struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 1);
    __type(value, __u32);
} tcp_spare_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_tcp_key);
} tcp_keys SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_tcp_stat);
} tcp_stats SEC(".maps");

/* VT_TCP_HISTS of each slot. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_hist);
} tcp_hists SEC(".maps");

/* One of each slot and CPU. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_hist);
} tcp_rtts SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct vt_tcp_retransmits);
} tcp_again SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} tcp_ended SEC(".maps");

/* ---- whose, and with whom ---- */

static __always_inline void put_v4(struct vt_address *to, __u32 v4)
{
    to->half[0] = 0;
    to->half[1] =
        (__u64)v4 << 32 | 0xffff0000; /* ::ffff:a.b.c.d, as a little-endian CPU reads it */
}

/* Of any form of a socket: all begin with these. */
static __always_inline void load_addresses(struct sock_common *sk, struct vt_address *remote,
                                           struct vt_address *local)
{
    struct sock_common___with_ipv6 *with_ipv6 = (void *)sk;

    if (sk->skc_family == TCP_AF_INET6 && bpf_core_field_exists(with_ipv6->skc_v6_daddr)) {
        __builtin_memcpy(remote, &with_ipv6->skc_v6_daddr, sizeof(*remote));
        __builtin_memcpy(local, &with_ipv6->skc_v6_rcv_saddr, sizeof(*local));
        return;
    }
    put_v4(remote, sk->skc_daddr);
    put_v4(local, sk->skc_rcv_saddr);
}

static __always_inline bool is_v4(const struct vt_address *address)
{
    return !address->half[0] && (__u32)address->half[1] == 0xffff0000;
}

static __always_inline void cut(struct vt_address *address, const volatile struct vt_address *mask4,
                                const volatile struct vt_address *mask6)
{
    if (is_v4(address))
        mask6 = mask4;
    address->half[0] &= mask6->half[0];
    address->half[1] &= mask6->half[1];
}

static const struct vt_tcp_key no_key = {};

static __always_inline __u32 new_slot(void *free_slots, struct vt_tcp_key *key)
{
    __u32 slot, *known;

    if (bpf_map_pop_elem(free_slots, &slot))
        return VT_TCP_SLOT_OTHER;
    bpf_map_update_elem(&tcp_keys, &slot, key, BPF_ANY);
    if (!bpf_map_update_elem(&tcp_slots, key, &slot, BPF_NOEXIST))
        return slot;
    bpf_map_update_elem(&tcp_keys, &slot, &no_key, BPF_ANY);
    bpf_map_push_elem(free_slots, &slot, 0);
    known = bpf_map_lookup_elem(&tcp_slots, key);
    return known ? *known : VT_TCP_SLOT_OTHER;
}

/* Where there is none left for a peer, those of its cgroup share one: of the key their part is left. */
static __noinline __u32 take_slot(struct vt_tcp_key *key)
{
    __u32 slot, *known = bpf_map_lookup_elem(&tcp_slots, key);

    if (known)
        return *known;
    slot = new_slot(&tcp_free_slots, key);
    if (slot != VT_TCP_SLOT_OTHER)
        return slot;
    __sync_fetch_and_add(&tcp_map_full, 1);
    __builtin_memset(&key->remote, 0, sizeof(key->remote));
    __builtin_memset(&key->local, 0, sizeof(key->local));
    key->port = 0;
    key->no_peer = 1;
    known = bpf_map_lookup_elem(&tcp_slots, key);
    return known ? *known : new_slot(&tcp_spare_slots, key);
}

static __always_inline bool is_selected(struct cgroup *cgroup)
{
    return !cgroup_target || (cgroup && cgroup_selected(cgroup));
}

static __always_inline __u32 slot_of(struct sock_common *sk, __u64 cgroup_id, __u32 side)
{
    struct vt_tcp_key key = {.cgroup_id = cgroup_id, .side = side, .used = 1};

    load_addresses(sk, &key.remote, &key.local);
    cut(&key.remote, &tcp_remote_mask4, &tcp_remote_mask6);
    cut(&key.local, &tcp_local_mask4, &tcp_local_mask6);
    if (tcp_by_port && side != VT_TCP_SIDE_UNKNOWN)
        key.port = side == VT_TCP_OUT ? bpf_ntohs(sk->skc_dport) : sk->skc_num;
    return take_slot(&key);
}

/* False if the socket was not asked for. */
static __always_inline bool find_slot(struct sock *sk, __u32 side, __u32 *slot)
{
    struct cgroup *cgroup = given_socket_cgroup(sk);

    if (!is_selected(cgroup))
        return false;
    *slot = slot_of(&sk->__sk_common, given_cgroup_id(cgroup), side);
    return true;
}

/* Of what is no full socket, or not known to be one. */
static __always_inline bool find_slot_of_any(struct sock_common *sk, __u32 side, __u32 *slot)
{
    struct cgroup *cgroup = socket_cgroup((void *)sk);

    if (!is_selected(cgroup))
        return false;
    *slot = slot_of(sk, cgroup ? cgroup_id(cgroup) : 0, side);
    return true;
}

/* ---- what the kernel counts of a socket ---- */

/* `given` is constant: the kernel told of the pointer, and a field is loaded directly. */
#define READ(given, from, field) ((given) ? (from)->field : BPF_CORE_READ(from, field))

/* One that has told its peer that it has nothing more to say. */
static __always_inline bool has_sent_fin(struct tcp_sock *tcp, bool given)
{
    __u32 state = READ(given, (struct sock_common *)tcp, skc_state);

    return (state == BPF_TCP_FIN_WAIT1 || state == BPF_TCP_FIN_WAIT2 || state == BPF_TCP_CLOSING ||
            state == BPF_TCP_LAST_ACK) &&
           READ(given, tcp, write_seq) == READ(given, tcp, snd_nxt);
}

/* Of sequence numbers used: one for each byte of payload, for a SYN of its own and for a FIN. (bytes_sent has what the
 * queue of this host refused and TCP keeps for later, each time.) While the socket is in use elsewhere it is less than
 * that for a moment, never more: by the order of reading, and by a difference that may be negative. */
static __always_inline __u64 sent_by(struct tcp_sock *tcp, __u32 side, bool given)
{
    __s64 acked = READ(given, tcp, bytes_acked);
    __u32 next = READ(given, tcp, snd_nxt);
    __s32 on_the_way = next - READ(given, tcp, snd_una);
    __s64 bytes = acked + on_the_way - (side == VT_TCP_OUT) - has_sent_fin(tcp, given);

    return bytes > 0 ? bytes : 0;
}

static __always_inline void read_volume(struct tcp_sock *tcp, __u32 side, bool given,
                                        struct vt_tcp_volume *volume)
{
    __u64 fin;

    volume->sent = sent_by(tcp, side, given);
    volume->received = READ(given, tcp, bytes_received);
    fin = READ(given, (struct sock_common *)tcp, skc_flags) >> TCP_SOCK_DONE &
          1; /* set after the FIN is counted */
    volume->received -= volume->received ? fin : 0;
    volume->segments_out = READ(given, tcp, segs_out);
    volume->segments_in = READ(given, tcp, segs_in);
    volume->retransmitted = READ(given, tcp, total_retrans);
}

static __always_inline void take_off(__u64 *count, __u64 before)
{
    *count = *count > before ? *count - before : 0;
}

static __always_inline void volume_since(struct vt_tcp_volume *volume,
                                         const struct vt_tcp_volume *before)
{
    take_off(&volume->sent, before->sent);
    take_off(&volume->received, before->received);
    take_off(&volume->segments_out, before->segments_out);
    take_off(&volume->segments_in, before->segments_in);
    take_off(&volume->retransmitted, before->retransmitted);
}

static __always_inline void add_to(__u64 *counter, __u64 value)
{
    if (value) /* of a constant 0 the compiler makes an atomic OR, which 5.10 does not know */
        __sync_fetch_and_add(counter, value);
}

static __always_inline void add_time(__u32 slot, enum vt_tcp_hist which, __u64 ns)
{
    __u32 at = slot * VT_TCP_HISTS + which;
    struct vt_hist *hist = bpf_map_lookup_elem(&tcp_hists, &at);

    if (hist)
        hist_add_shared(hist, ns, tcp_epoch);
}

/* False if time went backwards. */
static __always_inline bool add_since(__u32 slot, enum vt_tcp_hist which, __u64 start, __u64 now)
{
    if (now < start) {
        __sync_fetch_and_add(&tcp_clock_anomaly, 1);
        return false;
    }
    add_time(slot, which, now - start);
    return true;
}

/* ---- connections and sessions ---- */

/* As a number: the verifier does not take arithmetic on a pointer of the kernel's but this. */
static __always_inline __u64 address_of(struct sock *sk)
{
    __u64 at = (__u64)sk;

    asm volatile("%0 = -%0; %0 = -%0" : "+r"(at));
    return at;
}

static __always_inline __u64 *near_to(__u64 at)
{
    __u32 place = vt_tcp_near_place(at);

    return bpf_map_lookup_elem(&tcp_near, &place);
}

static __always_inline void forget_near(__u64 at)
{
    __u64 *near = tcp_round_trips ? near_to(at) : NULL;

    if (near && vt_tcp_is_near(*near, at))
        *near = 0;
}

/* One that is there still was another socket at that address: its end was not seen. */
static __always_inline void keep(struct sock *sk, struct vt_tcp_socket *state)
{
    __u64 at = address_of(sk);

    forget_near(at);
    if (!bpf_map_update_elem(&tcp_sockets, &at, state, BPF_NOEXIST))
        return;
    if (bpf_map_lookup_elem(&tcp_sockets, &at)) {
        __sync_fetch_and_add(&tcp_unseen, 1);
        state->replaces = 1;
    }
    if (bpf_map_update_elem(&tcp_sockets, &at, state, BPF_ANY))
        __sync_fetch_and_add(&tcp_sockets_lost, 1);
}

static __always_inline void forget(struct sock *sk)
{
    __u64 at = address_of(sk);

    forget_near(at);
    bpf_map_delete_elem(&tcp_sockets, &at);
}

/* Functions of their own from here on: 512 bytes of stack are for the longest chain of calls. */

/* In the task that connects. The socket counts from 0, even one that is used again: tcp_disconnect(). */
static __noinline void connects(struct sock *sk)
{
    struct vt_tcp_socket state = {.side = VT_TCP_OUT, .connecting = 1};

    if (!find_slot(sk, VT_TCP_OUT, &state.slot)) {
        forget(sk); /* another one, the end of which was not seen */
        return;
    }
    state.wants_byte = tcp_first_bytes;
    state.tgid = bpf_get_current_pid_tgid() >> 32;
    bpf_get_current_comm(state.comm, sizeof(state.comm));
    state.start = bpf_ktime_get_ns();
    keep(sk, &state);
}

static __always_inline bool needs_sessions(void)
{
    return tcp_sessions || tcp_retransmits || tcp_round_trips;
}

static __always_inline void connected(struct sock *sk, struct vt_tcp_socket *state)
{
    struct vt_tcp_stat *stat = bpf_map_lookup_elem(&tcp_stats, &state->slot);
    __u64 now = bpf_ktime_get_ns();

    if (!stat)
        return;
    __sync_fetch_and_add(&stat->connected, 1);
    add_since(state->slot, VT_TCP_CONNECT, state->start, now);
    state->connecting = 0;
    if (tcp_sessions)
        state->start = now;
    if (!needs_sessions() && !state->wants_byte)
        forget(sk);
}

/* Of the kernel's own measure, in the last step of the handshake; none of a SYN-ACK that was sent again. */
static __noinline void accepted(struct sock *sk)
{
    struct vt_tcp_socket state = {.side = VT_TCP_IN};
    struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
    struct vt_tcp_stat *stat;
    __u64 rtt;

    if (!find_slot(sk, VT_TCP_IN, &state.slot)) {
        forget(sk);
        return;
    }
    stat = bpf_map_lookup_elem(&tcp_stats, &state.slot);
    if (!stat || !tcp)
        return;
    __sync_fetch_and_add(&stat->accepted, 1);
    rtt = tcp->srtt_us;
    if (rtt)
        add_time(state.slot, VT_TCP_ACCEPT, rtt * 125); /* eighths of a microsecond */
    else
        __sync_fetch_and_add(&stat->untimed, 1);
    if (!needs_sessions())
        return;
    /* Its SYN-ACKs that were sent again are the listener's. */
    state.before.retransmitted = tcp->total_retrans;
    state.retransmitted = state.before.retransmitted;
    state.start = bpf_ktime_get_ns();
    keep(sk, &state);
}

/* Of one whose SYN was not seen. */
static __noinline void found_connected(struct sock *sk)
{
    struct vt_tcp_socket state = {.side = VT_TCP_OUT};
    struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

    if (!tcp || !find_slot(sk, VT_TCP_OUT, &state.slot))
        return;
    __sync_fetch_and_add(&tcp_missed_start, 1);
    if (!needs_sessions())
        return;
    read_volume(tcp, VT_TCP_OUT, true, &state.before);
    state.retransmitted = state.before.retransmitted;
    state.start = bpf_ktime_get_ns();
    keep(sk, &state);
}

static __always_inline __u32 cause_of(struct sock *sk, struct tcp_sock *tcp)
{
    switch (sk->sk_err) {
    case 0: return tcp->segs_out ? VT_TCP_CLOSED : VT_TCP_NOT_SENT;
    case 111: /* ECONNREFUSED */ return VT_TCP_REFUSED;
    case 110: /* ETIMEDOUT */ return VT_TCP_TIMED_OUT;
    case 104: /* ECONNRESET */ return VT_TCP_RESET;
    case 92:  /* ENOPROTOOPT: ICMP's answer of a host that knows no TCP */
    case 101: /* ENETUNREACH */
    case 112: /* EHOSTDOWN */
    case 113: /* EHOSTUNREACH */ return VT_TCP_UNREACHABLE;
    default: return VT_TCP_FAILED;
    }
}

/* Segments that did not get out of this host are known by their sum only, before 6.18. */
static __always_inline void count_again(struct vt_tcp_socket *state, __u32 total, __u32 kind,
                                        __u32 tcp_state)
{
    struct vt_tcp_retransmits *again = bpf_map_lookup_elem(&tcp_again, &state->slot);
    __u32 segments = total - state->retransmitted;

    if (!again || !segments || kind >= VT_TCP_RETRANSMITS)
        return;
    state->retransmitted = total;
    tcp_state &= VT_TCP_STATES - 1;
    add_to(&again->segments[kind][tcp_state], segments);
    __sync_fetch_and_add(&again->events[kind][tcp_state], 1);
}

static __always_inline void failed(struct sock *sk, struct tcp_sock *tcp,
                                   struct vt_tcp_socket *state)
{
    struct vt_tcp_stat *stat = bpf_map_lookup_elem(&tcp_stats, &state->slot);
    __u32 cause = cause_of(sk, tcp);

    if (stat && cause < VT_TCP_CAUSES)
        __sync_fetch_and_add(&stat->failed[cause], 1);
    if (tcp_retransmits)
        count_again(state, tcp->total_retrans, VT_TCP_OTHER, BPF_TCP_SYN_SENT);
}

static __always_inline void show(struct sock *sk, struct tcp_sock *tcp, struct vt_tcp_socket *state,
                                 struct vt_tcp_volume *volume, __u64 now)
{
    struct vt_tcp_session *session =
        bpf_ringbuf_reserve(&tcp_ended, sizeof(struct vt_tcp_session), 0);

    if (!session) {
        __sync_fetch_and_add(&tcp_ring_dropped, 1);
        return;
    }
    session->time = now;
    session->ns = now - state->start;
    session->cgroup_id = given_cgroup_id(given_socket_cgroup(sk));
    session->volume = *volume;
    load_addresses(&sk->__sk_common, &session->remote, &session->local);
    session->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
    /* Its number has been given back by now. */
    session->local_port = bpf_ntohs(((struct inet_sock *)tcp)->inet_sport);
    session->side = state->side;
    session->tgid = state->tgid;
    __builtin_memcpy(session->comm, state->comm, sizeof(session->comm));
    bpf_ringbuf_submit(session, BPF_RB_NO_WAKEUP);
}

static __always_inline void ended(struct sock *sk, struct tcp_sock *tcp,
                                  struct vt_tcp_socket *state, __u32 before)
{
    struct vt_tcp_stat *stat = bpf_map_lookup_elem(&tcp_stats, &state->slot);
    struct vt_tcp_volume volume;
    __u64 now;

    if (!stat)
        return;
    read_volume(tcp, state->side, true, &volume);
    if (tcp_retransmits)
        count_again(state, volume.retransmitted, VT_TCP_OTHER, before);
    if (state->wants_byte && volume.received)
        __sync_fetch_and_add(&stat->untimed, 1); /* it came when this side was closed already */
    else if (state->wants_byte)
        __sync_fetch_and_add(&stat->no_first_byte, 1);
    if (!needs_sessions())
        return;
    volume_since(&volume, &state->before);
    state->ending = 1; /* a reader that comes by has it in the sum of those that have ended */
    add_to(&stat->volume.sent, volume.sent);
    add_to(&stat->volume.received, volume.received);
    add_to(&stat->volume.segments_out, volume.segments_out);
    add_to(&stat->volume.segments_in, volume.segments_in);
    add_to(&stat->volume.retransmitted, volume.retransmitted);
    if (tcp_sessions && state->start) {
        now = bpf_ktime_get_ns();
        if (add_since(state->slot, VT_TCP_DURATION, state->start, now) && tcp_slower_ns &&
            now - state->start >= tcp_slower_ns)
            show(sk, tcp, state, &volume, now);
    } else {
        __sync_fetch_and_add(&stat->ages_unknown, 1);
    }
    __sync_fetch_and_add(&stat->sessions, 1);
}

static __always_inline bool of_session(__u32 state)
{
    return state == BPF_TCP_ESTABLISHED || state == BPF_TCP_CLOSE_WAIT ||
           state == BPF_TCP_FIN_WAIT1 || state == BPF_TCP_FIN_WAIT2 || state == BPF_TCP_CLOSING ||
           state == BPF_TCP_LAST_ACK;
}

static __noinline void closed(struct sock *sk, __u32 before)
{
    __u64 at = address_of(sk);
    struct vt_tcp_socket *state = bpf_map_lookup_elem(&tcp_sockets, &at);
    struct tcp_sock *tcp;

    if (!state) {
        if (of_session(before) && needs_sessions() && is_selected(given_socket_cgroup(sk)))
            __sync_fetch_and_add(&tcp_missed_start, 1);
        return;
    }
    tcp = bpf_skc_to_tcp_sock(sk);
    if (!tcp)
        return;
    if (state->connecting && !of_session(before)) {
        failed(sk, tcp, state);
    } else {
        if (state->connecting) { /* when it was established was not seen */
            __sync_fetch_and_add(&tcp_missed_start, 1);
            state->start = 0;
        }
        ended(sk, tcp, state, before);
    }
    forget(sk);
}

/* (sk, old state, new state), before the state is set */
SEC("tp_btf/inet_sock_set_state")
int tcp_set_state(__u64 *ctx)
{
    struct sock *sk = (void *)ctx[0];
    __u32 before = ctx[1], after = ctx[2];
    struct vt_tcp_socket *state;
    __u64 at;

    if (after != BPF_TCP_SYN_SENT && after != BPF_TCP_ESTABLISHED && after != BPF_TCP_CLOSE)
        return 0;
    if (sk->sk_protocol != TCP_IPPROTO)
        return 0;
    if (after == BPF_TCP_SYN_SENT) {
        connects(sk);
    } else if (after == BPF_TCP_CLOSE) {
        closed(sk, before);
    } else {
        at = address_of(sk);
        state = bpf_map_lookup_elem(&tcp_sockets, &at);
        if (state && state->connecting)
            connected(sk, state);
        else if (before == BPF_TCP_SYN_RECV)
            accepted(sk);
        else
            found_connected(sk);
    }
    return 0;
}

/* ---- each segment received on an established connection ---- */

static __always_inline bool has_bytes(struct sk_buff *skb)
{
    struct tcp_skb_cb *cb = (void *)skb + bpf_core_field_offset(skb->cb);
    struct tcp_skb_cb___until_6_14 *until_6_14 = (void *)cb;
    struct tcp_skb_cb___since_6_15 *since_6_15 = (void *)cb;
    __u32 flags = bpf_core_field_size(since_6_15->tcp_flags) == sizeof(since_6_15->tcp_flags)
                      ? since_6_15->tcp_flags
                      : until_6_14->tcp_flags;

    /* A FIN takes a number, too, and a SYN is never seen here. */
    return cb->end_seq - cb->seq > (flags & TCP_FIN);
}

static __always_inline void add_round_trip(struct sock *sk, __u32 slot)
{
    __u32 place = slot * tcp_cpus + bpf_get_smp_processor_id();
    struct vt_hist *hist = bpf_map_lookup_elem(&tcp_rtts, &place);
    struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

    if (tcp && tcp->srtt_us && hist)
        hist_add_in(hist, tcp->srtt_us * 125ULL, 0, tcp_epoch);
}

/* (sk, skb) */
SEC("tp_btf/tcp_probe")
int tcp_received(__u64 *ctx)
{
    struct sock *sk = (void *)ctx[0];
    __u64 at = address_of(sk);
    __u64 *near = tcp_round_trips ? near_to(at) : NULL;
    __u64 there = near ? *(volatile __u64 *)near : 0; /* once: another CPU may write it */
    struct vt_tcp_socket *state;

    if (vt_tcp_is_near(there, at)) {
        add_round_trip(sk, vt_tcp_near_slot(there));
        return 0;
    }
    state = bpf_map_lookup_elem(&tcp_sockets, &at);
    if (!state)
        return 0;
    if (state->wants_byte && has_bytes((void *)ctx[1])) {
        state->wants_byte = 0;
        add_since(state->slot, VT_TCP_FIRST_BYTE, state->start, bpf_ktime_get_ns());
        if (!needs_sessions()) {
            forget(sk);
            return 0;
        }
    }
    if (!tcp_round_trips)
        return 0;
    if (near && !state->wants_byte)
        *near = vt_tcp_near(at, state->slot);
    add_round_trip(sk, state->slot);
    return 0;
}

/* ---- segments sent again ---- */

static __always_inline __u32 kind_of(struct inet_connection_sock *connection, __u32 tcp_state)
{
    __u32 recovery = BPF_CORE_READ_BITFIELD(connection, icsk_ca_state);

    if (tcp_state == BPF_TCP_SYN_SENT)
        return VT_TCP_SYN;
    if (tcp_state == BPF_TCP_SYN_RECV)
        return VT_TCP_SYN_ACK;
    if (recovery == TCP_LOSS)
        return VT_TCP_BY_TIMEOUT;
    if (recovery == TCP_RECOVERY)
        return VT_TCP_FAST;
    return connection->icsk_pending == TCP_LOSS_PROBE ? VT_TCP_PROBE : VT_TCP_OTHER;
}

/* (sk, skb, …). Not called before 6.18 for one that did not get out: the next one has it. */
SEC("tp_btf/tcp_retransmit_skb")
int tcp_sent_again(__u64 *ctx)
{
    struct sock *sk = (void *)ctx[0];
    __u64 at = address_of(sk);
    struct vt_tcp_socket *state = bpf_map_lookup_elem(&tcp_sockets, &at);
    struct tcp_sock *tcp;
    __u32 tcp_state;

    if (!state) {
        if (is_selected(given_socket_cgroup(sk)))
            __sync_fetch_and_add(&tcp_missed_start, 1);
        return 0;
    }
    tcp = bpf_skc_to_tcp_sock(sk);
    if (!tcp)
        return 0;
    tcp_state = sk->__sk_common.skc_state;
    count_again(state, tcp->total_retrans, kind_of(&tcp->inet_conn, tcp_state), tcp_state);
    return 0;
}

/* (listener, request) */
SEC("tp_btf/tcp_retransmit_synack")
int tcp_synack_again(__u64 *ctx)
{
    struct sock_common *request = (void *)ctx[1]; /* the addresses of the connection to be */
    struct vt_tcp_socket state = {};

    if (find_slot_of_any(request, VT_TCP_IN, &state.slot))
        count_again(&state, 1, VT_TCP_SYN_ACK, BPF_TCP_NEW_SYN_RECV);
    return 0;
}

/* ---- run by vtrace itself ---- */

/* By what the kernel counts as acknowledged: only one that connected has had a SYN acknowledged. */
static __always_inline __u32 side_of(struct tcp_sock *tcp, __u32 tcp_state)
{
    __u64 sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
    __u64 numbers = BPF_CORE_READ(tcp, bytes_acked) +
                    (BPF_CORE_READ(tcp, snd_nxt) - BPF_CORE_READ(tcp, snd_una));

    if (tcp_state != BPF_TCP_ESTABLISHED && tcp_state != BPF_TCP_CLOSE_WAIT)
        return VT_TCP_SIDE_UNKNOWN; /* a FIN took a number, too */
    if (numbers == sent)
        return VT_TCP_IN;
    return numbers == sent + 1 ? VT_TCP_OUT : VT_TCP_SIDE_UNKNOWN;
}

/* What was there before; once at the start, in each network namespace. */
SEC("iter/tcp")
int tcp_add_sockets(struct bpf_iter__tcp *ctx)
{
    struct sock_common *sk = ctx->sk_common;
    struct vt_tcp_socket state = {};
    __u64 at = (__u64)sk;
    __u32 tcp_state;

    if (!sk)
        return 0;
    tcp_state = BPF_CORE_READ(sk, skc_state);
    if (!of_session(tcp_state))
        return 0;
    state.side = side_of((void *)sk, tcp_state);
    if (!find_slot_of_any(sk, state.side, &state.slot))
        return 0;
    read_volume((void *)sk, state.side, false, &state.before);
    state.retransmitted = state.before.retransmitted;
    if (bpf_map_update_elem(&tcp_sockets, &at, &state, BPF_NOEXIST)) {
        if (!bpf_map_lookup_elem(&tcp_sockets, &at))
            __sync_fetch_and_add(&tcp_sockets_lost, 1);
        return 0;
    }
    /* Its end may have come before there was anything to be seen by it. */
    if (!of_session(BPF_CORE_READ(sk, skc_state)))
        bpf_map_delete_elem(&tcp_sockets, &at);
    return 0;
}

struct vt_tcp_open tcp_open = {}; /* vtrace runs one iterator at a time */

/* Read at each report: the sockets that are there. */
SEC("iter/bpf_map_elem")
int tcp_open_sockets(struct bpf_iter__bpf_map_elem *ctx)
{
    struct vt_tcp_socket *state = ctx->value;
    __u64 *at = ctx->key;
    struct sock *sk;

    if (!state || !at)
        return 0;
    sk = (void *)*at;
    tcp_open.socket = *at;
    tcp_open.start = state->start;
    tcp_open.slot = state->slot;
    tcp_open.tgid = state->tgid;
    tcp_open.connecting = state->connecting;
    tcp_open.replaces = state->replaces;
    read_volume((void *)sk, state->side, false, &tcp_open.volume);
    volume_since(&tcp_open.volume, &state->before);
    /* After that: of one that has ended meanwhile, what was read is not to be relied on. */
    tcp_open.state = BPF_CORE_READ(sk, __sk_common.skc_state);
    tcp_open.ending = state->ending;
    __builtin_memcpy(tcp_open.comm, state->comm, sizeof(tcp_open.comm));
    bpf_seq_write(ctx->meta->seq, &tcp_open, sizeof(tcp_open));
    return 0;
}

char LICENSE[] SEC("license") = "GPL";
