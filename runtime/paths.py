"""Where a path of the task lies on this node."""

from __future__ import annotations

import os


def target(path: str, home: str) -> str:
    """A path of the task on this node: `~` is its home, and a relative one starts in the working directory."""
    if path == "~" or path.startswith("~/"):
        return os.path.normpath(os.path.join(home, path[2:]))
    return os.path.normpath(os.path.join(home, "sky_workdir", path))
