"""What the nodes of this machine mean for rules: it opens nothing, and what its disk is like nobody asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stacks.rules.facts import Disk, Fact, Machine, Tags
from stacks.rules.reading import Read, texts


def _node(inputs: Mapping[str, Any]) -> Iterable[Fact]:
    yield Tags(texts(inputs.get("labels")))
    yield Machine(inputs.get("market") == "spot")
    yield Disk("the disk of this machine", None)


TYPES: dict[str, Read] = {"skywright:local:Node": _node}
