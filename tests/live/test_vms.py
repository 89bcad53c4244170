#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""VMs: their waits, by name, against the kernel's own account of the threads of their VMM."""

import os
import pathlib
import subprocess
import time
import unittest

import kvm_live as kvm
import vtrace_live as live
from test_entities import Base, Named
from waiters_live import account, measure

UUID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"


class Vms(Base):
    def setUp(self):
        super().setUp()
        kvm.need_kvm()

    def guest(self, name, *more, cgroup=None):
        """A guest that spins once it is told to begin."""
        guest = self.enter(kvm.QemuGuest(name, *more, spins=True, cgroup=cgroup,
                                         cpu=live.last_cpu()))
        guest.pause()
        return guest

    def test_two_in_one_cgroup(self):
        shared = self.enter(live.Cgroup("vms"))
        web = self.guest("web-3", "-uuid", UUID, cgroup=shared)
        db = self.guest("db", cgroup=shared)
        (beside,) = self.load(shared)
        reports = self.check("--vm", {"web-3": [web], "db": [db]}, more=[beside])
        entity = self.row(reports, "vm", "web-3")[0]["entity"]
        self.assertEqual((entity["uid"], entity["pid"]), (UUID, web.pid))
        self.assertEqual((entity["cgroup"], entity["id"]), (shared.path, shared.id))
        # What is beside them is nobody's.
        others = sum(r["metrics"]["wait"]["sum"] for r in self.row(reports, "host", "not in a vm"))
        self.assertGreater(others, 0.98 * beside.run_delay)
        self.assertEqual({r["entity"]["kind"] for report in reports for r in report["rows"]},
                         {"vm", "host"})

        reports = self.check(f"--vm={UUID}", {"web-3": [web]}, more=[db, *self.load(shared)])
        self.assertEqual({r["entity"]["name"] for report in reports for r in report["rows"]},
                         {"web-3"})

    def test_in_a_container_in_a_pod(self):
        pods = self.enter(Named("kubepods"))
        pod = self.enter(Named(f"pod{UUID}", pods))
        container = self.enter(Named("b" * 64, pod))
        web = self.guest("web", cgroup=container)

        def others():  # they run once only
            return [*self.load(container), *self.load(pod, 1)]

        reports = self.check("--vm", {"web": [web]}, more=others())
        self.assertEqual(
            self.row(reports, "vm", "web")[0]["entity"]["parents"],
            [{"kind": "container", "name": "b" * 12}, {"kind": "pod", "name": UUID[:12]}],
        )
        beside, sidecar = others()
        self.check("--container", {"b" * 12: [web, beside]}, more=[sidecar])
        self.check("--pod", {UUID[:12]: [web, *others()]})
        # The one selects, the other groups.
        reports = measure([web, *others()], f"--pod={UUID}", "--vm", seconds=1)
        self.assertEqual({r["entity"]["name"] for report in reports for r in report["rows"]},
                         {"web", "not in a vm"})

    def test_started_while_traced(self):
        with live.Tracer("runqlat", "--vm", "--format", "json", 0.5) as tracer:
            tracer.wait_report()
            late = self.guest("late")
            (beside,) = self.load(None)
            beside.begin()
            before = account(late.pid).run_delay
            tracer.wait_report(1 + len(tracer.reports()))
            seen = len(tracer.reports())
            late.begin()
            time.sleep(1.5)
            late.ask_to_rest()
            late.rest()
            tracer.wait_report(1 + len(tracer.reports()))
            tracer.stop()
            reports = tracer.reports()
        starting, running = (
            sum(row["metrics"]["wait"]["sum"] for row in self.row(some, "vm", "late"))
            for some in (reports[:seen], reports[seen:])
        )
        print(f"\n    late: {running / 1e6:.3f} ms, kernel {late.run_delay / 1e6:.3f} ms;"
              f" while it started {starting / 1e6:.3f} of {before / 1e6:.3f} ms", flush=True)
        self.assertAlmostEqual(running, late.run_delay, delta=0.02 * late.run_delay)
        # The kernel's account begins with the process, vtrace's with its first vCPU. (There, a guest may have
        # been started twice.)
        self.assertGreater(starting, 0)

    def test_a_number_that_is_used_again(self):
        last_pid = pathlib.Path("/proc/sys/kernel/ns_last_pid")
        with live.Tracer("runqlat", "--vm", "--format", "json", 0.5) as tracer:
            tracer.wait_report()
            first = self.guest("first")
            first.begin()
            tracer.wait_report(1 + len(tracer.reports()))
            first.stop()
            for _ in range(20):
                last_pid.write_text(str(first.pid - 1))
                second = self.guest("second")
                if second.pid == first.pid:
                    break
                second.stop()
            else:
                self.skipTest("others take the number first")
            (beside,) = self.load(None)
            tracer.wait_report(1 + len(tracer.reports()))
            seen = len(tracer.reports())
            beside.begin()
            second.begin()
            tracer.wait_report(seen + 6)  # the first is forgotten on the way
            second.ask_to_rest()
            second.rest()
            tracer.wait_report(1 + len(tracer.reports()))
            tracer.stop()
            rows = self.row(tracer.reports()[seen:], "vm", "second")
        total = sum(row["metrics"]["wait"]["sum"] for row in rows)
        self.assertAlmostEqual(total, second.run_delay, delta=0.02 * second.run_delay)
        self.assertFalse([row for row in rows if row["entity"].get("ended")])

    def test_one_that_ends_keeps_its_name(self):
        guest = self.guest("short")
        with live.Tracer("runqlat", "--vm", "--format", "json", 0.5) as tracer:
            tracer.wait_report()
            guest.begin()
            guest.stop()
            tracer.wait_report(1 + len(tracer.reports()))
            tracer.stop()
            rows = self.row(tracer.reports(), "vm", "short")
        self.assertTrue(any(row["entity"].get("ended") for row in rows), f"{rows}")

    def test_they_and_the_rest_are_the_host(self):
        self.check_partition("--vm", [self.guest("web"), *self.load(None)])

    def test_listed_by_ps(self):
        named = self.guest("web-3", "-uuid", UUID)
        plain = self.guest(None)
        found = {entity.get("pid"): entity for entity in self.listed() if entity["kind"] == "vm"}
        self.assertEqual((found[named.pid]["name"], found[named.pid]["uid"]), ("web-3", UUID))
        self.assertEqual(found[named.pid]["source"], "qemu -name")
        self.assertEqual(self.roles(found[named.pid])["vcpu 0"], named.vcpus())
        tids = [tid for of_role in self.roles(found[named.pid]).values() for tid in of_role]
        self.assertLessEqual(named.threads().keys(), set(tids))
        self.assertEqual(len(tids), found[named.pid]["threads"]["all"])
        self.assertEqual(found[plain.pid]["source"], "process")
        self.assertIn(str(plain.pid), found[plain.pid]["name"])

    def test_threads_of_the_kernel_that_serve_it(self):
        """Its timer's, and vhost's: before 6.4 a process of the kernel's own, then a thread of the VMM's."""
        subprocess.run(["modprobe", "vhost_vsock"], capture_output=True, check=False)
        cid = 1000 + os.getpid()
        vhost = ("-device", f"vhost-vsock-pci,guest-cid={cid}") if os.path.exists("/dev/vhost-vsock") else ()
        guest = self.enter(kvm.QemuGuest("served", *vhost))
        (entity,) = [e for e in self.listed() if e.get("pid") == guest.pid]
        roles = self.roles(entity)
        names = {tid: pathlib.Path(f"/proc/{tid}/comm").read_text().strip()
                 for tid in roles["kvm"] + roles.get("vhost", [])}
        self.assertIn(f"kvm-pit/{guest.pid}", names.values())
        if not vhost:
            self.skipTest("no /dev/vhost-vsock: the timer's thread only")
        self.assertEqual([names[tid] for tid in roles["vhost"]], [f"vhost-{guest.pid}"])

    @live.on_any_kernel
    def test_a_hostile_name(self):
        name = 'wéb\x1b[2J"x" \n,$(id)'
        # QEMU takes a comma in a value twice.
        guest = self.guest(name.replace(",", ",,"))
        (entity,) = [e for e in self.listed() if e.get("pid") == guest.pid]
        self.assertEqual(entity["name"], r'wéb\x1b[2J"x" \x0a,$(id)')
        reports = self.check("--vm", {entity["name"]: [guest]}, more=self.load(None))
        self.assertTrue(self.row(reports, "vm", entity["name"]))
        for command in (("ps",), ("runqlat", "--vm", 1, 1)):
            text = live.run(*command).out
            self.assertNotIn("\x1b", text)
        self.check(f"--vm={name}", {entity["name"]: [guest]}, more=self.load(None))

    def test_without_the_right_to_look_into_processes(self):
        before = self.guest("before")
        with live.Tracer("runqlat", "--vm", "--format", "json", 0.5,
                         prefix=live.as_nobody("bpf", "perfmon")) as tracer:
            tracer.wait_report()
            before.begin()
            later = self.guest("later")
            later.begin()
            tracer.wait_report(2 + len(tracer.reports()))
            tracer.stop()
            reports = tracer.reports()
        # (With an unstable TSC, as under emulation, KVM tells of the older one as well.)
        self.assertTrue(any("CAP_SYS_PTRACE" in text for text in reports[-1]["loss"]["fallbacks"]))
        self.assertTrue(self.row(reports, "vm", "later"), "KVM itself has told of it")

    @staticmethod
    def roles(entity):
        """{role: its threads}"""
        found = {}
        for thread in entity["threads"]["roles"]:
            found.setdefault(thread["role"], []).append(thread["tid"])
        return found

    @live.on_any_kernel
    def test_unknown_ones(self):
        self.guest("web-3")
        result = live.run("runqlat", "--vm=web-4", 1, 1)
        live.check_failure(self, result, 2, "there is no vm web-4", "web-3")


if __name__ == "__main__":
    unittest.main()
