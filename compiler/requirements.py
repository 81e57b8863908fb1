"""The `resources` of a task file, checked by the schema already, into Requirements and their alternatives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from compiler import accelerated, ports, quantity, where
from compiler.needs import Autostop, Disk, Image, LocalDisk, MemoryOf, Recovery, Requirements
from compiler.notes import Notes, Path
from compiler.offer import Accelerator
from compiler.problem import quote
from compiler.quantity import Quantity

DEFAULT_IDLE_S = 300
"""What `autostop: true` means."""

DEFAULT_LOCAL_GB = Quantity(100, True)
"""What `local_disk: nvme` means."""

STRATEGIES = ("eager_next_region", "failover")

INTERNAL = "_"
"""Names that SkyPilot writes for itself begin so."""


@dataclass(frozen=True, slots=True)
class Option:
    """One alternative: its fields with those that hold for all, and which of them it says itself, at `path`."""

    data: Mapping[str, Any]
    own: frozenset[str]
    path: Path

    def at(self, name: str) -> Path:
        if name == "accelerators" and name not in self.own and "gpus" in self.own:
            name = "gpus"
        return (*self.path, name) if name in self.own else ("resources", name)


def read(
    data: Mapping[str, Any], over: Mapping[str, Any], notes: Notes, enabled: Sequence[str]
) -> tuple[tuple[Requirements, ...], bool]:
    """Every alternative (at least one), and whether their order counts. `over` is of the command line and wins.

    What is wrong is noted and left out.
    """
    options, ordered = _options(data, over, notes)
    several = len(options) > 1 or "any_of" in data or "ordered" in data
    found: list[Requirements] = []
    for option in options:
        value = option.data.get("accelerators")
        own = where.named(option.data) in accelerated.OWN_NAMES
        cards = accelerated.read(value, notes, option.at("accelerators"), any_name=own)
        in_order = isinstance(value, list) and len(cards) > 1
        if several and len(cards) > 1 and (ordered or in_order):
            message = "several accelerators in order cannot stand beside other alternatives"
            notes.note("task/conflicting-fields", message, option.at("accelerators"), "name one there", True)
        ordered = ordered or in_order
        one = _single(option, notes, enabled)
        for each in [_with(one, card) for card in cards] or [one]:
            if each not in found:
                found.append(each)
    if len({one.priority for one in found if one.priority is not None}) > 1:
        message = "alternatives have different priorities, and a task waits in one place of the queue"
        notes.note("task/conflicting-fields", message, ("resources",), "give all of them one", True)
    return tuple(found), ordered and len(found) > 1


def check_amounts(resources: Any, faulty: Collection[Path], notes: Notes) -> None:
    """Note wrong amounts of a file that is wrong elsewhere already, so that both are told at once."""
    if not isinstance(resources, Mapping):
        return
    plain = {
        name: value
        for name, value in resources.items()
        if isinstance(value, (str, int, float))
        and not isinstance(value, bool)
        and "$" not in str(value)
        and ("resources", name) not in faulty
    }
    option = Option(plain, frozenset(plain), ("resources",))
    _amount(option, "cpus", quantity.count, notes)
    _memory(option, notes)
    _amount(option, "disk_size", lambda value: quantity.size(value, plus_allowed=False), notes)


def _options(data: Mapping[str, Any], over: Mapping[str, Any], notes: Notes) -> tuple[list[Option], bool]:
    """The alternatives of `any_of` or `ordered`, or the one that there is."""
    shared = {name: value for name, value in data.items() if name not in ("any_of", "ordered")}
    if data.get("any_of") and data.get("ordered"):
        hint = "keep `any_of` (the cheapest wins) or `ordered` (the first wins)"
        message = "`any_of` and `ordered` cannot stand together"
        notes.note("task/conflicting-fields", message, ("resources", "ordered"), hint, True)
    field = "ordered" if data.get("ordered") else "any_of"
    options = []
    for index, own in enumerate(data.get(field) or ()):
        path: Path = ("resources", field, index)
        for name in ("any_of", "ordered"):
            if own.get(name):
                message = "alternatives cannot hold alternatives"
                notes.note("task/conflicting-fields", message, (*path, name), "write one list", True)
        merged = {**shared, **own}
        if own.get("labels") and shared.get("labels"):
            merged["labels"] = {**shared["labels"], **own["labels"]}
        options.append(_overridden(merged, over, frozenset(own), path, notes))
    if not options:
        options.append(_overridden(shared, over, frozenset(shared), ("resources",), notes))
    return options, field == "ordered"


def _overridden(
    data: Mapping[str, Any], over: Mapping[str, Any], own: frozenset[str], path: Path, notes: Notes
) -> Option:
    """One alternative under the flags of the command line, its fields by their newer names."""
    data = _newer(data, Option(data, own, path), notes)
    if "infra" in over:
        data = {name: value for name, value in data.items() if name not in where.OLDER}
    elif set(over) & set(where.OLDER):
        data.pop("infra", None)
    labels = {**(data.get("labels") or {}), **(over.get("labels") or {})}
    merged = {**data, **over, **({"labels": labels} if labels else {})}
    return Option(merged, own - set(over), path)


def _newer(data: Mapping[str, Any], option: Option, notes: Notes) -> dict[str, Any]:
    """Old and second names of fields by the one name; an old one is told."""
    result = dict(data)
    for old, new in (
        ("gpus", "accelerators"),
        ("spot_recovery", "job_recovery"),
        ("ephemeral_storage", "disk_size"),
    ):
        if old not in data:
            continue
        value = result.pop(old)
        at = option.at(old) if old in option.own else ("resources", old)
        if new in data:
            message = f"`{old}` and `{new}` say the same thing"
            notes.note("task/conflicting-fields", message, at, f"keep `{new}` alone", True)
            continue
        result[new] = value
        if old == "spot_recovery":
            shown = _RECOVERIES.get(value.strip().lower(), value)
            result[new] = shown
            notes.old(f"`spot_recovery` is the old name of `{new}`", at, f"write `{new}: {shown}`")
        elif old == "ephemeral_storage":
            notes.old(f"`{old}` is the old name of `{new}`", at, f"write `{new}: {value}`")
    return result


_RECOVERIES = {"auto": "eager_next_region"}
"""Values of `spot_recovery` that have another name in `job_recovery`."""


def _single(option: Option, notes: Notes, enabled: Sequence[str]) -> Requirements:
    data = option.data
    cloud, region, zone = where.read(data, option.at, notes, enabled)
    memory, per_cpu = _memory(option, notes)
    disk = _amount(option, "disk_size", lambda value: quantity.size(value, plus_allowed=False), notes)
    return Requirements(
        cloud=cloud,
        region=region,
        zone=zone,
        accelerator_args=data.get("accelerator_args") or {},
        cpus=_amount(option, "cpus", quantity.count, notes),
        memory_gb=memory,
        memory_per_cpu=per_cpu,
        exact=data.get("exact", False),
        instance_type=data.get("instance_type"),
        use_spot=data.get("use_spot", False),
        recovery=_recovery(option, notes),
        max_hourly_cost=data.get("max_hourly_cost"),
        disk_gb=disk.value if disk else None,
        disk_tier=None if data.get("disk_tier") == "none" else data.get("disk_tier"),
        network_tier=data.get("network_tier"),
        local_disk=_local_disk(option, notes),
        image=_image(option, cloud, notes),
        ports=_ports(option, notes),
        labels=_labels(option, notes),
        autostop=_autostop(option, notes),
        priority=data.get("priority"),
        priority_class=(data.get("priority_class") or "").strip() or None,
        disks=tuple(_disks(option, notes)),
        location=data.get("location"),
        quantum_backend=data.get("quantum_backend"),
        internal={name: value for name, value in data.items() if name.startswith(INTERNAL)},
    )


def _with(one: Requirements, card: Accelerator | MemoryOf) -> Requirements:
    if isinstance(card, Accelerator):
        if one.cloud is None and card.name.startswith("tpu-"):
            # Nobody else sells TPUs by name.
            one = replace(one, cloud="kubernetes" if accelerated.on_gke(card.name) else "gcp")
        return replace(one, accelerator=card)
    return replace(one, accelerator_memory=card)


def _amount(option: Option, name: str, reader: Callable[[Any], Quantity], notes: Notes) -> Quantity | None:
    value = option.data.get(name)
    if value is None:
        return None
    try:
        return reader(value)
    except ValueError as error:
        message = f"`{name}` cannot be {quote(str(value))}"
        notes.note("task/wrong-value", message, option.at(name), str(error))
        return None


def _memory(option: Option, notes: Notes) -> tuple[Quantity | None, Quantity | None]:
    """(GB, None), or (None, GB for each vCPU) of `4x`."""
    value = option.data.get("memory")
    text = value.strip().rstrip("+") if isinstance(value, str) else ""
    if not text.lower().endswith("x"):
        return _amount(option, "memory", quantity.size, notes), None
    plus = "+" if str(value).strip().endswith("+") else ""
    try:
        return None, quantity.count(text[:-1] + plus)
    except ValueError:
        hint = "for example `4x`, four gigabytes for each vCPU"
        notes.note("task/wrong-value", f"`memory` cannot be {quote(str(value))}", option.at("memory"), hint)
        return None, None


def _recovery(option: Option, notes: Notes) -> Recovery | None:
    value = option.data.get("job_recovery")
    if value is None:
        return None
    data = value if isinstance(value, Mapping) else {"strategy": value}
    strategy = (data.get("strategy") or "").strip().lower() or None
    if strategy == "none":
        return None
    if strategy not in (None, *STRATEGIES):
        path = option.at("job_recovery")
        listed = ", ".join(f"`{name}`" for name in (*STRATEGIES, "none"))
        path = (*path, "strategy") if isinstance(value, Mapping) else path
        notes.note(
            "task/wrong-value", f"no strategy is called {quote(strategy)}", path, f"there are {listed}"
        )
        return None
    codes = data.get("recover_on_exit_codes") or ()
    listed_codes = codes if isinstance(codes, (list, tuple)) else [codes]
    return Recovery(
        strategy, int(data.get("max_restarts_on_errors") or 0), tuple(int(code) for code in listed_codes)
    )


def _local_disk(option: Option, notes: Notes) -> LocalDisk | None:
    value = option.data.get("local_disk")
    if value is None:
        return None
    kind, colon, size = value.strip().lower().partition(":")
    if not colon and kind not in ("nvme", "ssd"):
        kind, size = "nvme", kind
    try:
        if kind not in ("nvme", "ssd"):
            raise ValueError("the kind is `nvme` or `ssd`, as in `nvme:500+`")
        return LocalDisk(kind, quantity.size(size) if size or colon else DEFAULT_LOCAL_GB)
    except ValueError as error:
        message = f"`local_disk` cannot be {quote(value)}"
        notes.note("task/wrong-value", message, option.at("local_disk"), str(error))
        return None


def _image(option: Option, cloud: str | None, notes: Notes) -> Image | None:
    """On Kubernetes every image is a container's, with and without `docker:`."""
    value = option.data.get("image_id")
    if value is None:
        return None
    if isinstance(value, str):
        text = value.strip()
        inside_pod = cloud == "kubernetes"
        if text.startswith("docker:") or inside_pod:
            return Image(docker=text.removeprefix("docker:"))
        return Image({"": text})
    ids = {region.strip(): text.strip() for region, text in value.items() if region != "docker"}
    inside = {text for text in ids.values() if text.startswith("docker:")}
    docker = value.get("docker")
    if inside and docker is not None:
        message = "`image_id` names a container by `docker` and by region"
        notes.note("task/conflicting-fields", message, option.at("image_id"), "keep one of them", True)
    return Image(ids, docker.strip().removeprefix("docker:") if docker else None) if value else None


def _ports(option: Option, notes: Notes) -> tuple[str, ...]:
    value = option.data.get("ports")
    if value is None:
        return ()
    try:
        return ports.ranges(value)
    except ValueError as error:
        message = f"`ports` cannot be {quote(str(value))}"
        notes.note("task/wrong-value", message, option.at("ports"), str(error))
        return ()


def _labels(option: Option, notes: Notes) -> dict[str, str]:
    labels = {}
    for name, value in (option.data.get("labels") or {}).items():
        inner, outer = (*option.path, "labels", name), ("resources", "labels", name)
        path = inner if notes.source.written(inner) is not None else outer
        written = None if notes.is_overridden(path) else notes.source.written(path)
        text = value if isinstance(value, str) else written or str(value)
        if not name or len(name) > 128 or len(text) > 256:
            message = f"the label {quote(name)} is empty or too long"
            hint = "128 characters for the name, 256 for the value"
            notes.note("task/wrong-value", message, path, hint, True)
        labels[name] = text
    return labels


def _autostop(option: Option, notes: Notes) -> Autostop | None:
    value = option.data.get("autostop")
    if value is None:
        return None
    if isinstance(value, bool):
        return Autostop(DEFAULT_IDLE_S if value else None)
    if isinstance(value, Mapping):
        minutes = value.get("idle_minutes")
        idle = DEFAULT_IDLE_S if minutes is None else int(minutes) * 60
        if value.get("hook") is not None:
            path = (*option.at("autostop"), "hook")
            notes.old("`autostop.hook` is an old form", path, "write it as an entry of `config.hooks`")
        return Autostop(idle, value.get("down", False), value.get("wait_for") or "jobs_and_ssh")
    try:
        return Autostop(quantity.seconds(int(value) if isinstance(value, float) else value))
    except ValueError as error:
        message = f"`autostop` cannot be {quote(str(value))}"
        notes.note("task/wrong-value", message, option.at("autostop"), str(error))
        return None


def _disks(option: Option, notes: Notes) -> Iterator[Disk]:
    for index, one in enumerate(option.data.get("volumes") or ()):
        path = (*option.at("volumes"), index)
        kind, size = one.get("storage_type") or "network", one.get("disk_size")
        if kind == "network" and not one.get("name"):
            message = f"the disk at {quote(one['path'])} has no `name`"
            notes.note("task/missing-field", message, path, "a disk of the cloud is found by its name", True)
        try:
            gigabytes = None if size is None else quantity.size(size, plus_allowed=False).value
        except ValueError as error:
            message = f"`disk_size` cannot be {quote(str(size))}"
            notes.note("task/wrong-value", message, (*path, "disk_size"), str(error))
            continue
        yield Disk(
            path=one["path"],
            name=one.get("name") if kind == "network" else None,
            size_gb=gigabytes,
            tier=one.get("disk_tier") or "best",
            storage_type=kind,
            attach_mode=one.get("attach_mode") or "read_write",
            auto_delete=one.get("auto_delete", False),
        )
