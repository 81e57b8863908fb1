"""Measures the optimizer over typical requests: time, memory, growth with the catalog; and SkyPilot's beside it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compiler.catalog import build, package
from compiler.catalog.rows import Row, read
from compiler.catalog.shelf import Catalog
from compiler.cost import Estimate, Reckoner
from compiler.load import load
from compiler.plan import Placement, Plan
from compiler.search import plan
from compiler.task import Task
from skywright.catalog import open_catalog
from tests.bench.plan_requests import requests

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT.parent / "shared" / "data" / "catalog"
DATE = "2026-05-20"
VERSION = "0.14.1"
TIMES = 5


@dataclass(frozen=True, slots=True)
class Choice:
    """What the two optimizers make of one request. Prices are USD per hour, totals USD for an hour's task."""

    name: str
    ours: Placement | None
    seconds: float
    theirs: dict[str, Any] | None = None
    theirs_total: float | None = None


def measure() -> dict[str, Any]:
    """Ours alone: milliseconds by request, each with a connection of its own, so that nothing is remembered."""
    first: list[float] = []
    for request in requests():
        task = task_of(request)
        taken = []
        for _ in range(TIMES):
            catalog = open_catalog()
            taken.append(timed(task, catalog)[0])
            catalog.connection.close()
        first.append(statistics.median(taken) * 1000)
    return {
        "p95_ms": statistics.quantiles(first, n=20)[-1],
        "median_ms": statistics.median(first),
        "worst_ms": max(first),
        "requests": len(first),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def task_of(request: dict[str, Any]) -> Task:
    content = json.dumps(
        {"run": "echo", "num_nodes": request["num_nodes"], "resources": request["resources"]}
    )
    return load(content.encode(), "request.yaml", clouds=package.CLOUDS)


def timed(task: Task, catalog: Catalog) -> tuple[float, Plan]:
    begun = time.perf_counter()
    made = plan(task, (), name="request", enabled=catalog.clouds, catalog=catalog)
    return time.perf_counter() - begun, made


def growth(times: int = 10) -> dict[str, float]:
    """Median milliseconds over the requests with the rows once and `times` as many, and their ratio.

    The added rows are further regions of the same clouds with prices of their own.
    """
    rows, _ = read(SOURCE, DATE)
    once, many = _built(rows, 1), _built(rows, times)
    return {"once_ms": once, "many_ms": many, "ratio": many / once}


def _built(rows: list[Row], times: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.sqlite"
        build.write(list(_multiplied(rows, times)), path, date=DATE, dropped={})
        package.index(str(path))
        taken = []
        for request in requests():
            task = task_of(request)
            best = []
            for _ in range(3):
                connection = sqlite3.connect(path)
                best.append(timed(task, Catalog(connection))[0])
                connection.close()
            taken.append(min(best) * 1000)
        return statistics.median(taken)


def _multiplied(rows: list[Row], times: int) -> Iterator[Row]:
    for number in range(times):
        for row in rows:
            if number == 0:
                yield row
            else:
                factor = 1 + number / 100
                yield replace(
                    row,
                    region=f"{row.region}-{number}",
                    zone=row.zone and f"{row.zone}-{number}",
                    price=row.price and row.price * factor,
                    spot=row.spot and row.spot * factor,
                )


def peer(python: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """SkyPilot's answers by the name of the request; the first value holds its import time."""
    from tests.bench import peer_catalog

    home = python.parents[1] / "home-plan"
    peer_catalog.write(SOURCE, DATE, home)
    env = {**os.environ, "HOME": str(home), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    lines = "".join(json.dumps(request) + "\n" for request in requests())
    command = [str(python), str(Path(__file__).with_name("peer.py"))]
    done = subprocess.run(command, input=lines, cwd=home, env=env, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return answers[0], {answer["name"]: answer for answer in answers[1:]}


def choices(answers: dict[str, dict[str, Any]]) -> list[Choice]:
    """Both choices for every request; theirs is reckoned as ours are."""
    catalog = open_catalog()
    found = []
    for request in requests():
        task = task_of(request)
        seconds, made = timed(task, catalog)
        theirs = answers.get(request["name"])
        ours = made.placements[0] if made.placements else None
        total = _their_total(theirs, task) if theirs and "hourly" in theirs else None
        found.append(Choice(request["name"], ours, seconds, theirs, total))
    return found


def _their_total(theirs: dict[str, Any], task: Task) -> float:
    """What a run costs on the machine that they choose, losses left out: their list says nothing of bands."""
    from compiler.offer import Market, Offer

    price = theirs["hourly"] / task.num_nodes
    offer = Offer(theirs["cloud"], theirs["region"], None, "", Market.ON_DEMAND, price, 0, 0)
    return Reckoner(task.num_nodes, Estimate.of(task)).cost(offer).total


def report(found: list[Choice], imported: dict[str, Any]) -> list[str]:
    """Lines: how often both choose alike, and every difference with both prices and why."""
    lines, same, cheaper = [], 0, 0
    theirs_s = [one.theirs["seconds"] for one in found if one.theirs]
    for one in found:
        ours, theirs = one.ours, one.theirs or {}
        if ours is None or "hourly" not in theirs:
            mine = _named(ours) if ours else "nothing"
            lines.append(f"  {one.name}: ours {mine}; theirs {theirs.get('error', 'nothing')}")
            continue
        alike = (ours.offer.cloud, ours.offer.region, ours.offer.instance_type) == (
            theirs["cloud"], theirs["region"], theirs["instance_type"],
        )  # fmt: skip
        if alike:
            same += 1
            continue
        cheaper += ours.hourly < theirs["hourly"] - 1e-9
        other = f"{theirs['cloud']} {theirs['region']} {theirs['instance_type']} ${theirs['hourly']:.4f}/h"
        lines.append(f"  {one.name}: ours {_named(ours)}; theirs {other}: {_why(one)}")
    head = [
        f"{len(found)} requests: {same} alike, {cheaper} cheaper here, SkyPilot {VERSION} on the same rows",
        f"  their import {imported['import_s']:.2f} s, then {statistics.median(theirs_s):.2f} s median,"
        f" {max(theirs_s):.2f} s worst; ours {statistics.median(one.seconds for one in found) * 1000:.1f} ms median,"
        f" {max(one.seconds for one in found) * 1000:.1f} ms worst",
    ]
    return head + lines


def _named(one: Placement) -> str:
    offer = one.offer
    return f"{offer.cloud} {offer.region} {offer.instance_type} ${one.hourly:.4f}/h"


def _why(one: Choice) -> str:
    assert one.ours
    assert one.theirs
    hourly, other = one.ours.hourly, one.theirs["hourly"]
    if hourly < other - 1e-9:
        return f"cheaper by {100 * (1 - hourly / other):.0f} %"
    if abs(hourly - other) <= 1e-9:
        return "one price, another place"
    if one.theirs_total is not None and one.ours.total <= one.theirs_total:
        return (
            f"${one.ours.total:.4f} against ${one.theirs_total:.4f} for the run with start, disk and address"
        )
    return f"DEARER: ${one.ours.total:.4f} for the run against ${one.theirs_total or 0:.4f}"


def oracle() -> Path | None:
    """The Python of the rival's environment in the cache, made with uv when it is absent."""
    from stacks.home import cache

    folder = cache() / "oracle" / f"skypilot-{VERSION}"
    python = folder / "bin" / "python"
    if not python.exists():
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(["uv", "venv", "--quiet", str(folder)], check=True, stdout=sys.stderr)
            install = ["uv", "pip", "install", "--quiet", "--python", str(python), f"skypilot=={VERSION}"]
            subprocess.run(install, check=True, stdout=sys.stderr)
    return python if python.exists() else None


if __name__ == "__main__":
    print(json.dumps(growth() if "growth" in sys.argv else measure()))
