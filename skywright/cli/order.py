"""What the command line hands to control: the order, with files packed and sent before."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.paths import WORKDIR
from skywright.cli import policy, screen, settings
from skywright.cli.archive import Archive, pack
from skywright.cli.arguments import Values
from skywright.cli.planning import make_spec, settled
from skywright.cli.rates import estimated, rates
from skywright.cli.taskfile import Entry

if TYPE_CHECKING:
    from compiler.plan import Placement, Plan
    from compiler.spec import StackSpec
    from compiler.task import Task
    from skywright.cli.living import Living
    from skywright.control.client import Client

BIG = 100_000_000
"""Bytes from which sending a folder is worth a line."""


def make_order(
    entry: Entry,
    plan: Plan,
    spec: StackSpec,
    values: Values,
    files: list[dict[str, str]],
    living: Living | None = None,
) -> dict[str, Any]:
    """The order of a launch; secret values stand only in `run.secrets`. Nodes of `living` that fit stay as they are."""
    chosen = plan.chosen
    told: dict[str, Any] = {
        "where": chosen.offer.where,
        "market": chosen.offer.market.value,
        "hourly": chosen.hourly,
        "rates": rates(plan, chosen),
    }
    task = settled(entry.task, chosen)
    if living:
        spec = living.stack(entry, spec)
        if not living.replaced:
            task = living.met
        if living.fits:
            told = {name: living.data[name] for name in told}
    estimate = estimated(plan, told["hourly"] if living and living.fits else None)
    others = [] if living and (living.fits or living.grows) else choices(entry, plan, spec)
    clouds = {spec.cloud, *(one["spec"]["cloud"] for one in others)}
    return {
        "name": entry.name,
        "project": spec.project,
        "owner": settings.owner(),
        "task": entry.task.to_data(redact=True),
        "plan": {
            **told,
            "envelope": _envelope(plan),
            "estimate": estimate,
            "budget": entry.task.budget,
        },
        "spec": spec.to_data(),
        "choices": others,
        "run": make_run(task, files, setup=not values.no_setup, clouds=clouds),
        "options": options(task, chosen, values),
        "policy": policy.for_order(entry, plan, spec, told["hourly"]),
        "env": settings.engine_env(clouds={one.offer.cloud for one in plan.placements}),
    }


def choices(entry: Entry, plan: Plan, spec: StackSpec) -> list[dict[str, Any]]:
    """What the envelope approves as whole stacks, in its order: of each place the best machine; first is `spec`."""
    from compiler.search import approved

    return [
        {
            "spec": (spec if one is plan.chosen else make_spec(entry, one, spec.project)).to_data(),
            "where": one.offer.where,
            "market": one.offer.market.value,
            "hourly": one.hourly,
            "gpus_per_node": gpus_per_node(settled(entry.task, one)),
            "rates": rates(plan, one),
        }
        for one in policy.allowed(entry, plan, approved(plan))
    ]


def _envelope(plan: Plan) -> dict[str, Any] | None:
    """With the first placement that fits and is not approved, and how many there are of those."""
    from compiler.search import approved

    if plan.envelope is None:
        return None
    places = {one.offer.where for one in approved(plan)}
    outside = [one for one in plan.placements if one.offer.where not in places]
    if not outside:
        return plan.envelope.to_data()
    offer = outside[0].offer
    beyond = {
        "count": len(outside) + plan.possible - len(plan.placements),
        "where": offer.where,
        "market": offer.market.value,
        "hourly": outside[0].hourly,
        "infra": "/".join(part for part in (offer.cloud, offer.region, offer.zone) if part),
    }
    return {**plan.envelope.to_data(), "beyond": beyond}


def gpus_per_node(task: Task) -> int:
    """Rounded up, as SkyPilot gives it to tasks."""
    accelerator = task.requirements.accelerator
    return math.ceil(accelerator.count) if accelerator else 0


def make_run(
    task: Task, files: list[dict[str, str]], *, setup: bool, clouds: Collection[str]
) -> dict[str, Any]:
    """The part of an order that is executed, on one of `clouds`. Raises Problems machine/bucket-credentials."""
    from compiler import buckets
    from skywright.cli import bucketkeys

    names = {name for cloud in clouds for name in buckets.secret_names(task, cloud)} if task.buckets else ()
    return {
        "name": task.name or "cmd",
        "setup": task.setup if setup else None,
        "script": task.run,
        "envs": dict(task.envs),
        "secrets": {**task.secrets, **bucketkeys.read(sorted(names))},
        "files": files,
        "buckets": buckets.rows(task),
        "checkpoint": task.checkpoint,
        **_again(task),
        "gpus_per_node": gpus_per_node(task),
        "num_nodes": task.num_nodes,
    }


def _again(task: Task) -> dict[str, Any]:
    """How often the task is begun again when it fails by itself, and after which exit codes always."""
    said = task.requirements.recovery
    if said is None or not (said.max_restarts_on_errors or said.recover_on_exit_codes):
        return {}
    return {"recovery": {"restarts": said.max_restarts_on_errors, "codes": list(said.recover_on_exit_codes)}}


def options(task: Task, chosen: Placement, values: Values) -> dict[str, Any]:
    """When the nodes are given back: flags win over the task's `autostop`; what cannot stop is removed."""
    from compiler.offer import Capability
    from stacks import cloud

    keep, idle_s, down = bool(values.keep), None, True
    autostop = task.requirements.autostop
    if autostop is not None:
        keep = keep or autostop.idle_s is None
        idle_s, down = autostop.idle_s, autostop.down
    if values.idle_minutes_to_autostop is not None:
        minutes = values.idle_minutes_to_autostop
        keep, idle_s, down = minutes < 0, max(0, minutes * 60), False
    if values.down:
        idle_s, down = (0 if idle_s is None else idle_s), True
    if Capability.STOP not in cloud(chosen.offer.cloud).CAPABILITIES:
        down = True
    return {
        "keep": keep,
        "idle_s": None if keep else idle_s,
        "down": down,
        "retry_until_up": bool(values.retry_until_up),
    }


def send_files(task: Task, client: Client, say: Callable[[str], None]) -> list[dict[str, str]]:
    """Pack workdir and local mounts, send what control does not have, and name them for the order."""
    sources: list[tuple[str, Path]] = []
    if task.workdir is not None:
        sources.append((WORKDIR, Path(task.workdir).expanduser()))
    sources += [(target, Path(source).expanduser()) for target, source in sorted(task.file_mounts.items())]
    if not sources:
        return []
    folder = Path(tempfile.mkdtemp(prefix="skywright-pack-"))
    try:
        packed: list[tuple[str, str, Archive]] = []
        for target, source in sources:
            kind = "dir" if source.is_dir() else "file"
            archive = pack(source, folder, None if target == WORKDIR else task.sync)
            packed.append((target, kind, archive))
            if archive.skipped:
                names = ", ".join(f"`{screen.printable(name)}`" for name in archive.skipped[:5])
                more = f" and {len(archive.skipped) - 5} more" if len(archive.skipped) > 5 else ""
                say(f"  warning: not sent: {names}{more} (only files, folders and links are)")
        missing = set(client.missing([archive.digest for _, _, archive in packed]))
        for _target, _kind, archive in packed:
            if archive.digest in missing:
                if archive.bytes > BIG:
                    say(f"sending {archive.files} files, {archive.bytes / 1e6:.0f} MB")
                client.put_blob(archive.digest, archive.path)
                missing.discard(archive.digest)
        return [
            {"digest": archive.digest, "target": target, "kind": kind} for target, kind, archive in packed
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
