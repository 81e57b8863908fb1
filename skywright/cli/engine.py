"""`engine`: which Pulumi CLI is used and why; gets one when there is none."""

from __future__ import annotations

from compiler.problem import Exit
from skywright.cli import screen
from skywright.cli.arguments import Values


def run(values: Values) -> int:
    """Find or get it, and say how."""
    from stacks import install

    engine = install.ensure(screen.say)
    if values.json:
        screen.data(
            {"path": str(engine.path), "version": engine.version, "how": engine.how.value, "why": engine.why}
        )
    else:
        screen.out(f"pulumi {engine.version}   {engine.path}")
        screen.out(f"  {engine.why}")
    return int(Exit.FINE)
