"""Verbs for state and its keepers: what hands a stack over, and control itself. Imports nothing of the product."""

from __future__ import annotations

from skywright.cli.flags import JSON, NAME, YES, Flag, Kind, Positional, Verb, text

EJECT_DOC = """Every resource is written out, with the classes of its SDK and without skywright. A plain
`pulumi preview` of the project shows no change."""

CONTROL_DOC = """Control starts by itself when a command needs it. Served over PostgreSQL it may run several times, and
each deployment is looked after by one of them: docs/control.md."""

STATE_VERBS: tuple[Verb, ...] = (
    Verb(
        "eject",
        "Write a deployment's stack as a plain Pulumi project that takes it over",
        "eject",
        (NAME, Positional("folder", "where the project is written")),
        (Flag("release", "forget the deployment here; its cloud is not touched"), YES, JSON),
        doc=EJECT_DOC,
    ),
    Verb(
        "control",
        "Show where control is; `serve` runs one here, for a team over PostgreSQL",
        "control",
        (Positional("action", "serve; without: what is running", optional=True),),
        (
            text("store", "serve: where its rows are, postgresql://USER@HOST/DATABASE or local", "URL"),
            Flag("port", "serve: where it listens (default: a free one)", kind=Kind.WHOLE, value="PORT"),
            JSON,
        ),
        doc=CONTROL_DOC,
    ),
)
