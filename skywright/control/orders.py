"""What a person orders, read from the call once and checked whole before anything is stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from skywright.control.ledger import RATES
from stacks.rules.policy import Policy

IDLE_S = 600.0
"""How long nodes stay after their last run when nobody says otherwise."""

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")

_BODY: dict[str, tuple[type, ...]] = {
    "name": (str, type(None)),
    "setup": (str, type(None)),
    "script": (str, type(None)),
    "envs": (dict,),
    "files": (list,),
    "checkpoint": (str, type(None)),
    "gpus_per_node": (int,),
    "num_nodes": (int,),
}


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What to run. `body` is what the store keeps, `secrets` go to the vault; a repeated call has the same `call`."""

    body: dict[str, Any]
    secrets: dict[str, str]
    call: str | None = None
    env: dict[str, str] = field(default_factory=dict)

    @property
    def digests(self) -> list[str]:
        return [item["digest"] for item in self.body["files"]]

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> RunOrder:
        """Raises KeyError, TypeError or ValueError for what is no run."""
        body = {"buckets": [], **{name: data[name] for name in _BODY}}
        body["buckets"] = [dict(row) for row in data.get("buckets") or ()]
        if again := data.get("recovery"):
            codes = [int(code) for code in again.get("codes") or ()]
            body["recovery"] = {"restarts": int(again.get("restarts") or 0), "codes": codes}
        if data.get("task_id"):
            body["task_id"] = str(data["task_id"])
        for name, kinds in _BODY.items():
            if not isinstance(body[name], kinds):
                raise TypeError(f"run.{name} is {body[name]!r:.60}")
        if body["num_nodes"] < 1 or body["gpus_per_node"] < 0:
            raise ValueError("run.num_nodes")
        for row in body["buckets"]:
            if not {"target", "uri", "store", "bucket", "path", "mode", "read_only", "options"} <= row.keys():
                raise ValueError("run.buckets")
        for item in body["files"]:
            if not {"digest", "target", "kind"} <= item.keys():
                raise ValueError("run.files")
        return cls(body, dict(data.get("secrets") or {}), data.get("call"))


@dataclass(frozen=True, slots=True)
class Order:
    """A launch. `hourly` is USD for all nodes; `idle_s` None keeps the nodes for ever."""

    name: str
    project: str
    owner: str
    spec: StackSpec
    task: dict[str, Any]
    place: str
    market: str
    hourly: float
    envelope: dict[str, Any] | None
    run: RunOrder
    keep: bool
    idle_s: float | None
    down: bool
    retry: bool
    env: dict[str, str]
    choices: list[dict[str, Any]]
    """The approved placements in their order, the first is `spec`: {spec, where, market, hourly, gpus_per_node}."""
    rates: dict[str, Any] | None = None
    """What a node costs beside its price: ledger.py's RATES."""
    estimate: dict[str, Any] | None = None
    """What the plan says that the run costs: {total, hours, transfer, cloud, ...}."""
    budget: dict[str, Any] | None = None
    """What the whole task may cost: budget.py's {usd}."""
    policy: dict[str, Any] = field(default_factory=dict)
    """By which its operations are judged: stacks/rules/policy.py, as data."""

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Order:
        """Raises KeyError, TypeError or ValueError for what is no order."""
        plan, options = data["plan"], data.get("options") or {}
        keep, idle = bool(options.get("keep")), options.get("idle_s")
        return cls(
            name=str(data["name"]),
            project=str(data["project"]),
            owner=str(data["owner"]),
            spec=StackSpec.from_data(data["spec"]),
            task=dict(data.get("task") or {}),
            place=str(plan["where"]),
            market=str(plan["market"]),
            hourly=float(plan["hourly"]),
            envelope=plan.get("envelope"),
            run=RunOrder.from_data(data["run"]),
            keep=keep,
            idle_s=None if keep else IDLE_S if idle is None else float(idle),
            down=bool(options.get("down", True)),
            retry=bool(options.get("retry_until_up")),
            env=read_env(data),
            choices=[read_choice(one) for one in data.get("choices") or ()],
            rates=_rates(plan.get("rates")),
            estimate=_estimate(plan.get("estimate")),
            budget=None if plan.get("budget") is None else {"usd": float(plan["budget"])},
            policy=Policy.from_data(data.get("policy") or {}).to_data(),
        )


def read_choice(data: Mapping[str, Any]) -> dict[str, Any]:
    """A placement as a whole stack. Raises KeyError, TypeError or ValueError for what is none."""
    return {
        "spec": StackSpec.from_data(data["spec"]).to_data(),
        "where": str(data["where"]),
        "market": str(data["market"]),
        "hourly": float(data["hourly"]),
        "gpus_per_node": int(data["gpus_per_node"]),
        "rates": _rates(data.get("rates")),
    }


def _rates(data: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if data is None:
        return None
    return {name: None if data.get(name) is None else float(data[name]) for name in RATES}


def _estimate(data: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if data is None:
        return None
    return {**data, "total": float(data["total"]), "cloud": str(data["cloud"])}


def read_env(data: Mapping[str, Any]) -> dict[str, str]:
    """The variables of whoever calls that its operations need. Raises TypeError or ValueError for others."""
    env = dict(data.get("env") or {})
    if not all(isinstance(item, str) for pair in env.items() for item in pair):
        raise TypeError("env")
    return env


def read_order(data: Mapping[str, Any]) -> Order:
    """The order of a launch. Problems control/bad-request, usage/bad-name."""
    try:
        order = Order.from_data(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Problems(_incomplete(error)) from None
    if not _NAME.fullmatch(order.name):
        raise Problems(
            Problem(
                "usage/bad-name",
                f"`{order.name[:60]}` cannot be a deployment's name",
                hint="begin with a lower-case letter, then letters, digits and `-`, 40 at most",
            )
        )
    return order


def read_run(data: Mapping[str, Any]) -> RunOrder:
    """The run of an exec order. Problems control/bad-request."""
    try:
        return replace(RunOrder.from_data(data["run"]), env=read_env(data))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Problems(_incomplete(error)) from None


def _incomplete(error: Exception) -> Problem:
    return Problem(
        "control/bad-request",
        f"the order is not complete: {error!r}",
        hint="command and control are of different versions? end control and run the command again",
    )
