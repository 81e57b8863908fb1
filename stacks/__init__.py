"""Everything that knows Pulumi. CLOUDS names the clouds; `cloud(name)` imports one."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import cast

from stacks.cloud import Cloud

OURS = {
    "local": "stacks.local",
    "aws": "stacks.aws",
    "gcp": "stacks.gcp",
    "azure": "stacks.azure",
    "kubernetes": "stacks.kubernetes",
}
"""Cloud name -> module that keeps the protocol of stacks/cloud.py: a new cloud is one file and one line here."""

GROUP = "skywright.clouds"
"""Entry points of this group add clouds of other distributions: `mycloud = "mypackage.mymodule"`."""


class Clouds(Mapping[str, str]):
    """Ours first, then what is installed beside us; a name of ours cannot be taken over."""

    def __init__(self) -> None:
        self._theirs: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        if self._theirs is None:
            self._theirs = dict(sorted(_theirs().items()))
        return {**OURS, **{name: at for name, at in self._theirs.items() if name not in OURS}}

    def __getitem__(self, name: str) -> str:
        return OURS[name] if name in OURS else self._all()[name]

    def __contains__(self, name: object) -> bool:
        return name in OURS or name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


CLOUDS = Clouds()


def _theirs() -> dict[str, str]:
    """Entry points of the group. Most environments have none, and looking for the word is ten times as fast as
    importlib.metadata."""
    if not any(GROUP in text for text in _declared()):
        return {}
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=GROUP)}


def _declared() -> Iterator[str]:
    for folder in sys.path:
        try:
            with os.scandir(folder or ".") as entries:
                names = [one.path for one in entries if one.name.endswith((".dist-info", ".egg-info"))]
        except OSError:
            continue
        for name in names:
            try:
                with open(os.path.join(name, "entry_points.txt"), encoding="utf-8") as file:
                    yield file.read()
            except (OSError, ValueError):
                continue


def cloud(name: str) -> Cloud:
    """The module of one cloud. Raises KeyError for a name that is not in CLOUDS."""
    return cast(Cloud, importlib.import_module(CLOUDS[name]))


def configured() -> tuple[str, ...]:
    """Clouds for which this user has credentials, as far as files and the environment tell at once."""
    return tuple(name for name in CLOUDS if cloud(name).configured())
