"""The settings `prices` and `throughput`: checked data into values, and what a schema cannot check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.catalog import accelerators, clouds
from compiler.offer import Accelerator, Market
from compiler.prices import Discount, Machine, Prices, Reservation
from compiler.problem import nearest
from stacks import CLOUDS

Path = tuple[str | int, ...]


def wrong(data: Mapping[str, Any]) -> Iterator[tuple[Path, bool, str, str | None]]:
    """(path, of the key, sentence, hint) of each thing in the settings that cannot be meant."""
    for path, key, says, hint in _wrong(data.get("prices") or {}):
        yield ("prices", *path), key, says, hint
    for name in data.get("throughput") or {}:
        if accelerators.canonical(name) is None:
            meant = accelerators.similar(name)
            yield (
                ("throughput", name),
                True,
                f"no accelerator is called `{name}`",
                meant and f"did you mean `{meant}`?",
            )


def _wrong(data: Mapping[str, Any]) -> Iterator[tuple[Path, bool, str, str | None]]:
    names: list[tuple[Path, bool, str]] = [
        (("discounts", name), True, name) for name in data.get("discounts") or {}
    ]
    for kind in ("reservations", "machines"):
        names += [
            ((kind, index, "cloud"), False, one["cloud"]) for index, one in enumerate(data.get(kind) or ())
        ]
    for path, key, name in names:
        known = sorted({*clouds.KNOWN, *CLOUDS})
        if clouds.canonical(name) not in known:
            meant = nearest(name, known)
            hint = f"did you mean `{meant}`?" if meant else f"known are {', '.join(known)}"
            yield path, key, f"no cloud is called `{name}`", hint
    for index, one in enumerate(data.get("machines") or ()):
        path = "machines", index
        if ("cpus" in one) != ("memory" in one):
            there, other = ("cpus", "memory") if "cpus" in one else ("memory", "cpus")
            yield (*path, there), True, f"`{there}` needs `{other}` beside it", None
        if "accelerators" in one:
            if "cpus" not in one:
                yield (
                    (*path, "accelerators"),
                    True,
                    "`accelerators` need `cpus` and `memory` beside them",
                    None,
                )
            elif _card(one["accelerators"]) is None:
                says = f"`{one['accelerators']}` is no accelerator with a count"
                yield (*path, "accelerators"), False, says, "for example `H100:8`"


def read(data: Mapping[str, Any]) -> Prices:
    """The values of `prices`."""
    return Prices(
        tuple(one for name, said in (data.get("discounts") or {}).items() for one in _discounts(name, said)),
        tuple(
            Reservation(
                clouds.canonical(one["cloud"]),
                one["instance_type"],
                one.get("region"),
                one.get("zone"),
                one.get("count", 1),
            )
            for one in data.get("reservations") or ()
        ),
        tuple(
            Machine(
                clouds.canonical(one["cloud"]),
                one["instance_type"],
                float(one["price"]),
                one.get("cpus"),
                one.get("memory"),
                _card(one["accelerators"]) if "accelerators" in one else None,
                one.get("region"),
                one.get("zone"),
                one.get("count"),
            )
            for one in data.get("machines") or ()
        ),
    )


def factors(data: Mapping[str, Any]) -> dict[str, float]:
    """The values of `throughput`, by canonical names."""
    return {accelerators.canonical(name) or name: float(value) for name, value in data.items()}


def _discounts(name: str, said: Any) -> Iterator[Discount]:
    cloud = clouds.canonical(name)
    if not isinstance(said, list):
        yield Discount(cloud, float(said))
        return
    for one in said:
        market = Market(one["market"]) if "market" in one else None
        yield Discount(cloud, float(one["part"]), one.get("family"), market)


def _card(text: str) -> Accelerator | None:
    name, _, count = text.partition(":")
    known = accelerators.canonical(name)
    if known is None or not (count or "1").isdigit() or int(count or 1) < 1:
        return None
    return Accelerator(known, int(count or 1))
