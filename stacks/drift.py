"""What became of a stack since its state was written, as values: lost apart from changed; and asking for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from compiler.codec import decode
from compiler.problem import Problem, Problems
from stacks import CLOUDS, asking

LONGEST_S = 290.0
"""A refresh reads every resource of the stack once."""


@dataclass(frozen=True, slots=True)
class Property:
    """One that is not as the state says; values as short texts, empty where they are long, many or secret."""

    path: str
    was: str = ""
    now: str = ""


@dataclass(frozen=True, slots=True)
class Thing:
    """One resource: its name in the stack, its kind, its id in the cloud, and what of it has changed."""

    resource: str
    kind: str
    id: str
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """What of a stack is gone in the cloud, what is there but changed, and all ids that the state knows.

    `busy` says who writes the stack just now: then nothing was judged.
    """

    stack: str
    lost: tuple[Thing, ...] = ()
    changed: tuple[Thing, ...] = ()
    known: tuple[str, ...] = ()
    busy: str = ""

    @property
    def drifted(self) -> bool:
        return bool(self.lost or self.changed)


def cloud_of(stack: str) -> str:
    """The cloud that stands in a stack's name, `train-aws-us-east-1`; `local` where none does."""
    found = {f"{stack}-".rfind(f"-{name}-"): name for name in CLOUDS}
    return found[max(found)] if max(found) >= 0 else "local"


async def ask(env: Mapping[str, str], project: str, stack: str, *, folder: Path) -> Drift:
    """What stacks/looking.py says of one stack, from a process of its own: who asks has neither the credentials nor the
    engine in its own. Raises its Problems, and engine/failed when it said nothing."""
    question = json.dumps({"env": dict(env), "project": project, "stack": stack}).encode()
    try:
        said = await asking.spoken("stacks.looking", question, env={}, folder=folder, longest_s=LONGEST_S)
        told = json.loads(said)
    except (asking.Silent, ValueError) as error:
        raise Problems(broke(stack, str(error))) from None
    if "problems" in told:
        raise Problems(Problem.of(one) for one in told["problems"])
    return decode(Drift, told["answer"])


def broke(stack: str, why: str) -> Problem:
    """It is not known what became of the stack, for a reason that is ours."""
    return Problem("engine/failed", f"looking at stack {stack} failed: {why}")
