"""The boot stub of a machine that becomes an image: fetches the agent, runs the recipe, and goes down when all is well.

Packed like `boot`, of which it uses what it needs; `B` holds the constants of stacks/boot.py and the recipe.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any, Callable

from runtime.image.boot import agent, say


def bake(given: dict[str, Any], fetch: Callable[[str], bytes]) -> None:
    """A machine that does not stop by itself has failed, and its console says why."""
    folder = os.path.dirname(agent(given["agent"], fetch))
    done = subprocess.run(
        ["/bin/sh", "-c", given["recipe"], "recipe.sh", "machine", folder], capture_output=True
    )
    if done.returncode:
        say("the recipe failed: " + done.stderr.decode("utf-8", "replace")[-2000:])
    else:
        say("this machine is an image now")
        subprocess.call(["poweroff"])
