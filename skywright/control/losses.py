"""Where capacity was lost or refused within a day, and how long ago: plans stay away from there for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skywright.control.context import Control
from skywright.control.rows import Deployment, Event, Operation
from stacks.cloud import Failure

DAY_S = 24 * 3600.0
MOST = 10_000

THIS_MACHINE = "local"
"""A loss here says nothing of another attempt: there is no other place of this kind."""


def recent(control: Control) -> dict[str, float]:
    """Place (`aws us-east-1a`) -> seconds since the newest loss or refusal there."""
    now = control.clock.now()
    found: dict[str, float] = {}
    owners = {one.uid: one.spec for one in control.store.find(Deployment)}
    lost = control.store.since(Event, "at", now - DAY_S, limit=MOST, kind="lost")
    times = [(one.at, owners[one.uid]) for one in lost if one.uid in owners]
    for one in control.store.since(Operation, "ended", now - DAY_S, limit=MOST, state="done"):
        if (one.result or {}).get("failure") == Failure.CAPACITY.value:
            times.append((one.ended or now, one.spec))
    for at, spec in times:
        if spec["cloud"] != THIS_MACHINE:
            where = _where(spec)
            found[where] = min(max(0.0, now - at), found.get(where, DAY_S))
    return found


def _where(spec: Mapping[str, Any]) -> str:
    return " ".join(part for part in (spec["cloud"], spec.get("zone") or spec.get("region")) if part)
