"""The protocol a cloud keeps, and the values it speaks in: Scope, NodeFacts, Probe, Access, Failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from compiler.offer import Capability, Offer
from compiler.spec import Foundation, Given, StackSpec


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
    the header its answer is sent back in). A 200 whose JSON member `member` is one of `values` means lost, or with an
    empty `member` the whole text; `deadline` is the member that holds the time (RFC 3339) at which the node goes.
    Where the answer is a list, `rows` is its member, `names` that of a row with the machines it is about, and `name`
    this machine's, which the node fills in. `acknowledge` is posted once: url, body, and the `member` of the row that
    takes the place of `{id}` in it.
    """

    url: str
    every_s: float
    member: str
    values: tuple[str, ...]
    deadline: str | None = None
    headers: Mapping[str, str] | None = None
    token: Mapping[str, Any] | None = None
    rows: str | None = None
    names: str | None = None
    acknowledge: Mapping[str, Any] | None = None

    def to_data(self) -> dict[str, Any]:
        data = {
            "url": self.url,
            "every_s": self.every_s,
            "member": self.member,
            "values": list(self.values),
            "deadline": self.deadline,
            "headers": dict(self.headers) if self.headers else None,
            "token": dict(self.token) if self.token else None,
            "rows": self.rows,
            "names": self.names,
            "acknowledge": dict(self.acknowledge) if self.acknowledge else None,
        }
        return {key: value for key, value in data.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Scope:
    """Which part of a cloud is looked at. Credentials come from the environment (`ENV` of the cloud).

    `given` has the names of what the team owns (account, resource group, namespace, context).
    """

    region: str | None = None
    zone: str | None = None
    given: Given = field(default_factory=Given)

    @classmethod
    def of(cls, spec: StackSpec | Foundation) -> Scope:
        zone = spec.zone if isinstance(spec, StackSpec) else None
        return cls(spec.region, zone, spec.given)


ANYWHERE = Scope()


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node as the cloud itself reports it, found by our tags and never through Pulumi's state.

    `node` is the id that the stack exports for its rank. `alive`: it runs or is about to; `stopped`: it exists and
    can be started again. `created` is an RFC 3339 time. `resource` is the id of what makes it again by itself, where
    that and not the node stands in the stack's state. `public` is
    an address that everybody reaches.
    """

    node: str
    project: str
    deployment: str
    rank: int
    address: str
    alive: bool
    created: str
    stack: str | None = None
    region: str | None = None
    stopped: bool = False
    resource: str | None = None
    public: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """How a person reaches a node without a public address: command lines, run on the person's machine.

    `shell` opens a shell. `proxy` is an ssh ProxyCommand, None where the cloud has no such thing; `user` logs in
    through it (None: whom the cloud's own login makes of a person). `forward` takes `{port}` and `{local}` and makes
    the node's port one of this machine. `run` takes `{command}` in a word of its own, where the cloud runs one itself.
    """

    shell: tuple[str, ...]
    forward: tuple[str, ...]
    proxy: str | None = None
    user: str | None = "skywright"
    run: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Idle:
    """Something that stands after `down`, and what it costs: `monthly` USD, `says` for people."""

    what: str
    monthly: float
    says: str


@dataclass(frozen=True, slots=True)
class Traces:
    """How a person finds what may be left of a stack: the tags of everything in it, and command lines that look."""

    tags: Mapping[str, str]
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `check`: is the cloud usable here, what is degraded, and what to do about it."""

    ok: bool
    says: str
    hint: str | None = None


class Cloud(Protocol):
    """What `stacks/<cloud>.py` offers as module-level names. Importing it imports no Pulumi and no SDK.

    A cloud whose own controllers make nodes (`NodeFacts.resource`) also has `present(spec, lost, stopping, tell)`: it
    gives up what is left of the `lost` ids, waits for one node of each rank, and answers rows as `nodes` has them.

    One that keeps a checkpoint folder in storage which a person may remove has `kept(spec, stores)`: what stays after
    `down`, as Idle, without asking anybody. `stores` are those that stacks of the deployment have exported.

    One that sells machines which its stacks cannot make has `UNMADE`: how the names of their accelerators begin -> why;
    no plan chooses them.

    One with `BAKES` makes images, of a machine that has stopped; `generalise(node, scope)`, where it has that, first
    makes it one that an image may be made of.

    Whatever asks the cloud takes its credentials from the environment and its place from a Scope, runs to its end
    within a minute, and raises Problems `cloud/...`.
    """

    NAME: str
    CAPABILITIES: frozenset[Capability]
    ENV: tuple[str, ...]
    """Prefixes of the environment variables that hold this cloud's credentials and settings (`AWS_`)."""
    PROBES: tuple[Probe, ...]
    """How a node notices that its spot capacity goes."""
    EXTRA: str | None
    """The extra of the distribution that brings the SDK; None where nothing is needed."""

    def offers(self) -> tuple[Offer, ...]:
        """What can be bought now beside the catalog (this machine, a cluster's nodes). No network where avoidable."""
        ...

    def configured(self) -> bool:
        """Are there credentials, as far as the environment and files tell within a millisecond? No SDK, no network."""
        ...

    def check(self) -> tuple[Check, ...]:
        """Credentials, permissions by name, quotas where they can be asked, what degrades here."""
        ...

    def build(self, spec: StackSpec) -> None:
        """Declare the resources of `spec` in the running Pulumi program; exports `nodes` as [{rank, id, address}]."""
        ...

    def foundation(self, spec: Foundation) -> None:
        """Declare the network that deployments of one place share. Never called where FOUNDATION is False."""
        ...

    FOUNDATION: bool
    """Does the cloud need a network of ours where none is given?"""

    def idle(self, spec: Foundation) -> tuple[Idle, ...]:
        """What of a foundation stands after the last `down`, with its cost."""
        ...

    def write_secrets(self, spec: StackSpec, values: Mapping[str, str]) -> None:
        """Put the values into the containers that the stack made. Idempotent; never through Pulumi."""
        ...

    def inventory(self, project: str | None = None, scope: Scope = ANYWHERE) -> tuple[NodeFacts, ...]:
        """Every node that exists in `scope` with our tags, whatever any state says."""
        ...

    def remove(self, node: str, scope: Scope = ANYWHERE) -> None:
        """Delete one node by id behind Pulumi's back: for orphans and for what a killed create left. Idempotent."""
        ...

    def sweep(
        self,
        spec: StackSpec | Foundation,
        known: frozenset[str],
        scope: Scope = ANYWHERE,
        look: bool = False,
    ) -> tuple[str, ...]:
        """Delete what a create that was cut off left of a stack beside nodes; what was deleted, for people.

        `known` are the ids in the stack's state: of its things the cloud finds by names and tags, the others go,
        so that making them again meets nothing. Storage with something in it stays. Idempotent. With `look` nothing is
        deleted: what would be is told.
        """
        ...

    def traces(self, spec: StackSpec | Foundation) -> Traces:
        """How a person finds what is left of a stack when we no longer can. Asks nobody."""
        ...

    def stop(self, nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
        """Stop nodes so that only their disks cost. Idempotent. Capability.STOP says whether it can be called."""
        ...

    def start(self, nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
        """Start stopped nodes again. Idempotent."""
        ...

    def verify(self, node: str, proof: str, scope: Scope = ANYWHERE) -> bool:
        """Does `proof` show that the caller is `node`? Asked by control when an agent joins over HTTPS."""
        ...

    def access(self, node: str, scope: Scope = ANYWHERE) -> Access:
        """How a person reaches a node. Raises Problems cloud/no-access where the cloud has no way."""
        ...

    def preempt(self, node: str, notice_s: float | None, scope: Scope = ANYWHERE) -> None:
        """Take spot capacity away as the cloud would (chaos): after a notice, or at once when it is None."""
        ...

    def kill_agent(self, node: str, scope: Scope = ANYWHERE) -> int:
        """Kill the agent of a node and nothing else (chaos); its pid. Problems where the cloud cannot reach it."""
        ...

    def sort(self, error: str) -> Failure:
        """Which kind of failure an engine message about this cloud is."""
        ...
