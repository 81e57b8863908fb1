"""`budget`: what a deployment may cost in all, shown and set."""

from __future__ import annotations

import math

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.launch import connect


def run(values: Values) -> int:
    """Setting it to more than was spent lets what waited for it go on."""
    client = connect()
    if values.usd is None:
        one = client.deployment(values.name)
        found = {"name": one["name"], "budget": one["budget"], "spent": one["spent"]}
    else:
        found = client.budget(values.name, _usd(values.usd))
    if values.json:
        screen.data(found)
    else:
        screen.out(f"{found['name']}: {_told(found)}")
    return int(Exit.FINE)


def _told(found: dict[str, object]) -> str:
    budget, spent = found["budget"], screen.money(float(str(found["spent"])))
    if not isinstance(budget, dict):
        return f"no budget, {spent} spent"
    return f"{spent} of {screen.money(budget['usd'])} spent ({budget['state']})"


def _usd(text: str) -> float | None:
    if text == "none":
        return None
    try:
        usd = float(text.removeprefix("$"))
    except ValueError:
        usd = math.nan
    if not 0 < usd <= 1e9:
        hint = "a number above 0, or `none` to take the limit away"
        raise Problems(Problem("usage/bad-budget", f"`{text[:40]}` is no budget in USD", hint=hint))
    return usd
