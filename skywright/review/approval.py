"""What was approved, as facts that are the same as long as nothing moved; and each that differs as a sentence.

No ids, no times, no order of chance: equal previews give equal bytes. The file's own digest shows that it was edited;
it is no signature, so who may write approvals is for the repository to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems
from compiler.spec import digest
from compiler.words import money

if TYPE_CHECKING:
    from compiler.plan import Placement, Plan
    from compiler.task import Task
    from skywright.review.report import Report, Row

VERSION = 1
"""Of schemas/approval.v1.json."""

PATHS = ("file", "workdir", "file_mounts")
"""Fields that are paths of a machine: what lies there is bound by its content."""

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """One task of an approval. `file` is relative to the approval, `files` are digests by their place on the node,
    `options` are when nodes are given back."""

    task: Task
    row: Row
    project: str
    file: str
    files: Mapping[str, str]
    options: Mapping[str, Any]


def facts(
    subjects: Sequence[Subject], report: Report, *, tools: Mapping[str, Any], policy: str | None
) -> Facts:
    """All that is bound. `tools` are versions and digests of what previews and applies, `policy` the digest of the
    rules that were asked, None where there are none."""
    return {
        "version": VERSION,
        "tools": dict(tools),
        "policy": policy,
        "foundations": sorted((_stack(row) for row in report.rows if row.is_foundation), key=_by_stack),
        "tasks": sorted((_subject(one) for one in subjects), key=lambda one: (one["name"], one["file"])),
    }


def written(found: Facts) -> str:
    """The text of the file, with a digest of all the rest."""
    return json.dumps({**found, "digest": digest(found)}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read(content: bytes, file: str) -> Facts:
    """The facts of a file. Raises Problems approval/unreadable, approval/edited."""
    import jsonschema

    import schemas

    hint = "make it anew: `preview FILE --out APPROVAL`"
    try:
        data = json.loads(content)
        jsonschema.validate(data, schemas.load("approval.v1.json"))
    except ValueError as error:
        raise Problems(Problem("approval/unreadable", f"`{file}` is not JSON: {error}", hint=hint)) from None
    except jsonschema.ValidationError as error:
        where = "/".join(str(step) for step in error.absolute_path)
        says = (
            f"`{file}` is no approval of this version: {f'{where}: ' if where else ''}{error.message[:120]}"
        )
        raise Problems(Problem("approval/unreadable", says, hint=hint)) from None
    found = {name: value for name, value in data.items() if name != "digest"}
    if digest(found) != data["digest"]:
        says = f"`{file}` was changed after it was written: its content is not what its digest says"
        raise Problems(Problem("approval/edited", says, hint=hint))
    return found


def differences(approved: Facts, now: Facts) -> list[str]:
    """A sentence for each fact that moved; empty when nothing did."""
    found = list(_tools(approved["tools"], now["tools"]))
    if approved["policy"] != now["policy"]:
        says = {True: "the policy changed", False: "a policy holds that was not asked before"}
        gone = "the policy that was asked is not there any more"
        found.append(gone if now["policy"] is None else says[approved["policy"] is not None])
    before = {one["name"]: one for one in approved["tasks"]}
    after = {one["name"]: one for one in now["tasks"]}
    found += [f"`{name}` is approved and is not here" for name in before if name not in after]
    found += [f"`{name}` is not in the approval" for name in after if name not in before]
    for name in before:
        if name in after:
            found += [f"{name}: {says}" for says in _task(before[name], after[name])]
    founded = {one["stack"]: one for one in approved["foundations"]}
    makes = {one["stack"]: one for one in now["foundations"]}
    nothing: Facts = {"state": None, "steps": []}
    for stack in sorted(founded.keys() | makes.keys()):
        old, new = founded.get(stack, nothing), makes.get(stack, nothing)
        found += [f"network {stack}: {says}" for says in _stacks(old, new, "its stack")]
    return found


# What is bound.


def _subject(one: Subject) -> Facts:
    plan, spec = one.row.plan, one.row.spec
    assert plan is not None
    assert spec is not None
    return {
        "file": one.file,
        "name": one.row.name,
        "project": one.project,
        "task": _fields(one.task),
        "files": dict(one.files),
        "options": dict(one.options),
        "spec": spec.to_data(),
        "catalog": {"date": plan.catalog, "pinned": plan.pinned},
        "chosen": _place(plan.chosen),
        "places": _places(plan),
        "envelope": plan.envelope.to_data() if plan.envelope else None,
        **_stack(one.row),
    }


def _fields(task: Task) -> dict[str, str]:
    """A digest of each field, so that values of variables stand in no file; of secrets only their names count."""
    data = task.to_data(redact=True)
    data["secrets"] = sorted(task.secrets)
    kept = {name: value for name, value in data.items() if name not in PATHS}
    return {name: digest(value)[:16] for name, value in kept.items() if value not in (None, {}, [], "")}


def _place(one: Placement) -> Facts:
    return {
        "where": one.offer.where,
        "machine": one.offer.instance_type,
        "market": one.offer.market.value,
        "nodes": one.nodes,
        "hourly": round(one.hourly, 4),
    }


def _places(plan: Plan) -> list[Facts]:
    """Where recovery may go, in its order."""
    from compiler.search import approved

    return [_place(one) for one in approved(plan)]


def _stack(row: Row) -> Facts:
    steps = [
        {
            "op": one.op,
            "type": one.kind,
            "name": one.resource,
            "forces": sorted(one.forces),
            "because": sorted(one.reasons),
        }
        for one in row.changes
        if one.changes
    ]
    steps.sort(key=lambda one: (str(one["op"]), str(one["type"]), str(one["name"])))
    return {"stack": row.stack, "state": row.state or None, "steps": steps}


def _by_stack(one: Facts) -> str:
    return str(one["stack"])


# What differs.

TOOLS = {
    "skywright": "skywright",
    "engine": "the Pulumi engine",
}
DIGESTS = {
    "code": "skywright's own code changed",
    "agent": "the agent that new nodes start changed",
}


def _tools(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name, shown in TOOLS.items():
        if old[name] != new[name]:
            yield f"{shown} changed: {old[name]} -> {new[name]}"
    for name, says in DIGESTS.items():
        if old[name] != new[name]:
            yield says
    for kind, shown in (("sdks", "the SDK"), ("plugins", "the provider plugin")):
        for name in sorted(old[kind].keys() | new[kind].keys()):
            before, after = old[kind].get(name, "none"), new[kind].get(name, "none")
            if before != after:
                yield f"{shown} {name} changed: {before} -> {after}"


def _task(old: Facts, new: Facts) -> Iterator[str]:
    if old["file"] != new["file"]:
        yield f"its file changed: {old['file']} -> {new['file']}"
    if old["project"] != new["project"]:
        yield f"its project changed: {old['project']} -> {new['project']}"
    for name in _moved(old["task"], new["task"]):
        yield f"`{name}` of the task changed"
    for name in _moved(old["files"], new["files"]):
        yield f"the content of {name} changed"
    for name in _moved(old["options"], new["options"]):
        yield f"`{name}` changed: {_value(old['options'].get(name))} -> {_value(new['options'].get(name))}"
    yield from _prices(old, new)
    for name in _moved(old["spec"], new["spec"]):
        values = f"{_value(old['spec'].get(name))} -> {_value(new['spec'].get(name))}"
        yield f"the compiled stack changed: {name} {values}"
    yield from _stacks(old, new, f"stack {new['stack']}")


def _stacks(old: Facts, new: Facts, name: str) -> Iterator[str]:
    """State and steps. What exists may be as it likes when it is what was approved: nothing of it would change."""
    if not new["steps"] and new["state"] is not None:
        return
    if old["state"] != new["state"]:
        says = "does not exist any more" if new["state"] is None else "was written since"
        yield f"{name} {says if old['state'] else 'exists now'}"
    yield from _steps(old["steps"], new["steps"])


def _prices(old: Facts, new: Facts) -> Iterator[str]:
    before, after = old["chosen"], new["chosen"]
    if _class(before) != _class(after):
        yield f"the chosen offer changed: {_shown(before)} -> {_shown(after)}"
    elif before != after:
        yield f"price class changed: {_shown(before)} -> {money(after['hourly'])}/h"
    if old["catalog"] != new["catalog"]:
        yield f"the catalog changed: {_catalog(old['catalog'])} -> {_catalog(new['catalog'])}"
    was = {_class(one): one for one in old["places"]}
    now = {_class(one): one for one in new["places"]}
    for key, one in was.items():
        if key not in now:
            yield f"recovery could go to {_shown(one)}, and cannot any more"
        elif one != now[key] and one != before:
            yield f"price class of recovery changed: {_shown(one)} -> {money(now[key]['hourly'])}/h"
    for key, one in now.items():
        if key not in was and _class(after) != key:
            yield f"recovery could go to {_shown(one)}, which was not approved"
    if was.keys() == now.keys() and list(was) != list(now):
        yield "the order of the places for recovery changed"
    for name in _moved(old["envelope"] or {}, new["envelope"] or {}):
        if name != "placements":
            values = [_value((one["envelope"] or {}).get(name)) for one in (old, new)]
            yield f"what recovery may use changed: {name} {values[0]} -> {values[1]}"


def _steps(old: Sequence[Facts], new: Sequence[Facts]) -> Iterator[str]:
    before, after = {digest(one): one for one in old}, {digest(one): one for one in new}
    for key, one in before.items():
        if key not in after:
            yield f"the preview does not {_step(one)} any more"
    for key, one in after.items():
        if key not in before:
            yield f"the preview would {_step(one)}, which was not approved"


def _step(one: Facts) -> str:
    why = ", ".join(one["forces"] or one["because"])
    return f"{one['op']} {one['name']} ({one['type']}{f', because of {why}' if why else ''})"


def _moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


def _class(place: Facts) -> tuple[str, ...]:
    return tuple(str(place[name]) for name in ("where", "machine", "market", "nodes"))


def _shown(place: Facts) -> str:
    return f"{place['where']} {place['market']} {money(place['hourly'])}/h"


def _catalog(one: Facts) -> str:
    pinned = f" (pinned {str(one['pinned'])[:12]})" if one["pinned"] else ""
    return f"{one['date'] or 'none'}{pinned}"


def _value(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 60 else f"{text[:57]}..."
