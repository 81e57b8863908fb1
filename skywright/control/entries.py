"""What the ledger holds, as frozen values like those of rows.py."""

from __future__ import annotations

from dataclasses import dataclass, field

from skywright.control.rows import JSON, Data, Row


@dataclass(frozen=True, slots=True)
class Account(Row):
    """Whose money a deployment spends. Rows of the ledger stay when the deployment is forgotten."""

    TABLE = "ledger_accounts"
    KEY = ("uid",)

    uid: str
    name: str
    project: str
    owner: str
    task: str
    cloud: str
    opened: float
    closed: float | None = None


@dataclass(frozen=True, slots=True)
class Span(Row):
    """A time in which one node cost the same: made or started, until it was gone or stopped. USD per hour.

    `state` is `running` or `stopped`. `hourly` is the machine, `disk` and `address` are as the plan reckons them,
    `on_demand` is the same machine on demand, `listed` its list price; None where nobody says.
    """

    TABLE = "ledger_spans"
    KEY = ("node", "number")

    node: str
    number: int
    uid: str
    rank: int
    cloud: str
    place: str
    market: str
    began: float
    state: str
    hourly: float
    disk: float = 0.0
    address: float = 0.0
    on_demand: float | None = None
    listed: float | None = None
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Work(Row):
    """A run as the ledger sees it: from its order to its end. `estimate` is what its plan said, None without one."""

    TABLE = "ledger_runs"
    KEY = ("uid", "run")

    uid: str
    run: int
    name: str
    submitted: float
    estimate: Data | None = field(metadata=JSON, default=None)
    ended: float | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt(Row):
    """One attempt of a run on its nodes. `how` it ended: preempted, lost, repeated, errored, or the run's status.

    `lost_s` is work that has to be done again after it.
    """

    TABLE = "ledger_attempts"
    KEY = ("uid", "run", "attempt")

    uid: str
    run: int
    attempt: int
    nodes: int
    began: float
    ended: float | None = None
    how: str | None = None
    lost_s: float = 0.0


ENTRIES: tuple[type[Row], ...] = (Account, Span, Work, Attempt)
