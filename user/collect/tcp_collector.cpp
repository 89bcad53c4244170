// SPDX-License-Identifier: GPL-2.0-only
#include "collect/tcp_collector.h"

#include "base/clock.h"
#include "base/files.h"
#include "collect/each_net_namespace.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>
#include <iterator>

namespace vtrace {
namespace {

// Peers, as all cgroups have them together: each takes 4 KiB with histograms.
constexpr uint32_t kSlots = 4096;
static_assert(kSlots <= 1U << VT_TCP_SLOT_BITS);
// Of them, for the peers of a cgroup that found no room of their own.
constexpr uint32_t kSpareSlots = 256;
// Of round trips, which take 1 KiB for each slot and CPU.
constexpr uint64_t kRoundTripBytes = uint64_t{64} << 20;

constexpr uint32_t kSocketsAtLeast = 1 << 16;
constexpr uint32_t kSocketsAtMost = 1 << 20;

uint32_t slots(const TcpConfig& config)
{
    if (!config.parts.round_trips)
        return kSlots;
    const auto cpus = static_cast<uint64_t>(libbpf_num_possible_cpus());
    const uint64_t room = kRoundTripBytes / (cpus * sizeof(vt_hist));
    return static_cast<uint32_t>(std::clamp<uint64_t>(room, uint64_t{2} * kSpareSlots, kSlots));
}

// There are no more than open files, but for those that are being closed. Each takes about 130 bytes.
uint32_t most_sockets()
{
    const auto files = read_file("/proc/sys/fs/file-nr");
    uint32_t open = 0;
    if (files)
        std::from_chars(files->data(), files->data() + files->size(), open);
    return std::clamp(std::min(open, kSocketsAtMost) * 2, kSocketsAtLeast, kSocketsAtMost);
}

// An address in the kernel's order, the first `bits` of which are ones.
vt_address mask_of(uint32_t bits)
{
    constexpr uint32_t kBitsOfByte = 8;
    std::array<unsigned char, sizeof(vt_address)> bytes{};
    for (uint32_t bit = 0; bit < bits; bit++)
        bytes.at(bit / kBitsOfByte) |= 0x80U >> bit % kBitsOfByte;
    vt_address mask = {};
    std::memcpy(&mask, bytes.data(), sizeof(mask));
    return mask;
}

void set_masks(BpfObject& object, const PeerKey& key)
{
    constexpr uint32_t kPrefix = 96; // of an address of IPv4 in IPv6
    auto* rodata = object->rodata;
    const auto set = [&](bool on, auto& mask4, auto& mask6) {
        mask4 = on ? mask_of(kPrefix + key.bits4) : vt_address{};
        mask6 = on ? mask_of(key.bits6) : vt_address{};
    };
    set(key.remote, rodata->tcp_remote_mask4, rodata->tcp_remote_mask6);
    set(key.local, rodata->tcp_local_mask4, rodata->tcp_local_mask6);
    rodata->tcp_by_port = key.port;
}

TcpPeer peer_of(const vt_tcp_key& key)
{
    return {.owner = {.cgroup_id = key.cgroup_id},
            .remote = address_text(key.remote),
            .local = address_text(key.local),
            .port = key.port,
            .side = key.side,
            .others = key.no_peer != 0 || key.used == 0};
}

TcpVolume volume_of(const vt_tcp_volume& v)
{
    return {.sent = v.sent,
            .received = v.received,
            .segments_out = v.segments_out,
            .segments_in = v.segments_in,
            .retransmitted = v.retransmitted};
}

void add(vt_tcp_volume& sum, const vt_tcp_volume& v)
{
    sum.sent += v.sent;
    sum.received += v.received;
    sum.segments_out += v.segments_out;
    sum.segments_in += v.segments_in;
    sum.retransmitted += v.retransmitted;
}

// A session that ends between two reads is for a moment in neither: what is missing is in the next report.
uint64_t grown(__u64& before, __u64 now)
{
    if (now <= before)
        return 0;
    return now - std::exchange(before, now);
}

TcpVolume grown(vt_tcp_volume& before, const vt_tcp_volume& now)
{
    return {.sent = grown(before.sent, now.sent),
            .received = grown(before.received, now.received),
            .segments_out = grown(before.segments_out, now.segments_out),
            .segments_in = grown(before.segments_in, now.segments_in),
            .retransmitted = grown(before.retransmitted, now.retransmitted)};
}

std::vector<TcpRetransmits> grown(vt_tcp_retransmits& before, const vt_tcp_retransmits& now)
{
    std::vector<TcpRetransmits> added;
    for (uint32_t kind = 0; kind < VT_TCP_RETRANSMITS; kind++) {
        for (uint32_t state = 0; state < VT_TCP_STATES; state++) {
            const uint64_t segments =
                grown(before.segments[kind][state], load_relaxed(now.segments[kind][state]));
            const uint64_t events =
                grown(before.events[kind][state], load_relaxed(now.events[kind][state]));
            if (segments != 0 || events != 0)
                added.push_back(
                    {.kind = kind, .state = state, .segments = segments, .events = events});
        }
    }
    return added;
}

bool is_empty(const TcpFigure& figure)
{
    TcpFigure none;
    none.peer = figure.peer;
    return figure == none;
}

bool is_dead(const vt_tcp_open& socket)
{
    return socket.state == BPF_TCP_CLOSE || socket.state == BPF_TCP_LISTEN;
}

// By its state, too: that it was answered may not have been seen.
bool is_connecting(const vt_tcp_open& socket)
{
    return socket.connecting != 0 &&
           (socket.state == BPF_TCP_SYN_SENT || socket.state == BPF_TCP_SYN_RECV);
}

std::string comm_of(const char (&comm)[VT_TCP_COMM_LEN])
{
    return {comm, ::strnlen(comm, sizeof(comm))};
}

} // namespace

void TcpCollector::prepare(BpfObject& object, const TcpConfig& config)
{
    auto& maps = object->maps;
    const TcpParts& parts = config.parts;
    for (bpf_map* map : {maps.tcp_sockets, maps.tcp_near, maps.tcp_slots, maps.tcp_free_slots,
                         maps.tcp_spare_slots, maps.tcp_keys, maps.tcp_stats, maps.tcp_hists,
                         maps.tcp_rtts, maps.tcp_again, maps.tcp_ended})
        bpf_map__set_autocreate(map, parts.any());
    if (!parts.any())
        return;
    const uint32_t most = slots(config);
    const auto cpus = static_cast<uint32_t>(libbpf_num_possible_cpus());
    for (bpf_map* map : {maps.tcp_slots, maps.tcp_free_slots, maps.tcp_keys, maps.tcp_stats})
        bpf_map__set_max_entries(map, most);
    bpf_map__set_max_entries(maps.tcp_spare_slots, kSpareSlots);
    bpf_map__set_max_entries(maps.tcp_sockets, most_sockets());
    if (parts.connects || parts.sessions)
        bpf_map__set_max_entries(maps.tcp_hists, most * VT_TCP_HISTS);
    if (parts.round_trips) {
        bpf_map__set_max_entries(maps.tcp_rtts, most * cpus);
        bpf_map__set_max_entries(maps.tcp_near, 1U << VT_TCP_NEAR_BITS);
    }
    if (parts.retransmits)
        bpf_map__set_max_entries(maps.tcp_again, most);
    auto* rodata = object->rodata;
    rodata->tcp_first_bytes = parts.first_bytes;
    rodata->tcp_round_trips = parts.round_trips;
    rodata->tcp_retransmits = parts.retransmits;
    rodata->tcp_sessions = parts.sessions;
    rodata->tcp_slower_ns = config.slower_ns;
    rodata->tcp_cpus = cpus;
    set_masks(object, config.key);
    auto& progs = object->progs;
    for (bpf_program* program : {progs.tcp_set_state, progs.tcp_open_sockets})
        bpf_program__set_autoload(program, true);
    bpf_program__set_autoload(progs.tcp_received, parts.first_bytes || parts.round_trips);
    for (bpf_program* program : {progs.tcp_sent_again, progs.tcp_synack_again})
        bpf_program__set_autoload(program, parts.retransmits);
    bpf_program__set_autoload(progs.tcp_add_sockets,
                              parts.sessions || parts.retransmits || parts.round_trips);
}

Result<std::unique_ptr<TcpCollector>> TcpCollector::start(BpfObject& object,
                                                          const TcpConfig& config, OnSlow on_slow)
{
    std::unique_ptr<TcpCollector> self(new TcpCollector(object, config, std::move(on_slow)));
    if (auto mapped = self->map_tables(); !mapped)
        return mapped.error();
    auto& maps = object->maps;
    for (uint32_t slot = VT_TCP_SLOT_OTHER + 1; slot < slots(config); slot++) {
        bpf_map* queue = slot <= kSpareSlots ? maps.tcp_spare_slots : maps.tcp_free_slots;
        if (bpf_map_update_elem(bpf_map__fd(queue), nullptr, &slot, BPF_ANY) != 0)
            return errno_error("cannot hand out slots for peers");
    }
    const auto one = [](void* collector, void* data, size_t) {
        static_cast<TcpCollector*>(collector)->slow_session(
            *static_cast<const vt_tcp_session*>(data));
        return 0;
    };
    self->ring_.reset(ring_buffer__new(bpf_map__fd(maps.tcp_ended), one, self.get(), nullptr));
    if (!self->ring_)
        return errno_error("cannot open the buffer of sessions");
    if (auto attached = self->attach_all(); !attached)
        return attached.error();
    self->add_sockets();
    // What came between two attachments is of no window.
    Snapshot before;
    if (auto read = self->read(before); !read)
        return read.error();
    return self;
}

Status TcpCollector::map_tables()
{
    auto& maps = (*object_)->maps;
    const auto map = [](auto& array, bpf_map* from) -> Status {
        auto mapped = std::remove_reference_t<decltype(array)>::map(bpf_map__fd(from),
                                                                    bpf_map__max_entries(from));
        if (!mapped)
            return mapped.error();
        array = std::move(*mapped);
        return ok();
    };
    slots_.resize(slots(config_));
    for (const Status& mapped :
         {map(keys_, maps.tcp_keys), map(stats_, maps.tcp_stats), map(hists_, maps.tcp_hists),
          map(round_trips_, maps.tcp_rtts), map(again_, maps.tcp_again)}) {
        if (!mapped)
            return mapped;
    }
    return ok();
}

Status TcpCollector::attach_all()
{
    auto& progs = (*object_)->progs;
    // The end of a session before its start: one that was seen to begin has its end seen.
    for (bpf_program* program :
         {progs.tcp_set_state, progs.tcp_received, progs.tcp_sent_again, progs.tcp_synack_again}) {
        if (!bpf_program__autoload(program))
            continue;
        auto link = attach(program);
        if (!link)
            return link.error();
        links_.push_back(std::move(*link));
    }
    if (bpf_program__autoload(progs.tcp_add_sockets)) {
        auto link = attach(progs.tcp_add_sockets);
        if (!link)
            return link.error();
        add_sockets_ = std::move(*link);
    }
    bpf_iter_link_info info = {};
    info.map.map_fd = static_cast<__u32>(bpf_map__fd((*object_)->maps.tcp_sockets));
    bpf_iter_attach_opts options = {};
    options.sz = sizeof(options);
    options.link_info = &info;
    options.link_info_len = sizeof(info);
    open_sockets_.reset(bpf_program__attach_iter(progs.tcp_open_sockets, &options));
    if (!open_sockets_)
        return errno_error("cannot attach the iterator of open sockets");
    return ok();
}

// Those that were there before.
void TcpCollector::add_sockets()
{
    if (!add_sockets_)
        return;
    size_t failed = 0;
    const size_t missed = in_each_net_namespace([&] {
        if (!run_iterator(add_sockets_.get(), "tcp"))
            failed++;
    });
    if (missed + failed != 0)
        missing_.push_back("in " + std::to_string(missed + failed) +
                           " network namespaces sockets that were there before are not seen");
}

void TcpCollector::slow_session(const vt_tcp_session& session)
{
    on_slow_({.end_ns = to_wall_clock(session.time),
              .ns = session.ns,
              .owner = {.cgroup_id = session.cgroup_id},
              .volume = volume_of(session.volume),
              .remote = address_text(session.remote),
              .local = address_text(session.local),
              .remote_port = session.remote_port,
              .local_port = session.local_port,
              .side = session.side,
              .tgid = session.tgid,
              .comm = comm_of(session.comm)});
}

// What a socket had that went without its end being seen: it is in no sum any more, and was reported.
void TcpCollector::take_back(const vt_tcp_open& socket)
{
    Slot& slot = slots_[socket.slot];
    if (!slot.before || socket.connecting != 0)
        return;
    const auto less = [](__u64& count, __u64 by) { count -= std::min(count, by); };
    vt_tcp_volume& before = slot.before->stat.volume;
    less(before.sent, socket.volume.sent);
    less(before.received, socket.volume.received);
    less(before.segments_out, socket.volume.segments_out);
    less(before.segments_in, socket.volume.segments_in);
    less(before.retransmitted, socket.volume.retransmitted);
}

// There are kernels that run no program while their first process is on the CPU: the end of a session may be
// missed. One that is about to be taken off the list is not there the next time. False once it is forgotten.
bool TcpCollector::keep_dead(const vt_tcp_open& socket)
{
    if (dead_before_.contains(socket.socket)) {
        auto& maps = (*object_)->maps;
        bpf_map_delete_elem(bpf_map__fd(maps.tcp_sockets), &socket.socket);
        if (config_.parts.round_trips) {
            const uint32_t place = vt_tcp_near_place(socket.socket);
            const uint64_t none = 0; // another socket's is found again
            bpf_map_update_elem(bpf_map__fd(maps.tcp_near), &place, &none, BPF_ANY);
        }
        unseen_++;
        take_back(socket);
        return false;
    }
    dead_.insert(socket.socket);
    return true;
}

Status TcpCollector::read_open(TcpSnapshot& tcp, std::vector<vt_tcp_volume>& volumes)
{
    const uint64_t now = monotonic_ns();
    const auto text = run_iterator(open_sockets_.get(), "bpf_map_elem");
    if (!text)
        return text.error();
    const std::map<uint64_t, vt_tcp_open> before = std::exchange(open_, {});
    dead_before_ = std::exchange(dead_, {});
    for (size_t at = 0; at + sizeof(vt_tcp_open) <= text->size(); at += sizeof(vt_tcp_open)) {
        vt_tcp_open socket = {};
        std::memcpy(&socket, text->data() + at, sizeof(socket));
        // What is in the sum of those that have ended is left out, and what is listed twice, as others came and went.
        if (socket.slot < slots_.size() && socket.ending == 0)
            open_.try_emplace(socket.socket, socket);
    }
    for (Slot& slot : slots_)
        slot.sockets = 0;
    for (auto& [address, socket] : open_) {
        slots_[socket.slot].sockets++;
        const auto known = before.find(address);
        const bool same = known != before.end() && known->second.start == socket.start;
        if (!same && socket.replaces != 0 && known != before.end())
            take_back(known->second);
        if (is_dead(socket)) {
            // What it has by now is not to be relied on.
            socket.volume = same ? known->second.volume : vt_tcp_volume{};
            if (keep_dead(socket))
                add(volumes[socket.slot], socket.volume);
        } else if (is_connecting(socket)) {
            if (socket.start <= now)
                tcp.connecting.push_back({.peer = peer_of(keys_.values()[socket.slot]),
                                          .tgid = socket.tgid,
                                          .comm = comm_of(socket.comm),
                                          .age_ns = now - socket.start});
        } else {
            add(volumes[socket.slot], socket.volume);
        }
    }
    std::ranges::stable_sort(tcp.connecting, std::greater{}, &OpenConnect::age_ns);
    return ok();
}

void TcpCollector::read_round_trips(uint32_t slot, Totals& before, uint32_t epoch,
                                    Histogram& added) const
{
    const auto cpus = (*object_)->rodata->tcp_cpus;
    const auto of_cpus = round_trips_.values().subspan(size_t{slot} * cpus, cpus);
    HistogramTotals totals;
    uint64_t max = 0;
    uint64_t next_max = 0;
    for (const vt_hist& hist : of_cpus) {
        totals.add(hist);
        max = std::max(max, max_in(hist, epoch));
        next_max = std::max(next_max, max_in(hist, epoch + 1));
    }
    added = totals.since(before.round_trip);
    added.max = max_of(added, max, next_max);
    before.round_trip = totals;
}

// False if there is nothing new.
bool TcpCollector::read_slot(uint32_t slot, const vt_tcp_volume& open, uint32_t epoch,
                             TcpFigure& figure)
{
    Slot& known = slots_[slot];
    if (!known.before)
        known.before = std::make_unique<Totals>();
    Totals& before = *known.before;
    const vt_tcp_stat& stat = stats_.values()[slot];
    const TcpParts& parts = config_.parts;
    figure.connected = grown(before.stat.connected, load_relaxed(stat.connected));
    figure.accepted = grown(before.stat.accepted, load_relaxed(stat.accepted));
    figure.untimed = grown(before.stat.untimed, load_relaxed(stat.untimed));
    figure.no_first_byte = grown(before.stat.no_first_byte, load_relaxed(stat.no_first_byte));
    figure.sessions = grown(before.stat.sessions, load_relaxed(stat.sessions));
    figure.ages_unknown = grown(before.stat.ages_unknown, load_relaxed(stat.ages_unknown));
    for (size_t cause = 0; cause < VT_TCP_CAUSES; cause++)
        figure.failed.at(cause) =
            grown(before.stat.failed[cause], load_relaxed(stat.failed[cause]));
    if (parts.connects || parts.sessions) {
        const auto hists = hists_.values().subspan(size_t{slot} * VT_TCP_HISTS, VT_TCP_HISTS);
        const std::array<Histogram*, VT_TCP_HISTS> of = {&figure.connect, &figure.accept,
                                                         &figure.first_byte, &figure.duration};
        for (size_t i = 0; i < VT_TCP_HISTS; i++)
            *of.at(i) = read_new(hists[i], before.hists.at(i), epoch);
    }
    if (parts.round_trips)
        read_round_trips(slot, before, epoch, figure.round_trip);
    if (parts.retransmits)
        figure.again = grown(before.again, again_.values()[slot]);
    figure.volume = grown(before.stat.volume, open);
    return !is_empty(figure);
}

// The program may have looked it up by then: it is used for another key when there was nothing for a report.
void TcpCollector::retire(uint32_t slot)
{
    const vt_tcp_key key = keys_.values()[slot];
    uint32_t known = 0;
    const int table = bpf_map__fd((*object_)->maps.tcp_slots);
    if (bpf_map_lookup_elem(table, &key, &known) == 0 && known == slot)
        bpf_map_delete_elem(table, &key);
    slots_[slot].retired = true;
    slots_[slot].unused = 0;
}

void TcpCollector::free_if_unused(uint32_t slot, bool has_figures)
{
    constexpr uint32_t kReports = 2;
    Slot& known = slots_[slot];
    if (has_figures || known.sockets != 0) {
        known.unused = 0;
        return;
    }
    known.unused++;
    if (!known.retired) {
        if (known.unused >= kReports)
            retire(slot);
        return;
    }
    auto& maps = (*object_)->maps;
    const vt_tcp_key none = {};
    bpf_map_update_elem(bpf_map__fd(maps.tcp_keys), &slot, &none, BPF_ANY);
    bpf_map* queue = slot <= kSpareSlots ? maps.tcp_spare_slots : maps.tcp_free_slots;
    bpf_map_update_elem(bpf_map__fd(queue), nullptr, &slot, BPF_ANY);
    known.retired = false;
    known.unused = 0;
}

void TcpCollector::poll()
{
    ring_buffer__consume(ring_.get());
}

Status TcpCollector::read(Snapshot& snapshot)
{
    poll();
    TcpSnapshot& tcp = snapshot.tcp;
    tcp.key = config_.key;
    uint32_t& counted = (*object_)->data->tcp_epoch;
    const uint32_t epoch = counted;
    __atomic_store_n(&counted, epoch + 1, __ATOMIC_RELEASE);
    // First what sessions had that have ended: one that ends meanwhile is in neither, rather than in both.
    std::vector<vt_tcp_volume> volumes(slots_.size());
    for (size_t slot = 0; slot < slots_.size(); slot++)
        volumes[slot] = stats_.values()[slot].volume;
    if (auto read = read_open(tcp, volumes); !read)
        return read;
    for (uint32_t slot = 0; slot < slots_.size(); slot++) {
        const vt_tcp_key key = keys_.values()[slot];
        if (slot != VT_TCP_SLOT_OTHER && key.used == 0)
            continue;
        TcpFigure figure{.peer = peer_of(key)};
        const bool has_figures = read_slot(slot, volumes[slot], epoch, figure);
        if (slot != VT_TCP_SLOT_OTHER)
            free_if_unused(slot, has_figures);
        figure.open = slots_[slot].sockets;
        if (has_figures || figure.open != 0)
            tcp.figures.push_back(std::move(figure));
    }
    read_losses(snapshot.loss);
    return ok();
}

void TcpCollector::read_losses(Loss& loss)
{
    const auto* bss = (*object_)->bss;
    const auto since = [&](const __u64& counter, uint64_t Loss::*field) {
        const uint64_t now = load_relaxed(counter);
        loss.*field += now - std::exchange(counted_.*field, now);
    };
    since(bss->tcp_map_full, &Loss::map_full);
    since(bss->tcp_clock_anomaly, &Loss::clock_anomaly);
    since(bss->tcp_missed_start, &Loss::missed_start);
    since(bss->tcp_ring_dropped, &Loss::ring_dropped);
    since(bss->tcp_unseen, &Loss::unseen);
    loss.unseen += std::exchange(unseen_, 0);
    const uint64_t lost = load_relaxed(bss->tcp_sockets_lost);
    const uint64_t added = lost - std::exchange(sockets_lost_, lost);
    if (added != 0)
        loss.fallbacks.push_back(std::to_string(added) +
                                 " sockets found no room: what they do is in no figure");
    std::ranges::copy(missing_, std::back_inserter(loss.fallbacks));
}

void TcpCollector::release_cgroup(uint64_t cgroup_id)
{
    for (uint32_t slot = VT_TCP_SLOT_OTHER + 1; slot < slots_.size(); slot++) {
        const vt_tcp_key& key = keys_.values()[slot];
        if (key.used != 0 && key.cgroup_id == cgroup_id && !slots_[slot].retired)
            retire(slot);
    }
}

} // namespace vtrace
