"""rclone and fusermount3: those of this machine, else unpacked from Debian's packages, installing nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.components.building import Component, Missing, Progress, run

PROGRAMS = {"rclone": "rclone", "fusermount3": "fuse3"}
"""Program -> Debian's package."""
QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


@dataclass(frozen=True)
class Packages:
    """Each program by its link where PATH has it."""

    def digest(self) -> str:
        found = [shutil.which(name) or "" for name in PROGRAMS]
        return hashlib.sha256(repr([PROGRAMS, found]).encode()).hexdigest()[:16]

    def make(self, folder: Path, progress: Progress) -> None:
        (folder / "bin").mkdir()
        wanted = []
        for name, package in PROGRAMS.items():
            here = shutil.which(name)
            if here:
                (folder / "bin" / name).symlink_to(here)
            else:
                wanted.append(package)
        if not wanted:
            return
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            raise Missing(f"no {' and '.join(wanted)} on PATH, and this is no Debian")
        try:
            run(["apt-get", "download", *wanted], folder, QUIET, f"fetching {' '.join(wanted)}", progress)
        except Missing:
            if os.geteuid() != 0:
                raise
            run(["apt-get", "-q", "update"], folder, QUIET, "fetching Debian's package lists", progress)
            run(["apt-get", "download", *wanted], folder, QUIET, f"fetching {' '.join(wanted)}", progress)
        for package in folder.glob("*.deb"):
            run(["dpkg", "-x", package, folder / "root"], folder, {}, f"unpacking {package.name}", progress)
            package.unlink()
        for name in PROGRAMS:
            for path in (folder / "root").glob(f"*bin/{name}"), (folder / "root").glob(f"usr/*bin/{name}"):
                for found in path:
                    shutil.copy2(found, folder / "bin" / name)
        shutil.rmtree(folder / "root", ignore_errors=True)


def component() -> Component:
    return Component("rclone", tuple(PROGRAMS), Packages())
