"""A wire between this machine and a network namespace, whose packets can be lost in either direction.

A direction is cut by a neighbour entry that nobody answers to: packets leave, are for another machine, and are dropped
without a word. It needs nothing of the kernel but veth, and either end believes that all is well.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterable

OUT, BACK = "out", "back"
"""From the node to control, and from control to the node."""
NOBODY = "02:00:00:00:00:99"
SLOTS = 64 * 256


def possible() -> bool:
    return os.name == "posix" and os.geteuid() == 0 and all(map(shutil.which, ("ip", "nsenter")))


class Wire:
    """`with Wire() as wire`: control is on `wire.control`; what is started with `wire.inside` is at the far end."""

    _numbers = itertools.count()

    def __init__(self) -> None:
        mine = os.getpid() + 7919 * next(self._numbers)
        slot = mine % SLOTS
        self.name = f"skf{mine % 10**6}"
        self.near, self.far = f"{self.name}a", f"{self.name}b"
        front = f"100.127.{slot // 64}."
        self.control, self.node = f"{front}{slot % 64 * 4 + 1}", f"{front}{slot % 64 * 4 + 2}"
        self.inside = ["nsenter", f"--net=/run/netns/{self.name}"]

    def __enter__(self) -> Wire:
        _ip("netns", "add", self.name)
        _ip("link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.name)
        _ip("addr", "add", f"{self.control}/30", "dev", self.near)
        _ip("link", "set", self.near, "up")
        for words in (("addr", "add", f"{self.node}/30", "dev", self.far), ("link", "set", self.far, "up")):
            _ip("-n", self.name, *words)
        _ip("-n", self.name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], check=False)

    def cut(self, ways: Iterable[str]) -> None:
        """From now on nothing gets through in `ways`."""
        for way in ways:
            _ip(*self._neighbour(way, "replace"), "lladdr", NOBODY, "nud", "permanent")

    def mend(self, ways: Iterable[str] = (OUT, BACK)) -> None:
        """What is asked about a neighbour is asked on the wire again."""
        for way in ways:
            subprocess.run(["ip", *self._neighbour(way, "delete")], check=False, capture_output=True)

    def _neighbour(self, way: str, verb: str) -> tuple[str, ...]:
        if way == OUT:
            return ("-n", self.name, "neigh", verb, self.control, "dev", self.far)
        return ("neigh", verb, self.node, "dev", self.near)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
