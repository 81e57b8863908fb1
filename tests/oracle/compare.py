"""What SkyPilot made of a task file beside what we made of it: a verdict, and each value that differs."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compiler.catalog import accelerators, clouds
from compiler.needs import Requirements
from compiler.pipeline import Pipeline, load_all
from compiler.problem import Problems
from compiler.source import parse_all
from compiler.task import Task

INTENDED = Path(__file__).parent / "intended.json"


def intended(name: str, kind: str) -> str | None:
    """Why a case may differ in this way (ours-accepts, ours-refuses or value), None when it may not."""
    for row in json.loads(INTENDED.read_text()):
        if row["kind"] == kind and any(fnmatch.fnmatchcase(name, pattern) for pattern in row["names"]):
            return str(row["reason"])
    return None


def without_ours(text: str) -> tuple[str, tuple[str, ...]] | None:
    """The file without the fields that rows of the intended differences name, and why they may differ; None where
    it has none of them, or is no YAML."""
    try:
        documents = [one.data for one in parse_all(text.encode(), "task.yaml")]
    except Problems:
        return None
    reasons: list[str] = []
    for row in json.loads(INTENDED.read_text()):
        gone = [_dropped(data, name.split(".")) for data in documents for name in row.get("fields", ())]
        if any(gone):
            reasons.append(row["reason"])
    return ("\n---\n".join(map(json.dumps, documents)), tuple(reasons)) if reasons else None


def _dropped(data: Any, path: Sequence[str]) -> bool:
    """Take a field away wherever it stands; `*` is any key. Whether it was there."""
    if not isinstance(data, dict):
        return False
    first, rest = path[0], path[1:]
    if not rest:
        return data.pop(first, data) is not data
    gone = [_dropped(member, rest) for key, member in data.items() if first in (key, "*")]
    listed = data.get(first) if first == "resources" else None
    for kind in ("any_of", "ordered"):
        several = listed.get(kind) if isinstance(listed, dict) else None
        gone += [_dropped(one, rest) for one in several] if isinstance(several, list) else []
    return any(gone)


def ours(text: str) -> Pipeline | Problems:
    """Our reading, with a dummy for each variable that has no value."""
    try:
        given = _pending(text)
        return load_all(
            text.encode(), "task.yaml", clouds=("local",), overrides={"envs": given} if given else {}
        )
    except Problems as wrong:
        return wrong


def _pending(text: str) -> dict[str, str]:
    found = {}
    for document in parse_all(text.encode(), "task.yaml"):
        envs = document.data.get("envs") if isinstance(document.data, dict) else None
        if isinstance(envs, dict):
            found.update({name: "dummy" for name, value in envs.items() if value is None})
    return found


def differences(text: str, theirs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(kind, sentence) of each difference; empty when both say the same."""
    read = ours(text)
    if isinstance(read, Problems):
        first = read.problems[0]
        return [("ours-refuses", f"{first.code}: {first.message}")] if theirs["ok"] else []
    if not theirs["ok"]:
        return [("ours-accepts", str(theirs["error"]))]
    if len(read.tasks) != len(theirs["tasks"]):
        return [("value", f"{len(read.tasks)} tasks, theirs {len(theirs['tasks'])}")]
    found = []
    for task, other in zip(read.tasks, theirs["tasks"], strict=True):
        mine, wanted = _told(task), _normal(other)
        for field in mine:
            if field != "resources" and mine[field] != wanted[field]:
                found.append(("value", f"{field}: {mine[field]!r}, theirs {wanted[field]!r}"))
        found += _resources(mine["resources"], wanted["resources"], task.ordered)
    return found


def _resources(mine: list[Any], theirs: list[Any], ordered: bool) -> list[tuple[str, str]]:
    if not ordered:
        mine, theirs = (
            sorted(found, key=lambda one: json.dumps(one, sort_keys=True)) for found in (mine, theirs)
        )
    if len(mine) != len(theirs):
        return [("value", f"{len(mine)} alternatives, theirs {len(theirs)}")]
    found = []
    for one, other in zip(mine, theirs, strict=True):
        for field in sorted({*one, *other}):
            if one.get(field) != other.get(field):
                found.append(("value", f"resources.{field}: {one.get(field)!r}, theirs {other.get(field)!r}"))
    return found


def _told(task: Task) -> dict[str, Any]:
    policy = task.service.policy if task.service else task.pool
    return {
        "num_nodes": task.num_nodes,
        "setup": task.setup,
        "run": task.run,
        "envs": dict(task.envs),
        "ordered": task.ordered,
        "resources": [_mine(one) for one in task.options],
        "replicas": [policy.least, policy.most] if policy else None,
        "probe": task.service.probe.path if task.service else "/" if task.pool else None,
    }


def _mine(one: Requirements) -> dict[str, Any]:
    stop, recovery, image = one.autostop, one.recovery, one.image
    found: dict[str, Any] = {
        "where": [one.cloud, one.region, one.zone],
        "accelerator": [one.accelerator.name, one.accelerator.count] if one.accelerator else None,
        "cpus": str(one.cpus) if one.cpus else None,
        "memory": str(one.memory_gb)
        if one.memory_gb
        else f"{one.memory_per_cpu}x"
        if one.memory_per_cpu
        else None,
        "instance_type": one.instance_type,
        "use_spot": one.use_spot,
        "recovery": [recovery.strategy, recovery.max_restarts_on_errors, list(recovery.recover_on_exit_codes)]
        if recovery
        else None,
        "disk": None if one.disk_gb in (None, 256) else float(one.disk_gb or 0),
        "disk_tier": one.disk_tier,
        "network_tier": one.network_tier,
        "local_disk": [one.local_disk.kind, str(one.local_disk.gb)] if one.local_disk else None,
        "hourly": one.max_hourly_cost,
        "image": [sorted(image.ids.items()), image.docker] if image else None,
        "ports": list(one.ports),
        "labels": dict(one.labels),
        "autostop": None
        if stop is None
        else False
        if stop.idle_s is None
        else [stop.idle_s, stop.down, stop.wait_for],
        "priority": one.priority,
        "priority_class": one.priority_class,
        "disks": [
            [disk.path, disk.name, disk.tier, disk.storage_type, disk.attach_mode] for disk in one.disks
        ],
    }
    plain = {name: value for name, value in found.items() if value not in (None, [], {}, False)}
    if found["autostop"] is False:
        plain["autostop"] = False
    return dict(json.loads(json.dumps(plain)))


def _normal(task: Mapping[str, Any]) -> dict[str, Any]:
    return {**task, "resources": [_theirs(one) for one in task["resources"]]}


def _theirs(one: Mapping[str, Any]) -> dict[str, Any]:
    """One of their resources in the words of `_mine`."""
    parts = [None if part == "*" else part for part in (one.get("infra") or "*").split("/")]
    if parts[0] in ("kubernetes", "k8s", "ssh") and len(parts) > 1:
        parts = [parts[0], "/".join(str(part) for part in parts[1:])]
    cloud, region, zone = (*parts, None, None)[:3]
    card = next(iter((one.get("accelerators") or {}).items()), None)
    recovery = one.get("job_recovery")
    codes = (recovery or {}).get("recover_on_exit_codes") or []
    local, image, stop = one.get("local_disk"), one.get("image_id"), one.get("autostop")
    found: dict[str, Any] = {
        "where": [clouds.canonical(cloud) if cloud else None, region, zone],
        "accelerator": [accelerators.canonical(card[0]) or card[0], card[1]] if card else None,
        "cpus": _amount(one.get("cpus")),
        "memory": _amount(one.get("memory")),
        "instance_type": one.get("instance_type"),
        "use_spot": one.get("use_spot", False),
        "recovery": [
            (recovery.get("strategy") or "").lower() or None,
            recovery.get("max_restarts_on_errors") or 0,
            codes if isinstance(codes, list) else [codes],
        ]
        if recovery
        else None,
        "disk": None if one.get("disk_size") in (None, 256) else float(one["disk_size"]),
        "disk_tier": one.get("disk_tier"),
        "network_tier": one.get("network_tier"),
        "local_disk": [local.split(":")[0], _amount(local.split(":")[1])] if local else None,
        "hourly": one.get("max_hourly_cost"),
        "image": _image(image) if image else None,
        "ports": [str(port) for port in one.get("ports") or []],
        "labels": one.get("labels") or {},
        "autostop": [(stop["idle_minutes"] or 5) * 60, stop["down"], stop.get("wait_for", "jobs_and_ssh")]
        if stop
        else None,
        "priority": one.get("priority"),
        "priority_class": one.get("priority_class"),
        "disks": [
            [
                disk["path"],
                disk.get("name"),
                disk.get("disk_tier", "best"),
                disk["storage_type"],
                disk["attach_mode"],
            ]
            for disk in one.get("volumes") or []
        ],
    }
    plain = {name: value for name, value in found.items() if value not in (None, [], {}, False)}
    if stop is False:
        plain["autostop"] = False
    return dict(json.loads(json.dumps(plain)))


def _amount(text: str | None) -> str | None:
    if text is None:
        return None
    end = "".join(mark for mark in "+x" if mark in text)
    return f"{float(text.rstrip('+x')):g}{end}"


def _image(image: Mapping[str, str]) -> list[Any]:
    docker, ids = image.get("docker"), {}
    for region, text in image.items():
        if region == "docker":
            continue
        if text.startswith("docker:"):
            docker = text.removeprefix("docker:")
        else:
            ids["" if region in ("null", "None") else region] = text
    return [sorted(ids.items()), docker]
