// SPDX-License-Identifier: GPL-2.0-only
#include "tools/recorded_options.h"

#include "base/printable.h"

#include <nlohmann/json.hpp>

#include <exception>
#include <limits>
#include <utility>

namespace vtrace {
namespace {

using Json = nlohmann::json;

// By the names on the command line. What is not finite is not written: JSON has no such number.
Json to_json(const ToolOptions& options)
{
    Json json = {{"target_kind", options.target_kind},
                 {"target", options.target},
                 {"pid", options.pid},
                 {"comm", options.comm},
                 {"min", options.min_ms},
                 {"blocked", options.blocked},
                 {"dev", options.device},
                 {"pattern", options.pattern},
                 {"remote", options.peers.remote},
                 {"local", options.peers.local},
                 {"port", options.peers.port},
                 {"subnet", {options.peers.bits4, options.peers.bits6}},
                 {"ttfb", options.ttfb},
                 {"include-self", options.include_self},
                 {"offcpu", options.offcpu},
                 {"threads", options.threads},
                 {"overhead", options.overhead}};
    if (options.max_ms != std::numeric_limits<double>::infinity())
        json["max"] = options.max_ms;
    return json;
}

// get_to() would bend what does not fit.
template <typename T> void read_number(const Json& json, T& to, double least, double most)
{
    const auto number = json.get<double>();
    if (!(number >= least && number <= most))
        throw Json::other_error::create(501, "number out of range", nullptr);
    to = static_cast<T>(number);
}

constexpr double kMostMs = 86'400'000;

void read_json(const Json& json, ToolOptions& options)
{
    json.at("target_kind").get_to(options.target_kind);
    json.at("target").get_to(options.target);
    read_number(json.at("pid"), options.pid, 0, 1 << 22);
    json.at("comm").get_to(options.comm);
    read_number(json.at("min"), options.min_ms, 0, kMostMs);
    if (json.contains("max"))
        read_number(json.at("max"), options.max_ms, 0, kMostMs);
    json.at("blocked").get_to(options.blocked);
    json.at("dev").get_to(options.device);
    json.at("pattern").get_to(options.pattern);
    json.at("remote").get_to(options.peers.remote);
    json.at("local").get_to(options.peers.local);
    json.at("port").get_to(options.peers.port);
    read_number(json.at("subnet").at(0), options.peers.bits4, 1, 32);
    read_number(json.at("subnet").at(1), options.peers.bits6, 1, 128);
    json.at("ttfb").get_to(options.ttfb);
    json.at("include-self").get_to(options.include_self);
    json.at("offcpu").get_to(options.offcpu);
    json.at("threads").get_to(options.threads);
    json.at("overhead").get_to(options.overhead);
}

// As it is given on the command line.
std::string option_name(const std::string& key)
{
    if (key == "target" || key == "target_kind")
        return "the target";
    return key == "remote" || key == "local" || key == "port" ? "--by" : "--" + key;
}

} // namespace

std::string save_recorded_options(const ToolOptions& options)
{
    return to_json(options).dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<ToolOptions> replay_options(const ToolOptions& given, std::string_view recorded)
{
    // The library reports by exceptions; they end here.
    try {
        const Json was = Json::parse(recorded);
        const Json usual = to_json({});
        const Json now = to_json(given);
        for (const auto& [key, value] : now.items()) {
            const bool asked = !usual.contains(key) || value != usual.at(key);
            if (asked && (!was.contains(key) || value != was.at(key)))
                return Error{.what = option_name(key) + " was not recorded so",
                             .hint = "leave it out; `vtrace report FILE` says what was recorded",
                             .exit = ExitCode::kUsage};
        }
        ToolOptions options = given;
        read_json(was, options);
        // What shows more of what is there.
        options.overhead = given.overhead;
        options.threads = given.threads;
        options.ttfb = given.ttfb;
        options.pattern = given.pattern;
        return options;
    } catch (const std::exception& e) {
        return Error{.what = "the recording is damaged: its options: " + printable(e.what())};
    }
}

Result<std::string> describe_recorded_options(std::string_view recorded)
{
    const auto options = replay_options({}, recorded);
    if (!options)
        return options.error();
    const Json usual = to_json({});
    std::string text;
    const auto add = [&](const std::string& words) { text += (text.empty() ? "" : " ") + words; };
    if (!options->target.empty())
        add("--" + printable(options->target_kind) + "=" + printable(options->target));
    const PeerKey& peers = options->peers;
    if (peers.remote != PeerKey{}.remote || peers.local != PeerKey{}.local ||
        peers.port != PeerKey{}.port) {
        std::string by;
        for (const auto& [on, name] :
             {std::pair{peers.remote, "remote"}, {peers.local, "local"}, {peers.port, "port"}})
            by += on ? (by.empty() ? "" : ",") + std::string(name) : "";
        add("--by=" + by);
    }
    const Json was = to_json(*options);
    for (const auto& [key, value] : was.items()) {
        if (option_name(key) != "--" + key || (usual.contains(key) && value == usual.at(key)))
            continue;
        if (value.is_boolean())
            add("--" + key);
        else
            add("--" + key + "=" +
                printable(value.is_string() ? value.get<std::string>() : value.dump()));
    }
    return text;
}

} // namespace vtrace
