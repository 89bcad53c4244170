# SPDX-License-Identifier: GPL-2.0-only
"""Container engines for tests: started by hand in directories of their own, stopped by pid."""

import os
import pathlib
import shutil
import signal
import subprocess
import tarfile
import tempfile
import unittest

import vtrace_live as live

SPIN = ["/bin/busybox", "sh", "-c", "while :; do :; done"]
SLEEP = ["/bin/busybox", "sleep", "1000000"]



def not_in_lab():
    """For daemons that are no quicker to start than a kernel, under emulation."""
    if live.EMULATED:
        raise unittest.SkipTest("engines with a daemon are tested on the host")


def need(*programs):
    """Skips where an engine cannot be had."""
    missing = [p for p in programs if shutil.which(p) is None]
    if missing:
        raise unittest.SkipTest(f"missing: {', '.join(missing)}")


def call(*command, **options):
    """Runs a command and returns what it printed; an error says what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command} failed with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


def make_root(directory):
    """A root file system that is a busybox."""
    (directory / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), directory / "bin/busybox")
    for name in ("proc", "dev", "sys", "tmp", "etc"):
        (directory / name).mkdir()
    return directory


def _mounts(kinds):
    """The mount points of these file systems, the innermost last."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.split(" - ")[1].split()[0] in kinds]


class Daemon:
    """A daemon in a directory of its own below /tmp (paths of sockets are short)."""

    PARENT = ""  # the cgroup that the engine makes and leaves behind

    def __init__(self):
        places = [pathlib.Path(mount, self.PARENT) for mount in _mounts(("cgroup", "cgroup2"))]
        self.new_parents = [place for place in places if not place.exists()]
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="vtrace-test-"))
        self.process = None

    def start(self, *command):
        with open(self.home / "log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ready(self, condition, what):
        def there():
            if self.process.poll() is not None:
                raise AssertionError(f"{what} ended: {(self.home / 'log').read_text()[-2000:]}")
            return condition()

        live.until(there, what, every=0.05)

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for parent in self.new_parents:
            for directory, _, _ in os.walk(parent, topdown=False):
                live.Cgroup.remove_directory(directory)
        with open("/proc/self/mountinfo") as mounts:
            points = [line.split()[4] for line in mounts]
        for point in reversed(points):
            if point.startswith(f"{self.home}/"):
                subprocess.run(["umount", "-l", point], check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Docker(Daemon):
    PARENT = "docker"

    def __init__(self):
        not_in_lab()
        need("dockerd", "docker", "runc", "busybox")
        super().__init__()
        self.socket = self.home / "docker.sock"
        self.containers = []
        try:
            self.command = (
                "dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none",
                "--storage-driver=vfs", f"--data-root={self.home}/data", f"--exec-root={self.home}/exec",
                "-H", f"unix://{self.socket}", "--pidfile", str(self.home / "pid"),
            )
            self.begin()
            root = make_root(self.home / "root")
            archive = self.home / "root.tar"
            with tarfile.open(archive, "w") as tar:
                tar.add(root, arcname="/")
            self.call("import", str(archive), "vtrace-test:1")
        except BaseException:
            self.stop()
            raise

    def _answers(self):
        return self.socket.exists() and subprocess.run(
            ["docker", "-H", f"unix://{self.socket}", "version"], capture_output=True, check=False
        ).returncode == 0

    def begin(self):
        self.start(*self.command)
        self.ready(self._answers, "dockerd")

    def crash(self):
        """The daemon dies, and its containerd with it; its containers stay."""
        containerd = self.home / "exec/containerd/containerd.pid"
        pid = int(containerd.read_text())
        self.process.kill()
        self.process.wait()
        live.until(lambda: live.state(pid) in "XZ", "containerd dies with its parent")
        containerd.unlink()  # nobody may have reaped it: the next daemon would wait for it

    def call(self, *arguments):
        return call("docker", "-H", f"unix://{self.socket}", *arguments)

    def run(self, name, *options, command=SLEEP):
        """Starts a container; returns its id and the pid of its first process."""
        container = self.call("run", "-d", "--network=none", "--name", name, *options, "vtrace-test:1", *command)
        self.containers.append(container)
        return container, int(self.call("inspect", "-f", "{{.State.Pid}}", container))

    def stop(self):
        for container in self.containers:
            subprocess.run(["docker", "-H", f"unix://{self.socket}", "rm", "-f", container],
                           capture_output=True, check=False)
        super().stop()


class Containerd(Daemon):
    """Its state lies in `state`, not where vtrace looks: bind it there."""

    PARENT = "default"

    def __init__(self):
        not_in_lab()
        need("containerd", "ctr", "runc", "busybox")
        super().__init__()
        self.socket = self.home / "sock"
        self.state = self.home / "state"
        self.tasks = []
        try:
            config = self.home / "config.toml"
            config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
            self.start("containerd", "--config", str(config), "--root", f"{self.home}/data",
                       "--state", str(self.state), "--address", str(self.socket))
            self.ready(self._answers, "containerd")
            self.root = make_root(self.home / "root")
        except BaseException:
            self.stop()
            raise

    def _answers(self):
        return self.socket.exists() and subprocess.run(
            ["ctr", "-a", str(self.socket), "version"], capture_output=True, check=False
        ).returncode == 0

    def call(self, *arguments):
        return call("ctr", "-a", str(self.socket), *arguments)

    def run(self, name):
        """Starts a container; returns the pid of its first process."""
        self.call("run", "-d", "--rootfs", str(self.root), name, *SLEEP)
        self.tasks.append(name)
        lines = [line.split() for line in self.call("task", "ls").splitlines()]
        return next(int(fields[1]) for fields in lines if fields[0] == name)

    def stop(self):
        for name in self.tasks:
            for command in (("task", "rm", "-f", name), ("container", "rm", name)):
                subprocess.run(["ctr", "-a", str(self.socket), *command], capture_output=True, check=False)
        super().stop()


class Podman(Daemon):
    """Podman has no daemon. Its storage lies in `graph`, not where vtrace looks: bind it there."""

    PARENT = "libpod_parent"

    def __init__(self):
        # crun wants a host with cgroup v2 alone, as the lab's are.
        self.runtime = "crun" if live.EMULATED else "runc"
        need("podman", self.runtime, "busybox")
        super().__init__()
        self.graph = self.home / "graph"
        self.containers = []
        self.pods = []
        self.root = make_root(self.home / "root")

    def call(self, *arguments):
        return call("podman", "--root", str(self.graph), "--runroot", f"{self.home}/run",
                    "--tmpdir", f"{self.home}/tmp", "--cgroup-manager", "cgroupfs", "--events-backend", "none",
                    "--storage-driver", "vfs", "--runtime", shutil.which(self.runtime), *arguments)

    def pod(self, name):
        """Makes a pod; returns its id. Only one with a container of its own has a cgroup."""
        if live.EMULATED:
            raise unittest.SkipTest("no devices below /tmp, which the image of a pod needs")
        archive = self.home / "root.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(self.root, arcname="/")
        image = self.call("import", str(archive))
        limits = self.home / "containers.conf"
        limits.write_text('[containers]\ndefault_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]\n')
        os.environ["CONTAINERS_CONF"] = str(limits)
        try:
            self.pods.append(self.call("pod", "create", "--network=none", "--name", name, "--infra-image", image,
                                       "--infra-command", " ".join(SLEEP)))
            self.call("pod", "start", name)
        finally:
            del os.environ["CONTAINERS_CONF"]
        return self.pods[-1]

    def run(self, name, *options):
        """Starts a container; returns its id and the pid of its first process."""
        limits = ("--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1024:4096")
        container = self.call("run", "-d", "--name", name, *limits, *(options or ["--network=none"]),
                              "--rootfs", str(self.root), *SLEEP)
        self.containers.append(container)
        return container, int(self.call("inspect", "-f", "{{.State.Pid}}", container))

    def stop(self):
        try:
            for container in self.containers:
                self.call("rm", "-f", "-t", "0", container)
            for pod in self.pods:
                self.call("pod", "rm", "-f", "-t", "0", pod)
        finally:
            super().stop()
