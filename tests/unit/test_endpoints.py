"""Where the ports of a deployment are: at the address that everybody reaches, where the cloud gives one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from skywright.control import clouds, machines
from stacks.cloud import NodeFacts


def facts(node: str, rank: int, public: str | None) -> NodeFacts:
    return NodeFacts(node, "proj", "serve", rank, f"10.0.0.{rank + 1}", True, "now", public=public)


def test_public_addresses_are_told_where_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    async def inventory(control: Any, row: Any) -> tuple[NodeFacts, ...]:
        return (facts("b", 1, None), facts("a", 0, "203.0.113.9"), facts("fenced", 0, "203.0.113.1"))

    known = [SimpleNamespace(node="a"), SimpleNamespace(node="b")]
    control: Any = SimpleNamespace(store=SimpleNamespace(find=lambda *_, **__: known))
    row = SimpleNamespace(uid="u", spec={"ports": ["8080"]})
    monkeypatch.setattr(machines, "living", lambda control, name: row)
    monkeypatch.setattr(clouds, "inventory", inventory)
    assert asyncio.run(machines.endpoints(control, "serve")) == [
        {"rank": 0, "port": "8080", "address": "203.0.113.9", "public": True},
        {"rank": 1, "port": "8080", "address": "10.0.0.2", "public": False},
    ]
