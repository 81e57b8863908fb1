"""What a preview found, as frozen values: Report, Row (one stack), Change (one resource with its cost), Finding.

Everything that shows a preview, approves one or judges one is made from these. A foundation is a Row of its own, once
for all stacks that need it; its changes come before theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem

if TYPE_CHECKING:
    from compiler.change import Change as FieldChange
    from compiler.plan import Plan
    from compiler.spec import Foundation, StackSpec

VERSION = 1
"""Of the shape that `--json` prints: docs/preview.md."""

OPS = ("create", "update", "replace", "delete")
"""What can happen to a resource, as it is counted; `same` and `read` change nothing."""

CENT = 0.000_05
"""USD below which two prices are the same."""


class Level(str, Enum):
    """What a finding does: `deny` ends preview and apply with exit code 6, `warn` is only told."""

    DENY = "deny"
    WARN = "warn"


class Kind(str, Enum):
    """Why something has the price it has."""

    PRICED = "priced"
    FREE = "free"
    USE = "by-use"
    """Costs by what it holds or by how it is used: there is a rate, no amount."""
    UNPRICED = "not-priced"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is paid for: `USD per hour` while it exists, and whose price it is of when.

    `rate` is what is said of a price by use (`$0.023 per GB and month`).
    """

    what: str
    hourly: float = 0.0
    source: str = ""
    rate: str = ""

    def to_data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"what": self.what, "hourly": round(self.hourly, 6), "source": self.source}
        return {**data, "rate": self.rate} if self.rate else data


@dataclass(frozen=True, slots=True)
class Price:
    """What one resource costs. `stays`: it outlives the run, so people think of it by the month."""

    kind: Kind = Kind.FREE
    parts: tuple[Part, ...] = ()
    stays: bool = False
    why: str = ""
    """Of one that is not priced: what is missing."""

    @property
    def hourly(self) -> float:
        """USD."""
        return sum(part.hourly for part in self.parts)

    def to_data(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "kind": self.kind.value,
            "hourly": round(self.hourly, 6),
            "stays": self.stays,
            "parts": [part.to_data() for part in self.parts],
        }
        return {**data, "why": self.why} if self.why else data


@dataclass(frozen=True, slots=True)
class Change:
    """One resource of the program, also one that stays `same`. `reasons` are properties that differ in the words of
    the task file, `forces` those that make it a replacement. `before` and `after` are what it costs now and then; None:
    it is not there."""

    urn: str
    resource: str
    kind: str
    op: str
    reasons: tuple[str, ...] = ()
    forces: tuple[str, ...] = ()
    before: Price | None = None
    after: Price | None = None

    @property
    def changes(self) -> bool:
        return self.op in OPS

    @property
    def hourly(self) -> float:
        """USD per hour more than now."""
        return _hourly(self.after) - _hourly(self.before)

    @property
    def priced(self) -> Price | None:
        """The price to show: that of what will be there, else of what goes."""
        return self.after or self.before

    def to_data(self) -> dict[str, Any]:
        return {
            "urn": self.urn,
            "resource": self.resource,
            "kind": self.kind,
            "op": self.op,
            "reasons": list(self.reasons),
            "forces": list(self.forces),
            "hourly": round(self.hourly, 6),
            "before": self.before.to_data() if self.before else None,
            "after": self.after.to_data() if self.after else None,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule says of a stack, or of one resource in it (by its URN or name; empty: of the stack). `exception` is
    the one of the policy for whose sake it does not deny."""

    rule: str
    stack: str
    message: str
    level: Level = Level.DENY
    resource: str = ""
    hint: str = ""
    exception: str = ""

    def to_data(self) -> dict[str, Any]:
        names = ("rule", "stack", "resource", "message", "hint", "exception")
        return {**{name: getattr(self, name) for name in names}, "level": self.level.value}


@dataclass(frozen=True, slots=True)
class Cost:
    """USD of one stack, or of all: per hour now and then, and per month of what stays when the run has ended.

    `run` is what the whole run costs (compute, start, reruns, disk, address, data); None where there is none.
    """

    before: float = 0.0
    after: float = 0.0
    run: float | None = None
    stays_before: float = 0.0
    stays: float = 0.0

    @property
    def hourly(self) -> float:
        """USD per hour more than now; what is less than any price is 0."""
        found = self.after - self.before
        return 0.0 if abs(found) < CENT else found

    @property
    def monthly(self) -> float:
        """USD per month more than now, of what stays."""
        found = self.stays - self.stays_before
        return 0.0 if abs(found) < CENT else found

    @classmethod
    def summed(cls, costs: Iterable[Cost]) -> Cost:
        found = list(costs)
        runs = [one.run for one in found if one.run is not None]
        return cls(
            sum(one.before for one in found),
            sum(one.after for one in found),
            sum(runs) if runs else None,
            sum(one.stays_before for one in found),
            sum(one.stays for one in found),
        )

    def to_data(self) -> dict[str, Any]:
        return {
            "hourly_before": round(self.before, 6),
            "hourly_after": round(self.after, 6),
            "hourly": round(self.hourly, 6),
            "run": None if self.run is None else round(self.run, 6),
            "monthly_before": round(self.stays_before, 6),
            "monthly_after": round(self.stays, 6),
            "monthly": round(self.monthly, 6),
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One stack, or one foundation (`is_foundation`). `name` is the deployment's, `file` the task file's.

    `changes` are all resources of the program, foundations' too where they had to be looked at. `planned` are the same
    as the engine told them: `{urn, name, type, op, forces, inputs, before}` with secrets masked; never shown.
    `foundation` names the stack of the network that this one needs, `fields` are what differs from the task that the
    living deployment has, `findings` what rules say of it and of that foundation. `hours` is how long the run is
    taken to last (`assumed`: nobody said so). `apply` are the words after the program's name that bring it up.
    With a `problem` there is nothing else but names. `state` is the version of the state that the preview began from,
    empty where there was no stack.
    """

    stack: str
    name: str = ""
    file: str = ""
    is_foundation: bool = False
    changes: tuple[Change, ...] = ()
    cost: Cost = field(default_factory=Cost)
    hours: float | None = None
    assumed: bool = False
    apply: str = ""
    foundation: str | None = None
    fields: tuple[FieldChange, ...] = ()
    findings: tuple[Finding, ...] = ()
    problem: Problem | None = None
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    plan: Plan | None = field(default=None, compare=False, repr=False)
    spec: StackSpec | Foundation | None = field(default=None, compare=False, repr=False)
    planned: tuple[Mapping[str, Any], ...] = field(default=(), compare=False, repr=False)
    state: str = field(default="", compare=False, repr=False)

    @property
    def changing(self) -> tuple[Change, ...]:
        return tuple(one for one in self.changes if one.changes)

    def count(self, op: str) -> int:
        return sum(one.op == op for one in self.changes)

    @property
    def status(self) -> str:
        """`failed`, `changed` or `unchanged`."""
        if self.problem:
            return "failed"
        return "changed" if self.changing or self.fields else "unchanged"

    @property
    def not_priced(self) -> tuple[str, ...]:
        """Types that have no price here, each once, with what is missing."""
        found = [
            f"{one.kind}{f' ({price.why})' if price.why else ''}"
            for one in self.changes
            if (price := one.priced) and price.kind is Kind.UNPRICED
        ]
        return tuple(dict.fromkeys(found))

    def to_data(self) -> dict[str, Any]:
        """One entry of `stacks` in what `--json` prints."""
        return {
            "stack": self.stack,
            "name": self.name,
            "file": self.file,
            "is_foundation": self.is_foundation,
            "status": self.status,
            **{op: self.count(op) for op in OPS},
            "cost": self.cost.to_data(),
            "hours": self.hours,
            "hours_assumed": self.assumed,
            "apply": self.apply or None,
            "foundation": self.foundation,
            "resources": [one.to_data() for one in self.changes],
            "fields": [one.to_data() for one in self.fields],
            "not_priced": list(self.not_priced),
            "problem": self.problem.to_data() if self.problem else None,
            "seconds": dict(self.seconds),
            "plan": self.plan.to_data() if self.plan else None,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Any number of stacks, previewed together. `commit` is the one of the task files, `catalog` the date of prices.

    `traffic`: whether some stack is where traffic is paid for, which no preview can know.
    """

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...] = ()
    commit: str = ""
    catalog: str = ""
    traffic: bool = False
    program: str = "invoke"
    drop: str = "close this pull request"
    """How what was previewed is left undone."""

    def of(self, status: str) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.status == status)

    @property
    def cost(self) -> Cost:
        """Of all stacks; `run` only of those that change: the others run as they did."""
        changed = Cost.summed(row.cost for row in self.of("changed"))
        return replace(Cost.summed(row.cost for row in self.rows), run=changed.run)

    @property
    def not_priced(self) -> tuple[str, ...]:
        found = [name for row in self.rows for name in row.not_priced]
        return tuple(dict.fromkeys((*(("traffic",) if self.traffic else ()), *found)))

    @property
    def rates(self) -> tuple[str, ...]:
        """Prices by use of what stays: `objects $0.023 per GB and month`."""
        prices = [one.after for row in self.rows for one in row.changes if one.after and one.after.stays]
        found = [f"{part.what} {part.rate}" for price in prices for part in price.parts if part.rate]
        return tuple(dict.fromkeys(found))

    @property
    def denied(self) -> bool:
        return any(one.level is Level.DENY for one in self.findings)

    @property
    def exit(self) -> Exit:
        """That of the worst, which has the highest number: a preview that failed, a rule that denies; else fine."""
        found = [row.problem.exit for row in self.rows if row.problem]
        worst: Exit = max([Exit.POLICY if self.denied else Exit.FINE, *found])
        return worst

    def to_data(self) -> dict[str, Any]:
        """What `--json` prints."""
        from skywright.review.words import closing, headline

        return {
            "version": VERSION,
            "headline": headline(self),
            "closing": closing(self),
            "commit": self.commit or None,
            "catalog": self.catalog or None,
            **{status: len(self.of(status)) for status in ("changed", "unchanged", "failed")},
            "cost": self.cost.to_data(),
            "not_priced": list(self.not_priced),
            "findings": [one.to_data() for one in self.findings],
            "stacks": [row.to_data() for row in self.rows],
        }


def _hourly(price: Price | None) -> float:
    return price.hourly if price else 0.0
