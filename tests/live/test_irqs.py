# SPDX-License-Identifier: GPL-2.0-only
"""`vtrace softirqs` and `vtrace hardirqs` against the kernel's counts (/proc/softirqs, /proc/interrupts), against loads
that count their own packets, and against raises and runs of a known length that are put into the programs."""

import collections
import ctypes
import os
import pathlib
import re
import socket
import tempfile
import time
import unittest

import kvm_live as kvm
import vtrace_live as live

CPU = live.last_cpu()
RARE = 0  # HI: hardly anything raises it
# Seconds: how long before its report vtrace may have read its figures. Longer where several machines share a CPU.
READ_EARLIER = 0.5 if live.EMULATED else 0.05

_libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)


class TestRun(ctypes.Structure):
    """struct bpf_test_run_opts of libbpf, up to the last field set here."""

    _fields_ = [
        ("sz", ctypes.c_size_t), ("data_in", ctypes.c_void_p), ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32), ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p), ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32), ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32), ("repeat", ctypes.c_int), ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32), ("cpu", ctypes.c_uint32), ("batch_size", ctypes.c_uint32),
    ]


class ProgInfo(ctypes.Structure):
    """struct bpf_prog_info of <linux/bpf.h>, up to the name."""

    _fields_ = [
        ("type", ctypes.c_uint32), ("id", ctypes.c_uint32), ("tag", ctypes.c_uint8 * 8),
        ("lengths", ctypes.c_uint32 * 2), ("instructions", ctypes.c_uint64 * 2),
        ("load_time", ctypes.c_uint64), ("created_by_uid", ctypes.c_uint32), ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64), ("name", ctypes.c_char * 16),
    ]


def programs(pid):
    """{name: descriptor} of the programs that a process holds."""
    found = {}
    for number in live.bpf_ids(pid)["prog"]:
        fd = _libbpf.bpf_prog_get_fd_by_id(ctypes.c_uint32(number))
        info, size = ProgInfo(), ctypes.c_uint32(ctypes.sizeof(ProgInfo))
        if fd >= 0 and _libbpf.bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size)) == 0:
            found[info.name.decode()] = fd
    return found


def run_program(fd, *arguments):
    """On this CPU, in the calling task."""
    values = (ctypes.c_uint64 * len(arguments))(*arguments)
    options = TestRun(sz=ctypes.sizeof(TestRun), ctx_in=ctypes.addressof(values), ctx_size_in=ctypes.sizeof(values))
    result = _libbpf.bpf_prog_test_run_opts(fd, ctypes.byref(options))
    if result:
        raise OSError(-result, "bpf_prog_test_run_opts")


def softirqs():
    """{(kind, CPU): runs} of the kernel's own."""
    first, *lines = pathlib.Path("/proc/softirqs").read_text().splitlines()
    cpus = [int(name.removeprefix("CPU")) for name in first.split()]
    counts = {}
    for line in lines:
        name, *numbers = line.split()
        counts.update({(name.rstrip(":"), cpu): int(n) for cpu, n in zip(cpus, numbers)})
    return counts


def interrupts():
    """{(number, CPU): interrupts} of those that have a handler."""
    first, *lines = pathlib.Path("/proc/interrupts").read_text().splitlines()
    cpus = [int(name.removeprefix("CPU")) for name in first.split()]
    counts = {}
    for line in lines:
        number, *rest = line.split()
        if number.rstrip(":").isdigit():
            counts.update({(number.rstrip(":"), cpu): int(n) for cpu, n in zip(cpus, rest)})
    return counts


class Window:
    """What the kernel counted while vtrace measured: no less than `fewest`, no more than `most`. Its counts, just
    outside and just inside of the window, at either end."""

    def __init__(self, reports, first, last):
        self.reports = reports
        (before, after), (before_end, at_end) = first, last
        self.fewest = {key: n - after[key] for key, n in before_end.items() if key in after}
        self.most = {key: at_end[key] - before[key] for key in self.fewest}


def measured_while(work, counts, tool, *arguments):
    """The reports on what `work` did, and what the kernel counted meanwhile."""
    with live.Tracer(tool, "--format", "json", *arguments, 0.5) as tracer:
        earlier = collections.deque()
        live.until(lambda: earlier.append((time.monotonic(), counts())) or tracer.lines, "a report", every=0.005)
        after = counts()
        seen = len(tracer.lines)
        while len(earlier) > 1 and earlier[1][0] < earlier[-1][0] - READ_EARLIER:
            earlier.popleft()
        work()
        before_end = counts()
        tracer.stop()
        at_end = counts()
        return Window(tracer.reports(seen), (earlier[0][1], after), (before_end, at_end))


def parts(reports, kind, name, of="cpu"):
    """Rows of a kind's row, over reports."""
    for report in reports:
        for row in report["rows"]:
            if (row["entity"]["kind"], row["entity"]["name"]) == (kind, name):
                yield from (part for part in row["parts"] if of is None or part["entity"]["kind"] == of)


def count_and_ns(rows):
    """Sums of what is charged."""
    metrics = [row["metrics"] for row in rows]
    return sum(m["count"]["value"] for m in metrics), sum(m["time"]["value"] for m in metrics)


class Packets:
    """Work for a Child: at each ask(), so many packets on loopback, each of which is a softirq at once."""

    def __init__(self, count):
        self.count = count

    def __call__(self, child):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        while True:
            child.hear()
            for _ in range(self.count):
                sender.send(b".")
                receiver.recv(1)
            child.tell()


class IrqTest(live.TestCase):
    def check_losses(self, reports):
        for key in ("map_full", "clock_anomaly", "recursion_misses"):
            self.assertEqual(live.losses(reports, key), 0, key)

    def check_counts(self, window, seen, unseen=0):
        """Of each kind and CPU as the kernel counts them."""
        for key, fewest in window.fewest.items():
            if fewest or seen[key]:
                print(f"    {key}: {seen[key]}, kernel {fewest} to {window.most[key]}", flush=True)
            # One may be running at either end, and those that no program was run for are in the ledger.
            self.assertGreaterEqual(seen[key] + unseen, fewest - 1, f"{key}, unseen {unseen}")
            self.assertLessEqual(seen[key], window.most[key] + 1, key)


class Softirqs(IrqTest):
    def seen(self, reports):
        found = collections.Counter()
        for report in reports:
            for row in report["rows"]:
                for part in row["parts"]:
                    if part["entity"]["kind"] == "cpu":
                        cpu = int(part["entity"]["name"].removeprefix("cpu "))
                        found[row["entity"]["name"], cpu] += part["metrics"]["time"]["count"]
        return found

    def test_each_run_that_the_kernel_counts(self):
        packets = 20_000
        cgroup = self.enter(live.Cgroup("packets"))
        child = self.enter(live.Child(Packets(packets), cgroup=cgroup, cpu=CPU))
        window = measured_while(child.ask, softirqs, "softirqs")
        self.check_losses(window.reports)
        seen = self.seen(window.reports)
        self.check_counts(window, seen, live.losses(window.reports, "unseen"))
        self.assertGreaterEqual(seen["NET_RX", CPU], packets)

        charged = [row for row in parts(window.reports, "softirq", "NET_RX", of=None)
                   if row["entity"]["cgroup"] == cgroup.path]
        count, ns = count_and_ns(charged)
        whole = sum(row["metrics"]["time"]["sum"] for row in parts(window.reports, "softirq", "NET_RX")
                    if row["entity"]["name"] == f"cpu {CPU}")
        print(f"    charged to the sender: {count} of {packets} packets, {ns / 1e6:.2f} of {whole / 1e6:.2f} ms",
              flush=True)
        # What came as another interrupt ended may have been left to ksoftirqd.
        self.assertGreaterEqual(count, 0.98 * packets)
        self.assertLessEqual(count, seen["NET_RX", CPU])
        self.assertGreaterEqual(ns, 0.9 * whole)
        # Of a run its delay is known, or the ledger says that it is not.
        delays = sum(row["metrics"]["delay"]["count"] for row in parts(window.reports, "softirq", "NET_RX"))
        self.assertLessEqual(abs(sum(n for (name, _), n in seen.items() if name == "NET_RX") - delays),
                             live.losses(window.reports, "missed_start") + os.cpu_count())

    def test_only_what_was_asked_for(self):
        packets = 3_000
        asked, other = self.enter(live.Cgroup("asked")), self.enter(live.Cgroup("other"))
        children = [self.enter(live.Child(Packets(packets), cgroup=c, cpu=CPU)) for c in (asked, other)]

        def work():
            for child in children:
                child.ask()

        window = measured_while(work, softirqs, "softirqs", f"--cgroup={asked.path}")
        self.check_losses(window.reports)
        rows = [row for report in window.reports for row in report["rows"]]
        self.assertEqual({row["entity"]["cgroup"] for row in rows}, {asked.path})
        count, ns = count_and_ns([part for row in rows for part in row["parts"] if part["entity"]["name"] == "NET_RX"])
        print(f"    {count} of {packets} packets in {ns / 1e6:.2f} ms", flush=True)
        self.assertGreaterEqual(count, 0.98 * packets)
        self.assertLessEqual(count, 1.1 * packets)

    @live.measured
    def test_delay_and_time_of_a_known_length(self):
        """Two raises, of which the first counts, and a run: put into the programs by a task of a cgroup."""
        cgroup = self.enter(live.Cgroup("victim"))
        delay, time_ = 0.06, 0.03

        def work(child):
            child.hear()
            found = programs(tracer.pid)

            def put(name):
                """When, at the earliest and at the latest."""
                before = time.monotonic_ns()
                run_program(found[name], RARE)
                return before, time.monotonic_ns()

            raised = put("irq_soft_raise")
            time.sleep(delay / 2)
            put("irq_soft_raise")
            time.sleep(delay / 2)
            entered = put("irq_soft_entry")
            time.sleep(time_)
            left = put("irq_soft_exit")
            child.tell()
            bounds = (entered[0] - raised[1], entered[1] - raised[0], left[0] - entered[1], left[1] - entered[0])
            os.write(results[1], " ".join(map(str, bounds)).encode())
            live.sleep_for_ever(child)

        results = os.pipe()
        with live.Tracer("softirqs", "--format", "json", 0.5) as tracer:
            tracer.wait_report()
            child = self.enter(live.Child(work, cgroup=cgroup, cpu=CPU))
            first = len(tracer.lines)
            child.ask()
            bounds = [int(n) for n in os.read(results[0], 100).split()]
            tracer.stop()
            reports = tracer.reports(first)
        for fd in results:
            os.close(fd)
        rows = [row for row in parts(reports, "softirq", "HI") if row["entity"]["name"] == f"cpu {CPU}"]
        self.assertTrue(rows, "expected a run")
        found = [max(row["metrics"][name]["max"] for row in rows) for name in ("delay", "time")]
        print(f"    delay {found[0]}, put {bounds[:2]}; time {found[1]}, put {bounds[2:]} ns", flush=True)
        for ns, least, most in zip(found, bounds[::2], bounds[1::2]):
            self.assertGreaterEqual(ns, least)
            self.assertLessEqual(ns, most)
        payers = [row for row in parts(reports, "softirq", "HI", of="cgroup") if row["entity"]["cgroup"] == cgroup.path]
        self.assertEqual(count_and_ns(payers), (1, found[1]))

    def test_an_idle_cpu_is_nobodys(self):
        def idle():
            return {int(line.split()[0].removeprefix("cpu")): int(line.split()[4])
                    for line in pathlib.Path("/proc/stat").read_text().splitlines() if re.match(r"cpu\d", line)}

        before = idle()
        window = measured_while(lambda: time.sleep(1), softirqs, "softirqs")
        idled = sum(n - before[cpu] for cpu, n in idle().items()) / os.sysconf("SC_CLK_TCK")
        everything = [row for report in window.reports for kind in report["rows"] for row in kind["parts"]]
        nobody = [row for row in everything if row["entity"]["kind"] == "part"]
        count, ns = count_and_ns(nobody)
        print(f"    {count} runs in {ns / 1e6:.2f} ms on idle CPUs, which were idle for {idled:.2f} s", flush=True)
        if idled < 0.3:
            self.skipTest("no CPU was idle")
        self.assertGreater(count, 0)
        self.assertEqual({row["entity"]["name"] for row in nobody}, {"idle"})

    @live.measured
    def test_all_that_ran_is_charged(self):
        window = measured_while(lambda: time.sleep(0.7), softirqs, "softirqs")
        ran, paid = collections.Counter(), collections.Counter()
        for row in (row for report in window.reports for row in report["rows"]):
            kind = row["entity"]["name"]
            ran[kind] += row["metrics"]["time"]["count"]
            paid[kind] += count_and_ns([part for part in row["parts"] if part["entity"]["kind"] != "cpu"])[0]
        for kind, count in ran.items():
            # What runs as the figures are read is in either window.
            self.assertAlmostEqual(paid[kind], count, delta=5 + 0.02 * count, msg=kind)

    @live.measured
    def test_a_vm_pays_for_what_interrupts_it(self):
        kvm.need_kvm()
        self.enter(kvm.QemuGuest("web", spins=True, cpu=CPU))
        window = measured_while(lambda: time.sleep(1), softirqs, "softirqs", "--vm=web")
        rows = [row for report in window.reports for row in report["rows"]]
        self.assertEqual({(row["entity"]["kind"], row["entity"]["name"]) for row in rows}, {("vm", "web")})
        count, ns = count_and_ns(rows)
        ran = sum(n for (_, cpu), n in window.most.items() if cpu == CPU)
        print(f"    {count} of {ran} runs on its CPU, {ns / 1e6:.2f} ms", flush=True)
        self.assertGreater(count, 0)
        self.assertGreater(ns, 0)
        self.assertLessEqual(count, ran)


class Hardirqs(IrqTest):
    def test_each_interrupt_that_the_kernel_counts(self):
        path = live.VTRACE

        def use_disks():
            """Some file systems are asked by reads, some by what has to be written."""
            with tempfile.NamedTemporaryFile() as written:
                for _ in range(100):
                    with open(path, "rb", buffering=0) as file:
                        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                        file.read(1 << 20)
                    written.write(b"x" * 4096)
                    written.flush()
                    os.fsync(written.fileno())

        window = measured_while(use_disks, interrupts, "hardirqs")
        self.check_losses(window.reports)
        seen = collections.Counter()
        names = {}
        for report in window.reports:
            for row in report["rows"]:
                number = row["entity"]["labels"]["irq"]
                names.setdefault(number, set()).add(row["entity"]["name"])
                self.assertNotIn("delay", row["metrics"])
                for part in row["parts"]:
                    if part["entity"]["kind"] == "cpu":
                        cpu = int(part["entity"]["name"].removeprefix("cpu "))
                        seen[number, cpu, row["entity"]["name"]] += part["metrics"]["time"]["count"]
        # On a line that devices share each of them is asked at each interrupt.
        most = collections.Counter()
        for (number, cpu, _), n in seen.items():
            most[number, cpu] = max(most[number, cpu], n)
        self.check_counts(window, most, unseen=2)
        self.assertGreater(sum(most.values()), 10, "expected interrupts")
        listed = {line.split(":")[0].strip(): line for line in
                  pathlib.Path("/proc/interrupts").read_text().splitlines()[1:]}
        for number, found in names.items():
            for name in found:
                self.assertIn(name, listed[number], "as the kernel names it")


class WrongUsage(unittest.TestCase):
    def test_filters_by_task(self):
        for tool in ("softirqs", "hardirqs"):
            for option in ("--pid=1", "--comm=x"):
                result = live.run(tool, option, "1", "1")
                live.check_failure(self, result, 2, f"has no {option.split('=')[0]}")


if __name__ == "__main__":
    unittest.main()
