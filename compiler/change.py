"""What changing each field of a task means for a deployment that lives already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from compiler.task import Task


class Meaning(Enum):
    """From harmless to impossible."""

    IN_PLACE = "in-place"
    RESTARTS = "restarts"
    REPLACES_NODES = "replaces-nodes"
    MOVES = "moves"
    REFUSED = "refused"


SAYS = {
    Meaning.IN_PLACE: "changed in place",
    Meaning.RESTARTS: "the task starts again",
    Meaning.REPLACES_NODES: "the nodes are replaced",
    Meaning.MOVES: "everything moves to another place",
    Meaning.REFUSED: "not possible while it lives; `down` it first",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs. `old` and `new` are for people; of secrets they hold names alone."""

    field: str
    meaning: Meaning
    old: Any
    new: Any

    @property
    def says(self) -> str:
        return SAYS[self.meaning]


_FIELDS = {
    "name": Meaning.IN_PLACE,
    "workdir": Meaning.RESTARTS,
    "num_nodes": Meaning.RESTARTS,
    "envs": Meaning.RESTARTS,
    "file_mounts": Meaning.RESTARTS,
    "checkpoint": Meaning.RESTARTS,
    "setup": Meaning.RESTARTS,
    "run": Meaning.RESTARTS,
}

_RESOURCES = {
    "cloud": Meaning.MOVES,
    "region": Meaning.MOVES,
    "zone": Meaning.MOVES,
    "accelerator": Meaning.REPLACES_NODES,
    "cpus": Meaning.REPLACES_NODES,
    "memory_gb": Meaning.REPLACES_NODES,
    "disk_gb": Meaning.REPLACES_NODES,
    "use_spot": Meaning.REPLACES_NODES,
    "labels": Meaning.IN_PLACE,
    "autostop": Meaning.IN_PLACE,
}

_WRITTEN = {"accelerator": "accelerators", "memory_gb": "memory", "disk_gb": "disk_size"}


def changes(old: Task, new: Task) -> tuple[Change, ...]:
    """Each field that differs, in the order of the format; values of secrets are not compared."""
    found = []
    for name, meaning in _FIELDS.items():
        before, after = getattr(old, name), getattr(new, name)
        if _plain(before) != _plain(after):
            found.append(Change(name, meaning, _plain(before), _plain(after)))
    if set(old.secrets) != set(new.secrets):
        found.append(Change("secrets", Meaning.RESTARTS, sorted(old.secrets), sorted(new.secrets)))
    for name, meaning in _RESOURCES.items():
        before, after = getattr(old.requirements, name), getattr(new.requirements, name)
        if _plain(before) != _plain(after):
            field = f"resources.{_WRITTEN.get(name, name)}"
            found.append(Change(field, _place(name, meaning, after, old), _plain(before), _plain(after)))
    return tuple(found)


def worst(found: tuple[Change, ...]) -> Meaning:
    """What all changes together mean."""
    order = list(Meaning)
    return max((one.meaning for one in found), key=order.index, default=Meaning.IN_PLACE)


def _place(name: str, meaning: Meaning, after: Any, old: Task) -> Meaning:
    """A place that is no longer asked for is no reason to leave it; one kept folder stays in its cloud."""
    if meaning is not Meaning.MOVES:
        return meaning
    if after is None:
        return Meaning.IN_PLACE
    return Meaning.REFUSED if name == "cloud" and old.checkpoint else Meaning.MOVES


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
