"""Rule: one thing that a team does not allow, its parameters, and how it is judged."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

from stacks.rules.facts import Fact
from stacks.rules.ordered import Ordered

Parameters = Mapping[str, Any]
F = TypeVar("F", bound=Fact)


class Level(str, Enum):
    """What a finding does: refuse, or only be told."""

    DENY = "deny"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, in one sentence. `judged` False: it could not be told whether something is."""

    message: str
    hint: str | None = None
    judged: bool = True


@dataclass(frozen=True, slots=True)
class OverFacts(Generic[F]):
    """How a rule judges facts of one kind."""

    kind: type[F]
    judge: Callable[[F, Parameters, Ordered], Iterable[Fault]]


@dataclass(frozen=True, slots=True)
class Rule:
    """`code` is that of the Problem, `says` what it refuses. `of_order` judges what was ordered, `of_facts` the planned
    resources. `wrong` finds parameters that a schema cannot judge: (path of the parameter, what is wrong)."""

    name: str
    code: str
    says: str
    of_order: Callable[[Parameters, Ordered], Iterable[Fault]] | None = None
    of_facts: tuple[OverFacts[Any], ...] = ()
    wrong: Callable[[Parameters], Iterable[tuple[tuple[str | int, ...], str]]] = field(
        default=lambda parameters: ()
    )


def matches(text: str, patterns: Iterable[str]) -> bool:
    """Does `text` match one of the patterns with `*` and `?`, whatever its case?"""
    return any(fnmatch.fnmatchcase(text.lower(), str(one).lower()) for one in patterns)


def told(values: Iterable[object]) -> str:
    """A list in a sentence: `a`, `b`."""
    return ", ".join(f"`{one}`" for one in values)


def expression(text: str) -> re.Pattern[str] | None:
    """A regular expression that takes any case, as some clouds' labels do; None where it is none."""
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error:
        return None
