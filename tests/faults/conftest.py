"""Nodes with real agents and what plays control for them, as in tests/agent, and a network between that can be cut."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agent.conftest import (
    agent_folder,
    control,
    emulators,
    kit,
    new_node,
    node,
    pytest_generate_tests,
)
from tests.conftest import need
from tests.faults import wire as wires

__all__ = ["agent_folder", "control", "emulators", "kit", "new_node", "node", "pytest_generate_tests"]


@pytest.fixture
def wire() -> Iterator[wires.Wire]:
    need(wires.possible(), "root on Linux, with ip and nsenter")
    with wires.Wire() as laid:
        yield laid
