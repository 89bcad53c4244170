#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""All kinds of entities at once, each with a load of its own: whoever waits, it is charged to the right one."""

import os
import unittest

import engines_live as engines
import kvm_live as kvm
import vtrace_live as live
from test_entities import Base, Named


class Together(Base):
    def test_each_kind_has_its_own(self):
        kvm.need_kvm()
        docker, podman, containerd = (
            self.enter(engine()) for engine in (engines.Docker, engines.Podman, engines.Containerd)
        )
        pids = {
            "web": docker.run("web")[1],
            "db": docker.run("db")[1],
            "queue": podman.run("queue")[1],
            "cache": containerd.run("cache"),
        }
        slice_ = self.enter(Named("vtrace-together.slice"))
        vms = self.enter(live.Cgroup("vms"))
        guest = self.enter(kvm.QemuGuest("web-3", spins=True, cgroup=vms, cpu=live.last_cpu()))
        guest.pause()

        places = {containerd.state: "/run/containerd", podman.graph: "/var/lib/containers/storage"}
        for place in places.values():
            os.makedirs(place, exist_ok=True)
        binds = " && ".join(f"mount --bind {own} {place}" for own, place in places.items())
        prefix = (*live.private_mounts(binds), "env", f"DOCKER_HOST=unix://{docker.socket}")

        def expected():
            """{kind: {name: its loads}}; all of them run, whichever kind is looked at."""
            return {
                "container": {name: self.load(live.CgroupOf(pid)) for name, pid in pids.items()},
                "unit": {"vtrace-together.slice": self.load(slice_)},
                "vm": {"web-3": [guest]},
            }

        for kind in expected():
            with self.subTest(kind):
                all_kinds = expected()
                mine = all_kinds.pop(kind)
                others = [load for of_kind in all_kinds.values() for one in of_kind.values() for load in one]
                self.check(f"--{kind}", mine, prefix, others)
        names = {(entity["kind"], entity["name"]) for entity in self.listed(prefix)}
        self.assertLessEqual({(kind, name) for kind, named in expected().items() for name in named}, names)


if __name__ == "__main__":
    unittest.main()
