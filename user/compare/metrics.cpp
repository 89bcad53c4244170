// SPDX-License-Identifier: GPL-2.0-only
#include "compare/metrics.h"

#include "render/text_parts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>

namespace vtrace {
namespace {

using Scale = CompareMetric::Scale;
using Worse = CompareMetric::Worse;
using Value = std::optional<double>;

constexpr double kNsPerSecond = 1e9;
constexpr double kMedian = 0.5;
constexpr double kTail = 0.99;

double sum_of(const RowsOf& rows, std::initializer_list<std::string_view> names)
{
    double sum = 0;
    for (const Row* row : rows) {
        for (const std::string_view name : names)
            sum += value_of(*row, name);
    }
    return sum;
}

// Nanoseconds of several in an interval: how many there were on average.
double on_average(double ns, double seconds)
{
    return ns / (seconds * kNsPerSecond);
}

Value share_of(double part, double whole)
{
    return whole > 0 ? Value(part / whole) : std::nullopt;
}

Histogram merged(const RowsOf& rows)
{
    Histogram all;
    for (const Row* row : rows)
        all.merge(row->histogram);
    return all;
}

// That of the rows' histograms.
Value time_on_average(const RowsOf& rows, double seconds)
{
    double ns = 0;
    for (const Row* row : rows)
        ns += static_cast<double>(row->histogram.sum);
    return on_average(ns, seconds);
}

template <int kPercent> Value quantile(const RowsOf& rows, double /*seconds*/)
{
    return smooth_quantile(merged(rows), kPercent / 100.0);
}

Value cpus_used(const RowsOf& rows, double seconds)
{
    return on_average(sum_of(rows, {"user", "system", "guest", "running"}), seconds);
}

Value cpu_wait_share(const RowsOf& rows, double /*seconds*/)
{
    const double waited = sum_of(rows, {"runnable"});
    return share_of(waited, waited + sum_of(rows, {"user", "system", "guest", "running"}));
}

Value blocked(const RowsOf& rows, double seconds)
{
    return on_average(sum_of(rows, {"disk", "memory", "fault", "blocked"}), seconds);
}

Value throttled_share(const RowsOf& rows, double /*seconds*/)
{
    return share_of(sum_of(rows, {"throttled_periods"}), sum_of(rows, {"periods"}));
}

Value throttled(const RowsOf& rows, double seconds)
{
    return on_average(sum_of(rows, {"throttled_time"}), seconds);
}

// "write" is of `write sync meta`, too; "read" is not of `readahead`, which nobody waits for.
Value operation_quantile(const RowsOf& rows, std::string_view operation, double q)
{
    Histogram all;
    for (const Row* row : rows) {
        for (const Row& inner : row->rows) {
            const std::string_view name = inner.entity.name;
            if (name.substr(0, name.find(' ')) == operation)
                all.merge(inner.histogram);
        }
    }
    return smooth_quantile(all, q);
}

Value read_median(const RowsOf& rows, double /*seconds*/)
{
    return operation_quantile(rows, "read", kMedian);
}

Value read_tail(const RowsOf& rows, double /*seconds*/)
{
    return operation_quantile(rows, "read", kTail);
}

Value write_median(const RowsOf& rows, double /*seconds*/)
{
    return operation_quantile(rows, "write", kMedian);
}

Value write_tail(const RowsOf& rows, double /*seconds*/)
{
    return operation_quantile(rows, "write", kTail);
}

Value requests(const RowsOf& rows, double seconds)
{
    return sum_of(rows, {"count"}) / seconds;
}

Value bytes(const RowsOf& rows, double seconds)
{
    return sum_of(rows, {"bytes"}) / seconds;
}

Value failed(const RowsOf& rows, double seconds)
{
    return sum_of(rows, {"failed"}) / seconds;
}

Value retransmit_share(const RowsOf& rows, double /*seconds*/)
{
    return share_of(sum_of(rows, {"retransmitted"}), sum_of(rows, {"sent"}));
}

Value packets(const RowsOf& rows, double seconds)
{
    return sum_of(rows, {"packets"}) / seconds;
}

Value exit_cost_share(const RowsOf& rows, double /*seconds*/)
{
    return share_of(sum_of(rows, {"overhead"}) - sum_of(rows, {"steal"}), sum_of(rows, {"lived"}));
}

Value steal_share(const RowsOf& rows, double /*seconds*/)
{
    return share_of(sum_of(rows, {"steal"}), sum_of(rows, {"lived"}));
}

Value softirq_cpus(const RowsOf& rows, double /*seconds*/)
{
    return sum_of(rows, {"cpus"});
}

// Nobody's where rows are those who paid.
Value softirq_delay(const RowsOf& rows, double /*seconds*/)
{
    Histogram all;
    for (const Row* row : rows)
        all.merge(find_histogram(*row, "delay"));
    return smooth_quantile(all, kTail);
}

constexpr std::array<CompareMetric, 25> kMetrics = {{
    {"cpu_used", "CPUs used", "states", Scale::kOnAverage, Worse::kNeither, cpus_used},
    {"cpu_wait_share", "CPU wait, of run + wait", "states", Scale::kShare, Worse::kHigher,
     cpu_wait_share},
    {"blocked", "tasks blocked (D)", "states", Scale::kOnAverage, Worse::kHigher, blocked},
    {"runq_waiting", "tasks waiting for a CPU", "runqlat", Scale::kOnAverage, Worse::kHigher,
     time_on_average},
    {"runq_p50", "CPU wait p50", "runqlat", Scale::kTime, Worse::kHigher, quantile<50>},
    {"runq_p99", "CPU wait p99", "runqlat", Scale::kTime, Worse::kHigher, quantile<99>},
    {"throttled_share", "periods throttled", "throttle", Scale::kShare, Worse::kHigher,
     throttled_share},
    {"throttled", "CPUs throttled", "throttle", Scale::kOnAverage, Worse::kHigher, throttled},
    {"disk_read_p50", "disk read p50", "biolatency", Scale::kTime, Worse::kHigher, read_median},
    {"disk_read_p99", "disk read p99", "biolatency", Scale::kTime, Worse::kHigher, read_tail},
    {"disk_write_p50", "disk write p50", "biolatency", Scale::kTime, Worse::kHigher, write_median},
    {"disk_write_p99", "disk write p99", "biolatency", Scale::kTime, Worse::kHigher, write_tail},
    {"disk_requests", "disk requests", "biolatency", Scale::kPerSecond, Worse::kNeither, requests},
    {"disk_bytes", "disk bytes", "biolatency", Scale::kBytesPerSecond, Worse::kNeither, bytes},
    {"memory_stalled", "tasks held up for memory", "memstall", Scale::kOnAverage, Worse::kHigher,
     time_on_average},
    {"tcp_connect_p50", "TCP connect p50", "tcpconnlat", Scale::kTime, Worse::kHigher,
     quantile<50>},
    {"tcp_failed", "TCP connects failed", "tcpconnlat", Scale::kPerSecond, Worse::kHigher, failed},
    {"tcp_rtt_p50", "TCP round trip p50", "tcprtt", Scale::kTime, Worse::kHigher, quantile<50>},
    {"tcp_retransmit_share", "TCP sent again", "tcpretrans", Scale::kShare, Worse::kHigher,
     retransmit_share},
    {"packets_dropped", "packets dropped", "netdrop", Scale::kPerSecond, Worse::kHigher, packets},
    {"softirq_cpus", "CPUs in softirqs", "softirqs", Scale::kOnAverage, Worse::kNeither,
     softirq_cpus},
    {"softirq_delay_p99", "softirq delay p99", "softirqs", Scale::kTime, Worse::kHigher,
     softirq_delay},
    {"vm_exits", "VM exits", "kvmexit", Scale::kPerSecond, Worse::kNeither, requests},
    {"vm_exit_cost_share", "VM exits' cost, of vCPUs", "vmcost", Scale::kShare, Worse::kHigher,
     exit_cost_share},
    {"vm_steal_share", "VM steal, of vCPUs", "vmcost", Scale::kShare, Worse::kHigher, steal_share},
}};

} // namespace

std::span<const CompareMetric> compare_metrics()
{
    return kMetrics;
}

std::string_view unit_name(CompareMetric::Scale scale)
{
    switch (scale) {
    case Scale::kTime: return "ns";
    case Scale::kPerSecond: return "1/s";
    case Scale::kBytesPerSecond: return "bytes/s";
    case Scale::kShare:
    case Scale::kOnAverage: return "1";
    }
    return "1";
}

std::optional<double> smooth_quantile(const Histogram& histogram, double q)
{
    constexpr double kRounding = 1e-9;
    const auto count = static_cast<double>(histogram.count());
    if (count * (1 - q) < 1 - kRounding)
        return std::nullopt;
    const auto most = static_cast<double>(histogram.max);
    double below = 0;
    for (const BucketCount& bucket : histogram.buckets) {
        const auto here = static_cast<double>(bucket.count);
        if (below + here >= q * count) {
            const BucketRange range = bucket_range(bucket.index);
            const auto low = static_cast<double>(range.low);
            const double high = std::min(static_cast<double>(range.high), most);
            return low + std::max(high - low, 0.0) * (q * count - below) / here;
        }
        below += here;
    }
    return most;
}

} // namespace vtrace
