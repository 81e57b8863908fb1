"""What rules speak of: facts about one planned resource, whatever cloud it is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine writes a value that is known only when the resource is made."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that rules judge."""


@dataclass(frozen=True, slots=True)
class Tags(Fact):
    """The tags (labels) that people read on the resource. Only of types that take any."""

    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Opening(Fact):
    """Ports that take connections from `sources` (networks as `10.0.0.0/8`; one that anybody is in means everybody).

    `protocol` is `tcp`, `udp` or `all`.
    """

    first: int
    last: int
    protocol: str
    sources: tuple[str, ...]

    @property
    def ports(self) -> str:
        if (self.first, self.last) == EVERY:
            return "all ports"
        return f"port {self.first}" if self.first == self.last else f"ports {self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Disk(Fact):
    """A place where data rests. `encrypted` None: cannot be told. `key` is the customer's, None the cloud's own."""

    what: str
    encrypted: bool | None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Acting(Fact):
    """The identity that a node acts as, or that is made for it: a role, a service account, a managed identity."""

    role: str


@dataclass(frozen=True, slots=True)
class MadeRole(Fact):
    """A role that the stack makes, and the boundary of what it may ever be allowed (AWS)."""

    role: str
    boundary: str | None


@dataclass(frozen=True, slots=True)
class Address(Fact):
    """The resource is reached from the internet by an address of its own."""

    what: str


@dataclass(frozen=True, slots=True)
class Machine(Fact):
    """A node, or what makes several. `spot`: capacity that may be taken away at any time."""

    spot: bool


EVERY = (0, 65535)
"""First and last port."""

EVERYBODY = ("0.0.0.0/0", "::/0")
"""Sources that anybody is in."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One planned resource. `inputs` as the engine tells them: secrets masked, what is not known yet UNKNOWN."""

    name: str
    type: str
    op: str
    inputs: Mapping[str, Any]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Resource:
        """A row of a preview's `planned`."""
        return cls(row["name"], row["type"], row["op"], row["inputs"])
