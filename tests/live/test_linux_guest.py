#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The fixture LinuxGuest itself: a Linux that writes to its disk leaves KVM for each kind of reason.

The tests of vtrace's KVM tools build on it."""

import time
import unittest

import kvm_live as kvm
import vtrace_live as live
from linux_guest_live import OneGuest, PerfKvmStat, on_one_cpu, perf_kvm_stat

# As kvm:kvm_exit has them, and `perf kvm stat` names them. Of VMX: EPT_MISCONFIG is the MMIO.
REASONS = {
    "kvm_amd": {"io": 0x7B, "hlt": 0x78, "msr": 0x7C, "npf": 0x400, "interrupt": 0x60},
    "kvm_intel": {
        "IO_INSTRUCTION": 30,
        "HLT": 12,
        "MSR_WRITE": 32,
        "EPT_MISCONFIG": 49,
        "EXTERNAL_INTERRUPT": 1,
    },
}


@on_one_cpu
class Linux(OneGuest, live.TestCase):
    def reasons(self):
        """What counts the exits of each kind: {name: TraceCount}."""
        module = "kvm_amd" if kvm.exit_codes() == kvm.EXIT_CODES["kvm_amd"] else "kvm_intel"
        codes = REASONS[module].items()
        return {name: self.trace("kvm/kvm_exit", f"exit_reason == {code}") for name, code in codes}

    def test_writes_to_its_disk(self):
        self.assertIn(kvm.LINE, self.guest.serial())
        names = self.guest.threads()
        (served,) = self.guest.io_threads()
        self.assertEqual((names[self.vcpu], names[served]), ("CPU 0/KVM", "IO io1"))
        before, busy = self.guest.blocks(), live.schedstat(served)
        started = time.monotonic()
        done = self.guest.wait_io(256) - before
        seconds = time.monotonic() - started
        print(f"\n    up in {self.guest.seconds:.1f} s; {done / seconds:.0f} blocks a second", flush=True)
        self.assertGreater(live.schedstat(served), busy, "expected the I/O thread to serve the disk")

    def test_exits_of_every_kind(self):
        counts = {
            **self.reasons(),
            "all": self.trace("kvm/kvm_exit"),
            "to the process": self.trace("kvm/kvm_userspace_exit"),
            "mmio": self.trace("kvm/kvm_mmio"),
            "injected": self.trace("kvm/kvm_inj_virq"),
        }
        started = time.monotonic()
        self.guest.wait_io(256)
        seconds = time.monotonic() - started
        found = {name: count.count() for name, count in counts.items()}
        print("\n    a second: " + ", ".join(f"{k} {n / seconds:.0f}" for k, n in found.items()), flush=True)
        for name, count in found.items():
            self.assertGreater(count, 0, f"expected {name!r} to count: {found}")

    def test_perf_counts_the_same(self):
        self.guest.pause()
        try:
            perf = self.enter(PerfKvmStat(self.guest.pid))
            counts = self.reasons()
            self.guest.begin()
            self.guest.wait_io(256)
            self.guest.pause()
            found = {name: count.count() for name, count in counts.items()}
            reported = perf.stop()
            print(f"\n    perf: {reported}", flush=True)
            # The exit that the guest stood still in may be of either.
            for name, count in found.items():
                self.assertAlmostEqual(reported.get(name, 0), count, delta=2, msg=f"{name}: {found}")
        finally:
            self.guest.begin()

    def test_perf_of_some_seconds(self):
        reported = perf_kvm_stat(self.guest.pid, 2)
        self.assertGreater(sum(reported.values()), 0)


if __name__ == "__main__":
    unittest.main()
