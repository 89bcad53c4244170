// SPDX-License-Identifier: GPL-2.0-only
// A recording as series: what each interval gave for each metric, of the whole or of each entity.
#pragma once

#include "compare/metrics.h"
#include "model/report.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vtrace {

// Whom series are of. Empty ones: all rows together, the host or what was recorded of it.
struct SeriesRows {
    std::string kind; // of the entities that rows are kept apart by
    std::string name; // only the one that is meant by it; of a cgroup, those below it, too
};

// Whether a user who says `name` means the entity: by its name, its id (four characters of it at least), its process; a
// pod also without its namespace, a unit without .service, a cgroup by a path above.
bool is_meant(const Entity& entity, std::string_view name);

class Series {
public:
    explicit Series(SeriesRows rows);

    // Of an interval, of so many seconds, that the reports given next are of …
    void begin(double seconds);
    // … one of each tool.
    void add(const Report& report);

    [[nodiscard]] uint64_t intervals() const { return intervals_; }
    // How long they are on average, in seconds; 0 of none.
    [[nodiscard]] double interval() const;
    // How many are not half as long as that: they are in no series. A recording that was stopped ends with one, and a busy
    // host has one behind each that was late.
    [[nodiscard]] uint64_t short_ones() const;

    // Whom there are figures of; the one without a name is of all rows.
    [[nodiscard]] std::vector<EntityName> entities() const;
    // Of compare_metrics()[metric], in the order of time: from the first interval in which any tool told of the entity to
    // the last one. Intervals that give no value (a quantile of nothing), and short_ones(), are left out. Empty where its tool gave no report.
    [[nodiscard]] std::vector<double> values(const EntityName& entity, size_t metric) const;

private:
    struct Point {
        uint64_t interval;
        double value; // not finite: none
    };
    struct Told {
        uint64_t first = 0; // intervals in which it was told of
        uint64_t last = 0;
        std::map<size_t, std::vector<Point>> points; // by metric, where there were rows
    };
    using Key = std::pair<std::string, std::string>; // kind and name

    void add_rows(const Key& key, const RowsOf& rows, std::string_view tool);

    SeriesRows rows_;
    uint64_t intervals_ = 0;
    double seconds_ = 0;
    std::vector<double> lengths_;
    std::map<Key, Told> told_;
    std::set<std::string, std::less<>> tools_; // that gave reports
};

} // namespace vtrace
