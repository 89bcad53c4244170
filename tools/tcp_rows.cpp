// SPDX-License-Identifier: GPL-2.0-only
#include "tools/tcp_rows.h"

#include "entity/entities.h"
#include "tools/report_parts.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace vtrace {
namespace {

struct PeersOf {
    Row row;
    std::map<TcpPeer, Row> peers; // without their owners
};

} // namespace

Entity peer_entity(const TcpPeer& peer, const PeerKey& key)
{
    Entity entity{.kind = "peer", .name = peer_name(peer, key)};
    const auto label = [&](const char* kind, std::string name) {
        if (!name.empty())
            entity.labels.push_back({kind, std::move(name)});
    };
    label("side", std::string(side_name(peer.side)));
    if (peer.others)
        return entity;
    label("remote", peer.remote);
    label("local", peer.local);
    if (key.port)
        label("port", std::to_string(peer.port));
    return entity;
}

void add_peers(Report& report, const Snapshot& snapshot, const ToolOptions& options,
               const std::function<bool(const TcpFigure&)>& wanted, const AddFigure& add,
               const std::function<double(const Row&)>& weight)
{
    report.nested = "peers";
    report.group = options.group;
    const TcpSnapshot& tcp = snapshot.tcp;
    const Entities entities(snapshot.cgroups, snapshot.entities);
    std::map<std::string, PeersOf> all; // by key_of()
    for (const TcpFigure& figure : tcp.figures) {
        if (!wanted(figure))
            continue;
        Entity entity = entity_of(entities, figure.peer.owner, options.group);
        PeersOf& of = all[key_of(entity)];
        of.row.entity = std::move(entity);
        add(of.row, figure);
        TcpPeer peer = figure.peer;
        peer.owner = {};
        Row& row = of.peers[peer];
        row.entity = peer_entity(peer, tcp.key);
        add(row, figure);
    }
    for (auto& [name, of] : all) {
        for (auto& [peer, row] : of.peers)
            of.row.rows.push_back(std::move(row));
        std::ranges::stable_sort(of.row.rows, std::greater{}, weight);
        report.rows.push_back(std::move(of.row));
    }
    std::ranges::stable_sort(report.rows, std::greater{}, weight);
}

} // namespace vtrace
