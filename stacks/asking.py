"""A question to a cloud in a process of its own: `python -m stacks.asking`, question on stdin, answer on stdout.

Who asks has neither the cloud's SDK in memory nor its credentials in its own environment, and nothing that hangs in
there holds it up.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compiler.codec import decode, encode
from compiler.problem import Problem, Problems
from compiler.spec import Foundation, StackSpec
from stacks import operate
from stacks.cloud import ANYWHERE, Access, Check, NodeFacts, Scope

LONGEST_S = 75.0
"""A cloud answers within a minute; the rest is for starting."""

ROWS: Mapping[str, type] = {"inventory": NodeFacts, "check": Check}
"""What is answered with rows, and of which kind."""

UNSCOPED = frozenset({"check"})
ASKED = frozenset(
    {*ROWS, "access", "remove", "stop", "start", "preempt", "kill_agent", "verify", "write_secrets", "sweep"}
)
"""What may be asked: functions of stacks/cloud.py."""


def question(cloud: str, what: str, given: tuple[Any, ...], scope: Scope = ANYWHERE) -> bytes:
    """One question as the process reads it. `given` are the arguments before the scope."""
    if what not in ASKED:
        raise ValueError(what)
    return json.dumps({"cloud": cloud, "what": what, "given": given, "scope": encode(scope)}).encode()


def carry_out(asked: Mapping[str, Any]) -> Any:
    """The answer of the cloud, as its protocol says. Raises what it raises."""
    from stacks import cloud

    function = getattr(cloud(asked["cloud"]), asked["what"])
    if asked["what"] == "write_secrets":
        spec, values = asked["given"]
        return function(StackSpec.from_data(spec), values)
    if asked["what"] == "sweep":
        spec, known, look = asked["given"]
        kind = StackSpec if "deployment" in spec else Foundation
        return function(kind.from_data(spec), frozenset(known), decode(Scope, asked["scope"]), look)
    given = [tuple(one) if isinstance(one, list) else one for one in asked["given"]]
    return function(*given) if asked["what"] in UNSCOPED else function(*given, decode(Scope, asked["scope"]))


def read_answer(cloud: str, what: str, content: bytes) -> Any:
    """What the process said. Raises the Problems that it told, cloud/no-answer when it told nothing."""
    try:
        told = json.loads(content.rpartition(b"\n")[2] or content)
    except ValueError:
        raise Problems(_no_answer(cloud, what, "it ended without saying anything")) from None
    if "problems" in told:
        raise Problems(Problem.of(one) for one in told["problems"])
    found = told["answer"]
    if kind := ROWS.get(what):
        return tuple(decode(kind, row) for row in found)
    return decode(Access, found) if what == "access" else found


async def ask(
    cloud: str, what: str, *given: Any, scope: Scope = ANYWHERE, env: Mapping[str, str], folder: Path
) -> Any:
    """Ask with the variables of `env` beside our own, and wait without holding anything else up.

    `folder` is where the process runs: `-m` puts it first on sys.path, so never a user's. Raises Problems of the
    cloud, and cloud/no-answer. Whoever is cancelled leaves no process.
    """
    try:
        said = await spoken(
            "stacks.asking", question(cloud, what, given, scope), env=env, folder=folder, longest_s=LONGEST_S
        )
    except Silent as silent:
        raise Problems(_no_answer(cloud, what, str(silent))) from None
    return read_answer(cloud, what, said)


class Silent(Exception):
    """A process of ours that was asked said nothing; the text says why."""


async def spoken(
    module: str, sent: bytes, *, env: Mapping[str, str], folder: Path, longest_s: float
) -> bytes:
    """What `python -m module` says to `sent`, with the variables of `env` beside our own. Raises Silent."""
    import asyncio  # late: who answers has no use for it

    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env={**os.environ, **operate.own(env)},
    )
    try:
        said, errors = await asyncio.wait_for(child.communicate(sent), longest_s)
    except asyncio.TimeoutError:
        raise Silent(f"nothing in {longest_s:.0f} seconds") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if not said.strip():
        lines = errors.decode(errors="replace").strip().splitlines() or [f"exit code {child.returncode}"]
        raise Silent(lines[-1][:300])
    return said


def _no_answer(cloud: str, what: str, why: str) -> Problem:
    return Problem(
        "cloud/no-answer",
        f"{cloud} did not answer ({what.replace('_', ' ')}): {why}",
        hint=f"`invoke check {cloud}` says whether it can be reached from here",
    )


def main() -> int:
    """Answer what stands on stdin. What libraries print goes to stderr: stdout is for the answer alone."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.buffer.read())
    told: dict[str, Any]
    try:
        told = {"answer": encode(carry_out(asked))}
    except Problems as problems:
        told = {"problems": [one.to_data() for one in problems.problems]}
    except Exception as error:
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"
        told = {"problems": [_no_answer(asked["cloud"], asked["what"], why).to_data()]}
    answers.write(json.dumps(told))
    answers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
