# SPDX-License-Identifier: GPL-2.0-only
"""Debian's kernels: which there are, fetched with apt, unpacked into a cache.

apt runs with a sources list, package lists and a cache of its own: the machine's stay untouched.
"""

import contextlib
import dataclasses
import fcntl
import functools
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import time

# `newest` is the highest version of all suites; any other series that they have can be asked for, too.
SERIES = ("5.10", "6.1", "6.12", "6.18", "newest")
SUITES = ("bullseye", "bookworm", "trixie", "trixie-backports", "sid")
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vtrace-lab"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
LISTS_MAX_AGE = 24 * 3600  # seconds until a new version is looked for


class FetchError(Exception):
    """A kernel cannot be had; the text says which and why."""


@dataclasses.dataclass(frozen=True)
class Kernel:
    series: str  # as asked for: "6.1", "newest"
    release: str  # as `uname -r` prints it
    package: str  # Debian's source package and version
    directory: pathlib.Path

    @property
    def image(self):
        return self.directory / "kernel"

    @property
    def modules(self):
        return self.directory / "lib" / "modules" / self.release

    def config(self, option):
        """The value of CONFIG_<option>: "y", "m", another text, or "" if it is not set."""
        text = (self.directory / "config").read_text()
        found = re.search(rf"^CONFIG_{option}=(.*)$", text, re.MULTILINE)
        return found.group(1) if found else ""


# ---- apt ----


def _mirror():
    """The mirror that this machine's apt uses for Debian itself."""
    if "VTRACE_LAB_MIRROR" in os.environ:
        return os.environ["VTRACE_LAB_MIRROR"]
    lines = _output("apt-get", "indextargets", "--format", "$(ORIGIN) $(SITE)").splitlines()
    sites = [line.removeprefix("Debian ") for line in lines if line.startswith("Debian ")]
    sites = [site for site in sites if "security" not in site]
    if not sites:
        raise FetchError("apt has no mirror of Debian here: set VTRACE_LAB_MIRROR=URL")
    return sites[0]


def _output(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise FetchError(f"{command[0]} failed: {'; '.join(lines[-2:])}")
    return done.stdout


def _apt(program, *arguments):
    home = CACHE / "apt"
    return _output(
        program,
        *("-o", f"Dir::Etc::sourcelist={home}/sources.list"),
        *("-o", "Dir::Etc::sourceparts=-"),
        *("-o", f"Dir::State={home}/state"),
        *("-o", f"Dir::State::status={home}/status"),
        *("-o", f"Dir::Cache={home}/cache"),
        *("-o", "APT::Architecture=amd64"),
        *("-o", "APT::Sandbox::User="),
        *("-o", "Acquire::Languages=none"),
        *("-o", "Acquire::Retries=3"),
        *arguments,
    )


def _update():
    home = CACHE / "apt"
    stamp = home / "updated"
    with contextlib.suppress(FileNotFoundError):
        if time.time() - stamp.stat().st_mtime < LISTS_MAX_AGE:
            return
    for part in ("state/lists/partial", "cache/archives/partial"):
        (home / part).mkdir(parents=True, exist_ok=True)
    (home / "status").touch()
    source = f"deb [signed-by={KEYRING}] {_mirror()}"
    (home / "sources.list").write_text(
        "".join(f"{source} {suite} main\n" for suite in SUITES)
    )
    # A suite that has left the mirrors takes its own kernels along, not the others'.
    _apt("apt-get", "update", "-q")
    if not any((home / "state" / "lists").glob("*_Packages*")):
        raise FetchError("apt-get update brought no package lists")
    stamp.touch()


@functools.cache
def _package_names():
    return set(_apt("apt-cache", "pkgnames", "linux-").split())


def _version_key(release):
    return [int(number) for number in re.findall(r"\d+", release)]


def _releases():
    """{release, as `uname -r` prints it: the packages with its image and its modules}, of the
    generic flavour: neither cloud nor rt. Not yet signed will do."""
    names = _package_names()
    found = {}
    for name in names:
        match = re.fullmatch(r"linux-(image|binary)-(?:unsigned-)?(\d+\.\d+\.\d[^-]*(?:-\d+)?-amd64)", name)
        if match:
            found.setdefault(match.group(2), {})[match.group(1)] = name
    packages = {}
    for release, images in found.items():
        # Since 7.0 an image package only names those that hold something.
        parts = [f"linux-modules-{release}", f"linux-base-{release}"]
        if "binary" in images and names.issuperset(parts):
            packages[release] = [images["binary"], *parts]
        elif "image" in images:
            packages[release] = [images["image"]]
    return packages


def _newest_release(series):
    releases = _releases()
    if series != "newest":
        releases = [r for r in releases if r.startswith(f"{series}.")]
    if not releases:
        raise FetchError(f"Debian has no kernel {series} in {', '.join(SUITES)}")
    return max(releases, key=_version_key)


def _fetch(release, directory):
    download = directory / "download"
    download.mkdir(parents=True)
    os.chdir(download)  # where apt-get download puts its files
    _apt("apt-get", "download", "-q", *_releases()[release])
    for package in sorted(download.glob("*.deb")):
        _output("dpkg-deb", "-x", str(package), str(directory / "unpacked"))
    version = next(download.glob("*.deb")).name.split("_")[1]
    os.chdir(CACHE)

    unpacked = directory / "unpacked"
    modules = [unpacked / place / "lib/modules" for place in ("usr", "")]
    (directory / "lib").mkdir()
    next(m for m in modules if m.is_dir()).rename(directory / "lib/modules")
    # Since 7.0 image and configuration lie beside the modules.
    for name, pattern in (("config", "config"), ("kernel", "vmlinuz")):
        places = [*unpacked.glob(f"boot/{pattern}-*"), *directory.glob(f"lib/modules/*/{pattern}*")]
        places[0].rename(directory / name)
    _decompress_xz(directory / "kernel")
    _output("depmod", "-b", str(directory), release)
    shutil.rmtree(unpacked)
    shutil.rmtree(download)
    (directory / "package").write_text(f"linux {version}")


def _decompress_xz(image):
    """Replaces a bzImage with an xz payload by the ELF in it: under TCG that boots 15 s sooner."""
    data = image.read_bytes()
    start = data.find(b"\xfd7zXZ\0")
    if start < 0:
        return
    with contextlib.suppress(lzma.LZMAError):
        elf = lzma.LZMADecompressor().decompress(data[start:])
        if elf.startswith(b"\x7fELF"):
            image.write_bytes(elf)


def is_series(text):
    return text == "newest" or re.fullmatch(r"\d+\.\d+", text) is not None


@functools.cache
def get(series, offline=False):
    """The newest kernel of a series, from the cache or fetched into it.

    offline: nothing is fetched, the newest in the cache is taken.
    Raises FetchError."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = CACHE / "releases.json"
        releases = json.loads(known.read_text()) if known.exists() else {}
        if not offline:
            _update()
            releases[series] = _newest_release(series)
        elif series not in releases:
            raise FetchError("not in the cache")
        release = releases[series]
        directory = CACHE / release
        if not (directory / "package").exists():
            if offline:
                raise FetchError("not in the cache")
            part = CACHE / f"{release}.part"
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(directory, ignore_errors=True)
            _fetch(release, part)
            part.rename(directory)
        known.write_text(json.dumps(releases))
        package = (directory / "package").read_text()
    return Kernel(series, release, package, directory)
