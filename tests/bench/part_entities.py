# SPDX-License-Identifier: GPL-2.0-only
"""Part "entities": all containers of a host from cold, by name: `vtrace ps` from its start to its end.

That is the scan of the cgroups, what the engines have on record, the limits, and the text. The cgroups are
real; the records are copies of recorded ones, where engines keep them. A second point is what a real Docker says.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time
import uuid

import common
import loads
from measure import Setup, interleaved, log
from table import Section, median, spread

CONTAINERS, PODS, LIVE = 2000, 1000, 50
MOST_MS = 300

TESTS = pathlib.Path(__file__).resolve().parents[1]
FIXTURES = TESTS / "fixtures" / "engines"
# Covered in a mount namespace of our own, so that the host's own engines are out of sight.
PLACES = ("/var/lib", "/run")
DOCKER = "c88a385b1b1feb8375f509175cb29e7c32474766d3529e849401710ff01ae7c9"
PODMAN = "5dfa282bac4abac7058d23e3c6a9926f13a9d4852c364427d1ae723d2c93dc9d"
CONTAINERD, CONTAINERD_POD = "b2" * 32, "0f6a5d3e-1b2c-4d5e-8f90-a1b2c3d4e5f6"


def ids() -> list[str]:
    return [hashlib.sha256(b"%d" % number).hexdigest() for number in range(CONTAINERS)]


def write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def docker(cgroups: pathlib.Path) -> None:
    root = pathlib.Path("/var/lib/docker/containers")
    text = (FIXTURES / "docker/root/containers" / DOCKER / "config.v2.json").read_text()
    for one in ids():
        write(root / one / "config.v2.json", text.replace(DOCKER, one))
        (cgroups / "docker" / one).mkdir(parents=True)


def podman(cgroups: pathlib.Path) -> None:
    root = pathlib.Path("/var/lib/containers/storage/overlay-containers")
    recorded = FIXTURES / "podman/root/vfs-containers"
    text = (recorded / PODMAN / "userdata/config.json").read_text()
    listed = json.loads((recorded / "containers.json").read_text())
    entry = json.dumps(next(entry for entry in listed if entry["id"] == PODMAN))
    for one in ids():
        write(root / one / "userdata/config.json", text.replace(PODMAN, one))
        (cgroups / "libpod_parent" / f"libpod-{one}").mkdir(parents=True)
    write(root / "containers.json", f"[{','.join(entry.replace(PODMAN, one) for one in ids())}]")


def containerd(cgroups: pathlib.Path) -> None:
    tasks = pathlib.Path("/run/containerd/io.containerd.runtime.v2.task/k8s.io")
    recorded = FIXTURES / "containerd/io.containerd.runtime.v2.task/k8s.io"
    text = (recorded / CONTAINERD / "config.json").read_text()
    for number, one in enumerate(ids()):
        pod = str(uuid.UUID(int=number % PODS))
        write(tasks / one / "config.json", text.replace(CONTAINERD, one).replace(CONTAINERD_POD, pod))
        (cgroups / "kubepods/burstable" / f"pod{pod}" / one).mkdir(parents=True)


@contextlib.contextmanager
def covered():
    common.private_mounts()
    with contextlib.ExitStack() as stack:
        for place in PLACES:
            common.mount("tmpfs", place)
            stack.callback(common.unmount, place)
        yield


@contextlib.contextmanager
def recorded(make):
    """The containers of one engine, and their cgroups."""
    cgroups = pathlib.Path(loads.cpu_hierarchy(), f"vtbench-{os.getpid()}")
    with covered():
        try:
            make(cgroups)
            yield
        finally:
            loads.remove_cgroups(cgroups)


def ps_ms(vtrace: str, source: str, containers: int, **environment: str) -> float:
    """How long it takes to list these containers with their names."""
    start = time.monotonic()
    done = subprocess.run([vtrace, "ps", "--format", "json"], capture_output=True, check=False,
                          env={"PATH": os.environ["PATH"], **environment})
    took = 1000 * (time.monotonic() - start)
    if done.returncode != 0:
        raise common.NotMeasured(f"vtrace ps: {done.stderr.decode(errors='replace').strip()}")
    found = sum(each["source"] == source and each["kind"] == "container"
                for each in json.loads(done.stdout)["entities"])
    if found != containers:
        raise common.NotMeasured(f"vtrace ps: {found} of {containers} containers named by {source}")
    return took


@contextlib.contextmanager
def live_docker():
    """A Docker of our own with containers that sleep; gives its socket."""
    sys.path.insert(0, str(TESTS / "live"))
    import engines_live

    with engines_live.Docker() as engine:
        log(f"entities: starting {LIVE} containers")
        for number in range(LIVE):
            engine.run(f"live-{number}")
        yield engine.socket


def part_entities(setup: Setup) -> Section:
    section = Section(
        "Names: all containers of a host from cold, by `vtrace ps`", ["containers", "ms", "targets"]
    )
    engines = {"docker": docker, "podman": podman, "containerd": containerd}
    for engine, make in engines.items():
        with recorded(make):
            of_one = interleaved(
                setup, "entities", [engine],
                lambda name: ps_ms(setup.vtrace, f"{name} files", CONTAINERS),
            )[engine]
        add(section, setup, f"{CONTAINERS:,} of {engine}, from its files", of_one)
    try:
        with live_docker() as socket:
            host = f"unix://{socket}"
            of_one = interleaved(
                setup, "entities", ["docker"],
                lambda _: ps_ms(setup.vtrace, "docker API", LIVE, DOCKER_HOST=host),
            )["docker"]
        add(section, setup, f"{LIVE} live ones of docker, by its API", of_one)
    except Exception as problem:  # SkipTest: no Docker here
        section.remarks.append(f"{LIVE} live ones of docker: not measured: {problem}")
    return section


def add(section: Section, setup: Setup, name: str, of_one: list[float]) -> None:
    verdict = f"{name}: not measured"
    if of_one:
        verdict = setup.targets.holds(f"< {MOST_MS} ms", median(of_one) < MOST_MS)
    section.rows.append([name, spread(of_one) if of_one else "", verdict])
