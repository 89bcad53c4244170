# SPDX-License-Identifier: GPL-2.0-only
"""Part "kvm": cost per event of a guest, hook by hook, beside empty programs on the same tracepoints."""

import pathlib

from common import NotMeasured
from loads import Guest
from measure import EMPTY, Setup, add_rows_by_event, attached_by_event, interleaved, ns_by_event
from table import Section
from tracers import Tool

TIMES_EMPTY = 2.5
# The programs that the guest runs all the time, wherever KVM is; with their tracepoints.
HOOKS = {
    "kvm_exit": "kvm_exit",
    "kvm_exit_with_r": "kvm_exit",  # names of programs end there
    "kvm_exit_classi": "kvm_exit",
    "kvm_entry": "kvm_entry",
    "kvm_to_vmm": "kvm_userspace_exit",
    "kvm_pio": "kvm_pio",
    "kvm_mmio": "kvm_mmio",
    "kvm_cpuid": "kvm_cpuid",
    "kvm_emulation": "kvm_emulate_insn",
}


def part_kvm(setup: Setup) -> Section:
    guest = Guest(str(pathlib.Path(setup.vtrace).with_name("wl_kvm_guest")), setup.pingpong.cpu)
    if not guest.possible():
        raise NotMeasured("no /dev/kvm")
    tools = {f"vtrace {name}": Tool(f"vtrace {name}", setup.vtrace,
                                    lambda seconds, n, name=name: [name, str(seconds), str(n)])
             for name in ("kvmexit", "kvmio")}

    def measure(name: str) -> dict[str, float]:
        with guest.running(), attached_by_event(tools.get(name), HOOKS) as programs:
            return ns_by_event(programs, setup.seconds)

    cost = interleaved(setup, "kvm", [EMPTY, *tools], measure)
    section = Section(
        "Cost per event of a guest: 64 writes to a port, 64 CPUIDs, 64 writes to a device, over and over",
        ["tracer and tracepoint", "of an empty program", "ns of BPF per event", "targets"],
    )
    add_rows_by_event(section, cost, HOOKS, TIMES_EMPTY, setup.targets)
    return section
