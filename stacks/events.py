"""Engine events become rows that people and control read: resources, diagnostics, changes and steps."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stacks import refusal, state

Row = dict[str, Any]
Tell = Callable[[Row], None]

OPS = {
    "create": "create",
    "update": "update",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "delete",
    "delete": "delete",
    "same": "same",
    "read": "read",
    "refresh": "read",
    "import": "create",
}
"""The engine's steps in our words; steps that are not here mean nothing to people."""

PARTS = ("create-replacement", "delete-replaced")
"""Steps of which a `replace` consists: shown while they run, not counted beside it."""


class Listener:
    """Folds the engine's events: `hear` each, then read `changes`, `steps`, `errors` and `outputs`."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._said: set[tuple[str, str]] = set()
        self._started: dict[tuple[str, str], float] = {}
        self.changes: Counter[str] = Counter()
        self.steps: list[Row] = []
        self.planned: list[Row] = []
        """Every resource of the program as `{urn, name, type, op, forces, inputs, before}`: `forces` are the properties
        that make it a replacement, `before` the inputs that it has now. Secret inputs are masked by the engine."""
        self.errors: list[tuple[str, str]] = []
        """(URN or empty, text) of every error the engine reported."""
        self.outputs: Mapping[str, Any] | None = None
        """What the program exported, when the stack's resource was registered."""

    def hear(self, event: Mapping[str, Any]) -> None:
        """One engine event, as its JSON."""
        if found := event.get("resourcePreEvent"):
            self._resource(found["metadata"], "started")
        elif found := event.get("resOutputsEvent"):
            self._resource(found["metadata"], "done")
        elif found := event.get("resOpFailedEvent"):
            self._resource(found["metadata"], "failed")
        elif found := event.get("diagnosticEvent"):
            self._diagnostic(found)

    def _resource(self, metadata: Mapping[str, Any], status: str) -> None:
        kind, urn, step = metadata["type"], metadata["urn"], metadata["op"]
        if kind == "pulumi:pulumi:Stack" and status == "done" and metadata.get("new"):
            self.outputs = metadata["new"].get("outputs") or {}
        op = OPS.get(step)
        if op is None or not state.counted(kind):
            return
        row: Row = {"resource": state.name(urn), "kind": kind, "urn": urn, "op": op}
        reasons = _reasons(metadata)
        if status == "started":
            self._started[urn, step] = time.monotonic()
            if step not in PARTS:
                self.steps.append({**row, "reasons": reasons})
                self.changes[op] += 1
                self.planned.append(_planned(row, metadata))
        if step == "replace":
            return  # the engine's summary of its parts
        told = {"type": "resource", **row, "status": status}
        if status != "started" and (since := self._started.get((urn, step))):
            told["seconds"] = round(time.monotonic() - since, 3)
        if reasons:
            told["reasons"] = reasons
        self._tell(told)

    def _diagnostic(self, found: Mapping[str, Any]) -> None:
        severity = found.get("severity", "info")
        text = _plain(found.get("message", "")).strip()
        if severity == "debug" or found.get("ephemeral") or not text:
            return
        if severity == "error":
            self.errors.append((found.get("urn") or "", text))
        text = refusal.plain(text)
        if (severity, text) not in self._said:  # every node may fail for the same reason
            self._said.add((severity, text))
            self._tell({"type": "diagnostic", "severity": severity, "text": text})


class Log:
    """The events of one operation as lines of a file; what is done on behalf of another is told to that one."""

    def __init__(self, path: Path, told: Tell | None = None) -> None:
        self._told = told
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        self._mutex = threading.Lock()

    def tell(self, row: Row) -> None:
        """Append one event; readers take whole lines."""
        if self._told:
            self._told(row)
            return
        line = json.dumps({"at": round(time.time(), 3), **row}, ensure_ascii=False).encode() + b"\n"
        with self._mutex, contextlib.suppress(OSError):  # a full disk is told by the result
            self._file.write(line)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Tell that a step begins, and how long it took when it is done."""
        self.tell({"type": "step", "name": name, "status": "started"})
        started = time.monotonic()
        yield
        seconds = round(time.monotonic() - started, 3)
        self.tell({"type": "step", "name": name, "status": "done", "seconds": seconds})


def _planned(row: Row, metadata: Mapping[str, Any]) -> Row:
    now, then = metadata.get("old") or {}, metadata.get("new") or {}
    return {
        "urn": row["urn"],
        "name": row["resource"],
        "type": row["kind"],
        "op": row["op"],
        "forces": list(metadata.get("keys") or ()),
        "inputs": then.get("inputs") or {},
        "before": now.get("inputs") or {},
    }


def _reasons(metadata: Mapping[str, Any]) -> list[str]:
    """Properties that differ, those that force a replacement first."""
    keys = list(metadata.get("keys") or ())
    detailed = list(metadata.get("detailedDiff") or ())
    return list(dict.fromkeys(keys + (detailed or list(metadata.get("diffs") or ()))))


def _plain(text: str) -> str:
    """Without the engine's colour marks."""
    return re.sub(r"<\{%.*?%\}>|\x1b\[[0-9;]*m", "", text)
