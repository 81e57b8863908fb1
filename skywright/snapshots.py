"""Catalogs that are kept: the one that is shipped and those that `catalog update` made, by content hash."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems

if TYPE_CHECKING:
    from compiler.catalog.shelf import Catalog

CURRENT = "current.json"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One catalog. `sha256` is of its packed file, `date` the day of its newest prices, `made` when it was made
    (empty for the one that is shipped), `source` what a person reads of where it is from."""

    sha256: str
    date: str
    rows: int
    clouds: tuple[str, ...]
    made: str
    source: str

    @property
    def short(self) -> str:
        return self.sha256[:12]


def shipped() -> Snapshot:
    """The catalog of this version."""
    from compiler.catalog.package import CLOUDS, mark
    from skywright import __version__

    known = mark()
    return Snapshot(known.sha256, known.date, known.rows, CLOUDS, "", f"shipped with skywright {__version__}")


def current() -> Snapshot:
    """The catalog that plans use: the newest update, or what is shipped when that is newer."""
    own = shipped()
    known = _read(_folder() / CURRENT)
    return known if known and known.date >= own.date else own


def listed() -> tuple[Snapshot, ...]:
    """Every snapshot that is kept here, the newest first; the shipped one is among them."""
    own = shipped()
    found = {own.sha256: own}
    for path in _folder().glob("*.json"):
        known = _read(path)
        if known and path.name != CURRENT and _packed(known).exists():
            found.setdefault(known.sha256, known)
    return tuple(sorted(found.values(), key=lambda one: (one.date, one.made, one.sha256), reverse=True))


def find(sha256: str) -> Snapshot | None:
    """The snapshot of that content, when it is here."""
    return next((one for one in listed() if one.sha256 == sha256), None)


def keep(content: bytes, known: Snapshot, *, use: bool) -> None:
    """Keep a packed catalog; with `use` plans use it from now on. After a crash all is as before, or as wished.

    Raises Problems machine/cannot-write, machine/disk-full.
    """
    from stacks import home

    folder = _folder()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _packed(known).exists():
            home.write(_packed(known), content)
        home.write_json(_packed(known).with_suffix("").with_suffix(".json"), asdict(known))
        if use:
            home.write_json(folder / CURRENT, asdict(known))
    except OSError as error:
        raise Problems(home.unusable(error, folder, "SKYWRIGHT_HOME")) from None


def keep_shipped() -> Snapshot:
    """Keep the shipped catalog too: another version of skywright brings another one."""
    from compiler.catalog.package import PACKED

    own = shipped()
    keep(Path(PACKED).read_bytes(), own, use=False)
    return own


def opened(known: Snapshot, *, pinned: bool = False) -> Catalog:
    """The catalog, unpacked once into the cache. Raises Problems machine/cannot-write, machine/catalog-damaged."""
    from compiler.catalog.shelf import Catalog

    wanted = known.sha256 if pinned else None
    path = _place(known.sha256)
    # A file that was damaged since is made anew.
    found = _there(path, wanted)
    if found is None:
        _unpack(known, path)
        found = Catalog(_connect(path), wanted)
    return found


def unpacked(sha256: str) -> Catalog | None:
    """A catalog that nobody kept but that an earlier plan left in the cache, for a lock that wants just this one."""
    return _there(_place(sha256), sha256)


def _place(sha256: str) -> Path:
    from stacks.home import cache

    return cache() / "catalog" / f"{sha256[:16]}.sqlite"


def _there(path: Path, pinned: str | None) -> Catalog | None:
    from compiler.catalog.shelf import Catalog

    if path.exists():
        with contextlib.suppress(sqlite3.Error, ValueError, KeyError):
            return Catalog(_connect(path), pinned)
    return None


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)


def _unpack(known: Snapshot, path: Path) -> None:
    """Whole or not at all, whoever else does the same at the same time."""
    import tempfile
    from lzma import LZMAError

    from compiler.catalog.package import PACKED, unpack

    source = PACKED if known.sha256 == shipped().sha256 else str(_packed(known))
    name = ""
    try:
        if source != PACKED:
            _verify(known, source)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".sqlite", dir=path.parent)
        os.close(handle)
        unpack(name, source)
        os.replace(name, path)
    except (LZMAError, sqlite3.DatabaseError, EOFError):
        raise Problems(_damaged(known, source)) from None
    except OSError as error:
        said = f"`{path.parent}` cannot be written: {error.strerror}"
        hint = "name another folder with SKYWRIGHT_CACHE"
        raise Problems(Problem("machine/cannot-write", said, hint=hint)) from None
    finally:
        if name:
            with contextlib.suppress(OSError):
                os.unlink(name)


def _verify(known: Snapshot, source: str) -> None:
    """Raises Problems machine/catalog-damaged when the kept file is not what it was."""
    import hashlib

    try:
        content = Path(source).read_bytes()
    except OSError:
        raise Problems(_damaged(known, source)) from None
    if hashlib.sha256(content).hexdigest() != known.sha256:
        raise Problems(_damaged(known, source))


def _damaged(known: Snapshot, source: str) -> Problem:
    said = f"the catalog of {known.date} ({known.short}) is not in `{source}` as it was written"
    hint = (
        "`skywright catalog update` makes a new one; without `current.json` beside it the shipped one is used"
    )
    return Problem("machine/catalog-damaged", said, hint=hint)


def _folder() -> Path:
    from stacks.home import home

    return home() / "catalog"


def _packed(known: Snapshot) -> Path:
    return _folder() / f"{known.date}-{known.sha256[:16]}.sqlite.xz"


def _read(path: Path) -> Snapshot | None:
    """What a small file says of a snapshot; None where there is none or it is not ours."""
    from stacks.home import read_json

    try:
        data: Any = read_json(path)
        return Snapshot(**{**data, "clouds": tuple(data["clouds"])}) if data else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
