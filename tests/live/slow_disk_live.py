# SPDX-License-Identifier: GPL-2.0-only
"""A disk that serves one request after the other, each for as long as it is told: a loop device over a file of a file
system of ours, by FUSE (linux/fuse.h). It keeps nothing."""

import contextlib
import ctypes
import errno
import os
import stat
import struct
import tempfile
import time
import unittest

import block_live as block
import vtrace_live as live

BUFFER = (1 << 20) + 4096
MAX_WRITE = 128 * 1024
ROOT = 1  # the only node: it is the file
GETATTR, OPEN, READ, WRITE, RELEASE, FSYNC, FLUSH, INIT = 3, 14, 15, 16, 18, 20, 25, 26
FORGET, INTERRUPT, BATCH_FORGET = 2, 36, 42  # which have no answer
FOPEN_DIRECT_IO = 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Server:
    """Work for a Child: answers what the kernel asks of the file, READ and WRITE after their time."""

    def __init__(self, device, size, seconds):
        self._device = device
        self._size = size
        self._seconds = seconds

    def __call__(self, child):
        while True:
            try:
                asked = os.read(self._device, BUFFER)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return  # it is not mounted any more
            _, operation, unique = struct.unpack_from("<IIQ", asked)
            if operation in (FORGET, INTERRUPT, BATCH_FORGET):
                continue
            answer = self._answer(operation, asked[40:])
            code = -errno.ENOSYS if answer is None else 0
            with contextlib.suppress(OSError):  # who asked may have gone
                os.write(self._device, struct.pack("<IiQ", 16 + len(answer or b""), code, unique) + (answer or b""))

    def _answer(self, operation, asked):
        if operation == INIT:
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 16, 12, MAX_WRITE, 1, 0, 0, 0)
        if operation == GETATTR:
            return struct.pack("<QII", 3600, 0, 0) + self._attributes()
        if operation == OPEN:
            return struct.pack("<QIi", 1, FOPEN_DIRECT_IO, 0)
        if operation in (READ, WRITE):
            _, _, size = struct.unpack_from("<QQI", asked)
            time.sleep(self._seconds(size))
            return bytes(size) if operation == READ else struct.pack("<II", size, 0)
        return b"" if operation in (RELEASE, FSYNC, FLUSH) else None

    def _attributes(self):
        times = [0] * 6
        return struct.pack("<6Q10I", ROOT, self._size, self._size // 512, *times, stat.S_IFREG | 0o600, 1, 0, 0, 0,
                           4096, 0)


class SlowDisk:
    """`seconds(size)` is how long a request of so many bytes takes."""

    number = block.LoopDisk.number

    def __init__(self, seconds, size=64 * block.MIB):
        block.load_module("fuse")
        if not os.path.exists("/dev/fuse"):
            raise unittest.SkipTest("the kernel has no FUSE: no disk is slow by itself here")
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="vtrace-test-"))
            device = os.open("/dev/fuse", os.O_RDWR)
            options = f"fd={device},rootmode={stat.S_IFREG:o},user_id=0,group_id=0"
            if _libc.mount(b"vtrace-test", file.name.encode(), b"fuse", ctypes.c_ulong(0), options.encode()):
                os.close(device)
                raise OSError(ctypes.get_errno(), "mount of FUSE")
            stack.callback(_libc.umount2, file.name.encode(), 2)  # MNT_DETACH
            stack.enter_context(live.Child(_Server(device, size, seconds)))
            os.close(device)
            self.path = block.ran("losetup", "--find", "--show", file.name)
            stack.callback(block.ran, "losetup", "-d", self.path)
            self._stack = stack.pop_all()
        self.name = os.path.basename(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()
