#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""vtrace's tools about VMs, on a real Linux guest that writes to its virtio disk: against `perf kvm stat`, the
kernel's tracepoints and its accounts of threads."""

import collections
import pathlib
import re
import unittest

import kvm_live as kvm
import vtrace_live as live
from linux_guest_live import OneGuest, PerfKvmStat, on_one_cpu
from test_vcpu import STATES
from vm_tools_live import Tool, labels, value

BLOCKS = 256


@on_one_cpu
class Linux(OneGuest, Tool):
    def work(self, *oracles):
        """What the oracles counted while the guest, which stood still before and after, wrote to its disk."""
        before = [oracle.count() for oracle in oracles]
        self.guest.begin()
        self.guest.wait_io(BLOCKS)
        self.guest.pause()
        return [oracle.count() - count for oracle, count in zip(oracles, before)]

    def observed(self, tool, *oracles):
        """What the oracles counted, and the reports, of a guest that stands still at both ends."""
        self.tool = tool
        self.guest.pause()
        return self.traced(lambda: self.work(*oracles), f"--vm={self.NAME}")

    def of_guest(self, reports):
        rows = [row for report in reports for row in report["rows"]]
        self.assertEqual({row["entity"]["name"] for row in rows}, {self.NAME})
        return rows

    def test_exits_as_perf_counts_them(self):
        self.tool = "kvmexit"
        self.guest.pause()
        exits = self.trace("kvm/kvm_exit")

        def work():
            with PerfKvmStat(self.guest.pid) as perf:
                counted = self.work(exits)
                return counted, perf.stop()

        ((counted,), reported), reports = self.traced(work, f"--vm={self.NAME}")
        self.of_guest(reports)
        counts = collections.Counter()
        for name, count in self.counts(reports, self.guest, "exits").items():
            counts[name.removesuffix(", mmio")] += count
        print(f"\n    vtrace: {dict(counts)}\n    perf:   {reported}", flush=True)
        self.assertEqual({name.lower(): count for name, count in counts.items()},
                         {name.lower(): count for name, count in reported.items()})
        self.assertEqual(sum(counts.values()), counted - 1, "the last has not ended")

    def test_where_the_time_of_its_vcpu_goes(self):
        (served,) = self.guest.io_threads()
        before, *_ = live.schedstat(served)
        _, reports = self.observed("vcpu")
        ran = live.schedstat(served)[0] - before
        rows = self.of_guest(reports)
        lived, total = (sum(value(row, name) for row in rows) for name in ("lived", "states_sum"))
        shares = {name: sum(value(row, name) for row in rows) / lived for name in STATES}
        print(f"\n    {100 * total / lived:.3f} %:", {n: f"{s:.2%}" for n, s in shares.items()}, flush=True)
        self.assertAlmostEqual(total / lived, 1, delta=0.005)
        for state in ("guest", "exits", "vmm", "halted"):
            self.assertGreater(shares[state], 0, state)
        served = sum(value(row, "ran") for row in self.rows(reports, self.guest, "threads")
                     if row["entity"]["name"] == "iothread")
        print(f"    iothread: {served / 1e6:.2f} ms, kernel {ran / 1e6:.2f} ms", flush=True)
        self.assertAlmostEqual(served, ran, delta=0.05 * ran + 1e6)

    def test_accesses_to_its_devices(self):
        ports = self.trace("kvm/kvm_pio")
        addresses = self.trace("kvm/kvm_mmio", "type != 0")
        (pio, mmio), reports = self.observed("kvmio", ports, addresses)
        rows = self.of_guest(reports)
        found = {name: sum(value(row, name) for row in rows) for name in ("pio", "mmio")}
        devices = collections.Counter()
        for row in self.rows(reports, self.guest, "accesses"):
            devices[labels(row).get("device", "?")] += value(row, "count")
        print(f"\n    {found}, {dict(devices)}", flush=True)
        self.assertEqual(found, {"pio": pio, "mmio": mmio})
        # A round of the guest is one request for each of its blocks; in the VMM nobody hears of them.
        self.assertGreaterEqual(devices["doorbell"], BLOCKS / 2)
        self.assertGreater(devices["serial COM1"], 0)

    def test_its_interrupts(self):
        injected = self.trace("kvm/kvm_inj_virq", *(["reinjected == 0"] if live.kernel() >= (6, 0) else []))
        messages = self.enter(kvm.TraceCount("kvm/kvm_msi_set_irq"))
        (injected, messages), reports = self.observed("kvmirq", injected, messages)
        rows = self.of_guest(reports)
        found = {name: sum(value(row, name) for row in rows) for name in ("injected", "messages")}
        late = max(row["metrics"]["latency"]["p99"] for row in rows if row["metrics"]["latency"]["count"])
        print(f"\n    {found}; p99 {late / 1e3:.1f} us", flush=True)
        self.assertEqual(found, {"injected": injected, "messages": messages})
        self.assertGreater(messages, 0, "expected the disk to ask for interrupts")
        self.assertGreater(late, 0)

    def test_its_memory(self):
        _, reports = self.observed("kvmmem")
        rows = self.of_guest(reports)
        status = pathlib.Path(f"/proc/{self.guest.pid}/status").read_text()
        resident = 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])
        print(f"\n    resident {value(rows[-1], 'resident') / 1e6:.1f} MB, kernel {resident / 1e6:.1f} MB", flush=True)
        self.assertAlmostEqual(value(rows[-1], "resident"), resident, delta=0.02 * resident)

    def test_what_it_pays(self):
        """Each cause is the exits of its kind, as kvmexit has them. (Not of those that go to the VMM: the
        guest may stand still in one, which kvmexit counts when it ends.)"""
        self.guest.pause()
        with live.Tracer("kvmexit", f"--vm={self.NAME}", "--format", "json", 0.5) as exits:
            exits.wait_report()
            _, reports = self.observed("vmcost")
            exits.stop()
            of_exits = exits.reports()
        rows = self.of_guest(reports)
        whole = 0
        for row in self.rows(of_exits, self.guest, "exits"):
            if labels(row)["exit_class"] in ("cpuid", "msr"):
                whole += sum(value(row, part) for part in ("kernel", "vmm", "blocked"))
        found = {name: sum(value(row, name) for row in rows)
                 for name in ("lived", "emulation", "io", "overhead")}
        print(f"\n    emulation {found['emulation'] / 1e6:.1f} ms, kvmexit {whole / 1e6:.1f} ms;"
              f" overhead {found['overhead'] / found['lived']:.1%}", flush=True)
        self.assertGreater(whole, 0)
        self.assertAlmostEqual(found["emulation"], whole, delta=0.1 * whole)
        self.assertGreater(found["io"], 0)
        self.assertGreater(found["overhead"], found["emulation"] + found["io"])
        self.assertLess(found["overhead"], found["lived"])


if __name__ == "__main__":
    unittest.main()
