"""Verbs about money: what deployments cost, and what they may cost. Imports nothing of the product."""

from __future__ import annotations

from skywright.cli.flags import JSON, NAME, NAMES, Flag, Kind, Positional, Verb

COST_DOC = """Every node counts from when it was made until it was gone, at the price it was planned with; beside that
stands what the plans said. It stays when a deployment is removed. docs/cost.md tells how it counts."""

BUDGET_DOC = """USD is what the deployment may cost in all, from its first node to its last; `none` takes the limit
away. At 80 % it is told; at all of it no run and no recovery begins, until this raises it."""

MONEY_VERBS: tuple[Verb, ...] = (
    Verb(
        "cost",
        "Show what deployments cost: planned and actual, saved, idle, lost",
        "cost",
        (NAMES,),
        (
            Flag(
                "by",
                "add up by owner, task, cloud or month",
                kind=Kind.TEXT,
                value="WHAT",
                choices=("owner", "task", "cloud", "month"),
            ),
            Flag("csv", "comma-separated values, one line each"),
            JSON,
        ),
        doc=COST_DOC,
    ),
    Verb(
        "budget",
        "Show or set what a deployment may cost",
        "budget",
        (
            NAME,
            Positional("usd", "USD in all, or `none`; without it the present one is shown", optional=True),
        ),
        (JSON,),
        doc=BUDGET_DOC,
    ),
    Verb(
        "cost-report",
        "Show what deployments cost, also removed ones",
        "cost_report",
        (),
        (
            Flag("all", "also what was free", "a"),
            Flag("days", "only the last days", kind=Kind.WHOLE, value="N"),
            JSON,
        ),
        later=frozenset({"output"}),
    ),
)
