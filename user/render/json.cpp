// SPDX-License-Identifier: GPL-2.0-only
#include "render/json.h"

#include "base/printable.h"
#include "render/json_parts.h"
#include "render/units.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

namespace vtrace {
namespace {

// Numbers under fixed keys, written without a tree: of thousands of rows with dozens of buckets each, the
// tree would take seven times as long as all the rest of a report.
std::string histogram_json(const Histogram& histogram)
{
    std::string text =
        fmt::format(R"({{"type":"histogram","unit":"ns","count":{},"sum":{},"max":{},)"
                    R"("p50":{},"p90":{},"p99":{},"p999":{},"error_bound":{},"buckets":[)",
                    histogram.count(), histogram.sum, histogram.max, histogram.quantile(0.50),
                    histogram.quantile(0.90), histogram.quantile(0.99), histogram.quantile(0.999),
                    Histogram::kErrorBound);
    const char* separator = "";
    for (const auto& [index, count] : histogram.buckets) {
        const auto [low, high] = bucket_range(index);
        // The last bucket ends at what was seen.
        const uint64_t top = high == UINT64_MAX ? std::max(histogram.max, histogram.max + 1) : high;
        fmt::format_to(std::back_inserter(text), FMT_COMPILE("{}[{},{},{}]"), separator, low, top,
                       count);
        separator = ",";
    }
    return text + "]}";
}

std::string metric_json(const Metric& metric)
{
    constexpr std::array<const char*, 3> kTypes = {"counter", "gauge", "share"};
    const Json json = {{"type", kTypes[static_cast<size_t>(metric.type)]}, {"unit", metric.unit}};
    constexpr double kExact = 9007199254740992; // 2^53
    const bool whole = metric.type == Metric::Type::kCounter ||
                       (std::floor(metric.value) == metric.value && metric.value < kExact);
    const std::string value =
        whole ? fmt::format("{:.0f}", metric.value) : fmt::format("{:.6g}", metric.value);
    const std::string head = json.dump();
    return head.substr(0, head.size() - 1) + R"(,"value":)" + value + "}";
}

Json frames_json(const std::vector<std::string>& frames)
{
    Json json = Json::array();
    for (const std::string& frame : frames)
        json.push_back(printable(frame));
    return json;
}

Json stack_json(const Stack& stack)
{
    return {{"reason", stack.reason},
            {"comm", printable(stack.comm)},
            {"pid", stack.pid},
            {"user", frames_json(stack.user)},
            {"kernel", frames_json(stack.kernel)}};
}

// The members of an object, without its braces.
std::string members(const Json& object)
{
    const std::string text = object.dump();
    return text.substr(1, text.size() - 2);
}

// `metric` names the histogram of the row; of the rows in it, too. Those are named by `nested`, and what is in
// them by `again`.
std::string row_json(const Row& row, const std::string& metric, const std::string& nested,
                     const std::string& again)
{
    std::string metrics;
    const auto add = [&](const std::string& name, const std::string& json) {
        metrics += (metrics.empty() ? "" : ",") + Json(name).dump() + ":" + json;
    };
    if (!metric.empty())
        add(metric, histogram_json(row.histogram));
    for (const NamedHistogram& h : row.histograms)
        add(h.name, histogram_json(h.histogram));
    for (const Metric& m : row.metrics)
        add(m.name, metric_json(m));
    std::string rows;
    for (const Row& inner : row.rows)
        rows += (rows.empty() ? "" : ",") + row_json(inner, metric, again, "");
    const Json head =
        row.stack ? stack_json(*row.stack) : Json{{"entity", entity_json(row.entity)}};
    std::string text = fmt::format(R"({{{},"metrics":{{{}}})", members(head), metrics);
    if (!nested.empty())
        text += fmt::format(R"(,{}:[{}])", Json(nested).dump(), rows);
    return text + "}";
}

Json open_json(const OpenRow& open)
{
    Json json = {{"entity", entity_json(open.entity)},
                 {"tid", open.wait.tid},
                 {"pid", open.wait.tgid},
                 {"comm", printable(open.wait.comm)},
                 {"age_ns", open.wait.wait_ns}};
    for (const OpenPartRow& part : open.parts)
        json["held_by"].push_back({{"entity", entity_json(part.entity)}, {"ns", part.ns}});
    if (open.stack) {
        json["reason"] = open.stack->reason;
        json["user"] = frames_json(open.stack->user);
        json["kernel"] = frames_json(open.stack->kernel);
    }
    return json;
}

Json request_json(const RequestRow& row)
{
    const OpenRequest& open = row.request;
    Json json = {{"entity", entity_json(row.entity)},
                 {"disk", printable(row.disk)},
                 {"operation", operation_name(open.key.op, open.key.flags)},
                 {"sector", open.sector},
                 {"bytes", open.bytes},
                 {"age_ns", open.age_ns},
                 {"stage", open.issued ? "device" : "queue"}};
    if (open.issued)
        json["device_ns"] = open.device_ns;
    return json;
}

Json kill_json(const KillRow& row)
{
    const OomKill& kill = row.kill;
    return {{"time", format_time(kill.time_ns)},
            {"entity", entity_json(row.victim)},
            {"pid", kill.tgid},
            {"comm", printable(kill.comm)},
            {"short_of_memory", short_of_memory(kill)},
            {"asked_by",
             {{"entity", entity_json(row.cause)},
              {"pid", kill.cause_tgid},
              {"comm", printable(kill.cause_comm)}}}};
}

Json connect_json(const ConnectRow& row)
{
    return {{"entity", entity_json(row.entity)},
            {"peer", entity_json(row.peer)},
            {"pid", row.connect.tgid},
            {"comm", printable(row.connect.comm)},
            {"age_ns", row.connect.age_ns}};
}

Json overhead_json(const Overhead& overhead)
{
    Json programs = Json::array();
    for (const ProgramCost& program : overhead.programs) {
        programs.push_back({{"name", printable(program.name)},
                            {"run_cnt", program.run_cnt},
                            {"run_time_ns", program.run_time_ns}});
    }
    return {{"programs", std::move(programs)},
            {"cpu_ns", overhead.cpu_ns},
            {"rss_bytes", overhead.rss_bytes},
            {"startup_ns", overhead.startup_ns}};
}

} // namespace

std::string render_json(const Report& report, bool with_overhead)
{
    const auto end_ns = report.start_ns + static_cast<int64_t>(report.duration_ns);
    const Json head = {{"schema", kSchema},
                       {"tool", report.tool},
                       {"host", printable(report.host.name)},
                       {"kernel", printable(report.host.kernel)},
                       {"start", format_time(report.start_ns)},
                       {"end", format_time(end_ns)},
                       {"duration_ns", report.duration_ns},
                       {"title", report.title}};
    std::string rows;
    for (const Row& row : report.rows)
        rows += (rows.empty() ? "" : ",") +
                row_json(row, report.metric, report.nested, report.nested_again);
    std::string left_out;
    if (report.rows_left_out != 0) {
        left_out = fmt::format(R"("rows_left_out":{},"left_out":{},)", report.rows_left_out,
                               histogram_json(report.left_out));
    }
    Json tail = Json::object();
    tail["open"] = Json::array();
    for (const OpenRow& row : report.open)
        tail["open"].push_back(open_json(row));
    if (!report.requests.empty()) {
        tail["requests"] = Json::array();
        for (const RequestRow& row : report.requests)
            tail["requests"].push_back(request_json(row));
    }
    if (!report.kills.empty()) {
        tail["kills"] = Json::array();
        for (const KillRow& row : report.kills)
            tail["kills"].push_back(kill_json(row));
    }
    if (!report.connecting.empty()) {
        tail["connecting"] = Json::array();
        for (const ConnectRow& row : report.connecting)
            tail["connecting"].push_back(connect_json(row));
    }
    tail["notes"] = report.notes;
    tail["loss"] = loss_json(report.loss);
    if (with_overhead)
        tail["overhead"] = overhead_json(report.overhead);
    return "{" + members(head) + ",\"rows\":[" + rows + "]," + left_out + members(tail) + "}\n";
}

std::string render_json(const SlowWait& wait, const Entity& entity, const std::string& tool)
{
    const Json json = {{"schema", kSchema},
                       {"tool", tool},
                       {"event", "slow_wait"},
                       {"time", format_time(wait.end_ns)},
                       {"entity", entity_json(entity)},
                       {"cpu", wait.cpu},
                       {"tid", wait.tid},
                       {"pid", wait.tgid},
                       {"comm", printable(wait.comm)},
                       {"wait_ns", wait.wait_ns},
                       {"previous_tid", wait.previous_tid},
                       {"previous_comm", printable(wait.previous_comm)}};
    return json.dump() + "\n";
}

std::string render_json(const SlowRequest& request, const Entity& entity, const std::string& tool)
{
    Json json = {{"schema", kSchema},
                 {"tool", tool},
                 {"event", "slow_request"},
                 {"time", format_time(request.end_ns)},
                 {"entity", entity_json(entity)},
                 {"disk", printable(request.device)},
                 {"operation", operation_name(request.key.op, request.key.flags)},
                 {"sector", request.sector},
                 {"bytes", request.bytes},
                 {"failed", request.failed},
                 {"total_ns", request.total_ns}};
    if (request.split) {
        json["queue_ns"] = request.queue_ns;
        json["device_ns"] = request.device_ns;
    }
    return json.dump() + "\n";
}

std::string render_json(const SlowSession& session, const Entity& entity, const std::string& tool)
{
    const TcpVolume& volume = session.volume;
    Json json = {{"schema", kSchema},
                 {"tool", tool},
                 {"event", "slow_session"},
                 {"time", format_time(session.end_ns)},
                 {"entity", entity_json(entity)},
                 {"side", side_name(session.side)},
                 {"remote", session.remote},
                 {"remote_port", session.remote_port},
                 {"local", session.local},
                 {"local_port", session.local_port},
                 {"duration_ns", session.ns},
                 {"bytes_sent", volume.sent},
                 {"bytes_received", volume.received},
                 {"segments_sent", volume.segments_out},
                 {"segments_received", volume.segments_in},
                 {"retransmitted", volume.retransmitted}};
    if (session.tgid != 0) {
        json["pid"] = session.tgid;
        json["comm"] = printable(session.comm);
    }
    return json.dump() + "\n";
}

} // namespace vtrace
