"""The smaller fields of a task file, checked by the schema already, into frozen values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from compiler import paths, quantity, spans
from compiler.files import KeptSecret, Repository, Sync, Transfer
from compiler.filling import Filling
from compiler.notes import Notes
from compiler.problem import quote
from compiler.task import Deadline, Edge, Hook, Networking

INTERNAL = ("file_mounts_mapping", "volume_mounts", "_metadata")
"""What SkyPilot writes for itself."""


LOGIN = ("SKYPILOT_DOCKER_USERNAME", "SKYPILOT_DOCKER_PASSWORD", "SKYPILOT_DOCKER_SERVER")
"""Variables that log in to a registry of images."""


def workdir(value: Any, filling: Filling, notes: Notes) -> tuple[str | None, Repository | None]:
    """A folder of the user's machine, or a repository."""
    if isinstance(value, Mapping):
        return None, Repository(filling.fill(value["url"]), filling.fill(value.get("ref")))
    if value is None:
        return None, None
    filled = str(filling.fill(value))
    kind = paths.scheme(filled)
    if kind:
        message = f"the workdir is a folder of your machine, not `{kind}://`"
        hint = f"a git repository is written as a mapping: `workdir: {{url: {filled[:60]}}}`"
        notes.note("task/wrong-value", message, ("workdir",), hint)
    return filled, None


def kept_secrets(given: Iterable[Any], notes: Notes) -> tuple[KeptSecret, ...]:
    """Names, and mappings of one name to where it is mounted."""
    found = []
    for index, one in enumerate(given):
        name, more = (one, {}) if isinstance(one, str) else next(iter(one.items()))
        path = more.get("mount_path")
        if path is not None and not path.startswith(("/", "~/")):
            message = f"the secret's file {quote(path)} does not begin with `/` or `~/`"
            at = ("managed_secrets", index, name, "mount_path")
            notes.note("task/wrong-value", message, at, "for example `mount_path: /etc/tls/key.pem`")
        found.append(KeptSecret(name.removeprefix("secrets:"), path))
    return tuple(found)


def check_login(envs: Mapping[str, Any], secrets: Mapping[str, Any], notes: Notes) -> None:
    """The login for a registry of images is three variables in one place."""
    for kind, given, other in (("envs", envs, secrets), ("secrets", secrets, envs)):
        there = [name for name in LOGIN if name in given]
        if there and len(there) < len(LOGIN):
            lacking = ", ".join(f"`{name}`" for name in LOGIN if name not in given)
            split = any(name in other for name in LOGIN)
            hint = "all three stand in `envs`, or all in `secrets`" if split else f"add {lacking}"
            message = "a login for images is given in part"
            notes.note("task/missing-field", message, (kind, there[0]), hint, True)
            return


def sync(value: Mapping[str, Any] | None) -> Sync | None:
    if value is None:
        return None
    include, exclude = value.get("include") or (), value.get("exclude") or ()
    return Sync(tuple(include), tuple(exclude), value.get("mode") or "incremental")


def transfer(value: Mapping[str, float] | None, filling: Filling) -> Transfer | None:
    """The one entry of `inputs` or `outputs`."""
    return next((Transfer(filling.fill(uri), gb) for uri, gb in (value or {}).items()), None)


def networking(value: Mapping[str, Any] | None) -> Networking | None:
    if value is None:
        return None
    groups = tuple(value.get("security_groups") or ())
    return Networking(value.get("vpc_name"), value.get("subnet_name"), groups)


def edge(value: Mapping[str, Any] | None, notes: Notes) -> Edge | None:
    """Numbers in Mbit/s, ms and W."""
    if value is None:
        return None

    def number(name: str, units: dict[str, float], example: str) -> float | None:
        if value.get(name) is None:
            return None
        try:
            return spans.measure(value[name], units, example)
        except ValueError as error:
            message = f"`{name}` cannot be {quote(value[name])}"
            notes.note("task/wrong-value", message, ("edge_config", name), str(error))
            return None

    return Edge(
        number("bandwidth_limit", spans.BANDWIDTH, "a bandwidth such as `100Mbps`"),
        number("latency_requirements", spans.LATENCY, "a time such as `<50ms`"),
        number("power_constraints", spans.POWER, "a power such as `300W`"),
    )


def deadline(value: Any, notes: Notes) -> Deadline | None:
    """A span in seconds, or a moment."""
    if value is None:
        return None
    try:
        if isinstance(value, str) and any(mark in value for mark in ("-", "T")):
            return Deadline(at=spans.moment(value))
        return Deadline(span_s=spans.hours(value))
    except ValueError as error:
        message = f"`deadline` cannot be {quote(str(value))}"
        notes.note("task/wrong-value", message, ("deadline",), str(error))
        return None


def duration(value: Any, notes: Notes) -> float | None:
    """Seconds."""
    if value is None:
        return None
    try:
        return spans.hours(value)
    except ValueError as error:
        message = f"`duration` cannot be {quote(str(value))}"
        notes.note("task/wrong-value", message, ("duration",), str(error))
        return None


def scheduling_timeout(data: Mapping[str, Any], notes: Notes) -> int | None:
    """Seconds that a job may wait for nodes."""
    value = data.get("wait_for_scheduling_timeout")
    if value is None:
        return None
    try:
        return quantity.seconds(value, unit="s")
    except ValueError as error:
        message = f"`wait_for_scheduling_timeout` cannot be {quote(str(value))}"
        notes.note("task/wrong-value", message, ("job", "wait_for_scheduling_timeout"), str(error))
        return None


def config(data: Mapping[str, Any], notes: Notes) -> tuple[dict[str, Any], tuple[Hook, ...]]:
    """Settings without the hooks, and the hooks; an `autostop.hook` is one of them."""
    settings = dict(data.get("config") or {})
    hooks = [_hook(one) for one in settings.pop("hooks", None) or ()]
    autostop = (data.get("resources") or {}).get("autostop")
    if isinstance(autostop, Mapping) and autostop.get("hook"):
        event = "down" if autostop.get("down") else "stop"
        hooks.append(Hook(autostop["hook"], (event,), autostop.get("hook_timeout") or 3600))
    for where in ("kubernetes", "ssh"):
        for name in ("name", "namespace"):
            if name in ((settings.get(where) or {}).get("custom_metadata") or {}):
                path = ("config", where, "custom_metadata", name)
                message = f"`{name}` is given by skywright and cannot be set"
                notes.note("task/conflicting-fields", message, path, "leave it out", True)
    return settings, tuple(hooks)


def _hook(data: Mapping[str, Any]) -> Hook:
    events = tuple(dict.fromkeys(data.get("events") or ("stop", "preemption", "down")))
    return Hook(data["run"], events, data.get("timeout") or 3600)
