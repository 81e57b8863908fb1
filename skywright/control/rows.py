"""What the store holds, as frozen values: one dataclass per table, one field per column."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

Data = dict[str, Any]


JSON = {"json": True}
"""Marks a column that holds JSON text."""


@dataclass(frozen=True, slots=True)
class Row:
    """A stored value. TABLE is its table, KEY the columns that name one row."""

    TABLE: ClassVar[str]
    KEY: ClassVar[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Deployment(Row):
    """A named set of nodes. Times are seconds since 1970.

    `wanted` is `up`, `stopped` or `gone`; `stage` is how far we are: pending, provisioning, up, removing, failed, gone,
    and stopping.py's.
    `digest` belongs to `spec`, `applied` is the digest that the last successful `up` had; `leaving` is when `wanted`
    became `gone`. `task` is the redacted task of the newest launch, `before` what a change that is not applied yet
    found: it is put back when that change is refused. `choices`, `tries`, `outgoing` and `move` are failover.py's,
    `delivered` is delivery.py's. `policy` is that of the newest launch, for every operation until the next.
    `rates` (ledger.py) are what a node costs where it is now, `budget` is budget.py's.
    """

    TABLE = "deployments"
    KEY = ("uid",)

    uid: str
    name: str
    project: str
    owner: str
    cloud: str
    place: str
    market: str
    hourly: float
    digest: str
    created: float
    spec: Data = field(metadata=JSON)
    envelope: Data | None = field(metadata=JSON, default=None)
    wanted: str = "up"
    stage: str = "pending"
    applied: str | None = None
    keep: bool = False
    idle_s: float | None = None
    stop_down: bool = True
    retry: bool = False
    purge: bool = False
    up_since: float | None = None
    ended: float | None = None
    idle_since: float | None = None
    failures: int = 0
    retry_at: float | None = None
    blocked: str | None = None
    problem: Data | None = field(metadata=JSON, default=None)
    kept: Data | None = field(metadata=JSON, default=None)
    leaving: float | None = None
    task: Data | None = field(metadata=JSON, default=None)
    before: Data | None = field(metadata=JSON, default=None)
    choices: list[Data] = field(metadata=JSON, default_factory=list)
    tries: list[Data] = field(metadata=JSON, default_factory=list)
    outgoing: Data | None = field(metadata=JSON, default=None)
    move: Data | None = field(metadata=JSON, default=None)
    delivered: Data | None = field(metadata=JSON, default=None)
    policy: Data | None = field(metadata=JSON, default=None)
    rates: Data | None = field(metadata=JSON, default=None)
    budget: Data | None = field(metadata=JSON, default=None)

    @property
    def nodes_wanted(self) -> int:
        return int(self.spec["nodes"])


@dataclass(frozen=True, slots=True)
class Node(Row):
    """One machine. `state`: starting, up, noticed, drained, lost, moved, stopped, gone. A node with `revoked` (why)
    stays out for ever. `hourly` is its own price in USD; it cost nothing since `stopped`, and for `paused_s` before.

    `version` and `desired` are the number and digest of the newest desired state; `acked` the highest event such
    that it and all before it are stored.
    """

    TABLE = "nodes"
    KEY = ("node",)

    node: str
    uid: str
    rank: int
    address: str
    created: float
    state: str = "starting"
    token_hash: str | None = None
    boot_id: str | None = None
    joined: float | None = None
    last_seen: float | None = None
    gone: float | None = None
    revoked: str | None = None
    notice_until: float | None = None
    version: int = 0
    desired: str = ""
    acked: int = 0
    hourly: float | None = None
    stopped: float | None = None
    paused_s: float | None = None

    @property
    def label(self) -> str:
        """What people and Pulumi call it: `node-1`."""
        return f"node-{self.rank}"


@dataclass(frozen=True, slots=True)
class Run(Row):
    """One numbered execution. `body` is the order's run without secrets; `go` is what the gang may do: setup or run.

    `call` names the call that ordered it, so that a repeated one orders nothing again. `stopping` says why its ranks
    are being stopped (cancel, failed, preempted, lost); `losses` are the times at which attempts were lost,
    `errors` how often it was begun again after it failed by itself.
    """

    TABLE = "runs"
    KEY = ("uid", "run")

    uid: str
    run: int
    name: str
    submitted: float
    body: Data = field(metadata=JSON)
    call: str | None = None
    status: str = "PENDING"
    attempt: int = 0
    go: str = "setup"
    stopping: str | None = None
    recoveries: int = 0
    preemptions: int = 0
    lost_work_s: float = 0.0
    started: float | None = None
    going_since: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str | None = None
    failed_rank: int | None = None
    failed_at: float | None = None
    losses: list[float] = field(metadata=JSON, default_factory=list)
    progress: Data | None = field(metadata=JSON, default=None)
    progress_at: float | None = None
    errors: int = 0

    @property
    def num_nodes(self) -> int:
        return int(self.body["num_nodes"])


@dataclass(frozen=True, slots=True)
class RunRank(Row):
    """One rank of one attempt of a run. `log_setup` and `log_run` are sizes in bytes once the part has ended."""

    TABLE = "run_ranks"
    KEY = ("uid", "run", "attempt", "rank")

    uid: str
    run: int
    attempt: int
    rank: int
    node: str
    changed: float
    phase: str = "pending"
    exit_code: int | None = None
    signal: int | None = None
    oom: bool = False
    message: str | None = None
    log_setup: int | None = None
    log_run: int | None = None


@dataclass(frozen=True, slots=True)
class Operation(Row):
    """One engine operation. `state`: intended (perhaps not started), started, done. `consumed` counts event bytes.

    `cleans`: it destroys a stack that its deployment does not want any more, not the deployment.
    """

    TABLE = "operations"
    KEY = ("id",)

    id: str
    uid: str
    kind: str
    started: float
    spec: Data = field(metadata=JSON)
    lost: list[str] = field(metadata=JSON, default_factory=list)
    purge: bool = False
    cleans: bool = False
    state: str = "intended"
    tries: int = 0
    consumed: int = 0
    ended: float | None = None
    result: Data | None = field(metadata=JSON, default=None)


@dataclass(frozen=True, slots=True)
class Event(Row):
    """One line of a deployment's timeline; `text` is a finished sentence for people."""

    TABLE = "timeline"
    KEY = ("uid", "seq")

    uid: str
    seq: int
    at: float
    kind: str
    text: str
    data: Data = field(metadata=JSON, default_factory=dict)


@dataclass(frozen=True, slots=True)
class NodeEvent(Row):
    """One event as a node said it; kept so that a repeated one is known."""

    TABLE = "node_events"
    KEY = ("node", "seq")

    node: str
    seq: int
    at: float
    body: Data = field(metadata=JSON)


@dataclass(frozen=True, slots=True)
class Secret(Row):
    """An encrypted JSON value."""

    TABLE = "secrets"
    KEY = ("scope",)

    scope: str
    sealed: str


@dataclass(frozen=True, slots=True)
class Job(Row):
    """A managed job. `phase`: waiting (holds nothing), going, over (nothing of it is left); `status` is a word of
    SkyPilot's.

    Jobs of one launch share the orders of `batch`, the id of the first; each is `number` of `siblings`. `together`:
    its stages run side by side until `primaries` (none: all) have ended; `delays` are seconds by stage's name, or
    `default`.
    """

    TABLE = "jobs"
    KEY = ("id",)

    id: int
    name: str
    project: str
    owner: str
    submitted: float
    batch: int
    priority: int = 0
    number: int = 0
    siblings: int = 1
    together: bool = False
    primaries: list[str] = field(metadata=JSON, default_factory=list)
    delays: dict[str, float] = field(metadata=JSON, default_factory=dict)
    phase: str = "waiting"
    status: str = "PENDING"
    started: float | None = None
    ended: float | None = None
    call: str | None = None


@dataclass(frozen=True, slots=True)
class JobStage(Row):
    """One task of a job: its deployment is made when its turn comes. `wanted` is done or cancelled; `cleared`: nothing
    of it exists any more. `max_s` is how long its run may take, `retry_at` when a refused removal is asked for again.
    """

    TABLE = "job_stages"
    KEY = ("job", "stage")

    job: int
    stage: int
    name: str
    deployment: str
    wanted: str = "done"
    status: str = "PENDING"
    uid: str | None = None
    run: int | None = None
    started: float | None = None
    running_since: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    reason: str | None = None
    recoveries: int = 0
    max_s: float | None = None
    cleared: bool = False
    retry_at: float | None = None


@dataclass(frozen=True, slots=True)
class JobOrder(Row):
    """The order of one stage for all jobs of a batch, without secrets; kept until the last of them is over."""

    TABLE = "job_orders"
    KEY = ("batch", "stage")

    batch: int
    stage: int
    body: Data = field(metadata=JSON)


@dataclass(frozen=True, slots=True)
class JobFile(Row):
    """An archive that jobs of a batch still need."""

    TABLE = "job_files"
    KEY = ("batch", "digest")

    batch: int
    digest: str


@dataclass(frozen=True, slots=True)
class Replica(Row):
    """One process of a control that has several, by the store's clock: it lives while `until` is ahead.

    `who` is its process: pid, start, boot_id and the namespace in which the pid means something.
    """

    TABLE = "replicas"
    KEY = ("id",)

    id: str
    url: str
    until: float
    who: Data = field(metadata=JSON)


@dataclass(frozen=True, slots=True)
class Lease(Row):
    """Which replica looks after a deployment; it ends with that replica."""

    TABLE = "leases"
    KEY = ("uid",)

    uid: str
    holder: str
    since: float


ROWS: tuple[type[Row], ...] = (
    *(Deployment, Node, Run, RunRank, Operation, Event, NodeEvent, Secret),
    *(Job, JobStage, JobOrder, JobFile),
    *(Replica, Lease),
)
