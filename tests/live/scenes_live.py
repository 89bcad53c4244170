# SPDX-License-Identifier: GPL-2.0-only
"""All scenes for `vtrace diagnose`: one for each rule, hosts without a bottleneck, and two at once."""

import scenes_cpu_live
import scenes_disk_live
import scenes_net_live
import scenes_vm_live

_AREAS = (scenes_cpu_live, scenes_disk_live, scenes_net_live, scenes_vm_live)

# {rule: what makes its bottleneck}. The rule `measurement` has none: it is about vtrace itself.
BOTTLENECKS = {rule: make for area in _AREAS for rule, make in area.BOTTLENECKS.items()}
HEALTHY = {name: make for area in _AREAS for name, make in area.HEALTHY.items()}

# Of different resources, so that neither hides the other.
PAIRS = (
    ("cpu-throttled", "disk-limit"),
    ("cpu-throttled", "net-drops"),
    ("cpu-neighbour", "disk-limit"),
    ("cpu-neighbour", "net-retransmits"),
    ("disk-limit", "net-queue"),
)


def play(scene, *names):
    """Begins them, and waits until they have."""
    scene.alone = len(names) == 1
    for name in names:
        (BOTTLENECKS.get(name) or HEALTHY[name])(scene)
    scene.settle()
