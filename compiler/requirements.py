"""The `resources` of a task file, checked by the schema already, into Requirements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compiler import quantity
from compiler.catalog import accelerators, clouds
from compiler.notes import Notes
from compiler.offer import Accelerator
from compiler.problem import nearest, quote
from compiler.quantity import Quantity
from compiler.task import Autostop, Requirements

DEFAULT_IDLE_S = 300
"""What `autostop: true` means."""

MOST_ACCELERATORS = 10_000
"""On one node; more is a slip of the finger."""


def read(data: Mapping[str, Any], notes: Notes, enabled: Sequence[str]) -> Requirements:
    """Requirements of `data`; what is wrong is noted and left out."""
    cloud, region, zone = _where(data, notes, enabled)
    disk = _quantity(data, "disk_size", lambda value: quantity.size(value, plus_allowed=False), notes)
    return Requirements(
        cloud=cloud,
        region=region,
        zone=zone,
        accelerator=_accelerator(data.get("accelerators"), notes),
        cpus=_quantity(data, "cpus", quantity.count, notes),
        memory_gb=_quantity(data, "memory", _memory, notes),
        disk_gb=disk.value if disk else None,
        use_spot=data.get("use_spot", False),
        labels=_labels(data.get("labels") or {}, notes),
        autostop=_autostop(data.get("autostop"), notes),
    )


def _where(
    data: Mapping[str, Any], notes: Notes, enabled: Sequence[str]
) -> tuple[str | None, str | None, str | None]:
    path: tuple[str | int, ...] = ("resources", "infra")
    if "infra" in data:
        older = [name for name in ("cloud", "region", "zone") if name in data]
        if older:
            listed = " and ".join(f"`{name}`" for name in older)
            hint = "write `infra: cloud/region/zone` alone"
            notes.note(
                "task/conflicting-fields",
                f"`infra` and {listed} say the same thing",
                ("resources", older[0]),
                hint,
                True,
            )
            return None, None, None
        parts = str(data["infra"]).strip().strip("/").split("/")
        if clouds.canonical(parts[0]) == "kubernetes":
            parts = [parts[0], "/".join(parts[1:])]
        if len(parts) > 3 or any(not part for part in parts[:1]):
            message = f"{quote(data['infra'])} is not a cloud with region and zone"
            notes.note("task/wrong-value", message, path, "for example `infra: aws/us-west-2`")
            return None, None, None
        said = [part if part not in ("", "*") else None for part in (*parts, "", "")[:3]]
    else:
        path = ("resources", "cloud")
        said = [data.get(name) for name in ("cloud", "region", "zone")]
        said = [part if part != "*" else None for part in said]
    cloud = _cloud(said[0], path, notes, enabled) if said[0] else None
    return cloud, said[1], said[2]


def _cloud(text: str, path: tuple[str | int, ...], notes: Notes, enabled: Sequence[str]) -> str | None:
    name = clouds.canonical(text)
    if name in enabled:
        return name
    here = ", ".join(f"`{one}`" for one in enabled) or "none"
    if name in clouds.KNOWN:
        notes.note(
            "task/cloud-not-enabled",
            f"the cloud {quote(text)} is not enabled here",
            path,
            f"enabled: {here}; `skywright check` tells what the others need",
        )
        return None
    meant = nearest(name, [*enabled, *sorted(clouds.KNOWN), *clouds.ALIASES])
    hint = f"did you mean `{meant}`?" if meant else f"enabled: {here}"
    notes.note("task/unknown-cloud", f"there is no cloud {quote(text)}", path, hint)
    return None


def _accelerator(value: Any, notes: Notes) -> Accelerator | None:
    path: tuple[str | int, ...] = ("resources", "accelerators")
    if value is None:
        return None
    text, number = value, None
    if isinstance(value, Mapping):
        text, number = next(iter(value.items()))
        path = (*path, text)
    if number is None:
        if text.strip().lower().endswith("+") or text.strip().lower().endswith("gb"):
            head = text.strip().rstrip("+")
            if head[:1].isdigit() and accelerators.canonical(head) is None:
                message = f"accelerators by memory ({quote(text)}) are not supported yet"
                notes.note("task/not-supported-yet", message, path, "name one, such as `A100-80GB:1`")
                return None
        try:
            text, number = quantity.counted(text)
        except ValueError as error:
            notes.note(
                "task/wrong-value", f"{quote(text)} is not an accelerator with a count", path, str(error)
            )
            return None
        number = 1 if number is None else number
    name = accelerators.canonical(text)
    if name is None:
        meant = accelerators.similar(text)
        hint = f"did you mean `{meant}`?" if meant else "`H100:8` is eight H100 on each node"
        if text.strip().startswith("$"):
            hint = "a name in `envs` is filled in here; this one is not there"
        key = isinstance(value, Mapping)
        notes.note("task/unknown-accelerator", f"no accelerator is called {quote(text)}", path, hint, key)
        return None
    if not 0 < number <= MOST_ACCELERATORS:
        notes.note(
            "task/wrong-value",
            f"{number:g} accelerators cannot be asked for",
            path,
            f"for example `{name}:1`",
        )
        return None
    if number != int(number):
        message = f"a part of an accelerator ({name}:{number:g}) is not supported yet"
        notes.note("task/not-supported-yet", message, path, f"ask for whole ones: `{name}:{int(number) + 1}`")
        return None
    return Accelerator(name, int(number))


def _quantity(
    data: Mapping[str, Any], name: str, reader: Callable[[Any], Quantity], notes: Notes
) -> Quantity | None:
    if data.get(name) is None:
        return None
    try:
        return reader(data[name])
    except ValueError as error:
        shown = quote(str(data[name]))
        notes.note("task/wrong-value", f"`{name}` cannot be {shown}", ("resources", name), str(error))
    except NotImplementedError as error:
        notes.note("task/not-supported-yet", str(error), ("resources", name))
    return None


def _memory(value: Any) -> Quantity:
    if isinstance(value, str) and value.strip().rstrip("+").lower().endswith("x"):
        raise NotImplementedError("memory by the number of CPUs (`4x`) is not supported yet")
    return quantity.size(value)


def _labels(data: Mapping[str, Any], notes: Notes) -> dict[str, str]:
    labels = {}
    for name, value in data.items():
        path = ("resources", "labels", name)
        text = value if isinstance(value, str) else notes.source.written(path) or str(value)
        if not name or len(name) > 128 or len(text) > 256:
            message = f"the label {quote(name)} is empty or too long"
            notes.note(
                "task/wrong-value", message, path, "128 characters for the name, 256 for the value", True
            )
        labels[name] = text
    return labels


def _autostop(value: Any, notes: Notes) -> Autostop | None:
    path: tuple[str | int, ...] = ("resources", "autostop")
    if value is None:
        return None
    if isinstance(value, bool):
        return Autostop(DEFAULT_IDLE_S if value else None)
    if isinstance(value, Mapping):
        minutes = value.get("idle_minutes")
        idle = DEFAULT_IDLE_S if minutes is None else int(minutes) * 60
        return Autostop(idle, value.get("down", False))
    try:
        return Autostop(quantity.seconds(int(value) if isinstance(value, float) else value))
    except ValueError as error:
        notes.note("task/wrong-value", f"`autostop` cannot be {quote(str(value))}", path, str(error))
        return None
