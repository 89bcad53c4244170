#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace kvmio`, `kvmirq` and `kvmmem` against guests that do known things, and the kernel's tracepoints."""

import pathlib
import re
import unittest

import kvm_live as kvm
import vtrace_live as live
from vm_tools_live import Tool, labels, value

PIO, MMIO = 2000, 300
# Where wl_kvm_guest writes to.
PORT, SINK, LAST = "0x00e0", "0x00004000", "0x00003000"


class Accesses(Tool):
    tool = "kvmio"

    def test_each_is_counted(self):
        guest = self.enter(kvm.TinyGuest(PIO, mmio=MMIO))
        other = self.enter(kvm.TinyGuest(100))

        def work():
            other.begin()
            seen = guest.round()
            other.end()
            return seen

        _, reports = self.traced(work)
        self.assertEqual(self.counts(reports, guest, "accesses"), {PORT: PIO, SINK: MMIO, LAST: 1})
        self.assertEqual(self.counts(reports, other, "accesses"), {PORT: 100, LAST: 1})
        for row in self.rows(reports, guest, "accesses"):
            self.assertEqual(labels(row)["access"], "write")
            self.assertEqual(row["entity"]["kind"],
                             "port" if row["entity"]["name"] == PORT else "address")
        notes = reports[-1]["notes"]
        if kvm.exit_codes():
            self.assertEqual(self.sum_of(reports, guest, "accesses", PORT, "to_vmm"), PIO)
            self.assertEqual(notes, [])
        else:
            self.assertTrue(any(kvm.flavour() in note and "how long" in note for note in notes))

    @live.measured
    def test_time_of_an_access(self):
        self.need_exits()
        guest = self.enter(kvm.TinyGuest(200, vmm_sleep_us=4000))
        awake = self.enter(kvm.TinyGuest(200, vmm_sleep_us=1))
        (seen, short), reports = self.traced(lambda: (guest.round(), awake.round()))
        spent = self.sum_of(reports, guest, "accesses", PORT, "vmm")
        spent -= self.sum_of(reports, awake, "accesses", PORT, "vmm") - short["slept_ns"]
        self.assertAlmostEqual(spent, seen["slept_ns"], delta=0.05 * seen["slept_ns"])

    def test_known_devices(self):
        """A BIOS that waits for its timer: the interrupt controller, which is KVM's."""
        guest = self.enter(kvm.QemuGuest("web-1"))
        with live.Tracer("kvmio", "--format", "json", 0.5) as tracer:
            tracer.wait_report()
            live.until(lambda: "0x0020" in self.counts(tracer.reports(), guest, "accesses"),
                       "an interrupt is acknowledged")
            tracer.stop()
            rows = self.rows(tracer.reports(), guest, "accesses")
        pic = [row for row in rows if row["entity"]["name"] == "0x0020"]
        self.assertEqual({labels(row)["device"] for row in pic}, {"PIC"})
        if kvm.exit_codes():
            self.assertEqual(sum(value(row, "to_vmm") for row in pic), 0)


class Interrupts(Tool):
    tool = "kvmirq"
    HALTS = 100

    @live.measured
    def test_messages(self):
        guest = self.enter(kvm.TinyGuest(0, timer_halts=self.HALTS, halt_us=2000))
        other = self.enter(kvm.TinyGuest(0, timer_halts=7))

        def work():
            other.round()
            return guest.round()

        seen, reports = self.traced(work)
        found = {}
        for row in self.rows(reports, guest, "vectors"):
            key = labels(row)["event"]
            found[key] = found.get(key, 0) + value(row, "count")
        self.assertEqual(found["message"], seen["injected"])
        self.assertEqual(self.sum_rows(reports, other, "message"), 7)
        notes = reports[-1]["notes"]
        if not kvm.exit_codes():
            self.assertTrue(any(kvm.flavour() in note and "kvm_inj_virq" in note for note in notes))
            return
        self.assertEqual(notes, [])
        # Before 6.0 the kernel does not say that it is the same once more.
        if live.kernel() >= (6, 0):
            self.assertEqual(found["injected"], seen["injected"])
        self.assertIn(found["injected"] - seen["injected"], range(10))
        times = [row["metrics"]["latency"] for row in self.rows(reports, guest, "vectors")]
        self.assertEqual(sum(time["count"] for time in times), seen["injected"])
        mean = sum(time["sum"] for time in times) / seen["injected"]
        print(f"\n    from message to entry: {mean / 1e3:.1f} us", flush=True)
        self.assertLess(mean, 2e6 if live.EMULATED else 1e6)

    def sum_rows(self, reports, guest, event):
        return sum(value(row, "count") for row in self.rows(reports, guest, "vectors")
                   if labels(row)["event"] == event)


class Memory(Tool):
    tool = "kvmmem"

    def of(self, reports, guest):
        return [row for report in reports for row in report["rows"]
                if row["entity"].get("pid") == guest.pid]

    def test_accesses_to_devices_are_no_faults(self):
        self.need_exits()
        guest = self.enter(kvm.TinyGuest(10, 0, mmio=40))
        faults = self.enter(kvm.TraceCount("kvm/kvm_page_fault"))

        def rounds():
            before = faults.count()
            guest.round()
            guest.round()
            return faults.count() - before

        counted, reports = self.traced(rounds)
        found = sum(value(row, "faults") for row in self.of(reports, guest))
        print(f"\n    {found} of {counted} page faults", flush=True)
        # Each round writes to two addresses, which faults on SVM.
        accesses = 2 * 41 if kvm.exit_codes() == kvm.EXIT_CODES["kvm_amd"] else 0
        self.assertEqual(found, counted - accesses)

    def unmaps(self):
        """Nothing on kernels without the tracepoint."""
        with kvm.detached("tracefs") as tracefs:
            if not (tracefs / "events/kvm/kvm_unmap_hva_range").exists():
                return None
        return self.enter(kvm.TraceCount("kvm/kvm_unmap_hva_range"))

    def test_faults(self):
        guests = []
        accesses = self.enter(kvm.TraceCount("kvm/kvm_mmio"))
        faults = self.enter(kvm.TraceCount("kvm/kvm_page_fault"))
        unmaps = self.unmaps()

        def work():
            guests.append(self.enter(kvm.QemuGuest("web-1")))
            guests[0].pause()
            return [count and count.count() for count in oracles]

        oracles = faults, accesses, unmaps
        before = [count and count.count() for count in oracles]
        after, reports = self.traced(work)
        rows = self.of(reports, guests[0])
        counted, mapped = after[0] - before[0], after[1] - before[1]
        found = {name: sum(value(row, name) for row in rows) for name in ("faults", "unmaps", "unmapped")}
        print(f"\n    {found}; page faults {counted}, MMIO {mapped}", flush=True)
        if unmaps:
            # Some come before the VM has its first vCPU: until then it is none.
            losses = (text for report in reports for text in report["loss"]["fallbacks"])
            unknown = sum(int(text.split()[0]) for text in losses if "unmapped by threads of no VM" in text)
            self.assertEqual(found["unmaps"] + unknown, after[2] - before[2])
            self.assertLess(unknown, 0.05 * found["unmaps"])
        else:
            self.assertTrue(any("kvm_unmap_hva_range" in text
                                for text in reports[-1]["loss"]["fallbacks"]))
        if kvm.exit_codes():
            # On SVM those that are for devices fault as well; the last may not have ended.
            self.assertLessEqual(found["faults"], counted)
            self.assertGreaterEqual(found["faults"], max(1, counted - mapped - 1))
            times = sum(row["metrics"]["fault_time"]["count"] for row in rows)
            self.assertEqual(times, found["faults"])
        else:
            self.assertTrue(any("second level" in note for note in reports[-1]["notes"]))
        status = pathlib.Path(f"/proc/{guests[0].pid}/status").read_text()
        resident = 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])
        self.assertAlmostEqual(value(rows[-1], "resident"), resident, delta=0.02 * resident)


if __name__ == "__main__":
    unittest.main()
