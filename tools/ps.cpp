// SPDX-License-Identifier: GPL-2.0-only
#include "tools/ps.h"

#include "base/files.h"
#include "base/output.h"
#include "entity/cgroup_hierarchy.h"
#include "entity/cgroup_threads.h"
#include "entity/entities.h"
#include "entity/entity_finder.h"
#include "entity/vm_finder.h"
#include "tools/ps_table.h"
#include "tools/stop_signal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace vtrace {
namespace {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::steady_clock;

// Who is on this host. Names are kept from one look to the next: engines are asked for new ones only.
class Host {
public:
    static Result<Host> open()
    {
        auto hierarchy = hierarchy_of(kCpuController);
        if (!hierarchy)
            return hierarchy.error();
        const auto mountinfo = read_file("/proc/self/mountinfo");
        if (!mountinfo)
            return mountinfo.error();
        return Host(std::move(*hierarchy), *mountinfo);
    }

    // As it is now.
    Result<std::vector<PsRow>> look()
    {
        // Nothing tells of the cgroups that come and go without privileges: they are listed again.
        const auto gone = tree_.rescan(hierarchy_.mount_point);
        if (!gone)
            return gone.error();
        for (const uint64_t id : *gone)
            finder_.forget(id);
        finder_.update(tree_, EntityFinder::Clock::now());
        look_at_vms();
        return rows();
    }

    // Why some may be missing.
    [[nodiscard]] std::vector<std::string> problems() const
    {
        std::vector<std::string> problems = finder_.problems();
        std::ranges::move(vms_.problems(), std::back_inserter(problems));
        return problems;
    }

private:
    Host(CgroupHierarchy hierarchy, const std::string& mountinfo)
        : hierarchy_(std::move(hierarchy)), limits_(mountinfo),
          finder_(ContainerRecords(engine_paths())), vms_(hierarchy_)
    {
    }

    void look_at_vms()
    {
        const auto now = VmFinder::Clock::now();
        vms_.update(now, true);
        for (const EntityFact& vm : vms_.facts()) {
            if (vm.ended)
                vms_.forget(vm.vm);
        }
        vms_.scan(now);
    }

    [[nodiscard]] std::vector<PsRow> rows() const
    {
        const CgroupFacts cgroups{.hierarchy = hierarchy_.label(), .cgroups = tree_.facts()};
        std::vector<EntityFact> facts = finder_.facts();
        std::ranges::move(vms_.facts(), std::back_inserter(facts));
        const Entities entities(cgroups, facts);
        std::vector<uint64_t> ids;
        ids.reserve(facts.size());
        for (const EntityFact& fact : facts)
            ids.push_back(fact.cgroup_id);
        auto threads = count_threads(hierarchy_, cgroups, ids);
        std::vector<PsRow> rows;
        for (const EntityFact& fact : facts) {
            PsRow row{.entity = entities.owner(fact.cgroup_id, fact.vm, fact.kind),
                      .source = fact.source};
            row.limits = limits_.read(row.entity.cgroup);
            row.threads = threads[fact.cgroup_id];
            if (fact.kind == "vm") {
                row.vm_threads = vms_.threads(fact.vm);
                row.threads = row.vm_threads.size();
            }
            rows.push_back(std::move(row));
        }
        // VMs, then pods, then containers, then units, each by name.
        constexpr std::array<std::string_view, 4> kOrder = {"vm", "pod", "container", "unit"};
        std::ranges::sort(rows, {}, [&](const PsRow& row) {
            return std::tuple(std::ranges::find(kOrder, row.entity.kind), row.entity.name,
                              row.entity.cgroup);
        });
        return rows;
    }

    CgroupHierarchy hierarchy_;
    LimitReader limits_;
    CgroupTree tree_;
    EntityFinder finder_;
    VmFinder vms_;
};

// Of a terminal; no limits elsewhere.
Screen screen_of(const Output& output)
{
    winsize size{};
    if (::isatty(output.fd()) == 0 || ::ioctl(output.fd(), TIOCGWINSZ, &size) != 0)
        return {};
    Screen screen;
    if (size.ws_col != 0)
        screen.width = size.ws_col;
    if (size.ws_row != 0)
        screen.height = size.ws_row;
    return screen;
}

std::string shown(const std::vector<PsRow>& rows, bool json, const Screen& screen)
{
    if (json)
        return ps_json(rows);
    if (rows.empty())
        return "no VMs, pods, containers or units here; `vtrace runqlat --cgroup` knows every cgroup\n";
    return ps_table(rows, screen);
}

// Until the time has passed or there is a reason not to wait: Ctrl-C, a terminal of another size.
void wait(double seconds, const Output& output, const Screen& screen)
{
    const auto deadline =
        steady_clock::now() + duration_cast<steady_clock::duration>(duration<double>(seconds));
    while (!stop_requested() && screen_of(output) == screen) {
        const auto now = steady_clock::now();
        if (now >= deadline)
            return;
        std::this_thread::sleep_for(std::min<steady_clock::duration>(kPollEvery, deadline - now));
    }
}

Status watch(Host& host, const Output& output, bool json, double every)
{
    stop_on_signals();
    const bool over_the_last = !json && ::isatty(output.fd()) != 0;
    for (bool first = true; !stop_requested(); first = false) {
        const auto rows = host.look();
        if (!rows)
            return rows.error();
        const Screen screen = screen_of(output);
        Screen room = screen;
        if (over_the_last && room.height != SIZE_MAX)
            room.height--; // for the cursor
        std::string text = shown(*rows, json, room);
        if (over_the_last)
            text = (first ? "\x1b[2J" : "") + redrawn(text);
        else if (!first && !json)
            text.insert(0, "\n");
        if (auto written = output.write(text); !written)
            return written;
        wait(every, output, screen);
    }
    // The shell's prompt gets a line of its own, not that of the ^C.
    return over_the_last ? output.write("\n") : ok();
}

} // namespace

Status run_ps(bool json, double every)
{
    auto host = Host::open();
    if (!host)
        return host.error();
    const auto output = Output::open("");
    if (!output)
        return output.error();
    if (every > 0)
        return watch(*host, *output, json, every);
    const auto rows = host->look();
    if (!rows)
        return rows.error();
    for (const std::string& problem : host->problems())
        static_cast<void>(std::fputs(("vtrace: " + problem + "\n").c_str(), stderr));
    return output->write(shown(*rows, json, {.width = screen_of(*output).width}));
}

} // namespace vtrace
