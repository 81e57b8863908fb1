"""`catalog`: which prices are known here and of when; `ls`, `update` and `lock`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.problem import Exit, Problem, Problems, nearest, quote
from skywright.cli import screen
from skywright.cli.arguments import Values

if TYPE_CHECKING:
    from skywright.snapshots import Snapshot

ACTIONS = ("ls", "update", "lock")


def run(values: Values) -> int:
    """What is in use, or one of the actions."""
    action, of = values.action, tuple(values.of or ())
    if action is None:
        return _show(values)
    if action == "ls" and not of:
        return _list(values)
    if action == "update":
        from skywright.cli.catalog_update import run as update

        return update(values, of)
    if action == "lock" and len(of) <= 1:
        return _lock(values, of[0] if of else None)
    if action in ACTIONS:
        word = of[1] if action == "lock" else of[0]
        raise Problems(Problem("usage/too-many-words", f"`catalog {action}` takes no word {quote(word)}"))
    near = nearest(action, ACTIONS)
    hint = f"did you mean `catalog {near}`?" if near else f"it can {', '.join(ACTIONS)}"
    raise Problems(Problem("usage/unknown-command", f"`catalog` has no action {quote(action)}", hint=hint))


def _show(values: Values) -> int:
    """Date, rows and clouds of the catalog in use."""
    from skywright import snapshots

    known = snapshots.current()
    catalog = snapshots.opened(known)
    found = catalog.find(
        "select place.cloud, count(*), count(price), count(spot), count(distinct region),"
        " count(distinct offer.shape) from offer join place on place.id = offer.place group by place.cloud"
    )
    sources = [text for (text,) in catalog.find("select says from source order by says")]
    if values.json:
        names = ("cloud", "rows", "on_demand", "spot", "regions", "machines")
        clouds = [dict(zip(names, row, strict=True)) for row in found]
        said = {"date": catalog.date, "rows": catalog.rows, "sha256": known.sha256, "source": known.source}
        screen.data({**said, "clouds": clouds, "sources": sources})
        return int(Exit.FINE)
    screen.out(f"catalog {catalog.date}, {catalog.rows:,} rows, {known.source}")
    head = ["CLOUD", "ROWS", "ON DEMAND", "SPOT", "REGIONS", "MACHINES"]
    cells = [[row[0], *(f"{number:,}" for number in row[1:])] for row in found]
    screen.show_table(head, cells, right=(1, 2, 3, 4, 5))
    for text in sources:
        screen.out(screen.paint(f"  {text}", screen.GREY))
    return int(Exit.FINE)


def _list(values: Values) -> int:
    from skywright import snapshots

    used, found = snapshots.current(), snapshots.listed()
    if values.json:
        rows = [{**asdict(one), "in_use": one.sha256 == used.sha256} for one in found]
        screen.data({"snapshots": rows})
        return int(Exit.FINE)
    cells = [
        ["▶" if one.sha256 == used.sha256 else "", one.date, one.short, f"{one.rows:,}", one.source]
        for one in found
    ]
    screen.show_table(["", "DATE", "CONTENT", "ROWS", "SOURCE"], cells, right=(3,))
    return int(Exit.FINE)


def _lock(values: Values, task: str | None) -> int:
    """Beside the task file, or here."""
    from skywright import catalog
    from skywright.cli.taskfile import read_file

    folder = Path.cwd()
    if task is not None:
        path = Path(task).expanduser()
        if not path.is_dir():
            read_file(task)
            path = path.absolute().parent
        folder = path.absolute()
    known = catalog.write_lock(folder)
    if values.json:
        screen.data({"file": str(folder / catalog.LOCK), **_facts(known)})
    else:
        screen.out(f"{folder / catalog.LOCK}: catalog {known.date} ({known.short}), {known.source}")
    return int(Exit.FINE)


def _facts(known: Snapshot) -> dict[str, object]:
    return {"sha256": known.sha256, "date": known.date, "rows": known.rows, "source": known.source}
