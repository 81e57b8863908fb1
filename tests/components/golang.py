"""Components that are built from Go modules: pinned by a go.mod and a go.sum, built without C."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.components.building import Missing, Progress, run

HERE = Path(__file__).parent
PINS = ("go.mod", "go.sum")
FASTER = "-gcflags=all=-dwarf=false"
"""No debug information is compiled that the linker leaves out anyway. The programs are the same: it is no part
of a digest."""
ENV = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}


@dataclass(frozen=True)
class GoModule:
    """`packages` of what `pins` (a folder beside this file) pins; `values` are set by the linker."""

    pins: str
    packages: tuple[str, ...]
    values: tuple[tuple[str, str], ...] = ()

    def flags(self) -> list[str]:
        linked = " ".join(["-w -s", *(f"-X {name}={value}" for name, value in self.values)])
        return ["-trimpath", "-pgo=off", "-ldflags", linked]

    def digest(self) -> str:
        """Of the pins and of how they are built."""
        made = hashlib.sha256(json.dumps([self.packages, self.flags(), ENV]).encode())
        for name in PINS:
            made.update((HERE / self.pins / name).read_bytes())
        return made.hexdigest()[:16]

    def make(self, folder: Path, progress: Progress) -> None:
        go = shutil.which("go")
        if not go:
            raise Missing("no `go` on PATH")
        work = folder / "build"
        work.mkdir()
        for name in PINS:
            shutil.copy(HERE / self.pins / name, work / name)
        (folder / "bin").mkdir()
        what = f"{self.pins}: building from its Go module"
        run(
            [go, "build", FASTER, *self.flags(), "-o", f"{folder / 'bin'}/", *self.packages],
            work,
            ENV,
            what,
            progress,
        )
        shutil.rmtree(work)
