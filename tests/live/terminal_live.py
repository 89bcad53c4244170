# SPDX-License-Identifier: GPL-2.0-only
"""A program on a terminal, for tests: what it shows, and typing to it."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

import vtrace_live as live


class Terminal:
    def __init__(self, *command, columns=80, lines=24, env=None):
        self.shown = b""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                self._resize(0, columns, lines)
                os.execvpe(command[0], command, {**os.environ, "TERM": "dumb", **(env or {})})
            finally:
                os._exit(127)

    @staticmethod
    def _resize(fd, columns, lines):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns, lines):
        self._resize(self._fd, columns, lines)

    def type(self, text):
        os.write(self._fd, os.fsencode(text))

    def read(self, seconds=0.05):
        """Takes in what there is; False at the end."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # all of the other side have closed it
            return False
        self.shown += data
        return bool(data)

    def until(self, condition, what, seconds=live.PATIENCE):
        """Reads until the condition has a value."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline or not self.read():
                value = condition()
                if value:
                    return value
                raise AssertionError(f"expected on the terminal: {what}; got {self.shown[-2000:]!r}")

    def wait(self, seconds=live.PATIENCE):
        """The exit code, when it has ended by itself."""
        deadline = time.monotonic() + seconds
        while self.read():
            if time.monotonic() > deadline:
                raise AssertionError(f"expected it to end, got {self.shown[-2000:]!r}")
        pid, self.pid = self.pid, None
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)
