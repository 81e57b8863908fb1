"""Verbs for state in other hands: what hands a stack over. Imports nothing of the product."""

from __future__ import annotations

from skywright.cli.flags import JSON, NAME, YES, Flag, Positional, Verb

EJECT_DOC = """Every resource is written out, with the classes of its SDK and without skywright. A plain
`pulumi preview` of the project shows no change."""

STATE_VERBS: tuple[Verb, ...] = (
    Verb(
        "eject",
        "Write a deployment's stack as a plain Pulumi project that takes it over",
        "eject",
        (NAME, Positional("folder", "where the project is written")),
        (Flag("release", "forget the deployment here; its cloud is not touched"), YES, JSON),
        doc=EJECT_DOC,
    ),
)
