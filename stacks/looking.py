"""Looks at one stack: its state beside what the cloud has, by the engine, which takes no lock and writes nothing.

`python -m stacks.looking` does it for somebody whose credentials it is given: question on stdin, answer on stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from compiler.codec import encode
from compiler.problem import Problem, Problems
from stacks import backend, carriers, cloud, install, lease, plugins, refusal, state
from stacks.drift import Drift, Property, Thing, broke, cloud_of
from stacks.engine import Session, StackName
from stacks.events import Listener

SHOWN = 60
"""Longer values are not shown: nobody reads them in a line."""


def look(env: Mapping[str, str], project: str, stack: str) -> Drift:
    """One stack of the backend of `env`, by the credentials there. No lock is taken and nothing is written.

    Raises Problems `cloud/...`, `engine/...`; control/no-such-deployment when the backend has no such stack.
    """
    settled = backend.settle(env)
    if writer := _writer(settled, project, stack):
        return Drift(stack, busy=writer)
    cli = install.ensure(lambda text: None)
    where = cloud_of(stack)
    if where == "local":
        plugins.keep(settled.pulumi_home)
    with tempfile.TemporaryDirectory(prefix="skywright-drift-") as folder:
        session = Session(cli.path, StackName(project, stack, where), settled, Path(folder) / "work")
        events = Path(folder) / "events"
        listener = Listener(lambda row: None)
        try:
            held = session.state()
            if held is None:
                raise Problems(_no_stack(stack))
            session.look(events)
        except refusal.Refused as refused:
            for event in _read(events):
                listener.hear(event)
            raise Problems(refusal.problem(refused, listener.errors, cloud(where))[0]) from None
        lost, changed = _sorted(_read(events))
    return Drift(stack, lost, changed, tuple(sorted(held.ids)))


def _writer(settled: backend.Backend, project: str, stack: str) -> str:
    with contextlib.suppress(OSError):  # who may only read has not to be able to
        return lease.writer(carriers.carrier(settled.folder, settled.url), project, stack)
    return ""


def _no_stack(stack: str) -> Problem:
    return Problem(
        "control/no-such-deployment",
        f"the state backend has no stack `{stack}`",
        hint="`PULUMI_BACKEND_URL` says which backend is asked",
    )


def _read(events: Path) -> list[dict[str, Any]]:
    if not events.exists():
        return []
    return [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines() if line.strip()]


def _sorted(events: Iterable[Mapping[str, Any]]) -> tuple[tuple[Thing, ...], tuple[Thing, ...]]:
    """(lost, changed), in the order of names."""
    lost, changed = [], []
    for event in events:
        told = (event.get("resOutputsEvent") or {}).get("metadata")
        if not told or not state.counted(told["type"]):
            continue
        old, new = told.get("old") or {}, told.get("new") or {}
        thing = Thing(state.name(told["urn"]), told["type"], old.get("id", ""))
        if told["op"] == "delete":
            lost.append(thing)
        elif told["op"] == "update":
            changed.append(Thing(thing.resource, thing.kind, thing.id, tuple(_properties(told, old, new))))
    return tuple(sorted(lost, key=_by_name)), tuple(sorted(changed, key=_by_name))


def _by_name(thing: Thing) -> tuple[int, str]:
    number = state.rank(f"::{thing.resource}")
    return (-1 if number is None else number), thing.resource


def _properties(
    told: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterable[Property]:
    for path in sorted(told.get("detailedDiff") or told.get("diffs") or ()):
        inputs = (told.get("detailedDiff") or {}).get(path, {}).get("inputDiff")
        part = "inputs" if inputs else "outputs"
        yield Property(path, _value(old.get(part), path), _value(new.get(part), path))


def _value(values: Any, path: str) -> str:
    """A short text of what stands at a path; empty where there is none."""
    for step in _steps(path):
        if isinstance(values, Mapping):
            values = values.get(step)
        elif isinstance(values, list) and step.isdigit() and int(step) < len(values):
            values = values[int(step)]
        else:
            return ""
    if isinstance(values, (bool, int, float, str)):
        text = values if isinstance(values, str) else json.dumps(values)
        return text if len(text) <= SHOWN and "\n" not in text else ""
    return ""


def _steps(path: str) -> list[str]:
    """`tags["a.b"].c[0]` -> tags, a.b, c, 0: how the engine writes paths."""
    found, at = [], 0
    while at < len(path):
        if path.startswith('["', at):
            end = path.find('"]', at)
            end = len(path) if end < 0 else end
            found.append(path[at + 2 : end])
            at = end + 2
        elif path[at] in ".]":
            at += 1
        elif path[at] == "[":
            end = path.find("]", at)
            end = len(path) if end < 0 else end
            found.append(path[at + 1 : end])
            at = end + 1
        else:
            end = min(
                (found_at for mark in ".[" if (found_at := path.find(mark, at)) >= 0), default=len(path)
            )
            found.append(path[at:end])
            at = end
    return found


def main() -> int:
    """Answer what stands on stdin. What libraries print goes to stderr: stdout is for the answer alone."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.buffer.read())
    told: dict[str, Any]
    try:
        told = {"answer": encode(look(asked["env"], asked["project"], asked["stack"]))}
    except Problems as problems:
        told = {"problems": [one.to_data() for one in problems.problems]}
    except Exception as error:
        traceback.print_exc()
        told = {"problems": [broke(asked["stack"], f"{type(error).__name__}: {error}").to_data()]}
    answers.write(json.dumps(told))
    answers.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
