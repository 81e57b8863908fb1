"""`config`: every setting that holds here, the file it comes from, and what a stronger file hides."""

from __future__ import annotations

from pathlib import Path

from compiler.problem import Exit
from skywright.cli import screen
from skywright.cli.arguments import Values


def run(values: Values) -> int:
    """Print the settings for a task file, or for the folder we are in."""
    from skywright import config
    from skywright.cli.settings import project

    start = Path(values.file).expanduser().absolute().parent if values.file else Path.cwd()
    found = config.read(start)
    # A default of `secrets` is shown by its name alone.
    rows = [
        (one.key, "…" if one.key.startswith("defaults.secrets") else one.value, one.origin, one.holds)
        for one in found.said
    ]
    if not any(key == "project" for key, *_ in rows):
        rows.insert(0, ("project", project(start), "default", True))
    if values.json:
        screen.data(
            {
                "settings": [
                    {"key": key, "value": value, "from": origin, "holds": holds}
                    for key, value, origin, holds in rows
                ],
                "unused": [{"key": key, "from": origin} for key, origin in found.unused],
            }
        )
        return int(Exit.FINE)
    shown = [
        (key, str(value), origin if holds else f"{origin} (a stronger one holds)")
        for key, value, origin, holds in rows
    ]
    screen.show_table(("SETTING", "VALUE", "FROM"), shown)
    for key, origin in found.unused:
        screen.say(f"  no meaning here: {key} of {origin}")
    return int(Exit.FINE)
