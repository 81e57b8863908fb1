"""Judges an operation by the policy of its order: what a preview plans, and before `up` makes anything."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from stacks import operate
from stacks.operate import Kind, Request
from stacks.rules import judging
from stacks.rules.ordered import Ordered
from stacks.rules.policy import Policy
from stacks.state import State, counted, name

FOLDER = "judged"
"""Below an operation's folder: that of the preview which is judged."""


def told(request: Request, planned: list[dict[str, Any]], state: State | None) -> dict[str, Any]:
    """Members of a preview's result: what is planned from which state, and what the rules find in it. Raises
    Problems policy/unreadable."""
    version = state.version if state else None
    return {"planned": planned, "state": version, "findings": findings(request, planned)}


def findings(request: Request, planned: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the request's policy finds, as data. Raises Problems policy/unreadable."""
    policy = _policy(request)
    found = judging.of_all(policy, Ordered.of(request.spec, policy.asked), planned, _today())
    return [one.to_data() for one in found]


def due(request: Request) -> bool:
    """Is there anything to judge before this operation makes something? A foundation is judged with its stack."""
    said = any(request.policy.get(name) for name in ("statements", "broken"))
    return said and request.kind is Kind.UP and isinstance(request.spec, StackSpec)


def before_up(
    begin: Callable[[Request, Path], int], request: Request, folder: Path, state: Callable[[], State | None]
) -> None:
    """Refuse what the policy denies, before anything is made. Raises Problems policy/... and those of a preview.

    Rules over the order cost nothing. Where others are on, what is planned comes from a preview in `folder`, done by
    `begin`; of a stack that was made by just this spec, from its `state`.
    """
    policy = _policy(request)
    of_order = judging.of_order(policy, Ordered.of(request.spec, policy.asked), _today())
    _refuse([one.to_data() for one in of_order])
    if not policy.over_resources:
        return
    recorded = state() if request.applied else None
    if recorded is not None:
        _refuse(findings(request, _recorded(recorded)))
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / operate.RESULT).unlink(missing_ok=True)
    begin(replace(request, kind=Kind.PREVIEW, secrets={}), folder)
    result = operate.result(folder) or {}
    if problem := result.get("problem"):
        raise Problems(Problem.of(problem))
    _refuse([*(result.get("foundation") or {}).get("findings", ()), *result["findings"]])


def _policy(request: Request) -> Policy:
    try:
        return Policy.from_data(request.policy)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        says = f"the policy of this order cannot be read: {error}"
        hint = "command and control are of different versions? end control and run the command again"
        raise Problems(Problem("policy/unreadable", says, hint=hint)) from None


def _refuse(found: list[dict[str, Any]]) -> None:
    problems = judging.denials(found)
    if not problems:
        return
    first = problems[0]
    if len(problems) > 1:
        first = replace(first, message=f"{first.message}; and {len(problems) - 1} more")
    raise Problems((first, *problems[1:]))


def _recorded(state: State) -> list[dict[str, Any]]:
    """What a stack is made of, as rows of a preview that changes nothing."""
    rows = (state.data.get("deployment") or {}).get("resources") or ()
    return [
        {"name": name(row["urn"]), "type": row["type"], "op": "same", "inputs": row.get("inputs") or {}}
        for row in rows
        if counted(row["type"]) and not row.get("delete")
    ]


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.timezone.utc).date()
