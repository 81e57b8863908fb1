"""The protocol a cloud keeps, and the values it speaks in: NodeFacts, Probe, Failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from compiler.offer import Capability, Offer
from compiler.spec import StackSpec


class Failure(Enum):
    """The few words every cloud's errors are sorted into."""

    CAPACITY = "capacity"
    QUOTA = "quota"
    CREDENTIALS = "credentials"
    NOT_FOUND = "not-found"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Probe:
    """How a node notices preemption, as data for the agent's manifest.

    Polls `url` every `every_s` seconds with `headers` (after an optional `token` request: url, method, headers, and
    the header its answer is sent back in). A 200 whose JSON member `member` is one of `values` means lost; `deadline`
    is the member that holds the time (RFC 3339) at which the node goes.
    """

    url: str
    every_s: float
    member: str
    values: tuple[str, ...]
    deadline: str | None = None
    headers: Mapping[str, str] | None = None
    token: Mapping[str, Any] | None = None

    def to_data(self) -> dict[str, Any]:
        data = {
            "url": self.url,
            "every_s": self.every_s,
            "member": self.member,
            "values": list(self.values),
            "deadline": self.deadline,
            "headers": dict(self.headers) if self.headers else None,
            "token": dict(self.token) if self.token else None,
        }
        return {key: value for key, value in data.items() if value is not None}


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node as the cloud itself reports it, found by our tags and never through Pulumi's state."""

    node: str
    project: str
    deployment: str
    rank: int
    address: str
    alive: bool
    created: str


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `check`: is the cloud usable here, what is degraded, and what to do about it."""

    ok: bool
    says: str
    hint: str | None = None


class Cloud(Protocol):
    """What `stacks/<cloud>.py` offers as module-level names. Importing it imports no Pulumi and no SDK."""

    NAME: str
    CAPABILITIES: frozenset[Capability]

    def offers(self) -> tuple[Offer, ...]:
        """What can be bought now (from the catalog, or of this machine). No network."""
        ...

    def check(self) -> tuple[Check, ...]:
        """Credentials, permissions, what degrades here."""
        ...

    def build(self, spec: StackSpec) -> None:
        """Declare the resources of `spec` in the running Pulumi program; exports `nodes` as [{rank, id, address}]."""
        ...

    def inventory(self, project: str | None = None) -> tuple[NodeFacts, ...]:
        """Every node that exists with our tags, whatever any state says."""
        ...

    def remove(self, node: str) -> None:
        """Delete one node by id behind Pulumi's back: for orphans and for what a killed create left. Idempotent."""
        ...

    def verify(self, node: str, proof: str) -> bool:
        """Does `proof` show that the caller is `node`? Asked by control when an agent joins."""
        ...

    def preempt(self, node: str, notice_s: float | None) -> None:
        """Take spot capacity away as the cloud would (chaos): after a notice, or at once when it is None."""
        ...

    def kill_agent(self, node: str) -> int:
        """Kill the agent of a node and nothing else (chaos); its pid. Problems where the cloud cannot reach it."""
        ...

    def sort(self, error: str) -> Failure:
        """Which kind of failure an engine message about this cloud is."""
        ...
