"""`python -m tests.components [NAME ...]`: makes the components that are named, or all, and says what cannot be had."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tests.components.building import ensure_all
from tests.components.table import COMPONENTS


def main(names: Sequence[str]) -> int:
    """Under CI everything must be had; elsewhere what cannot be is said, and its tests skip."""
    chosen = [COMPONENTS[name]() for name in names or COMPONENTS]
    failed = ensure_all(chosen, lambda text: print(text, flush=True))
    for name, why in sorted(failed.items()):
        print(f"{name}: not here: {why}", flush=True)
    return 1 if failed and (names or os.environ.get("CI") == "true") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
