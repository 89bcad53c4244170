# SPDX-License-Identifier: GPL-2.0-only
"""What the bench needs from the kernel's BPF side: the run time of programs, and the empty program.

It calls the public functions of libbpf directly, because a process per look (bpftool) would be part
of what is measured, and because descriptors clean up after themselves: statistics are on, and the
empty program is attached, for as long as a descriptor is open, even if the bench is killed.
"""

import contextlib
import ctypes
import os
from ctypes import c_char, c_int, c_size_t, c_uint8, c_uint32, c_uint64
from dataclasses import dataclass

_BPF_STATS_RUN_TIME = 0
_BPF_PROG_TYPE_TRACEPOINT = 5
_BPF_PROG_TYPE_RAW_TRACEPOINT = 17
_BPF_PROG_TYPE_TRACING = 26
_BPF_TRACE_RAW_TP = 23


class _ProgInfo(ctypes.Structure):
    """struct bpf_prog_info of <linux/bpf.h>, up to the last field read here."""

    _fields_ = [
        ("type", c_uint32), ("id", c_uint32), ("tag", c_uint8 * 8),
        ("jited_prog_len", c_uint32), ("xlated_prog_len", c_uint32),
        ("jited_prog_insns", c_uint64), ("xlated_prog_insns", c_uint64),
        ("load_time", c_uint64), ("created_by_uid", c_uint32), ("nr_map_ids", c_uint32),
        ("map_ids", c_uint64), ("name", c_char * 16), ("ifindex", c_uint32),
        ("gpl_compatible", c_uint32), ("netns_dev", c_uint64), ("netns_ino", c_uint64),
        ("nr_jited_ksyms", c_uint32), ("nr_jited_func_lens", c_uint32),
        ("jited_ksyms", c_uint64), ("jited_func_lens", c_uint64), ("btf_id", c_uint32),
        ("func_info_rec_size", c_uint32), ("func_info", c_uint64), ("nr_func_info", c_uint32),
        ("nr_line_info", c_uint32), ("line_info", c_uint64), ("jited_line_info", c_uint64),
        ("nr_jited_line_info", c_uint32), ("line_info_rec_size", c_uint32),
        ("jited_line_info_rec_size", c_uint32), ("nr_prog_tags", c_uint32),
        ("prog_tags", c_uint64), ("run_time_ns", c_uint64), ("run_cnt", c_uint64),
        ("recursion_misses", c_uint64), ("verified_insns", c_uint32),
        ("attach_btf_obj_id", c_uint32), ("attach_btf_id", c_uint32), ("padding", c_uint32),
    ]


class _ProgLoadOpts(ctypes.Structure):
    """struct bpf_prog_load_opts of libbpf, up to the last field set here."""

    _fields_ = [
        ("sz", c_size_t), ("attempts", c_int), ("expected_attach_type", c_int),
        ("prog_btf_fd", c_uint32), ("prog_flags", c_uint32), ("prog_ifindex", c_uint32),
        ("kern_version", c_uint32), ("attach_btf_id", c_uint32),
    ]


_lib = ctypes.CDLL("libbpf.so.1", use_errno=True)


def _checked(result: int, what: str) -> int:
    """libbpf returns -1 with errno or the negative errno, depending on the function."""
    if result < 0:
        error = -result if result != -1 else ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result


@contextlib.contextmanager
def _closing(fd: int):
    try:
        yield fd
    finally:
        os.close(fd)


@dataclass(frozen=True)
class Program:
    """One loaded program and what it has cost since statistics were switched on."""

    id: int
    name: str
    on_switch: bool  # is on the sched_switch hook, as far as the kernel tells
    tracepoint: bool  # a classic tracepoint: the kernel does not tell which
    run_time_ns: int
    run_cnt: int
    recursion_misses: int


_switch_btf_id = _checked(
    _lib.libbpf_find_vmlinux_btf_id(b"sched_switch", _BPF_TRACE_RAW_TP),
    "sched_switch in the kernel's BTF",
)


def program(fd: int) -> Program:
    info = _ProgInfo()
    size = c_uint32(ctypes.sizeof(info))
    got = _lib.bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size))
    _checked(got, "program info")
    tracing = info.type == _BPF_PROG_TYPE_TRACING
    return Program(
        id=info.id,
        name=info.name.decode(errors="replace"),
        # Before 5.18 (b79c9fc9551b) the kernel does not tell, and says 0.
        on_switch=tracing and info.attach_btf_id in (_switch_btf_id, 0),
        tracepoint=info.type == _BPF_PROG_TYPE_TRACEPOINT,
        run_time_ns=info.run_time_ns,
        run_cnt=info.run_cnt,
        recursion_misses=info.recursion_misses,
    )


def next_id(after: int) -> int | None:
    """The next program's id, or None after the last."""
    found = c_uint32()
    if _lib.bpf_prog_get_next_id(c_uint32(after), ctypes.byref(found)) != 0:
        return None
    return found.value


def last_id() -> int:
    last = 0
    while (found := next_id(last)) is not None:
        last = found
    return last


def open_program(program_id: int) -> int | None:
    """A descriptor of the program, or None if it has just gone."""
    fd = _lib.bpf_prog_get_fd_by_id(c_uint32(program_id))
    return fd if fd >= 0 else None


def programs() -> dict[int, Program]:
    found = {}
    program_id = 0
    while (program_id := next_id(program_id)) is not None:
        fd = open_program(program_id)
        if fd is not None:
            with _closing(fd):
                found[program_id] = program(fd)
    return found


def owned_by(pid: int) -> set[int]:
    """The programs that a process holds, directly or by a link, whoever else traces."""
    owned = set()
    directory = f"/proc/{pid}/fdinfo"
    with contextlib.suppress(OSError):  # the process has gone
        for name in os.listdir(directory):
            with contextlib.suppress(FileNotFoundError), open(f"{directory}/{name}") as info:
                found = [line.split()[1] for line in info if line.startswith("prog_id:")]
                owned.update(map(int, found))
    return owned


@contextlib.contextmanager
def statistics():
    """Counts runs and run time of all programs while it lasts."""
    with _closing(_checked(_lib.bpf_enable_stats(_BPF_STATS_RUN_TIME), "BPF statistics")):
        yield


_RETURN_0 = bytes([0xB7, 0, 0, 0, 0, 0, 0, 0]) + bytes([0x95, 0, 0, 0, 0, 0, 0, 0])


@contextlib.contextmanager
def empty_raw_program(event: str):
    """Attaches `return 0` to a raw tracepoint; gives its id."""
    loaded = _lib.bpf_prog_load(
        _BPF_PROG_TYPE_RAW_TRACEPOINT, b"empty", b"GPL", _RETURN_0, c_size_t(2), None
    )
    with _closing(_checked(loaded, "loading an empty program")) as fd:
        attached = _lib.bpf_raw_tracepoint_open(event.encode(), fd)
        with _closing(_checked(attached, f"attaching to {event}")):
            yield program(fd).id


@contextlib.contextmanager
def empty_program():
    """Attaches `return 0` to tp_btf/sched_switch; gives its id. The floor of every measurement."""
    opts = _ProgLoadOpts(
        sz=ctypes.sizeof(_ProgLoadOpts),
        expected_attach_type=_BPF_TRACE_RAW_TP,
        attach_btf_id=_switch_btf_id,
    )
    loaded = _lib.bpf_prog_load(
        _BPF_PROG_TYPE_TRACING, b"empty", b"GPL", _RETURN_0, c_size_t(2), ctypes.byref(opts)
    )
    with _closing(_checked(loaded, "loading the empty program")) as fd:
        attached = _lib.bpf_raw_tracepoint_open(None, fd)
        with _closing(_checked(attached, "attaching the empty program")):
            yield program(fd).id
