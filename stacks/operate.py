"""Asking for an engine operation and watching it: it is a process with a folder, so it can be adopted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from compiler.problem import Problems
from compiler.spec import Foundation, StackSpec
from stacks import backend, home, process
from stacks.process import Identity


class Kind(str, Enum):
    """What an operation does to its stack."""

    UP = "up"
    PREVIEW = "preview"
    DESTROY = "destroy"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Request:
    """One wish about one stack.

    `lost` are ids of nodes known to be gone: `up` replaces what the state still shows of them. `env` holds
    the user's PULUMI_* variables, which win over our defaults, and those of the cloud's credentials. `secrets` are
    values for the containers that the stack makes. `purge` lets `destroy` forget what it cannot delete, `record` has a
    preview tell what the program registers. Env and secrets leave the folder when the operation ends.
    `policy` (stacks/rules/policy.py, as data) judges previews and `up`; `applied`: the last `up` was by just this spec.
    `founded` is what a preview of the same foundation gave a moment ago: a preview does not repeat it.
    """

    id: str
    kind: Kind
    spec: StackSpec | Foundation
    lost: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    purge: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    record: bool = False
    policy: Mapping[str, Any] = field(default_factory=dict)
    applied: bool = False
    founded: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", Kind(self.kind))

    def to_data(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.kind.value,
            "spec": self.spec.to_data(),
            "lost": list(self.lost),
            "env": dict(self.env),
            "purge": self.purge,
            "secrets": dict(self.secrets),
            "record": self.record,
            "policy": dict(self.policy),
            "applied": self.applied,
            "founded": dict(self.founded),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Request:
        return cls(
            id=data["id"],
            kind=Kind(data["kind"]),
            spec=(StackSpec if "deployment" in data["spec"] else Foundation).from_data(data["spec"]),
            lost=tuple(data.get("lost", ())),
            env=dict(data.get("env", {})),
            purge=bool(data.get("purge", False)),
            secrets=dict(data.get("secrets", {})),
            record=bool(data.get("record", False)),
            policy=dict(data.get("policy") or {}),
            applied=bool(data.get("applied", False)),
            founded=dict(data.get("founded") or {}),
        )


PLACES = ("SKYWRIGHT_CACHE",)
"""Variables of the user's that say where things are kept."""

ENGINES = "PULUMI_"
"""Variables that the engine alone follows; the operation's own process follows all others of a request."""

REQUEST, OWNER, EVENTS, RESULT = "request.json", "owner.json", "events.jsonl", "result.json"
"""Files of an operation's folder."""

ROOM = "room"
"""Takes space until the result is written, so that a full disk can still be told."""
ROOM_BYTES = 64 * 1024


def start(request: Request, folder: Path) -> Identity:
    """Write the request and start its process, detached from this one. Returns at once.

    Starting a folder again whose process was killed repeats the request; the lease keeps two from meeting.
    Raises Problems machine/disk-full, engine/backend-unreachable when the folder cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / RESULT).unlink(missing_ok=True)
        home.write_json(folder / REQUEST, request.to_data())
    except OSError as error:
        raise Problems(backend.refused(error)) from None
    with open(folder / "output.txt", "ab") as output:
        # Started in its own folder: `-m` puts the working directory first on sys.path.
        child = subprocess.Popen(
            [sys.executable, "-m", "stacks.operation", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**os.environ, **own(request.env)},
            start_new_session=True,
        )
    who = process.identity(child.pid)
    home.write_json(folder / OWNER, who.to_data())
    # Somebody has to collect its exit status, or it stays as a zombie.
    threading.Thread(target=child.wait, name=f"operation-{child.pid}", daemon=True).start()
    return who


def own(env: Mapping[str, str]) -> dict[str, str]:
    """What a process of ours follows of a request's variables; the engine follows the others."""
    return {name: value for name, value in env.items() if not name.startswith(ENGINES)}


def settle_in(folder: Path) -> None:
    """Say whose the folder is, and keep some space for the result."""
    home.write_json(folder / OWNER, process.identity().to_data())
    (folder / ROOM).write_bytes(b"\0" * ROOM_BYTES)


def finish(folder: Path, request: Request, result: Mapping[str, Any]) -> None:
    """Write the result; the request loses the environment, which may hold a passphrase."""
    (folder / ROOM).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        home.write_json(folder / REQUEST, {**request.to_data(), "env": {}, "secrets": {}})
    home.write_json(folder / RESULT, result)


def read(folder: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Whole events since byte `offset`, and the offset to ask from next time."""
    try:
        with open(folder / EVENTS, "rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return [], offset
    whole = content[: content.rfind(b"\n") + 1]
    events = []
    for line in whole.splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:  # what a power cut left
            continue
    return events, offset + len(whole)


def owner(folder: Path) -> Identity | None:
    """The process that carries out, or carried out, the operation."""
    data = home.read_json(folder / OWNER)
    return Identity.from_data(data) if data else None


def result(folder: Path) -> dict[str, Any] | None:
    """What came out, or None while it runs (or after it was killed: see `running`)."""
    data: dict[str, Any] | None = home.read_json(folder / RESULT)
    return data


def running(folder: Path) -> bool:
    """Is its process alive?"""
    who = owner(folder)
    return who is not None and process.alive(who)


def stop(folder: Path) -> None:
    """Ask the operation to end soon and cleanly; it still writes a result."""
    if who := owner(folder):
        process.send(who, signal.SIGTERM)
