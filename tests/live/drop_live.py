# SPDX-License-Identifier: GPL-2.0-only
"""What live tests of dropped packets share: network namespaces of a cgroup, and what the kernel counts in them."""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import traceback

from net_live import Namespace, enter_namespace, kernel_counts


def ran(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"expected {' '.join(command)} to work: {done.stderr.strip()}")
    return done.stdout


class Net:
    """A network namespace, and what is done in it by processes of a cgroup."""

    def __init__(self, pid, cgroup):
        self.pid = pid
        self.cgroup = cgroup

    def run(self, action):
        """What `action` returns (it goes through JSON) in a process of the namespace and the cgroup."""
        to_parent, to_us = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                try:
                    self.cgroup.add()
                    enter_namespace(self.pid)
                    os.write(to_us, json.dumps(action()).encode())
                    code = 0
                except BaseException:
                    traceback.print_exc()
            os._exit(code)
        os.close(to_us)
        with os.fdopen(to_parent, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        if status:
            raise AssertionError("expected a process in the namespace to do its work")
        return json.loads(said)

    def ip(self, *command):
        return ran("nsenter", "-t", str(self.pid), "-n", *command)

    def counts(self):
        """All that /proc/net/{snmp,netstat,snmp6} counts: {"Udp.RcvbufErrors": 5, "Udp6RcvbufErrors": 0}."""
        counted = kernel_counts(self.pid)
        for line in pathlib.Path(f"/proc/{self.pid}/net/snmp6").read_text().splitlines():
            key, value = line.split()
            counted[key] = int(value)
        return counted


@contextlib.contextmanager
def new_namespace(cgroup):
    with Namespace(cgroup) as made:
        yield Net(made.pid, cgroup)


@contextlib.contextmanager
def named_namespace(name):
    """One without processes, as `ip netns` makes them."""
    ran("ip", "netns", "add", name)
    try:
        ran("ip", "netns", "exec", name, "ip", "link", "set", "lo", "up")
        yield name
    finally:
        ran("ip", "netns", "delete", name)


def join(one, other, first="10.7.0.1", second="10.7.0.2"):
    """A pair of devices, veth0 in either namespace."""
    peer = ("peer", "name", "veth0", "netns", str(other.pid))
    ran("ip", "link", "add", "veth0", "netns", str(one.pid), "type", "veth", *peer)
    for net, address in ((one, first), (other, second)):
        net.ip("ip", "address", "add", f"{address}/24", "dev", "veth0")
        net.ip("ip", "link", "set", "veth0", "up")


def dropped_by_qdisc(net, device):
    return int(re.search(r"dropped (\d+)", net.ip("tc", "-s", "qdisc", "show", "dev", device))[1])
