// SPDX-License-Identifier: GPL-2.0-only
// Saving and loading of Snapshots.
#include "model/snapshot.h"

#include <nlohmann/json.hpp>

#include <limits>

namespace vtrace {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kFormat = "vtrace-snapshot/1";

// Names are bytes, JSON strings are Unicode: each byte becomes the code point of the same value.
std::string latin1(std::string_view bytes)
{
    std::string text;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80) {
            text += c;
        } else {
            text += static_cast<char>(0xc0 | byte >> 6);
            text += static_cast<char>(0x80 | (byte & 0x3f));
        }
    }
    return text;
}

std::string bytes_of(const std::string& text)
{
    std::string bytes;
    for (size_t i = 0; i < text.size(); i++) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte < 0x80) {
            bytes += text[i];
        } else {
            if (byte > 0xc3 || i + 1 == text.size())
                throw Json::other_error::create(501, "name is not a byte string", nullptr);
            i++;
            bytes += static_cast<char>(byte << 6 | (static_cast<unsigned char>(text[i]) & 0x3f));
        }
    }
    return bytes;
}

// get() would bend a negative number, a fraction or a number too large into one that fits.
template <typename T> T number(const Json& json)
{
    constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<T>::max());
    if (!json.is_number_unsigned() || json.get<uint64_t>() > kMost)
        throw Json::other_error::create(503, "number out of range", nullptr);
    return static_cast<T>(json.get<uint64_t>());
}

Json to_json(const Histogram& histogram)
{
    Json buckets = Json::array();
    for (const auto& [index, count] : histogram.buckets)
        buckets.push_back({index, count});
    return {{"sum", histogram.sum}, {"max", histogram.max}, {"buckets", buckets}};
}

Histogram histogram_from(const Json& json)
{
    Histogram histogram;
    histogram.sum = number<uint64_t>(json.at("sum"));
    histogram.max = number<uint64_t>(json.at("max"));
    for (const Json& pair : json.at("buckets")) {
        const BucketCount bucket{number<uint32_t>(pair.at(0)), number<uint64_t>(pair.at(1))};
        const bool ascends =
            histogram.buckets.empty() || bucket.index > histogram.buckets.back().index;
        if (bucket.index >= VT_HIST_BUCKETS || bucket.count == 0 || !ascends)
            throw Json::other_error::create(502, "buckets are not in order", nullptr);
        histogram.buckets.push_back(bucket);
    }
    return histogram;
}

Json to_json(const OwnerId& owner)
{
    return {owner.cgroup_id, owner.vm, latin1(owner.kthread)};
}

OwnerId owner_from(const Json& json)
{
    return {.cgroup_id = number<uint64_t>(json.at(0)),
            .vm = number<uint64_t>(json.at(1)),
            .kthread = bytes_of(json.at(2).get<std::string>())};
}

Json to_json(const OpenWait& wait)
{
    Json parts = Json::array();
    for (const OpenPart& p : wait.parts)
        parts.push_back({p.about, to_json(p.culprit), p.ns});
    return {wait.wait_ns, wait.cgroup_id, wait.vm, wait.tid, wait.tgid, latin1(wait.comm), parts};
}

OpenWait open_wait_from(const Json& json)
{
    OpenWait wait = {.wait_ns = number<uint64_t>(json.at(0)),
                     .cgroup_id = number<uint64_t>(json.at(1)),
                     .vm = number<uint64_t>(json.at(2)),
                     .tid = number<uint32_t>(json.at(3)),
                     .tgid = number<uint32_t>(json.at(4)),
                     .comm = bytes_of(json.at(5).get<std::string>())};
    for (const Json& p : json.at(6)) {
        wait.parts.push_back({.about = p.at(0).get<std::string>(),
                              .culprit = owner_from(p.at(1)),
                              .ns = number<uint64_t>(p.at(2))});
    }
    return wait;
}

Json to_json(const std::vector<Knob>& knobs)
{
    Json list = Json::array();
    for (const Knob& knob : knobs)
        list.push_back({latin1(knob.name), latin1(knob.value)});
    return list;
}

std::vector<Knob> knobs_from(const Json& json)
{
    std::vector<Knob> knobs;
    for (const Json& knob : json.get_ref<const Json::array_t&>())
        knobs.push_back({.name = bytes_of(knob.at(0).get<std::string>()),
                         .value = bytes_of(knob.at(1).get<std::string>())});
    return knobs;
}

Json to_json(const StateTimes& times)
{
    return {times.lived, times.ns,    times.stolen,   times.utime,
            times.stime, times.gtime, times.voluntary};
}

StateTimes state_times_from(const Json& json)
{
    StateTimes times;
    times.lived = number<uint64_t>(json.at(0));
    for (size_t i = 0; i < kStates; i++)
        times.ns.at(i) = number<uint64_t>(json.at(1).at(i));
    times.stolen = number<uint64_t>(json.at(2));
    times.utime = number<uint64_t>(json.at(3));
    times.stime = number<uint64_t>(json.at(4));
    times.gtime = number<uint64_t>(json.at(5));
    times.voluntary = number<uint64_t>(json.at(6));
    return times;
}

Json to_json(const StateSnapshot& states)
{
    Json owners = Json::array();
    for (const OwnerStates& o : states.owners)
        owners.push_back({to_json(o.owner), o.threads, to_json(o.times)});
    Json threads = Json::array();
    for (const ThreadStates& t : states.threads)
        threads.push_back({to_json(t.owner), t.tid, t.tgid, latin1(t.comm), to_json(t.times)});
    return {{"owners", owners}, {"threads", threads}};
}

StateSnapshot states_from(const Json& json)
{
    StateSnapshot states;
    for (const Json& o : json.at("owners")) {
        states.owners.push_back({.owner = owner_from(o.at(0)),
                                 .threads = number<uint64_t>(o.at(1)),
                                 .times = state_times_from(o.at(2))});
    }
    for (const Json& t : json.at("threads")) {
        states.threads.push_back({.owner = owner_from(t.at(0)),
                                  .tid = number<uint32_t>(t.at(1)),
                                  .tgid = number<uint32_t>(t.at(2)),
                                  .comm = bytes_of(t.at(3).get<std::string>()),
                                  .times = state_times_from(t.at(4))});
    }
    return states;
}

Json to_json(const SchedSnapshot& sched)
{
    Json times = Json::array();
    for (const OwnerTime& t : sched.times)
        times.push_back({to_json(t.owner), t.about, to_json(t.culprit), to_json(t.time)});
    Json open = Json::array();
    for (const OpenWait& w : sched.open)
        open.push_back(to_json(w));
    return {{"times", times}, {"open", open}};
}

SchedSnapshot sched_from(const Json& json)
{
    SchedSnapshot sched;
    for (const Json& t : json.at("times")) {
        sched.times.push_back({.owner = owner_from(t.at(0)),
                               .about = t.at(1).get<std::string>(),
                               .culprit = owner_from(t.at(2)),
                               .time = histogram_from(t.at(3))});
    }
    for (const Json& w : json.at("open"))
        sched.open.push_back(open_wait_from(w));
    return sched;
}

Json to_json(const std::vector<CgroupQuota>& quotas)
{
    Json json = Json::array();
    for (const CgroupQuota& q : quotas) {
        const QuotaCounts& c = q.counts;
        Json quota;
        if (q.quota)
            quota = {q.quota->quota_us, q.quota->period_us, q.quota->burst_us};
        json.push_back({q.cgroup_id, quota, q.changed, c.periods, c.throttled, c.throttled_ns,
                        c.bursts, c.burst_ns});
    }
    return json;
}

Json to_json(const RunqSnapshot& runq)
{
    Json cpus = Json::array();
    for (const RunqCpu& c : runq.cpus)
        cpus.push_back({c.cpu, c.samples, c.sum, c.cut, Json(c.lengths)});
    Json owners = Json::array();
    for (const RunqOwner& o : runq.owners)
        owners.push_back({to_json(o.owner), o.cpu, o.seen, o.sum});
    return {{"cpus", cpus}, {"owners", owners}};
}

RunqSnapshot runq_from(const Json& json)
{
    RunqSnapshot runq;
    for (const Json& c : json.at("cpus")) {
        RunqCpu& cpu = runq.cpus.emplace_back();
        cpu.cpu = number<uint32_t>(c.at(0));
        cpu.samples = number<uint64_t>(c.at(1));
        cpu.sum = number<uint64_t>(c.at(2));
        cpu.cut = number<uint64_t>(c.at(3));
        for (const Json& pair : c.at(4))
            cpu.lengths.emplace_back(number<uint32_t>(pair.at(0)), number<uint64_t>(pair.at(1)));
    }
    for (const Json& o : json.at("owners")) {
        runq.owners.push_back({.owner = owner_from(o.at(0)),
                               .cpu = number<uint32_t>(o.at(1)),
                               .seen = number<uint64_t>(o.at(2)),
                               .sum = number<uint64_t>(o.at(3))});
    }
    return runq;
}

std::vector<CgroupQuota> quotas_from(const Json& json)
{
    if (!json.is_array()) // null is an empty range
        throw Json::other_error::create(504, "quotas are no list", nullptr);
    std::vector<CgroupQuota> quotas;
    for (const Json& q : json) {
        CgroupQuota& quota = quotas.emplace_back();
        quota.cgroup_id = number<uint64_t>(q.at(0));
        if (const Json& own = q.at(1); !own.is_null()) {
            quota.quota = CpuQuota{.quota_us = number<uint64_t>(own.at(0)),
                                   .period_us = number<uint64_t>(own.at(1)),
                                   .burst_us = number<uint64_t>(own.at(2))};
            if (quota.quota->period_us == 0)
                throw Json::other_error::create(505, "a quota without a period", nullptr);
        }
        quota.changed = q.at(2).get<bool>();
        quota.counts = {.periods = number<uint64_t>(q.at(3)),
                        .throttled = number<uint64_t>(q.at(4)),
                        .throttled_ns = number<uint64_t>(q.at(5)),
                        .bursts = number<uint64_t>(q.at(6)),
                        .burst_ns = number<uint64_t>(q.at(7))};
    }
    return quotas;
}

Json to_json(const std::vector<Block>& blocks)
{
    Json list = Json::array();
    for (const Block& b : blocks)
        list.push_back({to_json(b.owner), b.tgid, latin1(b.comm), b.reason, b.user, b.kernel, b.tid,
                        b.count, b.ns, b.max_ns});
    return list;
}

std::vector<uint32_t> frames_from(const Json& json, size_t names)
{
    std::vector<uint32_t> frames;
    for (const Json& frame : json) {
        frames.push_back(number<uint32_t>(frame));
        if (frames.back() >= names)
            throw Json::other_error::create(505, "frame without a name", nullptr);
    }
    return frames;
}

std::vector<Block> blocks_from(const Json& json, size_t names)
{
    std::vector<Block> blocks;
    for (const Json& b : json) {
        blocks.push_back({.owner = owner_from(b.at(0)),
                          .tgid = number<uint32_t>(b.at(1)),
                          .comm = bytes_of(b.at(2).get<std::string>()),
                          .reason = b.at(3).get<std::string>(),
                          .user = frames_from(b.at(4), names),
                          .kernel = frames_from(b.at(5), names),
                          .tid = number<uint32_t>(b.at(6)),
                          .count = number<uint64_t>(b.at(7)),
                          .ns = number<uint64_t>(b.at(8)),
                          .max_ns = number<uint64_t>(b.at(9))});
    }
    return blocks;
}

Json to_json(const StackSnapshot& stacks)
{
    Json frames = Json::array();
    for (const std::string& frame : stacks.frames)
        frames.push_back(latin1(frame));
    return {{"min_ns", stacks.min_ns},
            {"max_ns", stacks.max_ns},
            {"frames", frames},
            {"ended", to_json(stacks.ended)},
            {"open", to_json(stacks.open)}};
}

StackSnapshot stacks_from(const Json& json)
{
    StackSnapshot stacks;
    stacks.min_ns = number<uint64_t>(json.at("min_ns"));
    stacks.max_ns = number<uint64_t>(json.at("max_ns"));
    for (const Json& frame : json.at("frames"))
        stacks.frames.push_back(bytes_of(frame.get<std::string>()));
    stacks.ended = blocks_from(json.at("ended"), stacks.frames.size());
    stacks.open = blocks_from(json.at("open"), stacks.frames.size());
    return stacks;
}

Json to_json(const std::optional<OpenExit>& open)
{
    return open ? Json{open->ns, open->code, open->isa, open->in_vmm} : Json();
}

std::optional<OpenExit> open_exit_from(const Json& json)
{
    if (json.is_null())
        return std::nullopt;
    return OpenExit{.ns = number<uint64_t>(json.at(0)),
                    .code = number<uint64_t>(json.at(1)),
                    .isa = number<uint32_t>(json.at(2)),
                    .in_vmm = json.at(3).get<bool>()};
}

Json to_json(const std::vector<KvmVcpu>& vcpus)
{
    Json list = Json::array();
    for (const KvmVcpu& v : vcpus) {
        list.push_back({v.vm, v.tid, v.guest_ns, to_json(v.open), to_json(v.carried)});
    }
    return list;
}

std::vector<KvmVcpu> vcpus_from(const Json& json)
{
    std::vector<KvmVcpu> vcpus;
    for (const Json& v : json) {
        KvmVcpu& vcpu = vcpus.emplace_back();
        vcpu.vm = number<uint64_t>(v.at(0));
        vcpu.tid = number<uint32_t>(v.at(1));
        vcpu.guest_ns = number<uint64_t>(v.at(2));
        vcpu.open = open_exit_from(v.at(3));
        vcpu.carried = open_exit_from(v.at(4));
    }
    return vcpus;
}

Json to_json(const std::vector<KvmFigure>& figures)
{
    Json list = Json::array();
    for (const KvmFigure& f : figures)
        list.push_back({f.vm, f.tid, f.kind, f.code, f.isa, f.flags, f.count, f.to_vmm, f.amount,
                        f.parts.kernel, f.parts.vmm, f.parts.blocked, f.parts.waited,
                        to_json(f.time)});
    return list;
}

std::vector<KvmFigure> figures_from(const Json& json)
{
    std::vector<KvmFigure> figures;
    for (const Json& f : json) {
        figures.push_back({.vm = number<uint64_t>(f.at(0)),
                           .tid = number<uint32_t>(f.at(1)),
                           .kind = number<uint32_t>(f.at(2)),
                           .code = number<uint64_t>(f.at(3)),
                           .isa = number<uint32_t>(f.at(4)),
                           .flags = number<uint32_t>(f.at(5)),
                           .count = number<uint64_t>(f.at(6)),
                           .to_vmm = number<uint64_t>(f.at(7)),
                           .amount = number<uint64_t>(f.at(8)),
                           .parts = {.kernel = number<uint64_t>(f.at(9)),
                                     .vmm = number<uint64_t>(f.at(10)),
                                     .blocked = number<uint64_t>(f.at(11)),
                                     .waited = number<uint64_t>(f.at(12))},
                           .time = histogram_from(f.at(13))});
    }
    return figures;
}

Json or_null(const std::optional<uint64_t>& value)
{
    return value ? Json(*value) : Json();
}

std::optional<uint64_t> number_or_null(const Json& json)
{
    return json.is_null() ? std::nullopt : std::optional(number<uint64_t>(json));
}

Json to_json(const KvmSnapshot& kvm)
{
    Json threads = Json::array();
    for (const KvmThread& t : kvm.threads)
        threads.push_back({t.vm, t.tid, latin1(t.role)});
    Json memory = Json::array();
    for (const KvmMemory& m : kvm.memory)
        memory.push_back({m.vm, m.rss_bytes, m.swapped_bytes, or_null(m.shared_bytes),
                          m.minor_faults, m.major_faults, or_null(m.reclaimed_bytes),
                          or_null(m.stalled_ns)});
    return {{"flavour", kvm.flavour},          {"tells_exits", kvm.tells_exits},
            {"vcpus", to_json(kvm.vcpus)},     {"threads", threads},
            {"figures", to_json(kvm.figures)}, {"memory", memory}};
}

KvmSnapshot kvm_from(const Json& json)
{
    KvmSnapshot kvm;
    kvm.flavour = json.at("flavour").get<std::string>();
    kvm.tells_exits = json.at("tells_exits").get<bool>();
    kvm.vcpus = vcpus_from(json.at("vcpus"));
    for (const Json& t : json.at("threads")) {
        kvm.threads.push_back({.vm = number<uint64_t>(t.at(0)),
                               .tid = number<uint32_t>(t.at(1)),
                               .role = bytes_of(t.at(2).get<std::string>())});
    }
    kvm.figures = figures_from(json.at("figures"));
    for (const Json& m : json.at("memory")) {
        kvm.memory.push_back({.vm = number<uint64_t>(m.at(0)),
                              .rss_bytes = number<uint64_t>(m.at(1)),
                              .swapped_bytes = number<uint64_t>(m.at(2)),
                              .shared_bytes = number_or_null(m.at(3)),
                              .minor_faults = number<uint64_t>(m.at(4)),
                              .major_faults = number<uint64_t>(m.at(5)),
                              .reclaimed_bytes = number_or_null(m.at(6)),
                              .stalled_ns = number_or_null(m.at(7))});
    }
    return kvm;
}

Json to_json(const BlockKey& key)
{
    return {to_json(key.owner), key.device, key.op, key.flags};
}

BlockKey block_key_from(const Json& json)
{
    return {.owner = owner_from(json.at(0)),
            .device = number<uint32_t>(json.at(1)),
            .op = number<uint32_t>(json.at(2)),
            .flags = number<uint32_t>(json.at(3))};
}

Json to_json(const std::vector<BlockFigure>& figures)
{
    Json list = Json::array();
    for (const BlockFigure& f : figures)
        list.push_back({to_json(f.key), f.count, f.bytes, f.errors, f.requeued, f.unsplit,
                        f.untimed, f.unaccounted, f.sequential, f.random, f.sizes, to_json(f.queue),
                        to_json(f.device), to_json(f.total), f.unsplit_ns});
    return list;
}

std::vector<BlockFigure> block_figures_from(const Json& json)
{
    std::vector<BlockFigure> figures;
    for (const Json& f : json) {
        BlockFigure& figure = figures.emplace_back();
        figure.key = block_key_from(f.at(0));
        figure.count = number<uint64_t>(f.at(1));
        figure.bytes = number<uint64_t>(f.at(2));
        figure.errors = number<uint64_t>(f.at(3));
        figure.requeued = number<uint64_t>(f.at(4));
        figure.unsplit = number<uint64_t>(f.at(5));
        figure.untimed = number<uint64_t>(f.at(6));
        figure.unaccounted = number<uint64_t>(f.at(7));
        figure.sequential = number<uint64_t>(f.at(8));
        figure.random = number<uint64_t>(f.at(9));
        for (size_t i = 0; i < figure.sizes.size(); i++)
            figure.sizes.at(i) = number<uint64_t>(f.at(10).at(i));
        figure.queue = histogram_from(f.at(11));
        figure.device = histogram_from(f.at(12));
        figure.total = histogram_from(f.at(13));
        figure.unsplit_ns = number<uint64_t>(f.at(14));
    }
    return figures;
}

Json to_json(const BlockSnapshot& block)
{
    Json devices = Json::array();
    for (const BlockDevice& d : block.devices)
        devices.push_back({d.number, latin1(d.name), d.bio_based, d.ios, d.bytes, d.ns});
    Json open = Json::array();
    for (const OpenRequest& r : block.open)
        open.push_back({to_json(r.key), r.sector, r.bytes, r.age_ns, r.device_ns, r.issued});
    Json companies = Json::array();
    for (const BlockCompany& c : block.companies) {
        Json owners = Json::array();
        for (const BlockPresence& p : c.owners)
            owners.push_back({to_json(p.owner), p.queued, p.issued, p.held.by_limit, p.held.by_cost,
                              p.held.by_wbt});
        companies.push_back({c.device, c.samples, owners});
    }
    Json limits = Json::array();
    for (const BlockLimit& l : block.limits)
        limits.push_back({to_json(l.owner), l.device, or_null(l.limit.read_bytes),
                          or_null(l.limit.write_bytes), or_null(l.limit.reads),
                          or_null(l.limit.writes)});
    Json asked_for;
    if (block.asked_for) {
        asked_for = Json::array();
        for (const OwnerId& owner : *block.asked_for)
            asked_for.push_back(to_json(owner));
    }
    return {{"figures", to_json(block.figures)},
            {"asked_for", asked_for},
            {"devices", devices},
            {"open", open},
            {"samples", block.samples},
            {"companies", companies},
            {"limits", limits},
            {"with_descendants", Json(block.with_descendants)}};
}

BlockSnapshot block_from(const Json& json)
{
    BlockSnapshot block;
    block.figures = block_figures_from(json.at("figures"));
    for (const Json& d : json.at("devices")) {
        block.devices.push_back({.number = number<uint32_t>(d.at(0)),
                                 .name = bytes_of(d.at(1).get<std::string>()),
                                 .bio_based = d.at(2).get<bool>(),
                                 .ios = number<uint64_t>(d.at(3)),
                                 .bytes = number<uint64_t>(d.at(4)),
                                 .ns = number<uint64_t>(d.at(5))});
    }
    for (const Json& r : json.at("open")) {
        block.open.push_back({.key = block_key_from(r.at(0)),
                              .sector = number<uint64_t>(r.at(1)),
                              .bytes = number<uint64_t>(r.at(2)),
                              .age_ns = number<uint64_t>(r.at(3)),
                              .device_ns = number<uint64_t>(r.at(4)),
                              .issued = r.at(5).get<bool>()});
    }
    block.samples = number<uint64_t>(json.at("samples"));
    for (const Json& c : json.at("companies")) {
        BlockCompany& company = block.companies.emplace_back();
        company.device = number<uint32_t>(c.at(0));
        company.samples = number<uint64_t>(c.at(1));
        for (const Json& p : c.at(2)) {
            company.owners.push_back({.owner = owner_from(p.at(0)),
                                      .queued = number<uint64_t>(p.at(1)),
                                      .issued = number<uint64_t>(p.at(2)),
                                      .held = {.by_limit = p.at(3).get<bool>(),
                                               .by_cost = p.at(4).get<bool>(),
                                               .by_wbt = p.at(5).get<bool>()}});
        }
    }
    for (const Json& l : json.at("limits")) {
        block.limits.push_back({.owner = owner_from(l.at(0)),
                                .device = number<uint32_t>(l.at(1)),
                                .limit = {.read_bytes = number_or_null(l.at(2)),
                                          .write_bytes = number_or_null(l.at(3)),
                                          .reads = number_or_null(l.at(4)),
                                          .writes = number_or_null(l.at(5))}});
    }
    if (const Json& asked_for = json.at("asked_for"); !asked_for.is_null()) {
        block.asked_for.emplace();
        for (const Json& owner : asked_for)
            block.asked_for->insert(owner_from(owner));
    }
    for (const Json& id : json.at("with_descendants"))
        block.with_descendants.push_back(number<uint64_t>(id));
    return block;
}

Json to_json(const MemoryCounts& counts)
{
    return {or_null(counts.reclaimed_bytes),
            or_null(counts.stalled_ns),
            or_null(counts.swapped_in_bytes),
            or_null(counts.refaulted_bytes),
            counts.major_faults,
            counts.limit_hits,
            counts.oom_kills};
}

MemoryCounts memory_counts_from(const Json& json)
{
    return {.reclaimed_bytes = number_or_null(json.at(0)),
            .stalled_ns = number_or_null(json.at(1)),
            .swapped_in_bytes = number_or_null(json.at(2)),
            .refaulted_bytes = number_or_null(json.at(3)),
            .major_faults = number<uint64_t>(json.at(4)),
            .limit_hits = number<uint64_t>(json.at(5)),
            .oom_kills = number<uint64_t>(json.at(6))};
}

Json to_json(const MemorySnapshot& memory)
{
    Json stalls = Json::array();
    for (const MemoryStalls& s : memory.stalls)
        stalls.push_back({to_json(s.owner), s.kind, s.pages, to_json(s.time)});
    Json open = Json::array();
    for (const OpenStall& s : memory.open)
        open.push_back({to_json(s.owner), s.kind, s.tid, s.tgid, latin1(s.comm), s.age_ns});
    Json kills = Json::array();
    for (const OomKill& k : memory.kills)
        kills.push_back({k.time_ns, to_json(k.victim), to_json(k.cause), k.kind, k.tgid,
                         k.cause_tgid, latin1(k.comm), latin1(k.cause_comm)});
    Json cgroups = Json::array();
    for (const CgroupMemoryCounts& c : memory.cgroups)
        cgroups.push_back({c.cgroup_id, or_null(c.limit_bytes), to_json(c.counts)});
    return {{"stalls", stalls},
            {"open", open},
            {"kills", kills},
            {"cgroups", cgroups},
            {"host", to_json(memory.host)}};
}

MemorySnapshot memory_from(const Json& json)
{
    MemorySnapshot memory;
    for (const Json& s : json.at("stalls")) {
        memory.stalls.push_back({.owner = owner_from(s.at(0)),
                                 .kind = number<uint32_t>(s.at(1)),
                                 .pages = number<uint64_t>(s.at(2)),
                                 .time = histogram_from(s.at(3))});
    }
    for (const Json& s : json.at("open")) {
        memory.open.push_back({.owner = owner_from(s.at(0)),
                               .kind = number<uint32_t>(s.at(1)),
                               .tid = number<uint32_t>(s.at(2)),
                               .tgid = number<uint32_t>(s.at(3)),
                               .comm = bytes_of(s.at(4).get<std::string>()),
                               .age_ns = number<uint64_t>(s.at(5))});
    }
    for (const Json& k : json.at("kills")) {
        memory.kills.push_back({.time_ns = number<int64_t>(k.at(0)),
                                .victim = owner_from(k.at(1)),
                                .cause = owner_from(k.at(2)),
                                .kind = number<uint32_t>(k.at(3)),
                                .tgid = number<uint32_t>(k.at(4)),
                                .cause_tgid = number<uint32_t>(k.at(5)),
                                .comm = bytes_of(k.at(6).get<std::string>()),
                                .cause_comm = bytes_of(k.at(7).get<std::string>())});
    }
    for (const Json& c : json.at("cgroups")) {
        memory.cgroups.push_back({.cgroup_id = number<uint64_t>(c.at(0)),
                                  .limit_bytes = number_or_null(c.at(1)),
                                  .counts = memory_counts_from(c.at(2))});
    }
    memory.host = memory_counts_from(json.at("host"));
    return memory;
}

Json to_json(const std::vector<NetNamespaceFact>& facts)
{
    Json namespaces = Json::array();
    for (const NetNamespaceFact& n : facts)
        namespaces.push_back({n.inum, n.host, n.cgroup_id, latin1(n.name)});
    return namespaces;
}

std::vector<NetNamespaceFact> net_namespaces_from(const Json& json)
{
    std::vector<NetNamespaceFact> namespaces;
    for (const Json& n : json) {
        namespaces.push_back({.inum = number<uint32_t>(n.at(0)),
                              .host = n.at(1).get<bool>(),
                              .cgroup_id = number<uint64_t>(n.at(2)),
                              .name = bytes_of(n.at(3).get<std::string>())});
    }
    return namespaces;
}

Json to_json(const DropSnapshot& snapshot)
{
    Json drops = Json::array();
    for (const PacketDrops& d : snapshot.drops)
        drops.push_back({d.cgroup_id, d.netns, d.reason, latin1(d.location), d.ifindex,
                         latin1(d.device), d.ether, d.protocol, d.tcp_state, d.packets, d.bytes});
    Json listeners = Json::array();
    for (const ListenDrops& l : snapshot.listeners)
        listeners.push_back({l.netns, l.drops, l.overflows});
    return {{"drops", drops},
            {"listeners", listeners},
            {"namespaces", to_json(snapshot.namespaces)},
            {"other", {snapshot.other_packets, snapshot.other_bytes}}};
}

DropSnapshot drops_from(const Json& json)
{
    DropSnapshot snapshot;
    for (const Json& d : json.at("drops")) {
        snapshot.drops.push_back({.cgroup_id = number<uint64_t>(d.at(0)),
                                  .netns = number<uint32_t>(d.at(1)),
                                  .reason = d.at(2).get<std::string>(),
                                  .location = bytes_of(d.at(3).get<std::string>()),
                                  .ifindex = number<uint32_t>(d.at(4)),
                                  .device = bytes_of(d.at(5).get<std::string>()),
                                  .ether = number<uint16_t>(d.at(6)),
                                  .protocol = number<uint8_t>(d.at(7)),
                                  .tcp_state = number<uint8_t>(d.at(8)),
                                  .packets = number<uint64_t>(d.at(9)),
                                  .bytes = number<uint64_t>(d.at(10))});
    }
    for (const Json& l : json.at("listeners")) {
        snapshot.listeners.push_back({.netns = number<uint32_t>(l.at(0)),
                                      .drops = number<uint64_t>(l.at(1)),
                                      .overflows = number<uint64_t>(l.at(2))});
    }
    snapshot.namespaces = net_namespaces_from(json.at("namespaces"));
    snapshot.other_packets = number<uint64_t>(json.at("other").at(0));
    snapshot.other_bytes = number<uint64_t>(json.at("other").at(1));
    return snapshot;
}

Json to_json(const NetDeviceId& id)
{
    return {id.netns, id.ifindex};
}

NetDeviceId net_device_id_from(const Json& json)
{
    return {.netns = number<uint32_t>(json.at(0)), .ifindex = number<uint32_t>(json.at(1))};
}

Json to_json(const NetPoint& point)
{
    return {to_json(point.device), static_cast<uint32_t>(point.where)};
}

NetPoint net_point_from(const Json& json)
{
    const auto where = number<uint8_t>(json.at(1));
    if (where > static_cast<uint8_t>(NetPoint::Where::kReceived))
        throw Json::other_error::create(502, "no such point of a path", nullptr);
    return {.device = net_device_id_from(json.at(0)), .where = static_cast<NetPoint::Where>(where)};
}

Json to_json(const std::optional<NetCounts>& counts)
{
    if (!counts)
        return nullptr;
    return {counts->rx_packets, counts->rx_bytes, counts->rx_lost,
            counts->tx_packets, counts->tx_bytes, counts->tx_lost};
}

std::optional<NetCounts> net_counts_from(const Json& json)
{
    if (json.is_null())
        return std::nullopt;
    return NetCounts{.rx_packets = number<uint64_t>(json.at(0)),
                     .rx_bytes = number<uint64_t>(json.at(1)),
                     .rx_lost = number<uint64_t>(json.at(2)),
                     .tx_packets = number<uint64_t>(json.at(3)),
                     .tx_bytes = number<uint64_t>(json.at(4)),
                     .tx_lost = number<uint64_t>(json.at(5))};
}

Json to_json(const NetqSnapshot& snapshot)
{
    Json devices = Json::array();
    for (const NetDevice& d : snapshot.devices)
        devices.push_back({to_json(d.id), latin1(d.name), latin1(d.kind), latin1(d.queue),
                           to_json(d.peer), d.holder_pid, d.holder_cgroup, to_json(d.counts),
                           d.not_timed, d.polls, d.exhausted, d.selected, to_json(d.wait),
                           to_json(d.sent), to_json(d.late), d.away, d.put_out});
    Json hops = Json::array();
    for (const NetHop& h : snapshot.hops)
        hops.push_back({to_json(h.from), to_json(h.to), latin1(h.name), to_json(h.time)});
    return {{"devices", devices}, {"hops", hops}, {"namespaces", to_json(snapshot.namespaces)}};
}

NetqSnapshot netq_from(const Json& json)
{
    NetqSnapshot snapshot;
    for (const Json& d : json.at("devices")) {
        snapshot.devices.push_back({.id = net_device_id_from(d.at(0)),
                                    .name = bytes_of(d.at(1).get<std::string>()),
                                    .kind = bytes_of(d.at(2).get<std::string>()),
                                    .queue = bytes_of(d.at(3).get<std::string>()),
                                    .peer = net_device_id_from(d.at(4)),
                                    .away = d.at(15).get<bool>(),
                                    .holder_pid = number<uint32_t>(d.at(5)),
                                    .holder_cgroup = number<uint64_t>(d.at(6)),
                                    .counts = net_counts_from(d.at(7)),
                                    .not_timed = number<uint64_t>(d.at(8)),
                                    .put_out = number<uint64_t>(d.at(16)),
                                    .polls = number<uint64_t>(d.at(9)),
                                    .exhausted = number<uint64_t>(d.at(10)),
                                    .selected = d.at(11).get<bool>(),
                                    .wait = histogram_from(d.at(12)),
                                    .sent = histogram_from(d.at(13)),
                                    .late = histogram_from(d.at(14))});
    }
    for (const Json& h : json.at("hops")) {
        snapshot.hops.push_back({.from = net_point_from(h.at(0)),
                                 .to = net_point_from(h.at(1)),
                                 .name = bytes_of(h.at(2).get<std::string>()),
                                 .time = histogram_from(h.at(3))});
    }
    snapshot.namespaces = net_namespaces_from(json.at("namespaces"));
    return snapshot;
}

Json to_json(const TcpPeer& peer)
{
    return {to_json(peer.owner), peer.remote, peer.local, peer.port, peer.side, peer.others};
}

TcpPeer tcp_peer_from(const Json& json)
{
    return {.owner = owner_from(json.at(0)),
            .remote = json.at(1).get<std::string>(),
            .local = json.at(2).get<std::string>(),
            .port = number<uint16_t>(json.at(3)),
            .side = number<uint8_t>(json.at(4)),
            .others = json.at(5).get<bool>()};
}

Json to_json(const TcpVolume& v)
{
    return {v.sent, v.received, v.segments_out, v.segments_in, v.retransmitted};
}

TcpVolume tcp_volume_from(const Json& json)
{
    return {.sent = number<uint64_t>(json.at(0)),
            .received = number<uint64_t>(json.at(1)),
            .segments_out = number<uint64_t>(json.at(2)),
            .segments_in = number<uint64_t>(json.at(3)),
            .retransmitted = number<uint64_t>(json.at(4))};
}

Json to_json(const TcpFigure& f)
{
    Json again = Json::array();
    for (const TcpRetransmits& r : f.again)
        again.push_back({r.kind, r.state, r.segments, r.events});
    return {{"peer", to_json(f.peer)},
            {"connected", f.connected},
            {"accepted", f.accepted},
            {"untimed", f.untimed},
            {"no_first_byte", f.no_first_byte},
            {"sessions", f.sessions},
            {"ages_unknown", f.ages_unknown},
            {"open", f.open},
            {"failed", f.failed},
            {"volume", to_json(f.volume)},
            {"again", again},
            {"connect", to_json(f.connect)},
            {"accept", to_json(f.accept)},
            {"first_byte", to_json(f.first_byte)},
            {"duration", to_json(f.duration)},
            {"round_trip", to_json(f.round_trip)}};
}

TcpFigure tcp_figure_from(const Json& json)
{
    TcpFigure figure = {.peer = tcp_peer_from(json.at("peer")),
                        .connected = number<uint64_t>(json.at("connected")),
                        .accepted = number<uint64_t>(json.at("accepted")),
                        .untimed = number<uint64_t>(json.at("untimed")),
                        .no_first_byte = number<uint64_t>(json.at("no_first_byte")),
                        .sessions = number<uint64_t>(json.at("sessions")),
                        .ages_unknown = number<uint64_t>(json.at("ages_unknown")),
                        .open = number<uint64_t>(json.at("open")),
                        .volume = tcp_volume_from(json.at("volume")),
                        .connect = histogram_from(json.at("connect")),
                        .accept = histogram_from(json.at("accept")),
                        .first_byte = histogram_from(json.at("first_byte")),
                        .duration = histogram_from(json.at("duration")),
                        .round_trip = histogram_from(json.at("round_trip"))};
    for (size_t cause = 0; cause < figure.failed.size(); cause++)
        figure.failed.at(cause) = number<uint64_t>(json.at("failed").at(cause));
    for (const Json& r : json.at("again")) {
        figure.again.push_back({.kind = number<uint32_t>(r.at(0)),
                                .state = number<uint32_t>(r.at(1)),
                                .segments = number<uint64_t>(r.at(2)),
                                .events = number<uint64_t>(r.at(3))});
    }
    return figure;
}

Json to_json(const TcpSnapshot& tcp)
{
    Json figures = Json::array();
    for (const TcpFigure& f : tcp.figures)
        figures.push_back(to_json(f));
    Json connecting = Json::array();
    for (const OpenConnect& c : tcp.connecting)
        connecting.push_back({to_json(c.peer), c.tgid, latin1(c.comm), c.age_ns});
    const PeerKey& key = tcp.key;
    return {{"key", {key.remote, key.local, key.port, key.bits4, key.bits6}},
            {"figures", figures},
            {"connecting", connecting}};
}

TcpSnapshot tcp_from(const Json& json)
{
    TcpSnapshot tcp;
    const Json& key = json.at("key");
    tcp.key = {.remote = key.at(0).get<bool>(),
               .local = key.at(1).get<bool>(),
               .port = key.at(2).get<bool>(),
               .bits4 = number<uint32_t>(key.at(3)),
               .bits6 = number<uint32_t>(key.at(4))};
    for (const Json& f : json.at("figures"))
        tcp.figures.push_back(tcp_figure_from(f));
    for (const Json& c : json.at("connecting")) {
        tcp.connecting.push_back({.peer = tcp_peer_from(c.at(0)),
                                  .tgid = number<uint32_t>(c.at(1)),
                                  .comm = bytes_of(c.at(2).get<std::string>()),
                                  .age_ns = number<uint64_t>(c.at(3))});
    }
    return tcp;
}

Json to_json(const IrqKind& kind)
{
    return {kind.hard, kind.other, kind.number, latin1(kind.action)};
}

IrqKind irq_kind_from(const Json& json)
{
    return {.hard = json.at(0).get<bool>(),
            .other = json.at(1).get<bool>(),
            .number = number<uint32_t>(json.at(2)),
            .action = bytes_of(json.at(3).get<std::string>())};
}

Json to_json(const IrqSnapshot& irq)
{
    Json times = Json::array();
    for (const IrqTimes& t : irq.times)
        times.push_back({to_json(t.kind), t.cpu, t.not_handled, to_json(t.time), to_json(t.delay)});
    Json charges = Json::array();
    for (const IrqCharge& c : irq.charges)
        charges.push_back({to_json(c.kind), c.idle, to_json(c.owner), c.count, c.ns});
    return {{"times", times}, {"charges", charges}};
}

IrqSnapshot irq_from(const Json& json)
{
    IrqSnapshot irq;
    for (const Json& t : json.at("times")) {
        irq.times.push_back({.kind = irq_kind_from(t.at(0)),
                             .cpu = number<uint32_t>(t.at(1)),
                             .not_handled = number<uint64_t>(t.at(2)),
                             .time = histogram_from(t.at(3)),
                             .delay = histogram_from(t.at(4))});
    }
    for (const Json& c : json.at("charges")) {
        irq.charges.push_back({.kind = irq_kind_from(c.at(0)),
                               .idle = c.at(1).get<bool>(),
                               .owner = owner_from(c.at(2)),
                               .count = number<uint64_t>(c.at(3)),
                               .ns = number<uint64_t>(c.at(4))});
    }
    return irq;
}

Json to_json(const CgroupFacts& facts)
{
    Json cgroups = Json::array();
    for (const CgroupFact& c : facts.cgroups)
        cgroups.push_back({c.id, c.parent, latin1(c.name), c.removed});
    return {{"hierarchy", facts.hierarchy}, {"cgroups", cgroups}};
}

CgroupFacts cgroups_from(const Json& json)
{
    CgroupFacts facts;
    facts.hierarchy = json.at("hierarchy").get<std::string>();
    for (const Json& c : json.at("cgroups")) {
        facts.cgroups.push_back({.id = number<uint64_t>(c.at(0)),
                                 .parent = number<uint64_t>(c.at(1)),
                                 .name = bytes_of(c.at(2).get<std::string>()),
                                 .removed = c.at(3).get<bool>()});
    }
    return facts;
}

Json to_json(const std::vector<EntityFact>& facts)
{
    Json entities = Json::array();
    for (const EntityFact& e : facts)
        entities.push_back({e.cgroup_id, e.kind, latin1(e.name), latin1(e.id), latin1(e.image),
                            e.source, e.vm, e.pid, e.ended});
    return entities;
}

std::vector<EntityFact> entities_from(const Json& json)
{
    if (!json.is_array()) // null is an empty range
        throw Json::other_error::create(504, "entities are no list", nullptr);
    std::vector<EntityFact> facts;
    for (const Json& e : json) {
        facts.push_back({.cgroup_id = number<uint64_t>(e.at(0)),
                         .kind = e.at(1).get<std::string>(),
                         .name = bytes_of(e.at(2).get<std::string>()),
                         .id = bytes_of(e.at(3).get<std::string>()),
                         .image = bytes_of(e.at(4).get<std::string>()),
                         .source = e.at(5).get<std::string>(),
                         .vm = number<uint64_t>(e.at(6)),
                         .pid = number<uint32_t>(e.at(7)),
                         .ended = e.at(8).get<bool>()});
    }
    return facts;
}

Json to_json(const Loss& loss)
{
    Json json = {{"fallbacks", loss.fallbacks}};
    for (const LossCounter& counter : loss_counters())
        json[std::string(counter.key)] = loss.*counter.count;
    return json;
}

Loss loss_from(const Json& json)
{
    Loss loss;
    loss.fallbacks = json.at("fallbacks").get<std::vector<std::string>>();
    for (const LossCounter& counter : loss_counters())
        loss.*counter.count = number<uint64_t>(json.at(std::string(counter.key)));
    return loss;
}

Json to_json(const Overhead& overhead)
{
    Json programs = Json::array();
    for (const ProgramCost& p : overhead.programs)
        programs.push_back({p.name, p.run_cnt, p.run_time_ns});
    return {{"timed", overhead.timed},
            {"programs", programs},
            {"cpu_ns", overhead.cpu_ns},
            {"rss_bytes", overhead.rss_bytes},
            {"startup_ns", overhead.startup_ns}};
}

Overhead overhead_from(const Json& json)
{
    Overhead overhead;
    overhead.timed = json.at("timed").get<bool>();
    for (const Json& p : json.at("programs")) {
        overhead.programs.push_back({.name = p.at(0).get<std::string>(),
                                     .run_cnt = number<uint64_t>(p.at(1)),
                                     .run_time_ns = number<uint64_t>(p.at(2))});
    }
    overhead.cpu_ns = number<uint64_t>(json.at("cpu_ns"));
    overhead.rss_bytes = number<uint64_t>(json.at("rss_bytes"));
    overhead.startup_ns = number<uint64_t>(json.at("startup_ns"));
    return overhead;
}

} // namespace

std::string save_snapshot(const Snapshot& snapshot)
{
    const Json json = {
        {"format", kFormat},
        {"host", {{"name", latin1(snapshot.host.name)}, {"kernel", snapshot.host.kernel}}},
        {"start_ns", snapshot.start_ns},
        {"duration_ns", snapshot.duration_ns},
        {"cgroups", to_json(snapshot.cgroups)},
        {"entities", to_json(snapshot.entities)},
        {"sched", to_json(snapshot.sched)},
        {"quotas", to_json(snapshot.quotas)},
        {"runq", to_json(snapshot.runq)},
        {"stacks", to_json(snapshot.stacks)},
        {"states", to_json(snapshot.states)},
        {"kvm", to_json(snapshot.kvm)},
        {"block", to_json(snapshot.block)},
        {"memory", to_json(snapshot.memory)},
        {"tcp", to_json(snapshot.tcp)},
        {"irq", to_json(snapshot.irq)},
        {"drops", to_json(snapshot.drops)},
        {"netq", to_json(snapshot.netq)},
        {"knobs", to_json(snapshot.knobs)},
        {"loss", to_json(snapshot.loss)},
        {"overhead", to_json(snapshot.overhead)},
    };
    return json.dump();
}

Result<Snapshot> load_snapshot(std::string_view saved)
{
    // The library reports by exceptions; they end here.
    try {
        const Json json = Json::parse(saved);
        if (json.at("format").get<std::string>() != kFormat)
            return Error{.what = "this is not a snapshot of this version of vtrace"};
        Snapshot snapshot;
        snapshot.host = {.name = bytes_of(json.at("host").at("name").get<std::string>()),
                         .kernel = json.at("host").at("kernel").get<std::string>()};
        snapshot.start_ns = number<int64_t>(json.at("start_ns"));
        snapshot.duration_ns = number<uint64_t>(json.at("duration_ns"));
        if (snapshot.duration_ns > static_cast<uint64_t>(INT64_MAX - snapshot.start_ns))
            return Error{.what = "damaged snapshot: its end is out of range"};
        snapshot.cgroups = cgroups_from(json.at("cgroups"));
        snapshot.entities = entities_from(json.at("entities"));
        snapshot.sched = sched_from(json.at("sched"));
        snapshot.quotas = quotas_from(json.at("quotas"));
        snapshot.runq = runq_from(json.at("runq"));
        snapshot.stacks = stacks_from(json.at("stacks"));
        snapshot.states = states_from(json.at("states"));
        snapshot.kvm = kvm_from(json.at("kvm"));
        snapshot.block = block_from(json.at("block"));
        snapshot.memory = memory_from(json.at("memory"));
        snapshot.tcp = tcp_from(json.at("tcp"));
        snapshot.irq = irq_from(json.at("irq"));
        snapshot.drops = drops_from(json.at("drops"));
        snapshot.netq = netq_from(json.at("netq"));
        snapshot.knobs = knobs_from(json.at("knobs"));
        snapshot.loss = loss_from(json.at("loss"));
        snapshot.overhead = overhead_from(json.at("overhead"));
        return snapshot;
    } catch (const std::exception& e) {
        return Error{.what = std::string("damaged snapshot: ") + e.what()};
    }
}

} // namespace vtrace
