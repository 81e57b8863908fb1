"""Machines that the stand-ins for Google and Azure hold, as a test looks at them, and how one is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.standins.store import Store


@dataclass(frozen=True)
class Machine:
    """One machine. `unique` differs between two that had the same name."""

    id: str
    name: str
    zone: str
    spot: bool
    alive: bool
    labels: dict[str, str]
    unique: str


def gcp(store: Store) -> list[Machine]:
    """By name; `alive` while it runs."""
    found = [
        Machine(
            id=name,
            name=one["outputs"]["name"],
            zone=one["outputs"]["zone"],
            spot=one["outputs"]["scheduling"].get("provisioningModel") == "SPOT",
            alive=one["outputs"]["currentStatus"] == "RUNNING",
            labels=one["outputs"].get("labels") or {},
            unique=one["unique"],
        )
        for name, one in store.all("gcp", "Instance").items()
    ]
    return sorted(found, key=lambda one: one.name)


def azure(store: Store) -> list[Machine]:
    """By name; `zone` is `location-number`."""
    found = [
        Machine(
            id=name,
            name=one["outputs"]["name"],
            zone="-".join([one["outputs"]["location"], *(one["outputs"].get("zones") or ())[:1]]),
            spot=one["outputs"].get("priority") == "Spot",
            alive=one["outputs"].get("power", "running") == "running",
            labels=one["outputs"].get("tags") or {},
            unique=one["unique"],
        )
        for name, one in store.all("azure-native", "VirtualMachine").items()
    ]
    return sorted(found, key=lambda one: one.name)


def lose(store: Store, node: str, stopped: bool = False) -> None:
    """Take a machine away as a loss of spot capacity does: gone, or `stopped` and still listed."""
    for cloud, kind in (("gcp", "Instance"), ("azure-native", "VirtualMachine")):
        one: dict[str, Any] | None = store.get(cloud, kind, node)
        if one is None:
            continue
        if stopped:
            one["outputs"]["currentStatus" if cloud == "gcp" else "power"] = (
                "TERMINATED" if cloud == "gcp" else "deallocated"
            )
            store.put(cloud, kind, node, one)
        else:
            store.drop(cloud, kind, node)
            for name, disk in store.all(cloud, "Disk").items():
                if disk["outputs"].get("managedBy") == node:
                    store.drop(cloud, "Disk", name)
        return
    raise KeyError(node)
