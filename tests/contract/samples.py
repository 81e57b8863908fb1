"""What the contract suite has to know of a cloud to build its stacks without it: one Sample for each."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.spec import Given

NASTY = (
    "Train_The.Thing",
    "a",
    "ümläut-åß-名前",
    "-leading-and-trailing-",
    "x" * 63,
    "UPPER.CASE--and..dots",
    "123",
)
"""Task names that somebody writes one day."""


@dataclass(frozen=True)
class Sample:
    """`env` is what names the account. `answers` are those of look-ups by token, `outputs` what the cloud adds to
    resources of a type (`{name}` is the resource's). `spot` stands in a spot node's inputs and in no other's.
    `untagged` are types that take no tags, `tags` is the input that holds them, None where they are among the inputs.
    `lost` are answers at the address of a probe, by its number, that mean that the node goes; `kept` such that do
    not. `containers` are the types that may name a secret, `opens` lists the ports of one resource that anybody may
    reach, `names` what is wrong with names in it.
    """

    region: str | None = None
    zone: str | None = None
    machine: str = "this-machine"
    image: str | None = None
    network: str | None = None
    given: Given = field(default_factory=Given)
    env: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    spot: str = '"spot"'
    tags: str | None = None
    untagged: frozenset[str] = frozenset()
    containers: frozenset[str] = frozenset()
    lost: tuple[tuple[int, Any], ...] = ()
    kept: tuple[tuple[int, Any], ...] = ()
    user_data_bytes: int = 4096

    def opens(self, resource: Mapping[str, Any]) -> list[str]:
        return []

    def names(self, resource: Mapping[str, Any]) -> list[str]:
        return []

    def user_data(self, node: Mapping[str, Any]) -> str:
        return ""


def sample(name: str) -> Sample:
    """That of a cloud: `tests/contract/sample_<cloud>.py`, or one that knows nothing."""
    try:
        found = importlib.import_module(f"tests.contract.sample_{name}")
    except ModuleNotFoundError:
        return Sample()
    made = found.SAMPLE
    assert isinstance(made, Sample)
    return made
