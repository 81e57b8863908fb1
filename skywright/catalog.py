"""Which catalog of prices a plan uses: the one that `catalog.lock` beside the task names, else the newest here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Place, Problem, Problems, quote

if TYPE_CHECKING:
    from compiler.catalog.shelf import Catalog
    from skywright.snapshots import Snapshot

LOCK = "catalog.lock"
FORMAT = 1


def open_catalog(folder: Path | None = None) -> Catalog:
    """The catalog for the tasks of `folder` (None: no folder, no lock).

    Raises Problems machine/cannot-write, machine/catalog-damaged, and for a lock usage/bad-catalog-lock,
    machine/catalog-not-here.
    """
    from skywright import snapshots

    locked = None if folder is None else read_lock(folder / LOCK)
    if locked is None:
        return snapshots.opened(snapshots.current())
    known = snapshots.find(locked["sha256"])
    catalog = snapshots.opened(known, pinned=True) if known else snapshots.unpacked(locked["sha256"])
    if catalog is None:
        raise Problems(_not_here(folder, locked))
    return catalog


def locked(folders: Iterable[Path | None]) -> Path | None:
    """The folder whose lock holds for tasks of these folders together, None without any lock.

    Raises Problems usage/bad-catalog-lock when two locks want different catalogs.
    """
    found: dict[str, Path] = {}
    for folder in dict.fromkeys(folders):
        said = None if folder is None else read_lock(folder / LOCK)
        if folder is not None and said is not None:
            found.setdefault(said["sha256"], folder)
    first, *others = found.values() or [None]
    if first and others and others[0]:
        why = f"it pins another catalog than `{first / LOCK}`, and tasks of both folders are planned together"
        raise Problems(_bad(others[0] / LOCK, why))
    return first


def catalog_clouds() -> tuple[str, ...]:
    """Clouds whose prices are known, whether their machines can be had from here yet or not."""
    from compiler.catalog.package import CLOUDS
    from skywright import snapshots

    return tuple(dict.fromkeys((*CLOUDS, *snapshots.current().clouds)))


def write_lock(folder: Path) -> Snapshot:
    """Pin the catalog that is in use now for the tasks of `folder`, and keep it here.

    Raises Problems machine/cannot-write, machine/catalog-damaged.
    """
    from skywright import snapshots
    from stacks import home

    known = snapshots.current()
    snapshots.opened(known).connection.close()
    if not known.made:
        known = snapshots.keep_shipped()
    data = asdict(known)
    facts = {name: data[name] for name in ("sha256", "date", "rows", "source")}
    content = json.dumps({"format": FORMAT, **facts}, indent=2, ensure_ascii=False) + "\n"
    try:
        home.write(folder / LOCK, content.encode(), mode=0o644)
    except OSError as error:
        said = f"`{folder / LOCK}` cannot be written: {error.strerror}"
        raise Problems(Problem("machine/cannot-write", said)) from None
    return known


def read_lock(path: Path) -> dict[str, Any] | None:
    """What a lock says, None where there is none. Raises Problems usage/bad-catalog-lock."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Problems(_bad(path, f"it cannot be read: {error.strerror}")) from None
    try:
        data = json.loads(content)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise Problems(_bad(path, "it is not JSON", line, getattr(error, "colno", 1))) from None
    if not isinstance(data, dict) or not re.fullmatch("[0-9a-f]{64}", str(data.get("sha256"))):
        raise Problems(_bad(path, "it names no catalog by its `sha256`"))
    if data.get("format") != FORMAT:
        raise Problems(
            _bad(path, f"its format is {quote(str(data.get('format')))}, and {FORMAT} is known here")
        )
    return data


def _bad(path: Path, why: str, line: int = 1, column: int = 1) -> Problem:
    hint = f"write it anew: skywright catalog lock {path.parent}"
    return Problem("usage/bad-catalog-lock", f"`{path}`: {why}", Place(str(path), line, column), hint)


def _not_here(folder: Path | None, locked: dict[str, Any]) -> Problem:
    date, sha256 = str(locked.get("date", "?"))[:10], str(locked["sha256"])
    said = f"the task is pinned to the catalog of {date} ({sha256[:12]}), and that is not on this machine"
    hint = (
        f"copy `catalog/{date}-{sha256[:16]}.sqlite.xz` and the `.json` beside it from the skywright home of whoever\n"
        f"wrote the lock, or pin the prices that are known here: skywright catalog lock {folder}"
    )
    return Problem("machine/catalog-not-here", said, hint=hint)
