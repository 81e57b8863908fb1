"""Asks vendors for their prices, several at once, and judges what they say beside what was known before."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum

from compiler.catalog.images import Image
from compiler.catalog.rows import Dropped, Row, credible
from skywright.pricing import VENDORS, resolving
from skywright.pricing.fetching import Broken, Fetcher, Stopped
from skywright.pricing.vendor import Fetched, Job, Skipped

AT_ONCE = 4
ENOUGH = 0.5
"""Fewer rows than this share of the last good ones are no price list."""
FACTOR = 3.0
"""A median price beyond this factor of the last good one is a mistake of units or currency."""
JUMP, MANY_JUMP = 5.0, 0.25
"""No more than a quarter of the prices change by more than five times."""
COMPARABLE = 5
"""So many prices of before and now tell something."""

Key = tuple[str, str, str | None, float]
Watch = Callable[[str, str], None]


class State(Enum):
    """What became of a cloud."""

    UPDATED = "updated"
    KEPT = "kept"
    IMPLAUSIBLE = "implausible"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One cloud after an update: `rows` are what its part of the catalog has now, `before` what it had. `why` says
    what went wrong, or what is absent."""

    cloud: str
    state: State
    rows: tuple[Row, ...]
    before: int
    images: tuple[Image, ...] = ()
    why: str = ""
    notes: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


def update(
    clouds: Sequence[str],
    last: Mapping[str, Sequence[Row]],
    images: Sequence[Image],
    *,
    date: str,
    regions: Mapping[str, tuple[str, ...]],
    fetcher: Fetcher,
    watch: Watch = lambda cloud, text: None,
) -> tuple[Outcome, ...]:
    """What each of the clouds said, in their order. `last` are the last good rows by cloud, `date` is today's."""

    def one(cloud: str) -> Outcome:
        job = Job(
            cloud, date, tuple(last.get(cloud, ())), fetcher, regions.get(cloud),
            tuple(row for row in images if row.cloud == cloud), lambda text: watch(cloud, text),
        )  # fmt: skip
        outcome = ask(job)
        watch(cloud, outcome.state.value)
        return outcome

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        try:
            return tuple(pool.map(one, clouds))
        except BaseException:
            fetcher.stop.set()
            raise


def ask(job: Job) -> Outcome:
    """One vendor's prices, judged; whatever goes wrong leaves the last good rows. Raises Stopped."""
    before = len(job.last)
    try:
        fetched: Fetched = importlib.import_module(f"skywright.pricing.{VENDORS[job.cloud]}").fetch(job)
        dropped = Dropped()
        dropped.counts.update(fetched.dropped)
        rows = credible(list(fetched.rows), dropped)
    except Skipped as absent:
        return Outcome(job.cloud, State.SKIPPED, job.last, before, why=str(absent))
    except Stopped:
        raise
    except Broken as wrong:
        return Outcome(job.cloud, State.KEPT, job.last, before, why=str(wrong))
    except Exception as error:
        # An answer of a shape that nobody thought of must not cost the other clouds theirs.
        why = f"an answer that is not understood ({type(error).__name__}: {error})"
        return Outcome(job.cloud, State.KEPT, job.last, before, why=why)
    kept = set(fetched.kept)
    why = judged(rows, [row for row in job.last if row not in kept])
    if why:
        return Outcome(job.cloud, State.IMPLAUSIBLE, job.last, before, why=why, dropped=dropped.counts)
    images, notes = resolving.resolved(job)
    every = (*rows, *fetched.kept)
    return Outcome(
        job.cloud,
        State.UPDATED,
        every,
        before,
        images,
        notes=(*fetched.notes, *notes),
        dropped=dropped.counts,
    )


def judged(rows: Sequence[Row], last: Sequence[Row]) -> str:
    """Why these rows cannot be the prices of a cloud that had `last`; empty when they can."""
    if not rows:
        return "not a single price"
    if len(rows) < len(last) * ENOUGH:
        return f"{len(rows):,} rows, and {len(last):,} before"
    ratios = []
    for spot in (False, True):
        old, new = _prices(last, spot), _prices(rows, spot)
        ratios += [new[key] / old[key] for key in new.keys() & old.keys()]
    if len(ratios) < COMPARABLE:
        return ""
    usual = statistics.median(ratios)
    if not 1 / FACTOR <= usual <= FACTOR:
        return f"prices are {usual:.2g} times those of before"
    jumped = sum(not 1 / JUMP <= ratio <= JUMP for ratio in ratios)
    if jumped > len(ratios) * MANY_JUMP:
        return f"{jumped:,} of {len(ratios):,} prices changed more than {JUMP:g} times"
    return ""


def _prices(rows: Sequence[Row], spot: bool) -> dict[Key, float]:
    """The lowest price of each machine in each region."""
    found: dict[Key, float] = {}
    for row in rows:
        price = row.spot if spot else row.price
        if price:
            key = row.instance_type, row.region, row.accelerator, row.count
            found[key] = min(price, found.get(key, price))
    return found
