"""Machine images: which one a node starts from, by cloud, region, accelerator and kind of CPU."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from compiler.catalog import accelerators

MOVING = frozenset({"parameter", "family", "urn"})
"""Kinds of ids that the vendor resolves when a machine is made, until `catalog update` has resolved them."""

BAKED = "skywright-"
"""How the names of images begin that `bake` made."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image. `id` is what the vendor's API takes as it stands; `kind` says what that is:

    `id` one image for ever · `parameter` the name of an SSM parameter, in the form that EC2 takes for an image ·
    `family` the newest of a family · `urn` publisher:offer:sku:version, where `latest` moves · `slug` a name of
    the vendor · `runtime` a TPU software version · `container` an image of containers.
    `region` None holds in every region. `drives` is the vendor of the accelerators whose driver is in it, None for
    machines without. `driver`, `cuda` are versions, None where nobody says. `date` is when this was last known.
    """

    name: str
    cloud: str
    region: str | None
    id: str
    kind: str
    drives: str | None
    driver: str | None
    cuda: str | None
    arch: str
    date: str
    source: str

    @property
    def baked(self) -> bool:
        """Whether the user made it of one of the vendor's, with `bake`."""
        return self.name.startswith(BAKED)

    @property
    def pinned(self) -> bool:
        """Whether this names the same bits next month."""
        return self.kind not in MOVING or (self.kind == "urn" and not self.id.endswith(":latest"))


def image_for(
    cloud: str,
    region: str | None,
    accelerator: str | None,
    arch: str,
    name: str | None = None,
    *,
    images: Sequence[Image] | None = None,
) -> Image | None:
    """The image for a machine in `region` with `accelerator` (our name for it, None: without) and `arch`
    (`x86_64`, `arm64`), or the one called `name` there. None where none is known: the vendor's default.

    `images` are those of a catalog (`contents.images`), by default those that are shipped. One that the user baked
    goes first, the newest of several; then one that is known for the region goes before one for all regions, then
    the order of the table decides.
    """
    drives = None
    if accelerator is not None:
        known = accelerators.facts(accelerator)
        if known is None and name is None:
            return None
        drives = known.vendor if known else None
    found = [
        one
        for one in (shipped() if images is None else images)
        if one.cloud == cloud
        and one.arch == arch
        and one.region in (None, region)
        and (one.drives == drives if name is None else one.name == name)
    ]
    if baked := [one for one in found if one.baked]:
        return max(baked, key=lambda one: one.date)
    return min(found, key=lambda one: one.region is None, default=None)


@cache
def shipped() -> tuple[Image, ...]:
    """The table of this version; what each row is: docs/catalog.md."""
    path = os.path.join(os.path.dirname(__file__), "images.json")
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    optional = dict.fromkeys(("region", "drives", "driver", "cuda"))
    return tuple(Image(**{**optional, **row}) for row in rows)
