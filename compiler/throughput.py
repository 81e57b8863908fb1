"""How fast accelerators work beside each other, as somebody measured it: what `--minimize time` reckons with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compiler.catalog import accelerators
from compiler.offer import Accelerator
from compiler.problem import Place, Problem
from compiler.task import Requirements

CODE = "plan/no-throughput"


def slower(wanted: Requirements, first: Requirements, factors: Mapping[str, float]) -> float | None:
    """How many times as long a request takes as the one that was asked for first, for which the estimate is; 1 for
    the same accelerator, None when nobody measured one of the two."""
    has, asked = (name_of(one.accelerator) for one in (wanted, first))
    if has == asked:
        return 1.0
    if has not in factors or asked not in factors:
        return None
    return factors[asked] / factors[has]


def name_of(card: Accelerator | None) -> str:
    """The accelerator's name, empty for a machine without one."""
    return card.name if card else ""


def unknown(names: Sequence[str], factors: Mapping[str, float], place: Place | None) -> Problem:
    """Requests for these accelerators fit and cannot be told apart by time."""
    missing = [name for name in dict.fromkeys(names) if name not in factors]
    listed = " and ".join(f"`{name}`" if name else "machines without an accelerator" for name in missing)
    known = next((name for name in missing if accelerators.facts(name)), "H100")
    return Problem(
        CODE,
        f"nobody measured how fast {listed} would be on this task, so the fastest cannot be told",
        place,
        f"give your own figures, `throughput: {{{known}: 1, ...}}` in .skywright.yaml, or name one accelerator",
    )
