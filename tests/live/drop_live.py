# SPDX-License-Identifier: GPL-2.0-only
"""What live tests of packets share: network namespaces, what the kernel counts in them, packets made by hand."""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import traceback

import vtrace_live as live

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class V2Cgroup(live.Cgroup):
    """In the hierarchy that sockets belong to."""

    controller = "none but v2"


class V2CgroupOf(live.CgroupOf):
    """The one that a process is in."""

    def __init__(self, pid):
        text = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
        self.path = re.search(r"(?m)^0::(.*)$", text)[1]
        self.directory = os.fsencode(live.hierarchy(V2Cgroup.controller).mount + self.path)


def ran(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"expected {' '.join(command)} to work: {done.stderr.strip()}")
    return done.stdout


def _checked(result, what):
    if result:
        raise OSError(ctypes.get_errno(), what)


def enter_namespace(pid):
    with open(f"/proc/{pid}/ns/net", "rb") as namespace:
        _checked(_libc.setns(namespace.fileno(), CLONE_NEWNET), "setns")


def holds_a_namespace(child):
    """Work for a Child: it is in a network namespace of its own, with its loopback device."""
    _checked(_libc.unshare(CLONE_NEWNET), "unshare")
    ran("ip", "link", "set", "lo", "up")
    child.tell()
    live.sleep_for_ever(child)


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
        counted = {}
        for name in ("snmp", "netstat"):
            lines = pathlib.Path(f"/proc/{self.pid}/net/{name}").read_text().splitlines()
            for names, values in zip(lines[::2], lines[1::2]):
                group, *keys = names.split()
                counted.update(zip((f"{group[:-1]}.{key}" for key in keys), map(int, values.split()[1:])))
        for line in pathlib.Path(f"/proc/{self.pid}/net/snmp6").read_text().splitlines():
            key, value = line.split()
            counted[key] = int(value)
        return counted


@contextlib.contextmanager
def new_namespace(cgroup):
    with live.Child(holds_a_namespace, cgroup=cgroup) as holder:
        holder.hear()
        yield Net(holder.pid, cgroup)


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


# ---- packets ----


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(source, target, protocol, payload):
    """IPv4; the kernel fills in the checksum of the header."""
    return (
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
        + socket.inet_aton(source)
        + socket.inet_aton(target)
        + payload
    )


def transport(source, target, protocol, segment, at, wrong=0):
    """The segment with its checksum, which stands at `at`; `wrong` is added to it."""
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, protocol, len(segment))
    summed = (checksum(pseudo + segment) + wrong) & 0xFFFF or 0xFFFF
    return segment[:at] + struct.pack("!H", summed) + segment[at + 2 :]


def udp_packet(source, target, port, payload, wrong=0):
    segment = struct.pack("!HHHH", 4000, port, 8 + len(payload), 0) + payload
    segment = transport(source, target, socket.IPPROTO_UDP, segment, 6, wrong)
    return ip_packet(source, target, socket.IPPROTO_UDP, segment)


SYN = 0x02


def tcp_packet(source, source_port, target, port, flags=SYN, wrong=0):
    segment = struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 5 << 4, flags, 1024, 0, 0)
    segment = transport(source, target, socket.IPPROTO_TCP, segment, 16, wrong)
    return ip_packet(source, target, socket.IPPROTO_TCP, segment)


def raw_socket():
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def dropped_by_qdisc(net, device):
    return int(re.search(r"dropped (\d+)", net.ip("tc", "-s", "qdisc", "show", "dev", device))[1])
