# SPDX-License-Identifier: GPL-2.0-only
"""The KVM fixtures themselves: what the guests of kvm_live.py do is what the kernel says they did.

The tests of vtrace's KVM tools build on them."""

import os
import pathlib
import unittest

import kvm_live as kvm
import vtrace_live as live

PIO, CPUIDS, HALTS = 3000, 700, 50


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
        # One for each KVM_RUN, with the one that finishes the write to nowhere.
        self.assertEqual(to_process.count(), sum(seen.values()) + 1)


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
