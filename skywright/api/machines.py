"""What can be had: clouds that are enabled, whether this machine is ready, accelerators with their prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skywright.api.clouds import Cloud
    from skywright.cli.check import Line
    from skywright.cli.gpus import Row


def check(clouds: Sequence[str | Cloud] | None = None) -> list[Line]:
    """Is this machine ready: engine, state, control and clouds, a line each.

    `line.ok` is True, False, or None for what is not there yet and no mistake; `line.hint` tells what to do.
    Raises Problems usage/unknown-cloud.
    """
    from skywright.cli import check as lines

    wanted = tuple(str(one) for one in clouds or ())
    return [*lines._engine(), *lines._state(), *lines._control(), *lines._clouds(wanted)]


def enabled_clouds() -> list[str]:
    """Names of the clouds that tasks may run on from here, less those that the configuration leaves out."""
    from skywright import config
    from skywright.cli import planning

    return list(planning.enabled_clouds(config.read()))


def list_accelerators(
    name_filter: str | None = None, *, infra: str | None = None, spot: bool = False
) -> dict[str, list[Row]]:
    """Accelerator -> machines that have it, cheapest per accelerator first. Prices are USD per hour for the whole
    machine, memory is GB.

    `name_filter` is `H100`, `H100:8` or a memory such as `80GB+`; `infra` is `aws/us-west-2`; `spot` wants machines
    that are sold as spot. Empty when nobody sells it. Raises Problems usage/unknown-accelerator.
    """
    from skywright.catalog import open_catalog
    from skywright.cli import gpus

    rows = gpus._rows(open_catalog(), gpus._asked(name_filter), infra)
    if spot:
        rows = [row for row in rows if row.spot is not None]
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.each(spot), row.cloud, row.region, row.instance_type)):
        found.setdefault(row.accelerator, []).append(row)
    return dict(sorted(found.items()))
