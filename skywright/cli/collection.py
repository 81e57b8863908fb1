"""The verbs as invoke sees them: a Collection of tasks with lazy bodies, and the Program that serves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.program import Program as InvokeProgram
from invoke.tasks import Task

from skywright import __version__
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.flags import Flag, Kind, Verb
from skywright.cli.program import describe, guarded, joined, run_verb, run_words
from skywright.cli.verbs import VERBS, find

KINDS = {Kind.SWITCH: bool, Kind.TEXT: str, Kind.WHOLE: int, Kind.NUMBER: float, Kind.MANY: list}


class VerbTask(Task[Callable[..., None]]):
    """An invoke task whose arguments come from the table of verbs instead of from a signature."""

    def __init__(self, verb: Verb, called: str | None = None) -> None:
        self.verb = verb
        super().__init__(_body(verb, called), name=verb.name, aliases=verb.aliases, positional=())

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Words come first and positional (where invoke can place them), then flags."""
        words = [
            Argument(
                name=word.name,
                kind=list if word.many and word.optional else str,
                default=() if word.many and word.optional else None,
                help=word.help,
                positional=not word.optional,
            )
            for word in self.verb.words
        ]
        return words + [_argument(flag) for flag in self.verb.flags]


def _argument(flag: Flag) -> Argument:
    names = (flag.name, *((flag.short,) if flag.short else ()), *flag.also)
    default = () if flag.kind is Kind.MANY else None
    attribute = flag.dest if flag.dest != flag.name else None
    return Argument(names=names, kind=KINDS[flag.kind], default=default, help=flag.help, attr_name=attribute)


def _body(verb: Verb, called: str | None) -> Callable[..., None]:
    def body(context: Context, /, **given: Any) -> None:
        screen.PROGRAM = called or screen.PROGRAM
        # invoke's parser fills words before it looks at flags that are its own.
        if any(given[word.name] in ("--help", "-h") for word in verb.words):
            screen.out(describe(verb, screen.PROGRAM))
            return
        for word in verb.words:
            if word.many and isinstance(given[word.name], str):
                given[word.name] = (given[word.name],)
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        values = Values(verb.name, verb.name, given)
        code = guarded(lambda: run_verb(verb, values), as_data=bool(given.get("json")))
        if code:
            raise Exit(code=code)

    body.__doc__ = verb.help + "."
    body.__name__ = verb.name.replace("-", "_")
    return body


def collection(extra: tuple[Verb, ...] = (), called: str | None = None) -> Collection:
    """All verbs as an invoke Collection (what tasks.py offers to plain `invoke`); `called` is the program's name."""
    made = Collection()
    for verb in VERBS + extra:
        made.add_task(VerbTask(verb, called))
    return made


class Program(InvokeProgram):
    """invoke's Program with our parser for our verbs: core flags before the verb are invoke's."""

    def __init__(self, verbs: tuple[Verb, ...], name: str) -> None:
        self.verbs = verbs
        namespace = collection(tuple(verb for verb in verbs if verb not in VERBS))
        super().__init__(version=__version__, namespace=namespace, name="skywright", binary=name)

    def parse_tasks(self) -> None:
        words = joined(self.core.unparsed)
        if (
            not words
            or find(words[0], self.verbs) is None
            or self.args.help.value
            or self.args.complete.value
        ):
            super().parse_tasks()
            return
        remainder = ["--", *self.core.remainder.split()] if self.core.remainder else []
        raise Exit(code=run_words(self.verbs, [*words, *remainder], self.binary))


def program(verbs: tuple[Verb, ...], name: str) -> Program:
    """The Program for these verbs, called `name` in its help."""
    return Program(verbs, name)
