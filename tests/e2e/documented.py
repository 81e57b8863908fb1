"""A walk in a document as a test: its files are written, its commands run, and what it shows has to come.

In the section of that title a block of YAML whose first line is `# NAME` is that file. In a block `console` lines that
begin with `$ ` are commands; the lines below one stand in its output in this order, `…` for anything on a line, a lone
`…` for any lines, and `(exit N)` is its exit code.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class File:
    name: str
    content: str


@dataclass(frozen=True)
class Command:
    line: int
    text: str
    shown: tuple[str, ...] = ()
    code: int = 0


def steps(document: Path, title: str) -> Iterator[File | Command]:
    """What a reader of the section does, in order."""
    lines = document.read_text().splitlines()
    start = lines.index(f"## {title}")
    block: list[str] = []
    kind = ""
    for number, line in enumerate(lines[start + 1 :], start + 2):
        if not kind and line.startswith("## "):
            return
        if line.startswith("```"):
            if kind == "yaml" and block[0].startswith("# "):
                yield File(block[0][2:].split()[0], "\n".join(block[1:]) + "\n")
            if kind == "console":
                yield from _commands(block, number - len(block))
            kind, block = ("" if kind else line[3:].strip() or "text"), []
        elif kind:
            block.append(line)


def _commands(block: list[str], first: int) -> Iterator[Command]:
    found: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(block, first):
        if line.startswith("$ "):
            found.append((number, line[2:], []))
        elif line.strip():
            found[-1][2].append(line)
    for number, text, shown in found:
        code = re.fullmatch(r"\(exit (\d+)\)", shown[-1]) if shown else None
        yield Command(number, text, tuple(shown[:-1] if code else shown), int(code[1]) if code else 0)


def run(command: Command, folder: Path, env: dict[str, str], timeout: float = 180) -> str:
    """Its output, stdout and stderr as they came."""
    done = subprocess.run(
        ["bash", "-c", command.text],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    check(command, done.returncode, done.stdout)
    return done.stdout


def check(command: Command, code: int, output: str) -> None:
    """Whether it ended as the document says, with what the document shows."""
    where = f"line {command.line}: {command.text}"
    assert code == command.code, f"{where}: exit {code}, not {command.code}\n{output}"
    rest = output.splitlines()
    for shown in command.shown:
        if shown.strip() == "…":
            continue
        form = re.compile(".*".join(re.escape(part) for part in shown.strip().split("…")))
        place = next((at for at, line in enumerate(rest) if form.fullmatch(line.strip())), None)
        assert place is not None, f"{where}: {shown!r} is not shown\n{output}"
        rest = rest[place + 1 :]
