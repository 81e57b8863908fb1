"""`./invoke bench deadline`: what policies for work with a deadline cost on recorded spot capacity.

`--traces FILE` plays a file of either layout: one place (windows of `0` and `1` by environment) or several (records
with start, availability and prices by place). `--every N` takes each N-th window; `--json` prints data. The policy was
tuned on the tuning part alone: one place is split by device, several by date.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from compiler.policy.deadline import Job
from tests.bench import spot_sim
from tests.bench.spot_regions import Cheapest, Ours, Window, play_many
from tests.bench.spot_sim import Played, greedy, ours, play, uniform_progress

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "spot"
FILES = ("aws_2022_windows.json.gz", "aws_2023_zones.json.gz")
WORK_H, ON_DEMAND, SPOT = 48.0, 3.06, 0.9731
ONE_PLACE = [(deadline, overhead) for deadline in (52.0, 70.0) for overhead in (0.02, 0.05, 0.10)]
SEVERAL = [(52.0, 0.2), (60.0, 0.2)]
TUNED_ON = "k80"
"""Environments of the one-place file whose name has this are the tuning part; all others are for the test."""
TUNED_UNTIL, APART = datetime(2023, 3, 7), timedelta(hours=60)
"""Windows of several places that start before are the tuning part; those later by more than APART are the test."""
NAMES = ("greedy", "uniform progress", "ours", "optimum")


@dataclass(frozen=True, slots=True)
class Row:
    """Means over `windows` windows in USD by policy, and deadlines missed by policies (never by the optimum)."""

    part: str
    what: str
    windows: int
    usd: Mapping[str, float]
    missed: Mapping[str, int]

    def closed(self, name: str) -> float | None:
        """The share of the gap between greedy and the optimum that a policy closes."""
        gap = self.usd["greedy"] - self.usd["optimum"]
        return (self.usd["greedy"] - self.usd[name]) / gap if gap > 0 else None


def run(files: Sequence[Path], every: int = 1, as_data: bool = False) -> int:
    """Exit code: 0, or 1 when a policy missed a deadline. Without `files` those of the project's data are played."""
    rows = [row for path in files or [FOLDER / name for name in FILES] for row in measure(path, every)]
    if as_data:
        shares = [{name: row.closed(name) for name in NAMES[1:3]} for row in rows]
        print(
            json.dumps(
                [{**asdict(row), "closed": share} for row, share in zip(rows, shares, strict=True)], indent=2
            )
        )
    else:
        print(table(rows))
    return int(any(any(row.missed.values()) for row in rows))


def measure(path: Path, every: int = 1) -> list[Row]:
    """Rows for each part of the file. Raises OSError, ValueError."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt") as file:
        data = json.load(file)
    first = next(iter(next(iter(data["windows"].values())).values()))
    jobs = list((_one_place if isinstance(first, str) else _several)(data, every))
    with ProcessPoolExecutor() as pool:
        return list(pool.map(_row, jobs))


def _row(job: tuple[str, str, Any]) -> Row:
    part, what, work = job
    played: dict[str, list[Played]] = {name: [] for name in NAMES}
    for found in work():
        for name, one in found.items():
            played[name].append(one)
    usd = {name: sum(one.usd for one in each) / len(each) for name, each in played.items()}
    return Row(
        part,
        what,
        len(played["ours"]),
        usd,
        {name: sum(one.missed for one in each) for name, each in played.items()},
    )


@dataclass(frozen=True, slots=True)
class OnePlace:
    """All windows of one environment, with every deadline and overhead."""

    windows: tuple[str, ...]
    step_h: float

    def __call__(self) -> Iterator[dict[str, Played]]:
        for deadline, overhead in ONE_PLACE:
            job = Job(WORK_H, deadline, overhead, self.step_h, SPOT, ON_DEMAND)
            for window in self.windows:
                there = [mark == "1" for mark in window]
                prices = [[SPOT if one else None for one in there]]
                yield {
                    "greedy": play(job, there, greedy),
                    "uniform progress": play(job, there, uniform_progress),
                    "ours": play(job, there, ours()),
                    "optimum": Played(spot_sim.bound(job, prices)),
                }


@dataclass(frozen=True, slots=True)
class Several:
    """Windows of several places with one deadline."""

    windows: tuple[Window, ...]
    places: tuple[str, ...]
    step_h: float
    deadline_h: float
    overhead_h: float

    def __call__(self) -> Iterator[dict[str, Played]]:
        for window in self.windows:
            spot = sorted(window.prices[name][0] for name in self.places)[0]
            job = Job(WORK_H, self.deadline_h, self.overhead_h, self.step_h, spot, ON_DEMAND)
            yield {
                "greedy": play_many(job, window, Cheapest(job, self.places, greedy)),
                "uniform progress": play_many(job, window, Cheapest(job, self.places, uniform_progress)),
                "ours": play_many(job, window, Ours(job, self.places)),
                "optimum": Played(spot_sim.bound(job, window.rows(self.places))),
            }


def _one_place(data: Mapping[str, Any], every: int) -> Iterator[tuple[str, str, OnePlace]]:
    for name, windows in data["windows"].items():
        part = "tuning" if TUNED_ON in name else "test"
        yield part, name, OnePlace(tuple(windows.values())[::every], data["tick_seconds"] / 3600)


def _several(data: Mapping[str, Any], every: int) -> Iterator[tuple[str, str, Several]]:
    zones = tuple(sorted(data["windows"]))
    step_h = data["tick_seconds"] / 3600
    windows = [_window(data["windows"], number) for number in data["windows"][zones[0]]][::every]
    for part in ("tuning", "test"):
        mine = tuple(window for window in windows if _part(window.start) == part)
        for what, places in _places(zones):
            for deadline, overhead in SEVERAL:
                if mine:
                    yield part, f"{what}, {deadline:g} h", Several(mine, places, step_h, deadline, overhead)


def _places(zones: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """All places together, and those of each area where there is more than one: what is scarce is harder."""
    yield f"{len(zones)} zones", tuple(zones)
    areas = sorted({zone.rsplit("-", 1)[0] for zone in zones})
    for area in areas:
        inside = tuple(zone for zone in zones if zone.startswith(area))
        if 1 < len(inside) < len(zones):
            yield f"{area} ({len(inside)} zones)", inside


def _window(windows: Mapping[str, Any], number: str) -> Window:
    records = {zone: each[number] for zone, each in windows.items()}
    return Window(
        next(iter(records.values()))["start"],
        {zone: [mark == "1" for mark in one["available"]] for zone, one in records.items()},
        {
            zone: [usd for usd, steps in one["spot_usd_hour_runs"] for _ in range(steps)]
            for zone, one in records.items()
        },
    )


def _part(start: str) -> str:
    at = datetime.fromisoformat(start)
    return "tuning" if at < TUNED_UNTIL else "test" if at > TUNED_UNTIL + APART else ""


def table(rows: Sequence[Row]) -> str:
    """Means in USD, lines of one part together, and their mean."""
    lines = [
        f"{'part':8}{'traces':28}{'windows':>8}"
        + "".join(f"{name:>18}" for name in NAMES)
        + f"{'closed':>9}{'missed':>8}"
    ]
    for part in ("tuning", "test"):
        for several in (False, True):
            mine = [row for row in rows if row.part == part and (" h" in row.what) == several]
            lines += [_line(row) for row in mine]
            if len(mine) > 1 and not several:
                lines.append(_line(_mean(part, mine)))
    return "\n".join(lines)


def _line(row: Row) -> str:
    missed, closed = sum(row.missed.values()), row.closed("ours")
    usd = "".join(f"{row.usd[name]:18.2f}" for name in NAMES)
    return f"{row.part:8}{row.what:28}{row.windows:8}{usd}{'-' if closed is None else f'{closed:.1%}':>9}{missed:8}"


def _mean(part: str, rows: Sequence[Row]) -> Row:
    usd = {name: sum(row.usd[name] for row in rows) / len(rows) for name in NAMES}
    missed = {name: sum(row.missed[name] for row in rows) for name in NAMES}
    return Row(part, "all", sum(row.windows for row in rows), usd, missed)
