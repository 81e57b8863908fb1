"""What a task reports of itself: kept across losses, with its rate and the time that remains."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skywright.control.context import Control
from skywright.control.rows import Deployment, Run

PACE_S = 2.0
"""Reports come about once a second, so a shorter span says little about the pace."""

FILES = 10_000
"""Files of a checkpoint folder that are looked at."""


def take(control: Control, run: Run, rank: int, report: dict[str, Any]) -> None:
    """Fold a report of `rank` into the run; the lowest rank that reports speaks for the gang.

    `rate` is steps (or fractions) per second since the first report of this attempt, `remaining_s` what follows;
    both come once two seconds have passed. `step` with `total` is a fraction too.
    """
    old = run.progress or {}
    since = old.get("_since") or {}
    if old.get("_attempt") == run.attempt and rank > old.get("_rank", rank):
        return
    now = control.clock.now()
    told = {key: value for key, value in report.items() if not key.startswith("_")}
    if {key: value for key, value in old.items() if key in told} == told and old.get(
        "_attempt"
    ) == run.attempt:
        return
    if old.get("_attempt") != run.attempt or old.get("_rank") != rank or not since:
        since = {"at": now, "fraction": _fraction(told), "step": _number(told.get("step"))}
    told |= _pace(told, since, now)
    kept = {**told, "_since": since, "_attempt": run.attempt, "_rank": rank}
    control.store.change(run, when={"attempt": run.attempt, "ended": None}, progress=kept, progress_at=now)
    control.bell.ring(run.uid)


def shown(progress: dict[str, Any] | None) -> dict[str, Any] | None:
    """Progress as people get it."""
    return {key: value for key, value in progress.items() if key[0] != "_"} if progress else None


def _pace(told: dict[str, Any], since: dict[str, Any], now: float) -> dict[str, Any]:
    passed = now - since["at"]
    if passed < PACE_S:
        return {}
    pace: dict[str, Any] = {}
    fraction, step = _fraction(told), _number(told.get("step"))
    if step is not None and since.get("step") is not None and step > since["step"]:
        pace["rate"] = (step - since["step"]) / passed
    if fraction is not None and since.get("fraction") is not None and fraction > since["fraction"]:
        speed = (fraction - since["fraction"]) / passed
        pace.setdefault("rate", speed)
        pace["remaining_s"] = max(0.0, (1 - fraction) / speed)
    return pace


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _fraction(told: dict[str, Any]) -> float | None:
    value, step, total = (_number(told.get(name)) for name in ("fraction", "step", "total"))
    if value is None and step is not None and total:
        value = step / total
    return None if value is None else min(1.0, max(0.0, value))


def lost_work(control: Control, deployment: Deployment, run: Run) -> float:
    """Seconds of work that go with the attempt: since its newest checkpoint, else its newest report, else its start."""
    if run.going_since is None:
        return 0.0
    saved = run.going_since
    if run.body.get("checkpoint"):
        folder = kept_folder(control, deployment)
        saved = max(saved, _newest(folder) if folder else 0.0)
    elif run.progress_at is not None:
        saved = max(saved, run.progress_at)
    return max(0.0, control.clock.now() - saved)


def kept_folder(control: Control, deployment: Deployment) -> Path | None:
    """Where the deployment's checkpoints are kept on this machine, if its cloud keeps them here."""
    return kept_of(control, deployment.spec)


def kept_of(control: Control, spec: Mapping[str, Any]) -> Path | None:
    """The same for one of its stacks."""
    if spec["cloud"] != "local":
        return None
    name, zone = str(spec["deployment"]), spec.get("region")
    return control.home / "local" / "kept" / str(spec["project"]) / (f"{name}@{zone}" if zone else name)


def _newest(folder: Path) -> float:
    newest, seen = 0.0, 0
    for root, _, names in os.walk(folder):
        for name in names:
            seen += 1
            if seen > FILES:
                return newest
            try:
                newest = max(newest, os.lstat(os.path.join(root, name)).st_mtime)
            except OSError:
                continue
    return newest


def measure(folder: Path) -> dict[str, Any]:
    """{path, files, bytes} of a kept folder."""
    files = total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue
            files += 1
    return {"path": str(folder), "files": files, "bytes": total}
