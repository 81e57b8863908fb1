"""The entry: `agent.py MANIFEST` runs the agent of a node, `agent.py shim ...` one shim (the agent starts it).

`agent.py objects FOLDER` answers one question of control about the objects in a folder.
"""

from __future__ import annotations

import os
import sys


def start(args: list[str]) -> int:
    """Import only what is asked for: a shim must stay small."""
    if args[:1] == ["shim"]:
        from runtime.shim import main
    elif args[:1] == ["objects"]:
        from runtime.folder import main as objects

        return objects(args[1:])
    else:
        from runtime.loop import main
    return main(args)


if __name__ == "__main__":
    # On a node this folder lies under its hash: give it the package's name without importing anything.
    package = type(sys)("runtime")
    package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules["runtime"] = package
    sys.exit(start(sys.argv[1:]))
