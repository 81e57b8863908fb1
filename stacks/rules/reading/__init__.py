"""Readers: what each cloud's resource types mean for rules. One module and one line of READERS for each."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from stacks.rules.facts import UNKNOWN, Acting, Fact, Resource

READERS = {
    "aws": "stacks.rules.reading.aws",
    "azure-native": "stacks.rules.reading.azure",
    "gcp": "stacks.rules.reading.gcp",
    "kubernetes": "stacks.rules.reading.kubernetes",
    "skywright": "stacks.rules.reading.local",
}
"""Package of resource types (what stands before the first colon) -> module with TYPES."""

Read = Callable[[Mapping[str, Any]], Iterable[Fact]]


def read(resource: Resource) -> tuple[Fact, ...] | None:
    """The facts about a resource; None where nobody knows what its type means."""
    module = READERS.get(resource.type.partition(":")[0])
    if module is None:
        return None
    types: Mapping[str, Read] = importlib.import_module(module).TYPES
    reader = types.get(resource.type)
    return None if reader is None else tuple(reader(resource.inputs))


def text(value: Any) -> str:
    """An input as people read it; what is known only later is said so."""
    return "(known when it is made)" if value == UNKNOWN else str(value)


def acting(value: Any) -> Iterable[Fact]:
    """Who a node is. A name that is not known yet is that of an identity of the same stack, which is read itself."""
    if value and value != UNKNOWN:
        yield Acting(str(value))


def nothing(inputs: Mapping[str, Any]) -> Iterable[Fact]:
    """Of types that no rule has anything to say about."""
    return ()


def listed(value: Any) -> list[Any]:
    """A list of inputs; empty where it is absent or known only later."""
    return list(value) if isinstance(value, list) else []


def mapped(value: Any) -> Mapping[str, Any]:
    """A mapping of inputs; empty where it is absent or known only later."""
    return value if isinstance(value, Mapping) else {}


def texts(value: Any) -> dict[str, str]:
    """Tags: a mapping of texts."""
    return {str(name): text(one) for name, one in mapped(value).items() if not str(name).startswith("__")}
