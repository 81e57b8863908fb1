"""The entry: `agent.py MANIFEST` runs the agent of a node, `agent.py shim ...` one shim (the agent starts it)."""

from __future__ import annotations

import os
import sys


def start(args: list[str]) -> int:
    """Import only what is asked for: a shim must stay small."""
    if args[:1] == ["shim"]:
        from runtime.shim import main
    else:
        from runtime.loop import main
    return main(args)


if __name__ == "__main__":
    # On a node this folder lies under its hash: give it the package's name without importing anything.
    package = type(sys)("runtime")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["runtime"] = package
    sys.exit(start(sys.argv[1:]))
