"""What a stand-in says of one kind of resource, and what it is told when one is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.standins.shape import Wrong
from tests.standins.store import Store


class Refusal(Exception):
    """The cloud says no; the text is its own."""


@dataclass(frozen=True)
class Ask:
    """One call of the engine about one resource. `inputs` are the new ones, `state` its last outputs."""

    urn: str
    id: str
    inputs: Mapping[str, Any]
    state: Mapping[str, Any]
    old: Mapping[str, Any]
    config: Mapping[str, Any]
    store: Store

    def changed(self, *names: str) -> bool:
        return any(self.inputs.get(name) != self.old.get(name) for name in names)


@dataclass(frozen=True)
class Made:
    """A resource that exists: what it is found by, and what the cloud says of it.

    `inputs`: those it has now, where outputs write the same in other words (a self link for a name).
    """

    id: str
    outputs: Mapping[str, Any]
    inputs: Mapping[str, Any] | None = None


def nothing_wrong(_: Mapping[str, Any]) -> Iterable[Wrong]:
    return ()


def nothing_else(ask: Ask) -> None:
    """There is no more to remove than what goes by itself."""


@dataclass(frozen=True)
class Kind:
    """How one kind is made, read, changed, removed, and what of it cannot be changed.

    `replaces`: paths of inputs whose change takes a new one; without `update` every change does. `name`: the input
    that is named by itself when nobody names it, with `joint` before the random part. `sets`: lists without an
    order. `kept`: inputs that the cloud fills in, so that leaving one out changes nothing. `shaped`: inputs
    whose outputs have another form, so that a preview cannot tell them. `read` answers None where there is none.
    """

    create: Callable[[Ask], Made]
    read: Callable[[Ask], Made | None]
    delete: Callable[[Ask], None] = nothing_else
    update: Callable[[Ask], Mapping[str, Any]] | None = None
    replaces: tuple[str, ...] = ()
    name: str | None = None
    joint: str = "-"
    shaped: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    rules: Callable[[Mapping[str, Any]], Iterable[Wrong]] = nothing_wrong
    delete_first: bool = False
    replaces_when: Callable[[Ask], Iterable[str]] = lambda ask: ()


@dataclass(frozen=True)
class Cloud:
    """A provider: its kinds by token, its look-ups by token (arguments, Ask) -> result."""

    package: str
    kinds: Mapping[str, Kind]
    functions: Mapping[str, Callable[[Mapping[str, Any], Ask], Mapping[str, Any]]]
    configure: Callable[[dict[str, Any]], dict[str, Any]] = lambda config: config
