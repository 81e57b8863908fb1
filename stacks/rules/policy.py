"""Policy: what a team's files say, as statements of which each holds; a later one never loosens an earlier one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.spec import StackSpec
from stacks.rules import RULES
from stacks.rules.ordered import Asked, key
from stacks.rules.rule import Level, Parameters

OWN = ("level", "except")
"""What stands in a rule beside its parameters."""


@dataclass(frozen=True, slots=True)
class Excuse:
    """Tasks or deployments by a pattern for which a rule does not hold, why, and the last day of that (ISO)."""

    tasks: str
    reason: str
    until: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One rule as one file has it."""

    rule: str
    parameters: Parameters = field(default_factory=dict)
    level: Level = Level.DENY
    excuses: tuple[Excuse, ...] = ()
    origin: str = ""

    @classmethod
    def of(cls, rule: str, said: Mapping[str, Any], origin: str = "") -> Statement:
        """From what stands under a rule's name: `level`, `except` and its parameters."""
        return cls(
            rule,
            {name: value for name, value in said.items() if name not in OWN},
            Level(said.get("level", Level.DENY.value)),
            tuple(Excuse(one["tasks"], one["reason"], str(one["until"])) for one in said.get("except", ())),
            origin,
        )

    def to_data(self) -> dict[str, Any]:
        excuses = [{"tasks": one.tasks, "reason": one.reason, "until": one.until} for one in self.excuses]
        said = {**self.parameters, "level": self.level.value, "except": excuses}
        return {"rule": self.rule, "said": said, "origin": self.origin}


@dataclass(frozen=True, slots=True)
class Policy:
    """All statements that hold for an order, and what its plan knew of each approved placement."""

    statements: tuple[Statement, ...] = ()
    asked: tuple[Asked, ...] = ()

    @property
    def over_resources(self) -> bool:
        """Does any of it need to know which resources are planned?"""
        return any(RULES[one.rule].of_facts for one in self.statements if one.level is not Level.OFF)

    def with_more(self, statements: Iterable[Statement]) -> Policy:
        """With statements of somebody else beside these; what is the same already is not said twice."""
        more = tuple(one for one in statements if one not in self.statements)
        return Policy((*self.statements, *more), self.asked)

    def asking(self, spec: StackSpec, like: Asked) -> Policy:
        """That knows of one more placement, unless it does."""
        if any(one.key == key(spec) for one in self.asked):
            return self
        return Policy(self.statements, (*self.asked, like))

    def to_data(self) -> dict[str, Any]:
        return {
            "statements": [one.to_data() for one in self.statements],
            "asked": [one.to_data() for one in self.asked],
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Policy:
        """The inverse of `to_data`. Raises KeyError, TypeError or ValueError for what is none, and for unknown rules:
        a rule that cannot be judged is not passed over."""
        if "broken" in data:
            raise ValueError(data["broken"])
        found = cls(
            tuple(
                Statement.of(one["rule"], one["said"], one["origin"]) for one in data.get("statements", ())
            ),
            tuple(Asked(**one) for one in data.get("asked", ())),
        )
        unknown = [one.rule for one in found.statements if one.rule not in RULES]
        if unknown:
            raise ValueError(f"unknown rules: {', '.join(unknown)}")
        return found
