"""The program: from argv to a verb's `run`, with problems, exit codes and crashes in one place.

Product verbs are parsed by our own table (invoke's parser cannot take SkyPilot's argument order) and run
without importing invoke; everything else (core flags, completion) is invoke's Program.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from compiler.problem import Exit, Problem, Problems
from skywright import __version__
from skywright.cli import screen
from skywright.cli.arguments import Values, parse, usage
from skywright.cli.flags import GROUPS, Kind, Positional, Verb
from skywright.cli.verbs import VERBS, find

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""Errors of the place that something is written to."""

if TYPE_CHECKING:
    from skywright.cli.collection import Program


def main(argv: Sequence[str] | None = None, *, name: str = "skywright", extra: tuple[Verb, ...] = ()) -> int:
    """Run one command line (default: the process's); its exit code. `extra` are verbs of the checkout."""
    words = list(sys.argv[1:] if argv is None else argv)
    screen.PROGRAM = name
    verbs = VERBS + extra
    first = words[0] if words else "--help"
    if first in ("--list", "-l", "--help", "-h", "help") and len(words) <= 1:
        return guarded(lambda: _print(overview(verbs, name)), as_data=False)
    if first in ("--version", "-V") and len(words) == 1:
        return guarded(lambda: _print(f"skywright {__version__}"), as_data=False)
    if first == "--help" or first == "help":
        words = [*words[1:], "--help"]
        first = words[0]
    if not first.startswith("-"):
        return run_words(verbs, words, name)
    from skywright.cli.collection import program

    program(verbs, name).run([name, *words])
    return int(Exit.FINE)


def run_words(verbs: tuple[Verb, ...], words: Sequence[str], name: str) -> int:
    """Run `words`, the first of which is a verb."""
    as_data = "--json" in words
    words = joined(words)
    verb = find(words[0], verbs)

    def act() -> int:
        if words[0] in GROUPS and (len(words) == 1 or words[1] in ("-h", "--help")):
            return _print(
                overview(tuple(one for one in verbs if one.spoken.startswith(f"{words[0]} ")), name)
            )
        if verb is None:
            raise Problems(_unknown_verb(words[0], verbs))
        values = parse(verb, words[1:], called=words[0])
        if values.help:
            return _print(describe(verb, name))
        return run_verb(verb, values)

    return guarded(act, as_data=as_data)


def joined(words: Sequence[str]) -> Sequence[str]:
    """With the two words of a verb as one: `jobs launch` as `jobs-launch`."""
    if len(words) > 1 and words[0] in GROUPS and not words[1].startswith("-"):
        return [f"{words[0]}-{words[1]}", *words[2:]]
    return words


def run_verb(verb: Verb, values: Values) -> int:
    """Import the verb's module and run it."""
    import importlib

    module = verb.module if "." in verb.module else f"skywright.cli.{verb.module}"
    return int(importlib.import_module(module).run(values))


def guarded(act: Callable[[], int], *, as_data: bool) -> int:
    """Exit code of `act()`: problems are printed, a broken pipe is quiet, our own bug leaves a file."""
    try:
        return int(act())
    except Problems as found:
        return screen.problems(found, as_data=as_data)
    except BrokenPipeError:
        # Nobody reads any more; the interpreter must not try to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.FINE)
    except OSError as error:
        if error.errno not in NO_ROOM:
            return _crashed(error)
        return _cannot_write(error, as_data=as_data)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return int(Exit.INTERRUPTED)
    except Exception as error:
        return _crashed(error)


def _cannot_write(error: OSError, *, as_data: bool) -> int:
    """A full disk is nobody's bug, whether it is stdout that goes there or a file of ours."""
    what = f"`{error.filename}`" if error.filename else "a result"
    found = Problem("machine/cannot-write", f"{what} cannot be written: {error.strerror}")
    if not error.filename:
        # What stays in the buffer of stdout must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        as_data = False
    return screen.problems(Problems(found), as_data=as_data)


def _crashed(error: Exception) -> int:
    import tempfile
    import time
    import traceback

    text = "".join(traceback.format_exception(error))
    stamp = time.strftime("%Y%m%d-%H%M%S")
    try:
        from stacks.home import home

        folder = home() / "crashes"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = str(folder / f"{stamp}-{os.getpid()}.txt")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    except Exception:
        descriptor, path = tempfile.mkstemp(prefix="skywright-crash-", suffix=".txt")
        with open(descriptor, "w") as file:
            file.write(text)
    last = traceback.format_exception_only(error)[-1].strip()
    sys.stderr.write(
        f"error: skywright itself failed, this is our bug: {last}\n  the details are in {path}\n"
    )
    return int(Exit.BUG)


def _unknown_verb(word: str, verbs: tuple[Verb, ...]) -> Problem:
    import difflib

    names = {name: verb.spoken for verb in verbs for name in (verb.name, *verb.aliases)}
    near = difflib.get_close_matches(word, names, n=1)
    meant = names[near[0]] if near and near[0].partition("-")[0] in GROUPS else (near or [""])[0]
    hint = f"did you mean `{meant}`?" if near else "all commands: --list"
    word = word.replace("-", " ", 1) if word.partition("-")[0] in GROUPS else word
    return Problem("usage/unknown-command", f"`{word}` is not a command", hint=hint)


def _print(text: str) -> int:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return int(Exit.FINE)


def overview(verbs: tuple[Verb, ...], name: str) -> str:
    """All verbs with a line each."""
    shown = [", ".join((verb.spoken, *verb.aliases)) for verb in verbs]
    width = max(map(len, shown))
    lines = [f"{name} {__version__}: an infrastructure compiler for AI workloads", "", "Commands:", ""]
    lines += [f"  {spelt.ljust(width)}  {verb.help}" for spelt, verb in zip(shown, verbs, strict=True)]
    lines += ["", f"Start with: {name} up examples/hello.yaml      More on one: {name} COMMAND --help"]
    return "\n".join(lines)


def describe(verb: Verb, name: str) -> str:
    """Help of one verb."""
    lines = [f"Usage: {usage(verb, name)}", "", verb.help + "."]
    if verb.aliases:
        lines[-1] += f" Also: {', '.join(verb.aliases)}."
    if verb.doc:
        lines += ["", *verb.doc.splitlines()]
    if verb.words:
        lines.append("")
        width = max(len(word.name) for word in verb.words)
        lines += [f"  {word.name.upper().ljust(width)}   {word.help}{_among(word)}" for word in verb.words]
    rows = []
    for flag in verb.flags:
        short = f"-{flag.short}, " if flag.short else "    "
        value = "" if flag.kind is Kind.SWITCH else f" {flag.value}"
        also = "".join(f", --{other}" for other in (*flag.also, flag.off) if other)
        rows.append((f"{short}--{flag.name}{also}{value}", flag.help))
    rows.append(("-h, --help", "show this"))
    width = min(44, max(len(spelt) for spelt, _ in rows))
    lines += ["", "Flags:"]
    for spelt, text in rows:
        if len(spelt) > width:
            lines += [f"  {spelt}", f"  {' ' * width}  {text}"]
        else:
            lines.append(f"  {spelt.ljust(width)}  {text}")
    return "\n".join(lines)


def invoke_program(name: str, extra: tuple[Verb, ...] = ()) -> Program:
    """The same commands as an invoke Program, for those who embed it."""
    from skywright.cli.collection import program

    return program(VERBS + extra, name)


def _among(word: Positional) -> str:
    """What a word is one of, where installing something adds to it."""
    if word.name not in ("cloud", "clouds"):
        return ""
    from stacks import CLOUDS

    return f" ({', '.join(CLOUDS)})"
