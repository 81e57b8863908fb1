"""What a task may say and a cloud cannot do yet: tables of fields, each refused with its place and a sentence.

Whoever builds what no cloud can do takes its row away; what some clouds can do names the Capability that they
declare. The tables are about running: `explain` shows the plan and tells what cannot run, `up` refuses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from typing import Any

from compiler import buckets
from compiler.catalog import clouds
from compiler.needs import WRITTEN, Requirements
from compiler.offer import Capability
from compiler.problem import Place, Problem
from compiler.task import Task

CODE = "plan/not-runnable-yet"

TASK: dict[str, tuple[str, str]] = {
    "repository": ("workdir", "a workdir from git is not cloned yet; name a folder of your machine"),
    "kept_secrets": (
        "managed_secrets",
        "secrets that a server keeps are not fetched yet; give them with `--secret`",
    ),
    "buckets": ("file_mounts", "nodes neither copy nor mount buckets there yet; mount files of your machine"),
    "volumes": ("volumes", "volumes are not attached yet"),
    "service": ("service", "services do not run yet"),
    "pool": ("pool", "pools do not run yet"),
    "scheduling_timeout_s": ("job", "a limit for waiting is not kept yet"),
    "isolation": ("isolation", "accelerators are not shared yet"),
    "networking": (
        "networking",
        "nodes get the network that the machine or the cluster has, and cannot be put into another",
    ),
    "edge": ("edge_config", "edge devices are not found by what they offer yet"),
    "config": ("config", "settings for one task are not applied yet"),
    "hooks": ("config", "hooks do not run yet"),
    "event_callback": ("event_callback", "nothing is called when the state of a job changes yet"),
}
"""Field of Task -> its name in the file, and the sentence. A value other than the default is refused."""

RESOURCES: dict[str, str] = {
    "accelerator_args": "arguments of TPUs are not passed on yet",
    "disk_tier": "disks have one speed yet",
    "network_tier": "networks have one speed yet",
    "local_disk": "disks inside the machine are not asked for yet",
    "image": "images cannot be chosen yet; nodes start from ours",
    "ports": "ports are not opened yet",
    "priority": "only managed jobs wait in a queue by it: `jobs launch` takes it",
    "priority_class": "queues have no priorities yet",
    "disks": "disks of the cloud are not attached yet",
    "location": "places of edge devices are not known yet",
    "quantum_backend": "quantum computers are not reached yet",
}
"""Field of Requirements -> the sentence. A value other than the default, in any alternative, is refused."""

CAPABILITIES: dict[str, tuple[Capability, ...]] = {
    "buckets": (Capability.BUCKETS,),
    "networking": (Capability.NETWORKING,),
    "ports": (Capability.PORTS,),
    "image": (Capability.IMAGE, Capability.CONTAINER),
    "disk_tier": (Capability.DISK_TIER,),
    "network_tier": (Capability.NETWORK_TIER,),
    "local_disk": (Capability.LOCAL_DISK,),
    "priority_class": (Capability.PRIORITY_CLASS,),
}
"""Fields of either table that clouds can do which declare this; `image` is one of the two, by its value."""

ANYWHERE: dict[str, tuple[str, ...]] = {
    "disk_tier": ("medium", "best", "none"),
    "network_tier": ("standard",),
}
"""Values that mean no more than what every cloud has."""

DEFAULTS = {one.name: getattr(Requirements(), one.name) for one in fields(Requirements)}


def refusals(task: Task, able: Collection[Capability] = ()) -> tuple[Problem, ...]:
    """One Problem for each thing that the task asks for and that cannot run yet where a cloud is `able` to do so
    much; empty for a task that can run there."""
    found = [*_of_task(task, able), *_of_resources(task, able)]
    return tuple(sorted(found, key=lambda one: (one.place.line, one.place.column) if one.place else (0, 0)))


def lacking(task: Task, able: Collection[Capability]) -> str:
    """Which fields of a task ask for more than a cloud that is `able` to do so much can do, as it writes them:
    `ports` and `image_id`; empty when it can run there."""
    everything = {one.message for one in refusals(task, frozenset(Capability))}
    names = [one.message.partition(":")[0] for one in refusals(task, able) if one.message not in everything]
    return " and ".join(dict.fromkeys(names))


def not_enabled(task: Task, enabled: frozenset[str]) -> tuple[Problem, ...]:
    """One Problem for each cloud that the task names and that is not among `enabled`."""
    named = {one.cloud: one for one in task.options if one.cloud and one.cloud not in enabled}
    here = ", ".join(f"`{name}`" for name in sorted(enabled)) or "none"
    return tuple(
        Problem(
            "plan/cloud-not-enabled",
            f"the cloud `{cloud}` is not enabled here",
            _where(task, "cloud") or _where(task, "infra"),
            f"enabled: {here}; `skywright check` tells what the others need",
        )
        for cloud in named
        if cloud in clouds.KNOWN
    )


def _of_task(task: Task, able: Collection[Capability]) -> Iterator[Problem]:
    plain = Task()
    for name, (written, says) in TASK.items():
        value = getattr(task, name)
        if name == "buckets":
            yield from _of_buckets(task, says, _can(name, (), able))
            continue
        if value == getattr(plain, name) or _can(name, (), able):
            continue
        if name == "kept_secrets" and not task.place(written):
            written = "secrets"
        yield Problem(CODE, f"`{written}`: {says}", task.place(written, key=True))
    for name in task.internal:
        yield Problem(
            CODE, f"`{name}`: SkyPilot writes it for itself", task.place(name, key=True), "remove it"
        )


def _of_buckets(task: Task, says: str, able: bool) -> Iterator[Problem]:
    for target, storage in task.buckets.items():
        never = buckets.why_not(storage)
        if never or not able:
            sentence, hint = never or (says, None)
            yield Problem(CODE, f"`{target}`: {sentence}", task.place("file_mounts", target), hint)


def _of_resources(task: Task, able: Collection[Capability]) -> Iterator[Problem]:
    for name, says in RESOURCES.items():
        if _can(name, task.options, able):
            continue
        plain = (DEFAULTS[name], *ANYWHERE.get(name, ()))
        if any(getattr(one, name) not in plain for one in task.options):
            written_as = WRITTEN.get(name, name)
            yield Problem(CODE, f"`{written_as}`: {says}", _where(task, written_as))
    for text, field, says in _special(task):
        yield Problem(CODE, f"`{text}`: {says}", _where(task, field))


def _can(name: str, options: Sequence[Requirements], able: Collection[Capability]) -> bool:
    """Whether a cloud that is `able` to do so much can do a field, as the requests have it."""
    needed = list(CAPABILITIES.get(name, ()))
    if name == "image":
        images = [one.image for one in options if one.image]
        if not any(one.ids for one in images):
            needed.remove(Capability.IMAGE)
        if not any(one.docker for one in images):
            needed.remove(Capability.CONTAINER)
    return bool(needed) and all(one in able for one in needed)


def _special(task: Task) -> Iterator[tuple[str, str, str]]:
    """What is refused for some values alone: (as shown, field, sentence)."""
    first: dict[str, tuple[str, str, str]] = {}
    for one in task.options:
        card = one.accelerator
        if card and card.count != int(card.count):
            says = "a part of an accelerator cannot be had yet; ask for whole ones"
            first.setdefault("part", (f"{card.name}:{card.count:g}", "accelerators", says))
        if one.autostop and one.autostop.wait_for == "none":
            first.setdefault("wait", ("wait_for", "autostop", "nodes with runs are never stopped yet"))
        for name in one.internal:
            first.setdefault(name, (name, name, "SkyPilot writes it for itself"))
    yield from first.values()


def _where(task: Task, field: str) -> Place | None:
    """Where `resources` says a field, in an alternative if it must be; None when it does not say it."""
    if task.source is None:
        return None
    data: Any = task.source.data if isinstance(task.source.data, dict) else {}
    resources = data.get("resources")
    if not isinstance(resources, dict):
        return None
    if field in resources:
        return task.place("resources", field, key=True)
    for name in ("any_of", "ordered"):
        for index, one in enumerate(resources.get(name) or ()):
            if isinstance(one, dict) and field in one:
                return task.place("resources", name, index, field, key=True)
    return None
