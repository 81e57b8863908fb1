"""Command line words to values, the way SkyPilot's users type them: `parse(verb, words)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from compiler.problem import Problem, Problems
from skywright.cli.flags import Flag, Kind, Positional, Verb


@dataclass(frozen=True, slots=True)
class Values:
    """What was given: every flag and word of the verb by name, None (or an empty tuple) when it was not.

    `verb` is the verb's own name, `called` the word that was typed; `help` says that help was asked for.
    """

    verb: str
    called: str
    given: dict[str, Any]
    help: bool = False

    def __getattr__(self, name: str) -> Any:
        try:
            return self.given[name]
        except KeyError:
            raise AttributeError(name) from None


def parse(verb: Verb, words: Sequence[str], called: str | None = None) -> Values:
    """Values of `words`. Raises Problems with codes usage/...

    Flags and words mix; `--` ends flags; short switches glue (`-yd`); of a repeated flag the last wins,
    except for flags that collect.
    """
    reader = _Reader(verb, list(words))
    reader.read()
    called = called or verb.name
    if reader.help:
        return Values(verb.name, called, reader.given, help=True)
    reader.place_words()
    return Values(verb.name, called, reader.given)


class _Reader:
    def __init__(self, verb: Verb, words: list[str]) -> None:
        self.verb = verb
        self.queue = words
        self.words: list[str] = []
        self.help = False
        self.given: dict[str, Any] = {
            flag.dest: () if flag.kind is Kind.MANY else None for flag in verb.flags
        }
        self.long: dict[str, tuple[Flag, bool]] = {}
        self.short: dict[str, Flag] = {}
        for flag in verb.flags:
            for name in (flag.name, *flag.also):
                self.long[name] = (flag, True)
            if flag.off:
                self.long[flag.off] = (flag, False)
            if flag.short:
                self.short[flag.short] = flag

    def read(self) -> None:
        while self.queue:
            word = self.queue.pop(0)
            if word == "--":
                self.words.extend(self.queue)
                self.queue.clear()
            elif word.startswith("--"):
                self._long(word)
            elif len(word) > 1 and word[0] == "-" and not _is_number(word):
                self._short(word)
            else:
                self.words.append(word)

    def _long(self, word: str) -> None:
        name, equals, value = word[2:].partition("=")
        if name == "help":
            self.help = True
            return
        found = self.long.get(name)
        if found is None:
            raise Problems(self._unknown(word, name))
        flag, yes = found
        if flag.kind is Kind.SWITCH:
            if equals:
                raise Problems(_problem("usage/flag-value", f"`--{name}` takes no value"))
            self.given[flag.dest] = yes
        else:
            self._store(flag, f"--{name}", value if equals else self._next(f"--{name}", flag))

    def _short(self, word: str) -> None:
        rest = word[1:]
        while rest:
            letter, rest = rest[0], rest[1:]
            flag = self.short.get(letter)
            if flag is None and letter == "h":
                self.help = True
                continue
            if flag is None:
                raise Problems(self._unknown(word, word.lstrip("-").partition("=")[0]))
            if flag.kind is Kind.SWITCH:
                self.given[flag.dest] = True
                continue
            value = rest.removeprefix("=") if rest else self._next(f"-{letter}", flag)
            self._store(flag, f"-{letter}", value)
            return

    def _next(self, spelt: str, flag: Flag) -> str:
        if not self.queue:
            raise Problems(_problem("usage/flag-value", f"`{spelt}` needs a value: {spelt} {flag.value}"))
        return self.queue.pop(0)

    def _store(self, flag: Flag, spelt: str, text: str) -> None:
        if flag.choices and text not in flag.choices:
            says = f"`{spelt}` wants {' or '.join(flag.choices)}, not `{text}`"
            raise Problems(_problem("usage/flag-value", says))
        if flag.kind is Kind.MANY:
            self.given[flag.dest] = (*self.given[flag.dest], text)
        elif flag.kind is Kind.TEXT:
            self.given[flag.dest] = text
        else:
            try:
                value = int(text) if flag.kind is Kind.WHOLE else float(text)
            except ValueError:
                raise Problems(
                    _problem("usage/flag-value", f"`{spelt}` wants a {flag.kind.value}, not `{text}`")
                ) from None
            self.given[flag.dest] = value

    def _unknown(self, word: str, name: str) -> Problem:
        if name in self.verb.later:
            return _problem(
                "usage/not-supported-yet", f"`--{name}` of `{self.verb.spoken}` is not supported yet"
            )
        import difflib

        near = difflib.get_close_matches(name, self.long, n=1)
        hints = [f"did you mean `--{near[0]}`?"] if near else []
        if any(positional.many for positional in self.verb.words) and self.words:
            hints.append("flags of a command of your own go behind `--`")
        hints.append(f"all flags: {self.verb.spoken} --help")
        return _problem(
            "usage/unknown-flag", f"`{self.verb.spoken}` has no flag `{word.partition('=')[0]}`", hints
        )

    def place_words(self) -> None:
        words = self.words
        for positional in self.verb.words:
            instead = self.given[positional.unless] if positional.unless else None
            if instead is not None and not (positional.many and words):
                self.given[positional.name] = (instead,) if positional.many else instead
            elif positional.many:
                self.given[positional.name] = tuple(words)
                if not words and not positional.optional:
                    raise Problems(self._missing(positional))
                words = []
            elif words:
                self.given[positional.name] = words[0]
                words = words[1:]
            elif positional.optional:
                self.given[positional.name] = None
            else:
                raise Problems(self._missing(positional))
        if words:
            raise Problems(
                _problem(
                    "usage/too-many-words",
                    f"`{self.verb.spoken}` takes no word `{words[0]}`",
                    [usage(self.verb)],
                )
            )

    def _missing(self, positional: Positional) -> Problem:
        return _problem(
            "usage/missing-word", f"`{self.verb.spoken}` needs {positional.help}", [usage(self.verb)]
        )


def usage(verb: Verb, program: str = "") -> str:
    """`up [flags] FILE|COMMAND...`, on one line."""
    parts = [program, verb.spoken, "[flags]"]
    for positional in verb.words:
        name = positional.name.upper() + ("..." if positional.many else "")
        parts.append(f"[{name}]" if positional.optional else name)
    return " ".join(part for part in parts if part)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _problem(code: str, message: str, hints: Sequence[str] = ()) -> Problem:
    return Problem(code, message, hint="\n".join(hints) or None)
