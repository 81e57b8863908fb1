"""What somebody pays in truth, as values: discounts, reservations and machines of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from compiler.offer import Accelerator, Market, Offer

DIGITS = 9
"""Of a price after a discount."""


@dataclass(frozen=True, slots=True)
class Discount:
    """`part` (0 to 1) of the price is not paid, of machine types that `family` fits (`p4*`; None: all) in one
    market (None: in both)."""

    cloud: str
    part: float
    family: str | None = None
    market: Market | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """`count` machines that are paid for already, in a region, in a zone of it, or anywhere."""

    cloud: str
    instance_type: str
    region: str | None = None
    zone: str | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Machine:
    """Machines of one's own at `price`, USD per hour; `count` of them, None: as many as one likes. Without `cpus`
    the price of what the cloud offers by itself under this name."""

    cloud: str
    instance_type: str
    price: float
    cpus: float | None = None
    memory_gb: float | None = None
    accelerator: Accelerator | None = None
    region: str | None = None
    zone: str | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """All that differs from list prices. Of several discounts that fit the largest counts."""

    discounts: tuple[Discount, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    machines: tuple[Machine, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.discounts or self.reservations or self.machines)

    def of(self, offer: Offer) -> Offer:
        """The offer at the price that is paid for it."""
        parts = (
            one.part
            for one in self.discounts
            if one.cloud == offer.cloud
            and one.market in (None, offer.market)
            and (one.family is None or fnmatchcase(offer.instance_type, one.family))
        )
        part = max(parts, default=0.0)
        if not part or not offer.price:
            return offer
        return replace(offer, price=round(offer.price * (1 - part), DIGITS), listed=offer.price)

    def span(self, cloud: str, market: Market) -> tuple[float, float]:
        """Between which shares of the list price everything of a cloud in a market costs."""
        fit = [one for one in self.discounts if one.cloud == cloud and one.market in (None, market)]
        every = [one.part for one in fit if one.family is None]
        return 1 - max((one.part for one in fit), default=0.0), 1 - max(every, default=0.0)
