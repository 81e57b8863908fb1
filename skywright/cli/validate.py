"""`validate`: judges the text of task files, and nothing else."""

from __future__ import annotations

from compiler.problem import Exit, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.taskfile import read_file


def run(values: Values) -> int:
    """Check every file; the exit code is the first problem's."""
    from compiler.pipeline import load_all
    from stacks import CLOUDS

    code, results = int(Exit.FINE), []
    for word in values.files:
        try:
            found = load_all(read_file(word), word, clouds=tuple(CLOUDS))
        except Problems as wrong:
            code = code or int(wrong.exit)
            results.append(
                {"file": word, "ok": False, "problems": [problem.to_data() for problem in wrong.problems]}
            )
            if not values.json:
                screen.problems(wrong, as_data=False)
            continue
        needed = sorted({name for task in found.tasks for name in task.needed()})
        hints = [hint.to_data() for hint in found.hints]
        results.append({"file": word, "ok": True, "problems": [], "needed": needed, "hints": hints})
        if not values.json:
            for hint in found.hints:
                screen.remark("hint", hint)
            text = f"{word}: fine"
            if len(found.tasks) > 1:
                text += f", {len(found.tasks)} tasks"
            if needed:
                text += f"; still to be given: {', '.join(needed)}"
            screen.out(text)
    if values.json:
        screen.data({"files": results})
    elif len(results) > 1:
        bad = sum(1 for result in results if not result["ok"])
        screen.say(f"{screen.plural(len(results), 'file')}, {bad} wrong")
    return code
