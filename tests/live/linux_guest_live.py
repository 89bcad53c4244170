# SPDX-License-Identifier: GPL-2.0-only
"""A real guest: Linux with a disk, which it writes to and reads from all the time."""

import os
import pathlib
import re
import shutil
import stat
import sys
import unittest

import kvm_live as kvm
import vtrace_live as live

sys.path.append(str(live.ROOT / "tests" / "lab"))
import kernels
import machine

MODULES = ("virtio_pci", "virtio_blk")
DISK_BYTES = 16 << 20

INIT = f"""#!/bin/busybox sh
export PATH=/bin
busybox mount -t devtmpfs dev /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
while read -r module; do busybox insmod /modules/$module; done </modules/order
busybox echo {kvm.LINE}
blocks=0
while :; do
    busybox dd if=/dev/zero of=/dev/vda bs=4k count=16 oflag=direct 2>/dev/null
    busybox dd if=/dev/vda of=/dev/null bs=4k count=16 iflag=direct 2>/dev/null
    blocks=$((blocks + 16))
    busybox echo "blocks=$blocks"
done
"""


def kernel():
    if live.EMULATED:
        modules = pathlib.Path("/run/lab/modules").read_text().strip()
        directory = pathlib.Path(modules).parents[2]
        return kernels.Kernel("", pathlib.Path(modules).name, "", directory)
    return kernels.get("6.12", offline=True)


def initramfs(of):
    files = machine._dependencies(of, MODULES)
    entries = {name: (stat.S_IFDIR | 0o755, b"") for name in ("bin", "modules", "dev")}
    entries["bin/busybox"] = (stat.S_IFREG | 0o755, pathlib.Path(shutil.which("busybox")).read_bytes())
    entries["init"] = (stat.S_IFREG | 0o755, INIT.encode())
    for file in files:
        entries[f"modules/{file.stem}"] = (stat.S_IFREG | 0o644, machine._module(file))
    entries["modules/order"] = (stat.S_IFREG | 0o644, "".join(f"{f.stem}\n" for f in files).encode())
    return machine.cpio(entries)


class LinuxGuest(kvm.QemuGuest):
    ATTEMPTS, PATIENCE = int(os.environ.get("LG_ATTEMPTS", 2)), int(os.environ.get("LG_PATIENCE", 80))

    def _sector(self, spins):
        of = kernel()
        (self._directory / "initramfs").write_bytes(initramfs(of))
        disk = self._directory / "disk"
        with open(disk, "wb") as file:
            file.truncate(DISK_BYTES)
        return (
            *("-machine", os.environ.get("LG_MACHINE", "q35"), "-cpu", "host", "-m", "256"),
            *("-kernel", str(of.image), "-initrd", str(self._directory / "initramfs")),
            *("-append", os.environ.get("LG_APPEND", "console=ttyS0 panic=-1")),
            *("-object", "iothread,id=io1"),
            *("-drive", f"if=none,id=disk,file={disk},format=raw"),
            *("-device", "virtio-blk-pci,drive=disk,iothread=io1"),
        )

    def blocks(self):
        found = re.findall(r"blocks=(\d+)\r?\n", self.serial())
        return int(found[-1]) if found else 0
