# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of TCP share: containers made of a network namespace and a cgroup, wires between them that lose and
delay what they are told to, and the kernel's own counts."""

import array
import collections
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time

import vtrace_live as live

NET = pathlib.Path(os.environ.get("VTRACE_BUILD", live.ROOT / "build"), "wl_net")
ERROR_BOUND = 0.0625  # of a quantile
SEGMENT = 1000  # bytes of payload; far below the MTU

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
PACKET_OUTGOING = 4  # linux/if_packet.h
IFF_UP = 1
SIOCSIFFLAGS, SIOCGIFHWADDR, SIOCETHTOOL = 0x8914, 0x8927, 0x8946  # linux/sockios.h
# linux/ethtool.h: receive and send checksums, scatter-gather, TSO, GSO, GRO
OFFLOADS = (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C)
TCP_SYN, TCP_RST, TCP_ACK = 2, 4, 16
SNMP_AT_REST = 0.05  # seconds after which a count of the kernel's is its last

_libc = ctypes.CDLL(None, use_errno=True)


def _enter(namespace_fd):
    if _libc.setns(namespace_fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def enter_namespace(pid):
    """The calling thread stays in the network namespace of a process."""
    with open(f"/proc/{pid}/ns/net", "rb") as there:
        _enter(there.fileno())


def kernel_counts(pid):
    """What the kernel counts in the namespace of a process: {"Udp.RcvbufErrors": 5}."""
    found = {}
    for file in ("snmp", "netstat"):
        lines = pathlib.Path(f"/proc/{pid}/net/{file}").read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            group, *keys = names.split()
            found.update(zip((f"{group[:-1]}.{key}" for key in keys), map(int, values.split()[1:]), strict=True))
    return found


class SocketCgroup(live.Cgroup):
    """In the hierarchy that sockets belong to: v2's."""

    controller = None


class CgroupOf:
    """The one of v2 that a process is in now."""

    def __init__(self, pid="self"):
        text = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
        self.path = re.search(r"(?m)^0::(.*)$", text)[1]
        self.directory = os.fsencode(live.hierarchy(None).mount + self.path)

    add = live.Cgroup.add


class Namespace:
    """A network namespace with a loopback device, for as long as its process (of this cgroup) lives."""

    def __init__(self, cgroup=None):
        self._holder = live.Child(self._hold, cgroup=cgroup)
        self._holder.hear()
        self.pid = self._holder.pid
        with self.inside(), socket.socket() as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))

    @staticmethod
    def _hold(child):
        if _libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        child.tell()
        live.sleep_for_ever(child)

    @contextlib.contextmanager
    def inside(self):
        """The calling thread is in it meanwhile."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/proc/{self.pid}/ns/net", "rb") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def ip(self, *lines):
        self._run("ip", "-batch", "-", lines="\n".join(lines))

    def tc(self, line):
        return self._run("tc", *line.split())

    def tc_batch(self, lines):
        self._run("tc", "-batch", "-", lines="\n".join(lines))

    def receive_on(self, device, cpu):
        """What comes in by a device is received in softirqs of this CPU (RPS)."""
        file = f"/sys/class/net/{device}/queues/rx-0/rps_cpus"
        self._run("unshare", "--mount", "sh", "-c", f"mount -t sysfs none /sys && echo {1 << cpu:x} >{file}")

    def add_netem(self, device, how):
        """False where the kernel has no netem."""
        try:
            self.tc(f"qdisc add dev {device} root netem {how}")
        except AssertionError as error:
            if "qdisc kind is unknown" not in str(error):
                raise
            return False
        return True

    def _run(self, *command, lines=""):
        with self.inside():
            done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"expected {command} {lines!r} to succeed: {done.stderr!r}")
        return done.stdout

    def sysctl(self, name, value):
        with self.inside():
            pathlib.Path("/proc/sys/net", name).write_text(f"{value}\n")

    def counts(self):
        """TCP's own of them."""
        split = ((*name.split("."), count) for name, count in kernel_counts(self.pid).items())
        return collections.Counter({key: count for group, key, count in split if group in ("Tcp", "TcpExt")})

    def counts_at_rest(self):
        """The same without traffic: what is on its way has arrived."""
        before = None
        while (now := self.counts()) != before:
            before = now
            time.sleep(SNMP_AT_REST)
        return now

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._holder.stop()


class Container(Namespace):
    """A network namespace and a cgroup."""

    def __init__(self):
        super().__init__()
        self.cgroup = SocketCgroup()

    @property
    def path(self):
        return self.cgroup.path

    def __exit__(self, *_):
        super().__exit__()
        self.cgroup.remove()

    @contextlib.contextmanager
    def at_home(self):
        """What the calling process makes meanwhile is the container's."""
        own = CgroupOf()
        self.cgroup.add()
        try:
            with self.inside():
                yield
        finally:
            own.add()

    def sockets(self, count=1, family=socket.AF_INET):
        """So many TCP sockets of the container's; whoever uses them, they stay its own."""
        with self.at_home():
            return [socket.socket(family) for _ in range(count)]

    def listener(self, port, backlog=4096, address="::"):
        """That accepts IPv6 and IPv4 (whose addresses it has mapped), or only what its address is of."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        (made,) = self.sockets(family=family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind((address, port))
        made.listen(backlog)
        return made

    def start(self, *arguments):
        """wl_net in the container."""

        def enter():
            self.cgroup.add()
            enter_namespace(self.pid)

        return subprocess.Popen([NET, *map(str, arguments)], stdout=subprocess.PIPE, text=True, preexec_fn=enter)

    def connect(self, *arguments):
        """wl_net connect, to its end: what it says."""
        return told(self.start("connect", *arguments))

    @contextlib.contextmanager
    def serving(self, port, request=0, reply=0):
        """wl_net serve. What it gives holds, in the end, what it says."""
        process = self.start("serve", port, request, reply)
        said = {}
        try:
            assert process.stdout.readline() == "ready\n", "expected the server to begin"
            yield said
            process.send_signal(signal.SIGTERM)
            said.update(told(process))
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


class ContainerOf(Container):
    """The one that a process is in, which somebody else has made."""

    def __init__(self, pid):
        self.pid = pid
        self.cgroup = CgroupOf(pid)


def told(process):
    """What a wl_net said as it ended."""
    try:
        out, _ = process.communicate(timeout=live.PATIENCE)
    except subprocess.TimeoutExpired:  # which would show all of its arguments
        process.kill()
    if process.wait() != 0:
        raise AssertionError(f"expected {process.args[:4]} to succeed, and within {live.PATIENCE:g} s")
    return json.loads(out)


# ---- wires ----

# Of the near side of a wire, and of the far side.
Wire = collections.namedtuple("Wire", "near far near_v4 far_v4 near_v6 far_v6 device")
_wires = iter(range(1, 250))


def addresses(number):
    return f"10.7.{number}.1", f"10.7.{number}.2", f"fd07:{number}::1", f"fd07:{number}::2"


def wire(near, far):
    """A veth pair between two namespaces, with addresses of both kinds."""
    number = next(_wires)
    device = f"w{number}"
    made = Wire(near, far, *addresses(number), device)
    near.ip(f"link add {device} type veth peer name {device} netns {far.pid}",
            *configured(device, made.near_v4, made.near_v6))
    far.ip(*configured(device, made.far_v4, made.far_v6))
    return made


def configured(device, v4, v6):
    """What makes `ip` do it."""
    return f"link set {device} up", f"addr add {v4}/24 dev {device}", f"addr add {v6}/64 dev {device} nodad"


def hardware_address(namespace, device):
    with namespace.inside(), socket.socket() as any_socket:
        request = struct.pack("16s24x", device.encode())
        return fcntl.ioctl(any_socket, SIOCGIFHWADDR, request)[18:24].hex(":")


class Hole:
    """Into which everything falls that a namespace sends to an address on a wire, for as long as it is open: the
    neighbour's hardware address is nobody's. Whoever sends is told of nothing."""

    def __init__(self, namespace, device, address):
        self._namespace = namespace
        self._neighbour = f"{address} dev {device}"

    def __enter__(self):
        self._namespace.ip(f"neigh replace {self._neighbour} lladdr 02:00:00:00:00:99 nud permanent")
        return self

    def __exit__(self, *_):
        # It is learnt anew.
        self._namespace.ip(f"neigh del {self._neighbour}")


def without_offloads(namespace, device):
    """Segments are packets: no larger ones, and with checksums that are complete."""
    with namespace.inside(), socket.socket() as any_socket:
        for offload in OFFLOADS:
            value = array.array("I", [offload, 0])
            request = struct.pack("16sP16x", device.encode(), value.buffer_info()[0])
            with contextlib.suppress(OSError):  # some are fixed
                fcntl.ioctl(any_socket, SIOCETHTOOL, request)


class Relay:
    """A wire between two namespaces with somebody in between who passes each packet on after `delay` seconds, but for
    those for which lose(packet), of which `near` sends, is true. `lost` counts them."""

    def __init__(self, near, far, delay=0.0, lose=lambda packet: False):
        number = next(_wires)
        self.near_v4, self.far_v4, self.near_v6, self.far_v6 = addresses(number)
        self.device = f"w{number}"
        self.lost = 0
        self._lose = lose
        self._delay = delay
        self._between = Namespace()
        self._between.sysctl("ipv6/conf/default/disable_ipv6", 1)
        self._packets = [self._end(near, "near", self.near_v4, self.near_v6),
                         self._end(far, "far", self.far_v4, self.far_v6)]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def _end(self, namespace, name, v4, v6):
        self._between.ip(f"link add name {name} type veth peer name {self.device} netns {namespace.pid}",
                         f"link set {name} up")
        namespace.ip(*configured(self.device, v4, v6))
        without_offloads(namespace, self.device)
        with self._between.inside():
            packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            packets.bind((name, ETH_P_ALL))
        return packets

    def _pass_on(self):
        waiting = collections.deque()
        while not self._done.is_set():
            pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 0.05
            for end in select.select(self._packets, [], [], pause)[0]:
                packet, (*_, kind, _, _) = end.recvfrom(65536)
                if kind == PACKET_OUTGOING:
                    continue
                is_near = end is self._packets[0]
                if is_near and self._lose(packet):
                    self.lost += 1
                    continue
                waiting.append((time.monotonic() + self._delay, self._packets[is_near], packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, end, packet = waiting.popleft()
                end.send(packet)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        for end in self._packets:
            end.close()
        self._between.__exit__()


def payload(packet):
    """How many bytes of TCP's an IPv4 packet of Ethernet carries."""
    if packet[12:14] != b"\x08\x00" or packet[23] != socket.IPPROTO_TCP:
        return 0
    header = 4 * (packet[14] & 15)
    return int.from_bytes(packet[16:18], "big") - header - 4 * (packet[14 + header + 12] >> 4)


# ---- packets made by hand ----


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def transport(source, target, protocol, data, at, wrong=0):
    """The header and its payload with their checksum, which stands at `at`; `wrong` is added to it."""
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, protocol, len(data))
    summed = (checksum(pseudo + data) + wrong) & 0xFFFF or 0xFFFF
    return data[:at] + struct.pack("!H", summed) + data[at + 2 :]


def ip_packet(source, target, protocol, payload):
    """IPv4; the kernel fills in the length, and the checksum of the header."""
    source, target = socket.inet_aton(source), socket.inet_aton(target)
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, protocol, 0, source, target) + payload


def segment(source, target, source_port, target_port, flags, sequence=1, acknowledged=0, wrong=0):
    """An IPv4 packet with a TCP header and nothing else; `wrong` is added to the checksum."""
    tcp = struct.pack("!HHIIBBHHH", source_port, target_port, sequence, acknowledged, 5 << 4, flags, 65535, 0, 0)
    return ip_packet(source, target, socket.IPPROTO_TCP,
                     transport(source, target, socket.IPPROTO_TCP, tcp, 16, wrong))


def datagram(source, target, source_port, target_port, payload, wrong=0):
    """An IPv4 packet with a UDP header; `wrong` is added to the checksum."""
    udp = struct.pack("!HHHH", source_port, target_port, 8 + len(payload), 0) + payload
    return ip_packet(source, target, socket.IPPROTO_UDP, transport(source, target, socket.IPPROTO_UDP, udp, 6, wrong))


def raw_socket():
    """That sends such packets."""
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


# ---- TCP ----

TcpInfo = collections.namedtuple("TcpInfo", "rtt retransmitted bytes_received segments_in")


def tcp_info(connection):
    """Of linux/tcp.h's struct tcp_info, by the offsets that the ABI has."""
    data = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 144)
    rtt, retransmitted, segments_in = (struct.unpack_from("I", data, offset)[0] for offset in (68, 100, 140))
    return TcpInfo(rtt, retransmitted, struct.unpack_from("Q", data, 128)[0], segments_in)


def pair(client, server, address, port, family=socket.AF_INET, count=1):
    """So many connections of two containers: [(client's, server's)]."""
    with server.listener(port) as listener:
        pairs = []
        for one in client.sockets(count, family):
            one.connect((address, port))
            pairs.append((one, listener.accept()[0]))
        return pairs


def send(one, other, size):
    """From one end to the other; both are this process's."""
    sender = threading.Thread(target=one.sendall, args=(bytes(size),))
    sender.start()
    receive(other, size)
    sender.join()


def receive(connection, size):
    while size:
        got = len(connection.recv(min(size, 1 << 20)))
        assert got, f"expected {size} bytes more"
        size -= got


def wait_acknowledged(*connections):
    """Nothing that they have sent is on its way."""
    for one in connections:
        live.until(lambda one=one: not outstanding(one), "all is acknowledged", every=0.001)


def outstanding(connection):
    """Bytes written and not acknowledged yet."""
    return struct.unpack("i", fcntl.ioctl(connection, 0x5411, bytes(4)))[0]  # SIOCOUTQ


def start_connect(connection, address, port, give_up=False):
    """Without waiting for an answer. Who gives up does so after the first SYN that is sent again, in about a second."""
    connection.setblocking(False)
    if give_up:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500)
    with contextlib.suppress(BlockingIOError):
        connection.connect((address, port))


def wait_error(connection):
    """The error that a connect() ends with. Those that do not end it are in SO_ERROR, and POLLERR, as well."""
    poll = select.poll()
    poll.register(connection, 0)
    live.until(lambda: any(events & select.POLLHUP for _, events in poll.poll(0)), "a connect ends")
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def abort(connection):
    """Closes it with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# ---- vtrace ----

LOSSES = ("map_full", "clock_anomaly", "ring_dropped", "missed_start", "recursion_misses")


class TcpTestCase(live.TestCase):
    TOOL = None
    unseen = 0  # runs of programs that the kernel left out, as the same program was interrupted on that CPU

    def disturbed(self):
        return self.unseen > 0

    def containers(self, count):
        """[(container, its wire to the server)], and the server."""
        server = self.enter(Container())
        made = [self.enter(Container()) for _ in range(count)]
        return server, [(each, wire(server, each)) for each in made]

    def traced(self, work, *arguments, losses=LOSSES, tool=None):
        """The reports on what `work` did meanwhile; none of these losses is in them."""
        with live.Tracer(tool or self.TOOL, "--format", "json", *arguments, 0.5) as tracer:
            first = tracer.wait_report()
            work()
            code = tracer.stop()
            reports = tracer.reports(first)
        self.assertEqual(code, 0, tracer.err)
        self.unseen = live.losses(reports, "recursion_misses")
        for key in losses:
            self.assertEqual(live.losses(reports, key), 0, key)
        return reports

    def check_counters(self, reports, container, **expected):
        """Each of these, by name, is exactly so many; those that are not named are not looked at."""
        found = counters(reports, container)
        self.assertEqual({name: found[name] for name in expected}, expected, container.path)

    def check_nothing(self, reports, container):
        self.assertFalse({name: n for name, n in counters(reports, container).items() if n}, container.path)


def rows(reports, container):
    return [row for report in reports for row in report["rows"] if row["entity"]["cgroup"] == container.path]


def _add(found, metrics):
    for name, metric in metrics.items():
        if metric["type"] == "counter":
            found[name] += metric["value"]
        elif metric["type"] == "histogram":
            found[name] += metric["count"]


def counters(reports, container):
    """Counters, and how much a histogram counts, of a container over reports."""
    found = collections.Counter()
    for row in rows(reports, container):
        _add(found, row["metrics"])
    return found


def peers(reports, container):
    """{(side, name of the peer): the same}"""
    found = collections.defaultdict(collections.Counter)
    for row in rows(reports, container):
        for peer in row["peers"]:
            entity = peer["entity"]
            _add(found[entity["labels"].get("side"), entity["name"]], peer["metrics"])
    return dict(found)


Histogram = collections.namedtuple("Histogram", "count sum median max")


def histogram(reports, container, name):
    """Over reports; the median is the middle of its bucket."""
    buckets = collections.Counter()
    total = most = 0
    for row in rows(reports, container):
        if name in row["metrics"]:
            metric = row["metrics"][name]
            total += metric["sum"]
            most = max(most, metric["max"])
            for low, high, count in metric["buckets"]:
                buckets[low, high] += count
    count = seen = sum(buckets.values())
    for (low, high), of_bucket in sorted(buckets.items(), reverse=True):
        seen -= of_bucket
        if 2 * seen <= count:
            return Histogram(count, total, (low + high) / 2, most)
    return Histogram(0, 0, 0, 0)


def kinds(reports, container):
    """{(kind of retransmit, state of the socket): segments} of a container."""
    found = collections.Counter()
    for row in rows(reports, container):
        for peer in row["peers"]:
            for kind in peer["kinds"]:
                entity = kind["entity"]
                found[entity["name"], entity["labels"]["state"]] += kind["metrics"]["segments"]["value"]
    return +found
