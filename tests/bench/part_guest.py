# SPDX-License-Identifier: GPL-2.0-only
"""Part "guest": how fast a guest that only leaves still is while it is traced."""

import contextlib
import pathlib
import time

import bpf
import common
import tracers
from common import NotMeasured
from loads import Guest
from measure import SETTLE, Setup, interleaved
from table import Section, ratios, spread, times
from tracers import Tool

UNTRACED = "untraced"
READY = "recording"
# perf looks at all modules there are, which takes minutes where they are on a share.
PERF = f"""
[ ! -d /lib/modules ] || mount -t tmpfs tmpfs /lib/modules
cd "$(mktemp -d)"
trap 'rm -f perf.data; rmdir "$PWD"' EXIT
trap 'kill $!' TERM
perf kvm stat record -a -o perf.data -- sh -c 'echo {READY}; exec sleep %d' &
wait
"""


def wait_ready(running: tracers.Running) -> None:
    deadline = time.monotonic() + tracers.ATTACH_TIMEOUT
    while READY not in running.output.read_text(errors="replace"):
        if time.monotonic() > deadline:
            raise NotMeasured(f"{running.tool.name}: has not begun: {running.complaint()}")
        running.check_alive()
        time.sleep(SETTLE)


@contextlib.contextmanager
def traced(tool: Tool | None):
    if tool is None:
        yield
        return
    with tracers.started(tool) as running:
        if tool.name.startswith("perf"):
            wait_ready(running)
        else:
            with bpf.statistics():
                running.wait_any_run()
        yield
        running.check_alive()


def part_guest(setup: Setup) -> Section:
    guest = Guest(str(pathlib.Path(setup.vtrace).with_name("wl_kvm_guest")), setup.pingpong.cpu)
    if not guest.possible():
        raise NotMeasured("no /dev/kvm")
    common.private_tracefs()
    common.private_mounts()
    subject = Tool("vtrace kvmexit", setup.vtrace, lambda seconds, n: ["kvmexit", str(seconds), str(n)])
    perf = Tool("perf kvm stat record", "/bin/sh", lambda seconds, n: ["-c", PERF % (seconds * n)])
    tools = {tool.name: tool for tool in (subject, perf)}

    def measure(name: str) -> float:
        with guest.running() as rounds, traced(tools.get(name)):
            time.sleep(SETTLE)
            before, start = rounds(), time.monotonic()
            time.sleep(setup.seconds)
            return (rounds() - before) / (time.monotonic() - start)

    speeds = interleaved(setup, "guest", [UNTRACED, *tools], measure)
    section = Section(
        "A guest that only leaves (64 writes to a port, 64 CPUIDs, 64 writes to a device), traced",
        ["tracer", "of the untraced guest's speed", "rounds a second"],
        [[name, times(ratios(per_second, speeds[UNTRACED])), spread(per_second)]
         for name, per_second in speeds.items()],
    )
    section.remarks = ["bcc's `kvmexit` is not among them: it runs on Intel only, and says so elsewhere."]
    return section
