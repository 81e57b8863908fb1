"""What an order says of money: what a node of each placement costs beside its price, and the plan's estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compiler.cost import Estimate
    from compiler.offer import Offer
    from compiler.plan import Placement, Plan


def rates(plan: Plan, placement: Placement) -> dict[str, Any]:
    """USD per node and hour: {disk, address, on_demand, listed}; the last two are None where nobody says."""
    from compiler.offer import Market

    offer, nodes = placement.offer, placement.nodes
    paid = offer.paid(nodes) / nodes
    on_demand = offer.price if offer.market is not Market.SPOT or not offer.price else offer.on_demand
    if on_demand is not None:
        on_demand *= paid
    elif plan.elsewise is not None and plan.elsewise.offer.market is not Market.SPOT:
        on_demand = plan.elsewise.hourly / plan.elsewise.nodes
    return {
        **_beside(offer, plan.estimate),
        "on_demand": on_demand,
        "listed": None if offer.listed is None else offer.listed * paid,
    }


def _beside(offer: Offer, estimate: Estimate) -> dict[str, float]:
    from compiler.catalog import tariffs
    from compiler.cost import DISK_GB

    disk_gb = DISK_GB if estimate.disk_gb is None else estimate.disk_gb
    return {
        "disk": tariffs.disk(disk_gb, offer.cloud, 1.0, estimate.disk_tier),
        "address": tariffs.ADDRESS.get(offer.cloud, 0.0),
    }


def estimated(plan: Plan, hourly: float | None = None) -> dict[str, Any]:
    """What the plan says that the task costs: {total, transfer, hours, assumed, cloud}.

    `hourly`: on living nodes at that price, which start nothing and are not chosen by this plan.
    """
    chosen, estimate = plan.chosen, plan.estimate
    total = chosen.total if hourly is None else hourly * estimate.hours
    return {
        "total": total,
        "transfer": chosen.cost.transfer if hourly is None else 0.0,
        "hours": estimate.hours,
        "assumed": estimate.assumed,
        "cloud": chosen.offer.cloud,
    }
