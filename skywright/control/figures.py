"""What a deployment has cost, added up from the ledger's rows: pure, and the same for every command that tells it.

The ledger cuts the time of a deployment into spans of nodes, runs and attempts. All figures are integrals over those:
`compute` of each span's price, `idle` where no run was ordered, `on_demand` without what only losses made necessary.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields

from skywright.control.entries import Account, Attempt, Span, Work

LOST = ("preempted", "lost")
"""How attempts end whose nodes were taken away."""

REPEATED = "repeated"
"""How an attempt ends that begins again on the same nodes: one of them lost track of it; or in another place."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Books:
    """All entries of one deployment."""

    account: Account
    spans: Sequence[Span] = ()
    runs: Sequence[Work] = ()
    attempts: Sequence[Attempt] = ()


@dataclass(slots=True)
class Figures:
    """Sums, in USD and seconds of nodes. `disk`, `address` and `transfer` are as plans reckon them, `spent` is all.

    `idle` (of `spent`) went while no run was ordered. `on_demand` is what the same machines cost on demand, without
    the time that only losses made necessary, for `compared` USD of `compute`; nobody says it of the rest. `listed`
    is the list price where another one is paid, `bargain` what was saved by that. `estimate` is what plans said of
    `planned` of the `runs`. `lost_work_s` is work that had to be done again.
    """

    compute: float = 0.0
    disk: float = 0.0
    address: float = 0.0
    transfer: float = 0.0
    idle: float = 0.0
    on_demand: float = 0.0
    compared: float = 0.0
    bargain: float = 0.0
    estimate: float = 0.0
    running_s: float = 0.0
    idle_s: float = 0.0
    stopped_s: float = 0.0
    lost_work_s: float = 0.0
    preemptions: int = 0
    recoveries: int = 0
    runs: int = 0
    planned: int = 0

    @property
    def spent(self) -> float:
        return self.compute + self.disk + self.address + self.transfer

    @property
    def saved(self) -> float:
        """Against on demand; negative where losses cost more than the price gained."""
        return self.on_demand - self.compared

    def add(self, other: Figures) -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def to_data(self) -> dict[str, float | int]:
        told = {one.name: getattr(self, one.name) for one in fields(self)}
        return {"spent": self.spent, "saved": self.saved, **told}


@dataclass(frozen=True, slots=True)
class Posting:
    """A part of the figures that belongs to one time and cloud. `at` is seconds since 1970."""

    at: float
    cloud: str
    figures: Figures = field(default_factory=Figures)

    @property
    def month(self) -> str:
        """`2026-11`, UTC."""
        return time.strftime("%Y-%m", time.gmtime(self.at))


def total(books: Books, now: float) -> Figures:
    """All that a deployment has cost until `now`."""
    found = Figures()
    for one in postings(books, now):
        found.add(one.figures)
    return found


def postings(books: Books, now: float) -> Iterator[Posting]:
    """The figures of one deployment, in parts that lie within one month and one cloud."""
    wanted = merged((one.submitted, now if one.ended is None else one.ended) for one in books.runs)
    again = merged(_repeated(books, now))
    for span in books.spans:
        for begin, end in months(span.began, now if span.ended is None else span.ended):
            yield Posting(begin, span.cloud, _of_span(span, begin, end, wanted, again))
    for attempt in books.attempts:
        if attempt.attempt > 1:
            yield Posting(attempt.began, _cloud(books, attempt.began), Figures(recoveries=1))
        if attempt.ended is not None and (attempt.lost_s or attempt.how in LOST):
            lost = Figures(preemptions=int(attempt.how in LOST), lost_work_s=attempt.lost_s)
            yield Posting(attempt.ended, _cloud(books, attempt.ended), lost)
    first = {one.run: one for one in books.attempts if one.attempt == 1}
    for run in books.runs:
        estimate = run.estimate or {}
        moved = float(estimate.get("transfer") or 0.0) if run.run in first else 0.0
        planned = float(estimate.get("total") or 0.0)
        found = Figures(runs=1, planned=bool(estimate), estimate=planned, transfer=moved)
        yield Posting(run.submitted, str(estimate.get("cloud") or _cloud(books, run.submitted)), found)


def _of_span(
    span: Span, begin: float, end: float, wanted: Sequence[Interval], again: Sequence[Interval]
) -> Figures:
    seconds, hours = end - begin, (end - begin) / 3600
    if span.state != "running":
        return Figures(disk=span.disk * hours, stopped_s=seconds)
    idle_s = seconds - overlap(begin, end, wanted)
    compute = span.hourly * hours
    found = Figures(compute, span.disk * hours, span.address * hours, running_s=seconds, idle_s=idle_s)
    found.idle = found.spent * idle_s / seconds if seconds else 0.0
    if span.on_demand is not None:
        found.on_demand = span.on_demand * (seconds - overlap(begin, end, again)) / 3600
        found.compared = compute
    if span.listed is not None:
        found.bargain = (span.listed - span.hourly) * hours
    return found


def _repeated(books: Books, now: float) -> Iterator[Interval]:
    """Times that only losses made necessary: lost work, and from a loss until the next attempt."""
    following = {(one.run, one.attempt): one.began for one in books.attempts}
    ends = {one.run: now if one.ended is None else one.ended for one in books.runs}
    for one in books.attempts:
        if one.ended is not None and one.how in (*LOST, REPEATED):
            until = following.get((one.run, one.attempt + 1), ends.get(one.run, now))
            yield max(one.began, one.ended - one.lost_s), until


def _cloud(books: Books, at: float) -> str:
    before = [span for span in books.spans if span.began <= at]
    newest = max(before, key=lambda span: span.began, default=None)
    return newest.cloud if newest else books.account.cloud


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """The union of intervals, in order and apart."""
    found: list[Interval] = []
    for begin, end in sorted(one for one in intervals if one[1] > one[0]):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


def overlap(begin: float, end: float, apart: Sequence[Interval]) -> float:
    """Seconds of (begin, end) that lie in `apart`, which `merged` made."""
    return sum(max(0.0, min(end, until) - max(begin, since)) for since, until in apart)


def months(begin: float, end: float) -> Iterator[Interval]:
    """The time cut where months begin, UTC; nothing where a clock went back."""
    while begin < end:
        date = time.gmtime(begin)
        following = float(calendar.timegm((date.tm_year, date.tm_mon + 1, 1, 0, 0, 0)))
        until = min(end, following)
        yield begin, until
        begin = until
