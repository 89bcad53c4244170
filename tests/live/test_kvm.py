# SPDX-License-Identifier: GPL-2.0-only
"""The KVM fixtures themselves: what the guests of kvm_live.py do is what the kernel says they did.

The tests of vtrace's KVM tools build on them."""

import os
import pathlib
import re
import subprocess
import unittest

import kvm_live as kvm
import vtrace_live as live

PIO, CPUIDS, HALTS, MMIO = 3000, 700, 50, 400

# Where the writes to nowhere go, as the workload has it, and how kvm:kvm_mmio says that it is a write.
NOTHING, SINK = 0x3000, 0x4000
MMIO_WRITE = 2

INTERRUPTIBLE = 1  # sched:sched_switch's prev_state


def runs(seen):
    """How often KVM_RUN returned in a round of one vCPU: once more finishes the write that ends it."""
    return sum(seen[key] for key in ("pio", "hlt", "mmio", "interrupted", "other")) + 1


def schedstat(tid):
    """(ns on a CPU, ns waited) of a thread."""
    run, waited, _ = pathlib.Path(f"/proc/{tid}/schedstat").read_text().split()
    return int(run), int(waited)


class Kvm(live.TestCase):
    def setUp(self):
        kvm.need_kvm()
        super().setUp()

    def trace(self, event, condition):
        return self.enter(kvm.TraceCount(event, condition))


class Tiny(Kvm):
    def test_writes_to_a_port(self):
        guest = self.enter(kvm.TinyGuest(PIO))
        other = self.enter(kvm.TinyGuest(100))
        pio = self.trace("kvm/kvm_pio", f"common_pid == {guest.pid}")
        for rounds in (1, 2):
            other.begin()
            seen = guest.round()
            other.end()
            self.assertEqual(seen["pio"], PIO, f"expected every write to end in the process: {seen}")
            self.assertEqual(pio.count(), rounds * PIO, "expected a kvm_pio for each, and no others")

    def test_exits_by_reason(self):
        codes = kvm.exit_codes()
        if codes is None:
            self.skipTest(f"KVM is neither SVM nor VMX here ({kvm.flavour()}): no kvm_exit")
        guest = self.enter(kvm.TinyGuest(PIO, CPUIDS, HALTS))
        of_guest = f"common_pid == {guest.pid}"
        counts = {
            name: self.trace("kvm/kvm_exit", f"{of_guest} && exit_reason == {code}")
            for name, code in codes._asdict().items()
        }
        all_exits = self.trace("kvm/kvm_exit", of_guest)
        to_process = self.trace("kvm/kvm_userspace_exit", of_guest)
        seen = guest.round()
        self.assertEqual((seen["pio"], seen["hlt"], seen["mmio"]), (PIO, HALTS, 1), f"{seen}")
        self.assertEqual(
            {name: count.count() for name, count in counts.items()},
            {"io": PIO, "cpuid": CPUIDS, "hlt": HALTS},
            "expected an exit for each instruction",
        )
        # The others are interrupts of the host and faults of the guest's memory.
        self.assertGreater(all_exits.count(), PIO + CPUIDS + HALTS)
        self.assertEqual(to_process.count(), runs(seen))

    def test_writes_to_nowhere(self):
        guest = self.enter(kvm.TinyGuest(PIO, mmio=MMIO))
        counts = {
            name: self.trace("kvm/kvm_mmio", f"common_pid == {guest.pid} && {condition}")
            for name, condition in {
                "written": f"type == {MMIO_WRITE} && gpa == {SINK:#x}",
                "last": f"type == {MMIO_WRITE} && gpa == {NOTHING:#x}",
                "all": f"type == {MMIO_WRITE}",
            }.items()
        }
        to_process = self.trace("kvm/kvm_userspace_exit", f"common_pid == {guest.pid}")
        seen = guest.round()
        self.assertEqual(seen["mmio"], MMIO + 1, f"expected the last write to be one of them: {seen}")
        self.assertEqual(
            {name: count.count() for name, count in counts.items()},
            {"written": MMIO, "last": 1, "all": MMIO + 1},
            "expected a kvm_mmio for each write",
        )
        self.assertEqual(to_process.count(), runs(seen))

    def test_process_that_sleeps_on_each_exit(self):
        us = 2000
        guest = self.enter(kvm.TinyGuest(20, mmio=5, vmm_sleep_us=us))
        to_sleep = f"prev_pid == {guest.pid} && prev_state == {INTERRUPTIBLE}"
        asleep = self.trace("sched/sched_switch", to_sleep)
        seen = guest.round()
        slept = asleep.count()
        # Before its first line and after its answer it sleeps in read().
        self.assertIn(slept, range(20, 20 + 3), f"expected a sleep for each write to a port: {seen}")
        self.assertGreaterEqual(seen["slept_ns"], 20 * us * 1000)
        self.assertLess(seen["slept_ns"], seen["wall_ns"])
        self.assertEqual(self.enter(kvm.TinyGuest(20)).round()["slept_ns"], 0)

    @live.measured
    def test_halts_that_kvm_waits_in(self):
        us = 5000
        guest = self.enter(kvm.TinyGuest(PIO, CPUIDS, timer_halts=HALTS, halt_us=us))
        of_guest = f"common_pid == {guest.pid}"
        waits = self.trace("kvm/kvm_vcpu_wakeup", of_guest)
        pio = self.trace("kvm/kvm_pio", of_guest)
        to_process = self.trace("kvm/kvm_userspace_exit", of_guest)
        codes = kvm.exit_codes()
        hlt = codes and self.trace("kvm/kvm_exit", f"{of_guest} && exit_reason == {codes.hlt}")
        halted_ns = 0
        for rounds in (1, 2):
            seen = guest.round()
            expected = {"injected": HALTS, "hlt": 0, "pio": PIO + HALTS, "mmio": 1}
            self.assertEqual({key: seen[key] for key in expected}, expected)
            self.assertEqual(waits.count(), rounds * HALTS, "expected KVM to wait in each HLT, once")
            if hlt:
                self.assertEqual(hlt.count(), rounds * HALTS, "expected an exit for each HLT")
            self.assertEqual(pio.count(), rounds * (PIO + HALTS), "expected an announcement of each HLT")
            self.assertEqual(to_process.count(), rounds * runs(seen), "expected no HLT in the process")
            self.assertGreaterEqual(seen["halted_ns"], HALTS * us * 1000)
            self.assertLess(seen["halted_ns"], seen["wall_ns"])
            halted_ns += seen["halted_ns"]
        waited_ns = [int(ns) for ns in re.findall(r"time (\d+) ns", waits.text())]
        self.assertEqual(len(waited_ns), 2 * HALTS)
        # KVM begins later by the way from the announcement to the HLT, and ends later by the wakeup.
        self.assertAlmostEqual(sum(waited_ns), halted_ns, delta=halted_ns * 0.2)

    def test_vcpus_in_threads_of_their_own(self):
        guest = self.enter(kvm.TinyGuest(PIO, CPUIDS, mmio=MMIO, vcpus=3, timer_halts=HALTS))
        vcpus = guest.vcpus()
        names = kvm.threads(guest.pid)
        self.assertEqual([names[t] for t in vcpus], ["CPU 0/KVM", "CPU 1/KVM", "CPU 2/KVM"])
        self.assertNotIn(guest.pid, vcpus)
        counts = {
            event: [self.trace(f"kvm/{event}", f"common_pid == {tid}") for tid in vcpus]
            for event in ("kvm_pio", "kvm_vcpu_wakeup", "kvm_userspace_exit")
        }
        counts["kvm_mmio"] = [
            self.trace("kvm/kvm_mmio", f"common_pid == {tid} && type == {MMIO_WRITE} && gpa == {SINK:#x}")
            for tid in vcpus
        ]
        seen = guest.round()
        each = {
            "kvm_pio": PIO + HALTS,
            "kvm_vcpu_wakeup": HALTS,
            "kvm_userspace_exit": PIO + HALTS + MMIO + 1 + 1,
            "kvm_mmio": MMIO,
        }
        self.assertEqual(
            {event: [count.count() for count in of_event] for event, of_event in counts.items()},
            {event: 3 * [number] for event, number in each.items()},
            "expected each vCPU to do the same",
        )
        expected = {"pio": 3 * (PIO + HALTS), "mmio": 3 * (MMIO + 1), "injected": 3 * HALTS, "other": 0}
        self.assertEqual({key: seen[key] for key in expected}, expected)

    def test_single_vcpu_is_the_main_thread(self):
        guest = self.enter(kvm.TinyGuest(1, spin_ms=1, timer_halts=1))
        self.assertEqual(guest.vcpus(), [guest.pid])

    @live.measured
    def test_vcpus_that_spin_share_a_cpu(self):
        ms = 1000
        guest = self.enter(kvm.TinyGuest(1, spin_ms=ms, vcpus=2))
        cpu = min(os.sched_getaffinity(0))
        for tid in guest.vcpus():
            os.sched_setaffinity(tid, {cpu})
        before = [schedstat(tid) for tid in guest.vcpus()]
        seen = guest.round()
        after = [schedstat(tid) for tid in guest.vcpus()]
        ran, waited = (sum(a[i] - b[i] for a, b in zip(after, before)) for i in (0, 1))
        said = f"{seen}, ran {ran / 1e6:.0f} ms, waited {waited / 1e6:.0f} ms"
        self.assertEqual((seen["pio"], seen["mmio"], seen["interrupted"]), (2, 2, 0), said)
        self.assertGreaterEqual(seen["wall_ns"], 2 * (ms - 50) * 1e6, said)
        # Both want the CPU all the time. Who else is there makes both wait.
        self.assertLess(seen["cpu_ns"], seen["wall_ns"] * 0.55, said)
        self.assertAlmostEqual(seen["cpu_ns"], ran, delta=ms * 1e6 * 0.05, msg=said)
        self.assertAlmostEqual(ran + waited, seen["wall_ns"], delta=2 * ms * 1e6 * 0.05, msg=said)

    @live.on_any_kernel
    def test_wrong_usage(self):
        for wrong in (
            [],
            ["x"],
            ["1", "2", "3", "4"],
            ["1", "--vcpus=0"],
            ["1", "--vcpus=65"],
            ["1", "0", "1", "--timer-halts=1"],
            ["1", "--mmio=-1"],
            ["1", "--unknown"],
        ):
            done = subprocess.run([kvm.BUILD / "wl_kvm_guest", *wrong], capture_output=True, check=False)
            self.assertEqual(done.returncode, 2, f"expected {wrong} to be refused: {done}")


class Qemu(Kvm):
    NAME = "vtrace-test-web"

    def check(self, guest):
        self.assertIn(kvm.LINE, guest.serial())
        command_line = pathlib.Path(f"/proc/{guest.pid}/cmdline").read_bytes().split(b"\0")
        name = command_line[command_line.index(b"-name") + 1].decode()
        self.assertIn(f"guest={self.NAME}", name.split(","))

        held = guest.descriptors()
        machines = [fd for fd, what in held.items() if what == "anon_inode:kvm-vm"]
        self.assertEqual(len(machines), 1, f"expected one kvm-vm: {held}")
        self.assertIn("anon_inode:kvm-vcpu:0", held.values())

        vcpus = guest.vcpus()
        self.assertEqual([guest.threads()[tid] for tid in vcpus], ["CPU 0/KVM"])

        exits = self.exits(f"{guest.pid}-{machines[0]}", vcpus[0])
        before = exits()
        live.until(lambda: exits() >= before + 20, "the guest goes on and exits")
        print(f"\n    up in {guest.seconds:.1f} s", flush=True)

    def exits(self, name, vcpu):
        """What counts the guest's exits: KVM's own figure. A locked-down kernel shows it to nobody, there
        the tracepoint does that fires for each write of the guest to a port."""
        debugfs = self.enter(kvm.detached("debugfs"))
        self.assertIn(name, os.listdir(debugfs / "kvm"))
        figure = debugfs / "kvm" / name / "exits"
        try:
            figure.read_text()
        except PermissionError:
            return self.trace("kvm/kvm_pio", f"common_pid == {vcpu}").count
        return lambda: int(figure.read_text())

    def test_boot_sector(self):
        self.check(self.enter(kvm.QemuGuest(self.NAME)))

    def test_nothing_is_left_behind(self):
        with kvm.QemuGuest(self.NAME) as guest, kvm.TinyGuest(1) as tiny:
            with kvm.detached("debugfs") as debugfs:
                pids = {entry.split("-")[0] for entry in os.listdir(debugfs / "kvm")}
                self.assertLessEqual({str(guest.pid), str(tiny.pid)}, pids)
        self.assertEqual([live.state(p) for p in (guest.pid, tiny.pid)], ["X", "X"])


if __name__ == "__main__":
    unittest.main()
