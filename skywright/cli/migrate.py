"""`migrate`: rewrites old forms of task files in place; comments stay."""

from __future__ import annotations

from pathlib import Path

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.taskfile import read_file


def run(values: Values) -> int:
    """Rewrite each file, or with --dryrun say what would change. Raises Problems task/..., machine/cannot-write."""
    from compiler.migrate import migrate
    from stacks import CLOUDS, home

    results = []
    for word in values.files:
        content = read_file(word)
        made = migrate(content, word, clouds=tuple(CLOUDS))
        results.append(
            {"file": word, "changes": list(made.done), "left": [hint.to_data() for hint in made.left]}
        )
        if made.content != content and not values.dryrun:
            path = Path(word).expanduser().resolve()
            try:
                home.write(path, made.content, mode=path.stat().st_mode & 0o777)
            except OSError as error:
                says = f"`{word}` cannot be written: {error.strerror}"
                raise Problems(Problem("machine/cannot-write", says)) from None
        if not values.json:
            for text in made.done:
                screen.out(text)
            for hint in made.left:
                screen.remark("by hand", hint)
            if not made.done and not made.left:
                screen.out(f"{word}: nothing to rewrite")
    if values.json:
        screen.data({"files": results})
    return int(Exit.FINE)
