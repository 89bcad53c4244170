// SPDX-License-Identifier: GPL-2.0-only
#include "render/json_parts.h"

#include "base/printable.h"

#include <string>

namespace vtrace {

Json entity_json(const Entity& entity)
{
    Json json = {{"kind", entity.kind}, {"name", printable(entity.name)}};
    json["cgroup"] = entity.cgroup.empty() ? Json(nullptr) : Json(printable(entity.cgroup));
    json["id"] = entity.id;
    if (entity.pid != 0)
        json["pid"] = entity.pid;
    if (entity.tid != 0)
        json["tid"] = entity.tid;
    if (entity.ended)
        json["ended"] = true;
    if (!entity.uid.empty())
        json["uid"] = printable(entity.uid);
    if (!entity.image.empty())
        json["image"] = printable(entity.image);
    if (!entity.parents.empty()) {
        json["parents"] = Json::array();
        for (const EntityName& parent : entity.parents)
            json["parents"].push_back({{"kind", parent.kind}, {"name", printable(parent.name)}});
    }
    for (const EntityName& label : entity.labels)
        json["labels"][label.kind] = printable(label.name);
    return json;
}

Json loss_json(const Loss& loss)
{
    Json json = Json::object();
    for (const LossCounter& counter : loss_counters())
        json[std::string(counter.key)] = loss.*counter.count;
    json["fallbacks"] = Json::array();
    for (const std::string& fallback : loss.fallbacks)
        json["fallbacks"].push_back(printable(fallback));
    return json;
}

} // namespace vtrace
