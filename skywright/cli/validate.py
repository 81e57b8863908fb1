"""`validate`: judges the text of task files, and nothing else."""

from __future__ import annotations

from compiler.problem import Exit, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.taskfile import read_file


def run(values: Values) -> int:
    """Check every file; the exit code is the first problem's."""
    from compiler.load import load
    from stacks import CLOUDS

    code, results = int(Exit.FINE), []
    for word in values.files:
        try:
            task = load(read_file(word), word, clouds=tuple(CLOUDS))
        except Problems as found:
            code = code or int(found.exit)
            results.append(
                {"file": word, "ok": False, "problems": [problem.to_data() for problem in found.problems]}
            )
            if not values.json:
                screen.problems(found, as_data=False)
            continue
        needed = list(task.needed())
        results.append({"file": word, "ok": True, "problems": [], "needed": needed})
        if not values.json:
            text = f"{word}: fine"
            if needed:
                text += f"; still to be given: {', '.join(needed)}"
            screen.out(text)
    if values.json:
        screen.data({"files": results})
    elif len(results) > 1:
        wrong = sum(1 for result in results if not result["ok"])
        screen.say(f"{screen.plural(len(results), 'file')}, {wrong} wrong")
    return code
