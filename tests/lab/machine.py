# SPDX-License-Identifier: GPL-2.0-only
"""A lab machine: one kernel in QEMU under TCG, on this machine's files, read-only.

No image is built: the root is a 9p share with a tmpfs over it. A second share takes the results.
"""

import lzma
import pathlib
import shutil
import stat
import subprocess
import time

TREE = pathlib.Path(__file__).resolve().parents[2]
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")


# ---- initramfs ----


def _dependencies(kernel, names):
    """The files of the modules, each after those that it needs."""
    files = []
    for module in names:
        done = subprocess.run(
            ["modprobe", "-d", kernel.directory, "-S", kernel.release, "--show-depends", module],
            capture_output=True,
            text=True,
            check=True,
        )
        files += [line.split()[1] for line in done.stdout.splitlines() if line[:7] == "insmod "]
    return [pathlib.Path(file) for file in dict.fromkeys(files)]


def _module(file):
    """A module, decompressed: busybox loads no other."""
    data = file.read_bytes()
    return lzma.decompress(data) if file.suffix == ".xz" else data


def cpio(entries):
    """A cpio archive (newc: Documentation/driver-api/early-userspace/buffer-format.rst) of
    {name: (mode, content)}."""
    archive = bytearray()

    def pad():
        archive.extend(bytes(-len(archive) % 4))

    for number, (name, (mode, content)) in enumerate([*entries.items(), ("TRAILER!!!", (0, b""))]):
        path = name.encode() + b"\0"
        header = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
        archive.extend(b"070701" + b"".join(b"%08x" % field for field in header) + path)
        pad()
        archive.extend(content)
        pad()
    return bytes(archive)


def modules(kernel, names):
    """What an initramfs has below modules/: the modules, and in `order` in which order to load them."""
    files = _dependencies(kernel, names)
    entries = {f"modules/{file.stem}": (stat.S_IFREG | 0o644, _module(file)) for file in files}
    order = "".join(f"{file.stem}\n" for file in files)
    entries["modules/order"] = (stat.S_IFREG | 0o644, order.encode())
    return entries


def initramfs(kernel):
    entries = {name: (stat.S_IFDIR | 0o755, b"") for name in ("bin", "modules", "dev")}
    busybox = pathlib.Path(shutil.which("busybox")).read_bytes()
    entries["bin/busybox"] = (stat.S_IFREG | 0o755, busybox)
    entries["init"] = (stat.S_IFREG | 0o755, (TREE / "tests/lab/init.sh").read_bytes())
    entries["start"] = (stat.S_IFREG | 0o644, str(TREE / "tests/lab/start.sh").encode())
    return cpio(entries | modules(kernel, MODULES))


# ---- QEMU ----


class Machine:
    """A running lab machine; leaving the `with` block ends it.

    `results` is its share: what it is to run lies there, and what it has to say. `cpus`: with two,
    TCG runs both in one thread: what patches code while it runs (BPF attaching, static keys) hung
    or panicked with a thread for each."""

    def __init__(self, kernel, command, results, cpus=2, shell=False):
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir(parents=True)
        self.results = results
        script = results / "command"
        script.write_text(f"#!/bin/bash\n{command}\n")
        script.chmod(0o755)
        (results / "modules").write_text(str(kernel.modules))
        (results / "name").write_text(kernel.series.replace(".", "-"))
        if shell:
            (results / "shell").touch()
        (results / "initramfs").write_bytes(initramfs(kernel))
        self.started = time.monotonic()
        serial = "mon:stdio" if shell else f"file:{results / 'console.log'}"
        self.process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"),
                *("-machine", "q35", "-accel", "tcg,thread=single", "-cpu", "max,+svm"),
                *("-m", "2048", "-smp", str(cpus), "-display", "none", "-no-reboot", "-nic", "none"),
                *("-serial", serial, "-name", f"vtrace-lab-{kernel.series}"),
                *("-kernel", kernel.image, "-initrd", results / "initramfs"),
                *("-append", "console=ttyS0 quiet panic=-1"),
                *self._share("root", "/", "readonly=on"),
                *self._share("results", results, "readonly=off"),
            ],
            stdin=None if shell else subprocess.DEVNULL,
            stdout=None if shell else subprocess.DEVNULL,
            stderr=None if shell else (results / "qemu.log").open("wb"),
        )

    @staticmethod
    def _share(name, path, access):
        return (
            *("-fsdev", f"local,id={name},path={path},security_model=none,{access},multidevs=remap"),
            *("-device", f"virtio-9p-pci,fsdev={name},mount_tag=lab-{name}"),
        )

    @property
    def status(self):
        """The exit code of the command, or None while there is none."""
        try:
            return int((self.results / "status").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def running(self):
        return self.process.poll() is None

    def seconds(self):
        return time.monotonic() - self.started

    def why_dead(self):
        """The end of what the kernel and QEMU had to say."""
        lines = []
        for name in ("qemu.log", "console.log", "log", "output"):
            file = self.results / name
            if file.exists():
                lines += file.read_text(errors="replace").splitlines()
        return [line for line in lines if line.strip()][-15:]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
