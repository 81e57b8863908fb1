"""What deployments have cost so far: the ledger's figures, by deployment, owner, task, cloud or month."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from skywright.control import figures
from skywright.control.context import Control
from skywright.control.entries import Account, Attempt, Span, Work
from skywright.control.figures import Books, Figures, Posting
from skywright.control.rows import Deployment

Data = dict[str, Any]

BY = ("owner", "task", "cloud", "month")
"""By what costs can be added up, beside by deployment."""


def books(control: Control, account: Account) -> Books:
    """The entries of one deployment."""
    store, uid = control.store, account.uid
    return Books(
        account,
        store.find(Span, order="began number", uid=uid),
        store.find(Work, order="run", uid=uid),
        store.find(Attempt, order="run attempt", uid=uid),
    )


def of(control: Control, deployment: Deployment) -> Figures:
    """All figures of one deployment until now."""
    account = control.store.first(Account, uid=deployment.uid)
    return figures.total(books(control, account), control.clock.now()) if account else Figures()


def spent(control: Control, deployment: Deployment) -> float:
    """USD so far, with what plans reckon for disks, addresses and moved data."""
    return of(control, deployment).spent


def share_of(deployment: Deployment) -> float:
    """USD per hour of one node where the deployment is now: `hourly` is for all of them together."""
    return deployment.hourly / max(1, deployment.nodes_wanted)


def report(control: Control, names: Sequence[str] = ()) -> list[Data]:
    """One row per deployment that is or was, newest first; `names` may have `*` and `?`."""
    rows = {one.uid: one for one in control.store.find(Deployment)}
    now = control.clock.now()
    return [_told(entries, rows.get(entries.account.uid), now) for entries in _chosen(control, names)]


def report_by(control: Control, by: str, names: Sequence[str] = ()) -> list[Data]:
    """One row per owner, task, cloud or month (`by`), in their order."""
    now = control.clock.now()
    sums: dict[str, Figures] = {}
    for entries in _chosen(control, names):
        for one in figures.postings(entries, now):
            sums.setdefault(_group(by, entries.account, one), Figures()).add(one.figures)
    return [{by: name, **found.to_data()} for name, found in sorted(sums.items())]


def _group(by: str, account: Account, posting: Posting) -> str:
    if by == "cloud":
        return posting.cloud
    return posting.month if by == "month" else str(getattr(account, by))


def _chosen(control: Control, names: Sequence[str]) -> list[Books]:
    return [
        books(control, account)
        for account in control.store.find(Account, order="-opened")
        if not names or any(fnmatchcase(account.name, name) for name in names)
    ]


def _told(entries: Books, row: Deployment | None, now: float) -> Data:
    """`row` is None of a deployment so old that only the ledger knows it."""
    account, spans = entries.account, entries.spans
    last = spans[-1] if spans else None
    ended = account.closed
    since = row.up_since if row else min((span.began for span in spans), default=None)
    newest = [span for span in spans if last and span.place == last.place]
    shares = {span.rank: span.hourly for span in newest}
    return {
        "name": account.name,
        "project": account.project,
        "owner": account.owner,
        "task": account.task,
        "where": row.place if row else last.place if last else account.cloud,
        "market": row.market if row else last.market if last else "",
        "nodes": row.nodes_wanted if row else len(shares),
        "hourly": row.hourly if row else sum(shares.values()),
        "created": account.opened,
        "ended": ended,
        "up_s": (now if ended is None else ended) - since if since else 0.0,
        "gone": ended is not None,
        **figures.total(entries, now).to_data(),
    }
