"""The disk of the tier that a stack asks for, where its cloud has one."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec


def tier(spec: StackSpec, kinds: Mapping[str, str]) -> str:
    """Raises Problems cloud/no-such-machine for a tier that no plan of this cloud has."""
    wanted = spec.disk_tier or "medium"
    if wanted in kinds:
        return kinds[wanted]
    says = f"{spec.cloud} has no boot disk of tier {wanted}"
    raise Problems(Problem("cloud/no-such-machine", says, hint=f"tiers: {', '.join(kinds)}"))
