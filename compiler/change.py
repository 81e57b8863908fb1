"""What changing each field of a task means for a deployment that lives already: `x-change` of the schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from functools import cache
from typing import Any

import schemas
from compiler.codec import encode
from compiler.fits import Misfit
from compiler.needs import WRITTEN, Requirements
from compiler.offer import Accelerator
from compiler.quantity import Quantity
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

FIELDS = {
    "repository": "workdir",
    "kept_secrets": "managed_secrets",
    "buckets": "file_mounts",
    "scheduling_timeout_s": "job",
    "duration_s": "duration",
    "edge": "edge_config",
    "hooks": "config",
}
"""Fields of Task that a file spells otherwise."""

_ELSEWHERE = ("requirements", "alternatives", "ordered", "secrets", "file", "internal", "hints", "source")
"""Compared in their own way, or no part of what was asked for."""


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

    @property
    def hidden(self) -> bool:
        """Whether its values are nobody's business: then only names are shown."""
        return self.field in ("envs", "secrets", "managed_secrets", "config")

    def to_data(self) -> dict[str, Any]:
        """For `--json`; of envs and secrets the names of what differs."""
        data: dict[str, Any] = {"field": self.field, "meaning": self.meaning.value, "says": self.says}
        if self.hidden:
            return {**data, "names": _differing(self.old, self.new)}
        return {**data, "old": self.old, "new": self.new}


JUDGED = frozenset(
    (
        *("cloud", "region", "zone", "instance_type", "accelerators", "cpus", "memory", "exact", "disk_size"),
        *("use_spot", "max_hourly_cost", "any_of", "ordered", "num_nodes"),
    )
)
"""Fields that say what nodes must be like: whether living ones are so is judged by compiler.fits, not by the text."""


@cache
def meaning(field: str) -> Meaning:
    """What the schema says of a field such as `run` or `resources.cpus`. Raises KeyError for an unknown one."""
    name, _, inner = field.partition(".")
    known = schemas.plain(schemas.load("task.v1.json")["properties"][name])
    return Meaning(schemas.plain(known["properties"][inner])["x-change"] if inner else known["x-change"])


def changes(old: Task, new: Task) -> tuple[Change, ...]:
    """Each field that differs, in the order of the format; values of secrets are not compared."""
    found: list[Change] = []
    for one in fields(Task):
        if one.name in _ELSEWHERE:
            continue
        written = FIELDS.get(one.name, one.name)
        before, after = encode(getattr(old, one.name)), encode(getattr(new, one.name))
        if before != after and all(change.field != written for change in found):
            found.append(Change(written, meaning(written), before, after))
    if set(old.secrets) != set(new.secrets):
        found.append(Change("secrets", meaning("secrets"), sorted(old.secrets), sorted(new.secrets)))
    return (*found, *_of_resources(old, new))


def effects(
    old: Task | None, new: Task, misfits: Sequence[Misfit], *, grows: bool = False
) -> tuple[Change, ...]:
    """What a new task means for a deployment whose last one is `old` and whose nodes do not meet `misfits`: those
    first, then every other field that differs. Names are without `resources.`; `grows`: nodes are added to a gang.

    What is judged and met, and what is not asked for any more, is no reason to touch the nodes.
    """
    found: list[Change] = []
    differing = changes(old, new) if old else ()
    refused = {one.field for one in differing if one.meaning is Meaning.REFUSED}
    for misfit in misfits:
        field = misfit.field if misfit.field == "num_nodes" else f"resources.{misfit.field}"
        means = meaning(field)
        if misfit.field == "num_nodes":
            means = Meaning.IN_PLACE if grows else Meaning.REPLACES_NODES
        elif field in refused:
            means = Meaning.REFUSED
        found.append(Change(misfit.field, means, misfit.has, misfit.asked))
    for one in differing:
        field = one.field.removeprefix("resources.")
        if any(change.field == field for change in found):
            continue
        touches = one.meaning in (Meaning.REPLACES_NODES, Meaning.MOVES, Meaning.REFUSED)
        met = touches and (field in JUDGED or one.new in (None, [], {}, ""))
        found.append(replace(one, field=field, meaning=Meaning.IN_PLACE if met else one.meaning))
    return tuple(found)


def worst(found: tuple[Change, ...]) -> Meaning:
    """What all changes together mean."""
    order = list(Meaning)
    return max((one.meaning for one in found), key=order.index, default=Meaning.IN_PLACE)


def _of_resources(old: Task, new: Task) -> list[Change]:
    """Field by field of the one machine that is asked for; alternatives are compared as a whole."""
    if old.alternatives or new.alternatives:
        before, after = ([one.to_data() for one in task.options] for task in (old, new))
        same = before == after and old.ordered == new.ordered
        field = "resources.ordered" if new.ordered else "resources.any_of"
        return [] if same else [Change(field, meaning(field), before, after)]
    found: list[Change] = []
    for one in fields(Requirements):
        first, second = getattr(old.requirements, one.name), getattr(new.requirements, one.name)
        if first == second or one.name == "internal":
            continue
        field = f"resources.{WRITTEN.get(one.name, one.name)}"
        if any(change.field == field for change in found):
            continue
        means = _place(one.name, meaning(field), second, old)
        found.append(Change(field, means, _plain(first), _plain(second)))
    return found


def _place(name: str, means: Meaning, after: Any, old: Task) -> Meaning:
    """A place that is no longer asked for is no reason to leave it; one kept folder stays in its cloud."""
    if means is not Meaning.MOVES:
        return means
    if after is None:
        return Meaning.IN_PLACE
    return Meaning.REFUSED if name == "cloud" and old.checkpoint else Meaning.MOVES


def _differing(old: Any, new: Any) -> list[str]:
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        before, after = dict(old or {}), dict(new or {})
        return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    names = [
        {str(one) if isinstance(one, str) else str(one.get("name")) for one in side or ()}
        for side in (old, new)
    ]
    return sorted(names[0] ^ names[1])


def _plain(value: Any) -> Any:
    """For people where they write it so, else as data."""
    if isinstance(value, (Quantity, Accelerator)):
        return str(value)
    return dict(value) if isinstance(value, Mapping) else encode(value)
