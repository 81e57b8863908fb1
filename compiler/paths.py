"""Paths of a task: what may stand on the user's side, and where on a node something may go."""

from __future__ import annotations

import posixpath
import re

WORKDIR = "~/sky_workdir"

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def scheme(text: str) -> str | None:
    """`s3` of `s3://bucket/path`; None for a local path."""
    found = _URI.match(text.strip())
    return found[1].lower() if found else None


def target(text: str) -> str:
    """A path on the node, made plain: it begins with `/` or `~/` (a relative one lies in the workdir).

    Raises ValueError with a sentence for one that leads out of where it begins, or is no place for files.
    """
    if text.startswith("~") and text != "~" and not text.startswith("~/"):
        raise ValueError("the home of another user cannot be a target")
    base, inside = "/", text
    if text == "~" or text.startswith("~/"):
        base, inside = "~", text[1:].lstrip("/")
    elif not text.startswith("/"):
        base = WORKDIR
    depth = 0
    for part in inside.split("/"):
        if part == "..":
            depth -= 1
        elif part not in ("", "."):
            depth += 1
        if depth < 0:
            raise ValueError("`..` leads out of " + {"/": "`/`", "~": "the home"}.get(base, "the workdir"))
    plain = posixpath.normpath(inside.lstrip("/")) if inside.strip("/") else "."
    if plain == "." and base in ("/", "~"):
        raise ValueError("it would replace everything there; name a folder below it")
    joined = base if plain == "." else posixpath.join(base, plain)
    if joined.split("/")[1:2] in (["proc"], ["sys"], ["dev"]) and base == "/":
        raise ValueError("the system's own folders cannot be a target")
    return joined


def within(path: str, folder: str) -> bool:
    """Is `path` the folder, or inside it? Both made plain by `target`."""
    return path == folder or path.startswith(folder + "/")


def variables(text: str) -> tuple[str, ...]:
    """Names that stand as `$NAME` or `${NAME}` in `text`."""
    return tuple(found[1] or found[2] for found in _VARIABLE.finditer(text))


def fill(text: str, values: dict[str, str]) -> str:
    """`text` with `$NAME` and `${NAME}` replaced by values that are known; others stay as they are."""

    def one(found: re.Match[str]) -> str:
        return values.get(found[1] or found[2], found[0])

    return _VARIABLE.sub(one, text)
