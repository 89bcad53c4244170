#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace vcpu` and `vtrace vmcost` against guests that do known things, and the kernel's account of their threads."""

import os
import time
import unittest

import kvm_live as kvm
import vtrace_live as live
from vm_tools_live import Tool, labels, value

STATES = "guest exits vmm polled poll_wasted halted blocked waited throttled stolen".split()


class Vcpus(Tool):
    tool = "vcpu"

    def vcpus(self, reports, guest):
        """The rows of a VM's vCPUs."""
        return [row for row in self.rows(reports, guest, "threads") if row["entity"]["kind"] == "vcpu"]

    def check_sums(self, reports):
        """The states of each vCPU are all of its time."""
        lived = total = 0
        for report in reports:
            for vm in report["rows"]:
                for row in [vm, *(r for r in vm["threads"] if r["entity"]["kind"] == "vcpu")]:
                    states = sum(value(row, state) for state in STATES)
                    self.assertAlmostEqual(states, value(row, "states_sum"), delta=1000)
                    lived += value(row, "lived")
                    total += states
        print(f"\n    states: {100 * total / lived:.3f} % of the time of vCPUs", flush=True)
        self.assertAlmostEqual(total / lived, 1, delta=0.005)

    def watched(self, guest, *arguments, seconds=2):
        """The reports on a guest that goes on, between two instants, and what the kernel counted meanwhile."""
        with live.Tracer(self.tool, *arguments, "--format", "json", 0.5) as tracer:
            tracer.wait_report()
            before = {tid: live.schedstat(tid)[:2] for tid in guest.vcpus()}
            first = len(tracer.lines)
            time.sleep(seconds)
            tracer.wait_report(1 + len(tracer.reports()))
            after = {tid: live.schedstat(tid)[:2] for tid in before}
            tracer.stop()
            reports = tracer.reports(first)[:-1]
        return reports, {tid: tuple(a - b for a, b in zip(after[tid], before[tid])) for tid in before}

    @live.measured
    def test_two_on_one_cpu(self):
        """Each waits while the other one has it: as the kernel counts."""
        guest = self.enter(kvm.TinyGuest(0, vcpus=2, spin_ms=2500))
        for tid in guest.vcpus():
            os.sched_setaffinity(tid, {live.last_cpu()})
        before = {tid: live.schedstat(tid)[:2] for tid in guest.vcpus()}
        _, reports = self.traced(guest.round)
        after = {tid: live.schedstat(tid)[:2] for tid in before}
        self.check_sums(reports)
        found = {tid: {"waited": 0, "guest": 0} for tid in before}
        for row in self.vcpus(reports, guest):
            for name, ns in found[row["entity"]["tid"]].items():
                found[row["entity"]["tid"]][name] = ns + value(row, name)
        for tid, (ran, waited) in after.items():
            ran, waited = ran - before[tid][0], waited - before[tid][1]
            row = found[tid]
            print(f"    waited {row['waited'] / 1e6:.2f} ms, kernel {waited / 1e6:.2f} ms;"
                  f" in the guest {row['guest'] / 1e6:.2f} of {ran / 1e6:.2f} ms", flush=True)
            self.assertAlmostEqual(row["waited"], waited, delta=0.05 * waited)
            self.assertGreater(waited, 0.8e9)
            if kvm.exit_codes():
                self.assertGreater(row["guest"], 0.5 * ran)
                self.assertLessEqual(row["guest"], 1.01 * ran)

    @live.measured
    def test_halted(self):
        guest = self.enter(kvm.TinyGuest(0, timer_halts=100, halt_us=10000))
        seen, reports = self.traced(guest.round)
        self.check_sums(reports)
        halted = sum(value(row, "halted") + value(row, "poll_wasted")
                     for row in self.vcpus(reports, guest))
        print(f"    halted {halted / 1e6:.2f} ms, as the guest's process saw"
              f" {seen['halted_ns'] / 1e6:.2f} ms", flush=True)
        self.assertAlmostEqual(halted, seen["halted_ns"], delta=0.05 * seen["halted_ns"])

    @live.measured
    def test_who_has_the_cpu_of_a_vcpu(self):
        guest = self.enter(kvm.TinyGuest(0, spin_ms=1500))
        os.sched_setaffinity(guest.pid, {live.last_cpu()})
        cgroup = self.enter(live.Cgroup("hog"))
        self.enter(live.Child(live.spin, cgroup=cgroup, cpu=live.last_cpu()))
        _, before, _ = live.schedstat(guest.pid)
        _, reports = self.traced(guest.round, f"--vm={guest.pid}")
        _, waited, _ = live.schedstat(guest.pid)
        held = {}
        for row in self.rows(reports, guest, "threads"):
            if labels(row).get("role") == "culprit":
                name = row["entity"]["name"]
                held[name] = held.get(name, 0) + value(row, "held")
        worst = max(held, key=held.get)
        print(f"\n    of {(waited - before) / 1e6:.2f} ms:"
              f" {({name: round(ns / 1e6, 2) for name, ns in held.items()})}", flush=True)
        self.assertEqual(worst, cgroup.path)
        self.assertGreater(held[worst], 0.9 * sum(held.values()))

    def test_other_threads_by_role(self):
        guest = self.enter(kvm.QemuGuest("web-1"))
        reports, _ = self.watched(guest, seconds=1)
        roles = {row["entity"]["name"]: row for row in self.rows(reports, guest, "threads")
                 if row["entity"]["kind"] == "role"}
        self.assertIn("emulator", roles)
        self.assertEqual([row["entity"]["name"] for row in self.vcpus(reports[:1], guest)], ["vcpu 0"])
        self.assertEqual({row["entity"]["name"] for report in reports for row in report["rows"]
                          if row["entity"].get("pid") == guest.pid}, {"web-1"})
        self.check_sums(reports)

    def test_what_is_missing_is_named(self):
        guest = self.enter(kvm.TinyGuest(100))
        _, reports = self.traced(guest.round)
        notes = reports[-1]["notes"]
        if kvm.exit_codes():
            self.assertEqual(notes, [])
        else:
            self.assertTrue(any(kvm.flavour() in note and "exits by class" in note for note in notes))


class Cost(Tool):
    tool = "vmcost"

    @live.measured
    def test_what_it_is_made_of(self):
        guest = self.enter(kvm.TinyGuest(3000, 3000, mmio=500, vmm_sleep_us=100))
        with live.Tracer("kvmexit", "--format", "json", 0.5) as exits:
            exits.wait_report()
            _, reports = self.traced(guest.round)
            exits.stop()
            of_exits = exits.reports()
        rows = [row for report in reports for row in report["rows"]
                if row["entity"].get("pid") == guest.pid]
        self.assertTrue(rows)
        if not kvm.exit_codes():
            self.assertTrue(any("by causes" in note for note in reports[-1]["notes"]))
            self.assertNotIn("io_share", rows[0]["metrics"])
            return
        classes = {}
        for row in self.rows(of_exits, guest, "exits"):
            kind = labels(row)["exit_class"]
            cost = sum(value(row, part) for part in ("kernel", "vmm", "blocked"))
            count, ns = classes.get(kind, (0, 0))
            classes[kind] = count + value(row, "count"), ns + cost
        for name, kinds in {"io": ("pio", "mmio"), "emulation": ("cpuid",)}.items():
            count, ns = (sum(classes.get(kind, (0, 0))[i] for kind in kinds) for i in (0, 1))
            print(f"\n    {name}: {sum(value(row, name) for row in rows) / 1e6:.2f} ms,"
                  f" kvmexit {ns / 1e6:.2f} ms", flush=True)
            self.assertGreaterEqual(sum(value(row, name + "_count") for row in rows), count)
            self.assertAlmostEqual(sum(value(row, name) for row in rows), ns, delta=0.1 * ns)


if __name__ == "__main__":
    unittest.main()
