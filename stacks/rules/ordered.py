"""What was ordered of one stack, as far as rules ask: place, market, price, size, labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from compiler.spec import Foundation, StackSpec


@dataclass(frozen=True, slots=True)
class Asked:
    """What the plan knew of one placement and its spec does not say. `key` is `key(spec)` of its stack.

    `hourly` is USD for all nodes; `larger` what the machine has beyond what was asked for exactly; `spot_said`: does
    the task itself ask for spot, and not only a default. `total` and `budget` are USD for the whole task, `reckoned`
    for how long (`10 h by default`).
    """

    key: str
    hourly: float | None = None
    larger: str = ""
    spot_said: bool = True
    total: float | None = None
    budget: float | None = None
    reckoned: str = ""

    def to_data(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}


def key(spec: StackSpec) -> str:
    """The placement of a stack: equal for the same machine in the same place and market."""
    place = (spec.cloud, spec.region, spec.zone, spec.instance_type, spec.market.value)
    return " ".join(part or "-" for part in place)


@dataclass(frozen=True, slots=True)
class Ordered:
    """One stack as it was ordered. `deployment` is None of a foundation, `asked` where nobody told it."""

    stack: str
    cloud: str
    region: str | None
    zone: str | None = None
    deployment: str | None = None
    task: str | None = None
    machine: str = ""
    spot: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    asked: Asked | None = None

    @property
    def place(self) -> str:
        return " ".join(part for part in (self.cloud, self.zone or self.region) if part)

    @classmethod
    def of(cls, spec: StackSpec | Foundation, asked: tuple[Asked, ...] = ()) -> Ordered:
        if isinstance(spec, Foundation):
            return cls(spec.stack, spec.cloud, spec.region)
        mine = key(spec)
        return cls(
            stack=spec.stack,
            cloud=spec.cloud,
            region=spec.region,
            zone=spec.zone,
            deployment=spec.deployment,
            task=spec.task,
            machine=spec.instance_type,
            spot=spec.market.value == "spot",
            labels=spec.labels,
            ports=spec.ports,
            asked=next((one for one in asked if one.key == mine), None),
        )
