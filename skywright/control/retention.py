"""What stays of deployments that are gone: the newest with everything, older ones with nothing."""

from __future__ import annotations

import shutil

from skywright.control import operations
from skywright.control.context import Control
from skywright.control.rows import (
    Deployment,
    Event,
    JobFile,
    Node,
    NodeEvent,
    Operation,
    Run,
    RunRank,
    Secret,
)

GONE = 50
"""So many that are gone are remembered, for `cost-report` and their logs."""


def forget(control: Control, gone: Deployment) -> None:
    """Drop what a removed deployment does not need any more, and all of those that were removed long before."""
    _shed(control, gone)
    past = [row for row in control.store.find(Deployment, order="-ended") if row.ended is not None]
    for row in past[GONE:]:
        with control.store.together():
            _shed(control, row)
            for kind in (Run, RunRank, Operation, Event, Node, Deployment):
                control.store.remove(kind, uid=row.uid)
        control.logbook.remove(row.uid)


def _shed(control: Control, row: Deployment) -> None:
    for operation in control.store.find(Operation, uid=row.uid):
        shutil.rmtree(operations.folder(control, operation), ignore_errors=True)
    for node in control.store.find(Node, uid=row.uid):
        control.store.remove(NodeEvent, node=node.node)
    scope = operations.env_scope(row.uid)
    control.store.remove(Secret, scope=(scope, f"{scope}:before"))


def _operations(control: Control, row: Deployment) -> list[Operation]:
    return control.store.find(Operation, uid=row.uid)


def clean(control: Control) -> None:
    """Remove archives that no unfinished run of a living deployment needs, and folders of operations of the past."""
    living = control.store.find(Deployment, ended=None)
    wanted = {
        item["digest"]
        for row in living
        for run in control.store.find(Run, uid=row.uid, ended=None)
        for item in run.body["files"]
    }
    wanted |= {one.digest for one in control.store.find(JobFile)}
    past = control.store.find(Run, order="submitted")
    ordered = {item["digest"]: run.submitted for run in past for item in run.body["files"]}
    control.blobs.keep_only(wanted, ordered, control.clock.now())
    root = control.folder / "operations"
    there = list(root.iterdir()) if root.is_dir() else []  # seen before the rows, which are written first
    known = {
        one.id for row in control.store.find(Deployment, ended=None) for one in _operations(control, row)
    }
    for entry in there:
        if entry.name not in known and not control.operations.running(entry):
            shutil.rmtree(entry, ignore_errors=True)
