// SPDX-License-Identifier: GPL-2.0-only
// Saving and loading of Snapshots.
#include "model/snapshot.h"

#include <nlohmann/json.hpp>

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
    histogram.sum = json.at("sum").get<uint64_t>();
    histogram.max = json.at("max").get<uint64_t>();
    for (const Json& pair : json.at("buckets")) {
        const BucketCount bucket{pair.at(0).get<uint32_t>(), pair.at(1).get<uint64_t>()};
        const bool ascends =
            histogram.buckets.empty() || bucket.index > histogram.buckets.back().index;
        if (bucket.index >= VT_HIST_BUCKETS || bucket.count == 0 || !ascends)
            throw Json::other_error::create(502, "buckets are not in order", nullptr);
        histogram.buckets.push_back(bucket);
    }
    return histogram;
}

Json to_json(const SchedSnapshot& sched)
{
    Json cgroups = Json::array();
    for (const CgroupWaits& c : sched.cgroups)
        cgroups.push_back({{"id", c.cgroup_id}, {"wait", to_json(c.wait)}});
    Json open = Json::array();
    for (const OpenWait& w : sched.open)
        open.push_back({w.wait_ns, w.cgroup_id, w.tid, w.tgid, latin1(w.comm)});
    return {{"by_cgroup", sched.by_cgroup},
            {"cgroups", cgroups},
            {"rest", to_json(sched.rest)},
            {"open", open}};
}

SchedSnapshot sched_from(const Json& json)
{
    SchedSnapshot sched;
    sched.by_cgroup = json.at("by_cgroup").get<bool>();
    for (const Json& c : json.at("cgroups"))
        sched.cgroups.push_back({c.at("id").get<uint64_t>(), histogram_from(c.at("wait"))});
    sched.rest = histogram_from(json.at("rest"));
    for (const Json& w : json.at("open")) {
        sched.open.push_back({.wait_ns = w.at(0).get<uint64_t>(),
                              .cgroup_id = w.at(1).get<uint64_t>(),
                              .tid = w.at(2).get<uint32_t>(),
                              .tgid = w.at(3).get<uint32_t>(),
                              .comm = bytes_of(w.at(4).get<std::string>())});
    }
    return sched;
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
        facts.cgroups.push_back({.id = c.at(0).get<uint64_t>(),
                                 .parent = c.at(1).get<uint64_t>(),
                                 .name = bytes_of(c.at(2).get<std::string>()),
                                 .removed = c.at(3).get<bool>()});
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
        loss.*counter.count = json.at(std::string(counter.key)).get<uint64_t>();
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
                                     .run_cnt = p.at(1).get<uint64_t>(),
                                     .run_time_ns = p.at(2).get<uint64_t>()});
    }
    overhead.cpu_ns = json.at("cpu_ns").get<uint64_t>();
    overhead.rss_bytes = json.at("rss_bytes").get<uint64_t>();
    overhead.startup_ns = json.at("startup_ns").get<uint64_t>();
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
        {"sched", to_json(snapshot.sched)},
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
        snapshot.start_ns = json.at("start_ns").get<int64_t>();
        snapshot.duration_ns = json.at("duration_ns").get<uint64_t>();
        snapshot.cgroups = cgroups_from(json.at("cgroups"));
        snapshot.sched = sched_from(json.at("sched"));
        snapshot.loss = loss_from(json.at("loss"));
        snapshot.overhead = overhead_from(json.at("overhead"));
        return snapshot;
    } catch (const std::exception& e) {
        return Error{.what = std::string("damaged snapshot: ") + e.what()};
    }
}

} // namespace vtrace
