"""What is said when nothing fits: offers counted by why they were refused, and what would help."""

from __future__ import annotations

from compiler.offer import Market, Offer
from compiler.plan import Placement, Plan
from compiler.problem import Place, Problem
from compiler.task import Task
from compiler.words import money


def no_offer(task: Task, plan: Plan, elsewhere: Placement | None = None) -> Problem:
    """Why nothing fits, counted by reason, and the nearest one-line changes that would help. `elsewhere` is the best
    that clouds sell which are not enabled."""
    wide = max((len(f"{rejection.count:,}") for rejection in plan.rejections), default=1)
    lines = [f"no offer can run `{plan.name}`"]
    if not plan.offers:
        lines.append("  the enabled clouds sell nothing; `skywright check` tells why")
    said = max((len(rejection.reason) for rejection in plan.rejections), default=0)
    for rejection in plan.rejections:
        lines.append(f"  {rejection.count:>{wide},}  {rejection.reason:<{said}}   {rejection.by}")
    near = [f"{one.change} → {_offered(one.offer, task.num_nodes)}" for one in plan.relaxations]
    hints = ["nearest: " + "\n         ".join(near)] if near else []
    if elsewhere:
        sold = _offered(elsewhere.offer, task.num_nodes)
        hints.append(f"sold by clouds that are not enabled: {sold}; `explain --all-clouds` compares them")
    elif _sold_by_nobody(task, plan):
        hints.append("a machine of your own that has it is told in `prices.machines` of .skywright.yaml")
    emptied = next((step.by for step in plan.steps if not step.left), "fit")
    return Problem(
        "plan/no-offer",
        "\n".join(lines),
        place(task, emptied),
        "\n".join(hints) or None,
    )


def _sold_by_nobody(task: Task, plan: Plan) -> bool:
    """Whether no machine that may be used has the accelerator, wherever the task may run."""
    wanted = plan.requirements.accelerator or task.requirements.accelerator
    if wanted is None or any(one.cloud for one in task.options):
        return False
    missing = f"have no {wanted.name}"
    return all(one.by == "reach" or one.reason == missing for one in plan.rejections)


def place(task: Task, by: str) -> Place | None:
    fields = {
        "reach": ("infra", "cloud", "region", "zone"),
        "fit": (
            "accelerators",
            "instance_type",
            "cpus",
            "memory",
            "disk_size",
            "disk_tier",
            "network_tier",
            "local_disk",
            "image_id",
        ),
        "market": ("use_spot",),
        "price": ("max_hourly_cost",),
    }.get(by, ())
    for field in fields:
        if task.source and task.source.place(("resources", field)):
            return task.place("resources", field)
    return task.place("resources", key=True)


def _offered(offer: Offer, nodes: int) -> str:
    price = money(offer.price) + ("/h" if offer.price else "")
    each = f" × {nodes}" if nodes > 1 and offer.price else ""
    spot = " spot" if offer.market is Market.SPOT else ""
    return f"{offer.where} {offer.instance_type}{spot} {price}{each}"
