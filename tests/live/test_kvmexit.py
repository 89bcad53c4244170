#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace kvmexit` against guests whose exits are known, and against the kernel's own tracepoints."""

import contextlib
import subprocess
import time
import unittest

import kvm_live as kvm
import vtrace_live as live
from vm_tools_live import Tool, labels, value

PIO, CPUIDS, HALTS, MMIO = 3000, 700, 50, 40


class Exits(Tool):
    tool = "kvmexit"
    # Of kvm_exit, by the names that the kernel's tracepoint prints.
    NAMES = {"kvm_amd": ("io", "cpuid", "hlt"), "kvm_intel": ("IO_INSTRUCTION", "CPUID", "HLT")}

    def names(self):
        self.need_exits()
        return next(names for module, names in self.NAMES.items() if module in kvm.flavour())

    def check_exits(self, *arguments, prefix=()):
        """Of two guests at once: each exit is counted, of the right one."""
        io, cpuid, hlt = self.names()
        guest = self.enter(kvm.TinyGuest(PIO, CPUIDS, HALTS, mmio=MMIO))
        other = self.enter(kvm.TinyGuest(100, 10, 5))
        exits = self.enter(kvm.TraceCount("kvm/kvm_exit", f"common_pid == {guest.pid}"))

        def work():
            other.begin()
            seen = guest.round()
            other.end()
            return seen

        seen, reports = self.traced(work, *arguments, prefix=prefix)
        counts = self.counts(reports, guest, "exits")
        print(f"\n    {dict(counts)}", flush=True)
        self.assertEqual({name: counts[name] for name in (io, cpuid, hlt)},
                         {io: PIO, cpuid: CPUIDS, hlt: HALTS})
        mapped = sum(count for name, count in counts.items() if name.endswith(", mmio"))
        self.assertEqual(mapped, MMIO, "expected the last write, which has no end yet, in none")
        self.assertEqual(sum(counts.values()), exits.count() - 1)
        self.assertEqual(self.sum_of(reports, guest, "exits", io, "to_vmm"), seen["pio"])
        of_other = self.counts(reports, other, "exits")
        self.assertEqual({name: of_other[name] for name in (io, cpuid, hlt)},
                         {io: 100, cpuid: 10, hlt: 5})
        # Each time is divided without a rest.
        rows = self.rows(reports, guest, "exits")
        self.assertEqual(sum(row["metrics"]["time"]["count"] for row in rows), sum(counts.values()))
        whole = sum(row["metrics"]["time"]["sum"] for row in rows)
        parts = sum(value(row, part) for part in ("kernel", "vmm", "blocked", "waited") for row in rows)
        self.assertAlmostEqual(parts, whole, delta=1e-6 * whole + 1000)
        return reports

    def test_each_is_counted(self):
        reports = self.check_exits()
        self.assertFalse([note for report in reports for note in report["notes"]])

    def test_where_the_modules_types_are_not_described(self):
        """By the record of the tracepoint."""
        reports = self.check_exits(prefix=("env", "VTRACE_WITHOUT=module_types"))
        # Before 5.16 the tracepoint gives the reason.
        if live.kernel() >= (5, 16):
            self.assertTrue(any("types of its KVM modules" in text
                                for text in reports[-1]["loss"]["fallbacks"]))

    def test_one_vm_and_one_vcpu(self):
        io, *_ = self.names()
        guest = self.enter(kvm.TinyGuest(PIO, vcpus=2))
        other = self.enter(kvm.TinyGuest(100))

        def work():
            other.round()
            return guest.round()

        _, reports = self.traced(work, f"--vm={guest.pid}", "--vcpu", 1)
        self.assertEqual(self.counts(reports, guest, "exits")[io], PIO)
        self.assertEqual({labels(row)["vcpu"] for row in self.rows(reports, guest, "exits")},
                         {"vcpu 1"})
        self.assertFalse(self.rows(reports, other, "exits"))

    @live.measured
    def test_time_in_the_vmm(self):
        io, *_ = self.names()
        guest = self.enter(kvm.TinyGuest(200, vmm_sleep_us=2000))
        awake = self.enter(kvm.TinyGuest(200, vmm_sleep_us=1))
        (seen, short), reports = self.traced(lambda: (guest.round(), awake.round()))
        parts = {part: self.sum_of(reports, guest, "exits", io, part)
                 for part in ("kernel", "vmm", "blocked", "waited")}
        # The way to the VMM, into sleep and back, which takes long where it is emulated.
        way = self.sum_of(reports, awake, "exits", io, "vmm") - short["slept_ns"]
        print(f"\n    slept {seen['slept_ns'] / 1e6:.2f} ms, way {way / 1e6:.2f} ms, {parts}", flush=True)
        self.assertAlmostEqual(parts["vmm"] - way, seen["slept_ns"], delta=0.05 * seen["slept_ns"])
        self.assertLess(parts["blocked"], 0.05 * parts["vmm"])

    @live.measured
    def test_halts(self):
        _, _, hlt = self.names()
        guest = self.enter(kvm.TinyGuest(0, timer_halts=100, halt_us=2000))
        seen, reports = self.traced(guest.round)
        self.assertEqual(self.counts(reports, guest, "exits")[hlt], seen["injected"])
        asleep = self.sum_of(reports, guest, "exits", hlt, "blocked")
        whole = sum(row["metrics"]["time"]["sum"] for row in self.rows(reports, guest, "exits")
                    if row["entity"]["name"] == hlt)
        print(f"\n    halted {seen['halted_ns'] / 1e6:.2f} ms: {whole / 1e6:.2f} ms,"
              f" {asleep / 1e6:.2f} ms asleep", flush=True)
        self.assertAlmostEqual(whole, seen["halted_ns"], delta=0.2 * seen["halted_ns"])
        # Apart: in no sum of the VM's.
        for report in reports:
            for row in report["rows"]:
                if row["entity"].get("pid") == guest.pid:
                    cost = sum(r["metrics"]["time"]["sum"] for r in row["exits"]
                               if labels(r)["exit_class"] != "idle")
                    self.assertEqual(row["metrics"]["time"]["sum"], cost)
        halted = sum(value(row, "halted") for report in reports for row in report["rows"]
                     if row["entity"].get("pid") == guest.pid)
        self.assertEqual(halted, whole)

    def test_where_kvm_does_not_tell_of_exits(self):
        if kvm.exit_codes() is not None:
            self.skipTest(f"KVM tells of its exits here ({kvm.flavour()})")
        guest = self.enter(kvm.TinyGuest(PIO, CPUIDS, HALTS, mmio=MMIO))
        other = self.enter(kvm.TinyGuest(100))
        of_guest = f"common_pid == {guest.pid}"
        oracle = {
            "pio": ("kvm/kvm_pio", of_guest),
            "mmio": ("kvm/kvm_mmio", f"{of_guest} && type != 0"),
            "cpuid": ("kvm/kvm_cpuid", of_guest),
            "emulated": ("kvm/kvm_emulate_insn", of_guest),
            "msr": ("kvm/kvm_msr", of_guest),
            "hypercall": ("kvm/kvm_hypercall", of_guest),
        }
        kernel = {name: self.enter(kvm.TraceCount(*event)) for name, event in oracle.items()}

        def work():
            other.begin()
            seen = guest.round()
            other.end()
            return seen

        seen, reports = self.traced(work)
        counts = self.counts(reports, guest, "exits")
        print(f"\n    {dict(counts)}", flush=True)
        self.assertEqual({name: counts[name] for name in kernel},
                         {name: trace.count() for name, trace in kernel.items()})
        self.assertEqual({name: counts[name] for name in ("pio", "to VMM: IO", "to VMM: HLT")},
                         {"pio": PIO, "to VMM: IO": PIO, "to VMM: HLT": HALTS})
        self.assertEqual(counts["to VMM: MMIO"], seen["mmio"])
        self.assertEqual(self.counts(reports, other, "exits")["to VMM: IO"], 100)
        # What is missing is named.
        (note,) = reports[-1]["notes"]
        for word in (kvm.flavour(), "kvm_exit", "reasons", "how long"):
            self.assertIn(word, note)
        self.assertNotIn("kernel", self.rows(reports, guest, "exits")[0]["metrics"])

    def test_a_vm_that_ends(self):
        """Its exits are there, and later VMs, which get its place in the tables, have theirs only."""
        guests = []

        def work():
            for _ in range(4):
                guests.append(self.enter(kvm.TinyGuest(PIO + len(guests))))
                guests[-1].round()
                guests[-1].stop()
                time.sleep(1)  # until it is forgotten

        _, reports = self.traced(work)
        name = "io" if kvm.exit_codes() == kvm.EXIT_CODES["kvm_amd"] else "IO_INSTRUCTION"
        if kvm.exit_codes() is None:
            name = "pio"
        self.assertEqual([self.counts(reports, guest, "exits")[name] for guest in guests],
                         [PIO, PIO + 1, PIO + 2, PIO + 3])

    def test_without_vms(self):
        result = live.run("kvmexit", 0.2, 1)
        self.assertEqual(result.code, 0, result.err)

    @live.on_any_kernel
    def test_bad_numbers_of_vcpus(self):
        for bad in ("-1", "1.5", "x", "99999999999"):
            live.check_failure(self, live.run("kvmexit", "--vcpu=" + bad, 1, 1), 2, "--vcpu")

    def test_without_kvm(self):
        """A host whose KVM is a module that is not loaded."""
        modules = [name for name in ("kvm_amd", "kvm_intel", "kvm") if kvm.is_loaded_module(name)]
        if not modules:
            self.skipTest("KVM is built in here")
        with contextlib.ExitStack() as stack:
            for name in modules:
                done = subprocess.run(["modprobe", "-r", name], capture_output=True, text=True,
                                      check=False)
                if done.returncode:
                    self.skipTest(f"{name} is in use: {done.stderr.strip()}")
                stack.callback(subprocess.run, ["modprobe", name], check=False)
            for tool in ("kvmexit", "kvmio", "kvmirq", "kvmmem", "vcpu", "vmcost"):
                live.check_failure(self, live.run(tool, 1, 1), 3, "no KVM on this host")
        kvm.need_kvm()


if __name__ == "__main__":
    unittest.main()
