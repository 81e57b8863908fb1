"""`catalog update`: fetches prices with a moving picture, keeps a new snapshot, and tells what could not be had."""

from __future__ import annotations

import contextlib
import fcntl
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems, nearest, quote
from skywright.cli import screen
from skywright.cli.arguments import Values

if TYPE_CHECKING:
    from compiler.catalog.rows import Row
    from compiler.catalog.shelf import Catalog
    from skywright.pricing.update import Outcome
    from skywright.snapshots import Snapshot

PRESET = 1
"""How hard a snapshot is compressed: a little, at once."""


def run(values: Values, of: tuple[str, ...]) -> int:
    """Ask the clouds `of`, by default all; 4 when one could not be updated."""
    from compiler.catalog import contents
    from skywright import config, snapshots
    from skywright.pricing.fetching import Fetcher, Stopped
    from skywright.pricing.update import update

    clouds = _clouds(of)
    with _alone():
        last = snapshots.opened(snapshots.current())
        before = {cloud: contents.rows(last, cloud) for cloud in last.clouds}
        now = datetime.now(timezone.utc)
        with _picture(values, clouds) as watch:
            try:
                outcomes = update(
                    clouds,
                    before,
                    contents.images(last),
                    date=f"{now:%Y-%m-%d}",
                    regions=config.read().regions,
                    fetcher=Fetcher(),
                    watch=watch,
                )
            except Stopped:
                raise KeyboardInterrupt from None
            made = _kept(last, before, outcomes, now)
    problems = [found for one in outcomes if (found := _problem(one, one.cloud in map(_canonical, of)))]
    if values.json:
        data = {"snapshot": asdict(made) if made else None, "clouds": [_data(one) for one in outcomes]}
        screen.data({**data, "problems": [one.to_data() for one in problems]})
    else:
        _show(outcomes, made)
        if problems:
            screen.problems(Problems(problems), as_data=False)
    return int(Exit.REFUSED if problems else Exit.FINE)


def _canonical(word: str) -> str:
    from compiler.catalog import clouds

    return clouds.canonical(word)


def _clouds(of: tuple[str, ...]) -> tuple[str, ...]:
    """Raises Problems usage/unknown-cloud."""
    from skywright.pricing import VENDORS

    wanted = tuple(dict.fromkeys(map(_canonical, of))) or tuple(VENDORS)
    for name in wanted:
        if name not in VENDORS:
            near = nearest(name, VENDORS)
            hint = f"did you mean `{near}`?" if near else f"these have: {', '.join(VENDORS)}"
            said = f"nobody here knows where {quote(name)} tells its prices"
            raise Problems(Problem("usage/unknown-cloud", said, hint=hint))
    return wanted


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One update at a time: a second one would begin from what the first is about to replace.

    Raises Problems lock/catalog-busy, machine/cannot-write.
    """
    from stacks import home

    folder = home.home() / "catalog"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with open(folder / ".update.lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                said = "another `catalog update` runs now"
                raise Problems(Problem("lock/catalog-busy", said, hint="wait for it")) from None
            yield
    except OSError as error:
        raise Problems(home.unusable(error, folder, "SKYWRIGHT_HOME")) from None


def _kept(
    last: Catalog, before: Mapping[str, list[Row]], outcomes: tuple[Outcome, ...], now: datetime
) -> Snapshot | None:
    """The new snapshot, from now on in use; None when no cloud was updated."""
    import hashlib

    from compiler.catalog import build, contents
    from skywright import snapshots
    from skywright.pricing.update import State

    fresh = {one.cloud: one for one in outcomes if one.state is State.UPDATED}
    if not fresh:
        return None
    every = {**before, **{cloud: list(one.rows) for cloud, one in fresh.items()}}
    images = [row for row in contents.images(last) if row.cloud not in fresh]
    images += [row for one in fresh.values() for row in one.images]
    dropped: dict[str, int] = {}
    for one in fresh.values():
        dropped.update({f"{one.cloud}: {what}": count for what, count in one.dropped.items()})
    rows = [row for found in every.values() for row in found]
    date = f"{now:%Y-%m-%d}"
    content = build.packed(rows, date=date, dropped=dropped, images=images, preset=PRESET)
    made = snapshots.Snapshot(
        hashlib.sha256(content).hexdigest(),
        date,
        len(rows),
        tuple(sorted(cloud for cloud, found in every.items() if found)),
        f"{now:%Y-%m-%dT%H:%M:%SZ}",
        f"updated {date}: {', '.join(sorted(fresh))}; the rest as of {last.date}",
    )
    snapshots.keep(content, made, use=True)
    return made


def _problem(one: Outcome, named: bool) -> Problem | None:
    """What stands in the way; a cloud that nobody named may be skipped."""
    from skywright.pricing.update import State

    stays = f"its {one.before:,} rows stay as they were" if one.before else "it has no rows here"
    if one.state is State.KEPT:
        return Problem("cloud/prices-not-fetched", f"{one.cloud}: {one.why}; {stays}", hint="try again later")
    if one.state is State.IMPLAUSIBLE:
        hint = "when these are its prices now: report it, with `skywright catalog update --json`"
        return Problem("cloud/prices-implausible", f"{one.cloud}: {one.why}; {stays}", hint=hint)
    if one.state is State.SKIPPED and named:
        return Problem("cloud/prices-need-key", f"{one.cloud}: {one.why}; {stays}")
    return None


def _data(one: Outcome) -> dict[str, Any]:
    return {
        "cloud": one.cloud,
        "state": one.state.value,
        "rows": len(one.rows),
        "before": one.before,
        "why": one.why or None,
        "notes": list(one.notes),
        "left_out": dict(one.dropped),
    }


def _show(outcomes: tuple[Outcome, ...], made: Snapshot | None) -> None:
    cells = []
    for one in outcomes:
        said = one.why or "; ".join(one.notes)
        cells.append([one.cloud, one.state.value, f"{len(one.rows):,}", f"{one.before:,}", said])
    screen.show_table(["CLOUD", "", "ROWS", "BEFORE", ""], cells, right=(2, 3))
    if made:
        screen.out(f"catalog {made.date} ({made.short}), {made.rows:,} rows")
    else:
        screen.out(screen.paint("nothing new: the catalog is as it was", screen.GREY))


@contextlib.contextmanager
def _picture(values: Values, clouds: tuple[str, ...]) -> Iterator[Callable[[str, str], None]]:
    """Takes (cloud, how far): a line for each cloud on a terminal, elsewhere nothing."""
    if values.json or not screen.coloured(sys.stderr):
        yield lambda cloud, text: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(finished_text="·"), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        rows = {cloud: progress.add_task(cloud, total=1) for cloud in clouds}
        ended = {"updated", "kept", "implausible", "skipped"}

        def watch(cloud: str, text: str) -> None:
            shown = f"{cloud:<7} {screen.printable(text)[:60]}".replace("[", "(")
            progress.update(rows[cloud], description=shown, completed=int(text in ended))

        yield watch
