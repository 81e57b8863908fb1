"""Settings of the user and of the project: which files there are, what each says, and which one holds.

From weak to strong: SkyPilot's `~/.sky/config.yaml`, `config.yaml` in the skywright home, SkyPilot's `.sky.yaml`
and our `.skywright.yaml` (the nearest of each, upwards from the task), the environment. Flags win over all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.prices import Prices
from compiler.problem import Problem, Problems
from skywright import policies, prices

if TYPE_CHECKING:
    from compiler.spec import Given
    from stacks.rules.policy import Statement

OURS = ".skywright.yaml"
THEIRS = ".sky.yaml"
DEEP = ("labels", "policy", "prices", "throughput", "given", "jobs")
"""Settings whose members add up; of the others the strongest holds whole."""

THEIRS_GIVEN = {
    ("aws", "vpc_name"): "network",
    ("aws", "remote_identity"): "role",
    ("gcp", "vpc_name"): "network",
    ("gcp", "project_id"): "account",
    ("gcp", "remote_identity"): "role",
    ("azure", "resource_group_vm"): "group",
    ("kubernetes", "namespace"): "namespace",
}
"""(cloud, SkyPilot's name) of what a team owns -> ours, where it is the name of one thing."""


@dataclass(frozen=True, slots=True)
class Said:
    """One setting as one file has it. `holds` is False when a stronger file says another value."""

    key: str
    value: Any
    origin: str
    holds: bool = True


@dataclass(frozen=True, slots=True)
class Policy:
    """What no task may go beyond: the strictest of what the files say.

    `max_hourly_cost` is USD for all nodes of a task. `files` are (file, what it says) for everything that holds,
    `commands` the outside programs that judge.
    """

    max_hourly_cost: float | None = None
    require_labels: tuple[str, ...] = ()
    exact: bool = False
    commands: tuple[tuple[str, ...], ...] = ()
    files: tuple[tuple[str, Mapping[str, Any]], ...] = field(default=(), compare=False)

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All that rules say here, in the order of the files."""
        return tuple(one for origin, data in self.files for one in policies.statements(origin, data))


@dataclass(frozen=True, slots=True)
class Config:
    """What holds. `clouds` None: all that work; `regions` by cloud, absent: all; `defaults` has a task's shape.

    `prices` are what is paid where it is not the list price; `throughput` is how fast accelerators are beside each
    other, by their canonical names; `parallel` is how many
    jobs run at once where the home says it. `given` has, by cloud, the names of what the
    team owns. `unused` are (key, file) of SkyPilot's settings that have no meaning here.
    """

    project: str | None = None
    clouds: tuple[str, ...] | None = None
    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    prices: Prices = field(default_factory=Prices)
    throughput: Mapping[str, float] = field(default_factory=dict)
    parallel: int | None = None
    given: Mapping[str, Given] = field(default_factory=dict)
    said: tuple[Said, ...] = ()
    unused: tuple[tuple[str, str], ...] = ()

    def under_task(self) -> dict[str, Any]:
        """Defaults and labels in a task's shape, to be put under a task."""
        found = dict(self.defaults)
        resources = dict(found.get("resources") or {})
        labels = {**self.labels, **(resources.get("labels") or {})}
        if labels:
            resources["labels"] = labels
        if self.policy.exact:
            resources["exact"] = True
        return {**found, "resources": resources} if resources else found


def read(start: Path | None = None) -> Config:
    """The settings for a task in the folder `start` (default: the one we are in).

    Raises Problems usage/bad-setting with places, usage/bad-project, task/... for a file that is no YAML.
    """
    layers: list[tuple[str, dict[str, Any]]] = []
    unused: list[tuple[str, str]] = []
    said: list[tuple[str, dict[str, Any]]] = []
    for path, foreign in _files((start or Path.cwd()).absolute()):
        data = _parsed(path)
        if foreign:
            data, left = _translated(data)
            unused.extend((key, str(path)) for key in left)
        else:
            _check(path, data)
            said += (held := policies.with_file(path, data))
            layers += [(origin, {"policy": one}) for origin, one in held if origin != str(path)]
        layers.append((str(path), data))
    if named := os.environ.get("SKYWRIGHT_PROJECT"):
        layers.append(("SKYWRIGHT_PROJECT", {"project": named}))
    return _merged(layers, tuple(unused), _policy(said))


def own_policy(home: Path) -> tuple[Statement, ...]:
    """What the settings of one skywright home say, whatever an order says. Problems as of `read`."""
    path = home / "config.yaml"
    if not path.is_file():
        return ()
    data = _parsed(path)
    _check(path, data)
    return _policy(policies.with_file(path, data)).statements


def own_parallel(home: Path) -> int | None:
    """`jobs.parallel` of one skywright home: how many jobs its control runs at once. Problems as of `read`."""
    found: int | None = (_own(home).get("jobs") or {}).get("parallel")
    return found


def own_store(home: Path) -> str | None:
    """Where control of one skywright home keeps its rows, when that is no file of the home. Problems as of `read`."""
    found: str | None = (_own(home).get("control") or {}).get("store")
    return found


def _own(home: Path) -> dict[str, Any]:
    path = home / "config.yaml"
    if not path.is_file():
        return {}
    data = _parsed(path)
    _check(path, data)
    return data


def _policy(said: list[tuple[str, dict[str, Any]]]) -> Policy:
    """The strictest of what all files say."""
    most = [data["max_hourly_cost"] for _, data in said if "max_hourly_cost" in data]
    labels = [name for _, data in said for name in data.get("require_labels", ())]
    sizes = [
        (data["rules"]["larger-than-asked"] or {})
        for _, data in said
        if "larger-than-asked" in data.get("rules", {})
    ]
    denied = any(one.get("level", "deny") == "deny" and not one.get("except") for one in sizes)
    return Policy(
        min(most, default=None),
        tuple(dict.fromkeys(labels)),
        denied or any(data.get("exact") for _, data in said),
        tuple(dict.fromkeys(tuple(data["command"]) for _, data in said if "command" in data)),
        tuple(said),
    )


def _files(start: Path) -> Iterator[tuple[Path, bool]]:
    """(file, is it SkyPilot's) for each that exists, weak ones first."""
    from stacks.home import home

    sky = Path.home() / ".sky" / "config.yaml"
    if sky.is_file():
        yield sky, True
    user = home() / "config.yaml"
    if user.is_file():
        yield user, False
    for name, foreign in ((THEIRS, True), (OURS, False)):
        found = next((folder / name for folder in (start, *start.parents) if (folder / name).is_file()), None)
        if found:
            yield found, foreign


def _parsed(path: Path) -> dict[str, Any]:
    from compiler import source

    try:
        content = path.read_bytes()
    except OSError as error:
        says = f"`{path}` cannot be read: {error.strerror}"
        raise Problems(Problem("usage/bad-setting", says)) from None
    if not content.strip():
        return {}
    try:
        data = source.parse(content, str(path)).data
    except Problems as wrong:
        if all(problem.code == "task/empty-file" for problem in wrong.problems):
            return {}
        raise
    return data if isinstance(data, dict) else {}


def _check(path: Path, data: dict[str, Any]) -> None:
    """Against the schema, with places. A wrong name of a project has a code of its own."""
    import schemas
    from compiler import schema, source
    from compiler.normal import normal

    contract = schemas.load("config.v1.json")
    plain = normal(data, contract)
    faults = schema.check(plain, contract)
    data.clear()
    data.update(plain)
    if not faults:
        _check_beyond(path, plain)
        return
    read_again = source.parse(path.read_bytes(), str(path))
    found = []
    for fault in faults:
        code = "usage/bad-project" if fault.path == ("project",) else "usage/bad-setting"
        says = fault.message.replace("is not a field of a task", "is not a setting")
        found.append(Problem(code, says, read_again.place(fault.path, fault.key), fault.hint))
    raise Problems(found)


def _check_beyond(path: Path, data: dict[str, Any]) -> None:
    from compiler import source

    beyond = policies.wrong(data.get("policy") or {}) if data.get("policy") else ()
    faults = (*prices.wrong(data), *((("policy", *at), False, says, None) for at, says in beyond))
    if faults:
        read_again = source.parse(path.read_bytes(), str(path))
        found = [
            Problem("usage/bad-setting", says, read_again.place(where, key), hint)
            for where, key, says, hint in faults
        ]
        raise Problems(found)


def _translated(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Settings of SkyPilot that mean something here, and the names of the others."""
    from compiler.catalog import clouds

    made: dict[str, Any] = {}
    left: list[str] = []
    for key, value in data.items():
        if key == "allowed_clouds" and isinstance(value, list):
            made["clouds"] = [clouds.canonical(str(name)) for name in value]
        elif isinstance(value, dict) and value:
            for inner, one in value.items():
                ours = THEIRS_GIVEN.get((key, inner))
                if (key, inner) == ("kubernetes", "kueue") and isinstance(one, dict):
                    ours, one = "queue", one.get("local_queue_name")
                if ours and isinstance(one, str):
                    made.setdefault("given", {}).setdefault(key, {})[ours] = one
                else:
                    left.append(f"{key}.{inner}")
        else:
            left.append(key)
    return made, left


def _merged(
    layers: list[tuple[str, dict[str, Any]]], unused: tuple[tuple[str, str], ...], policy: Policy
) -> Config:
    from compiler.catalog import clouds
    from compiler.spec import Given

    said: list[Said] = []
    whole: dict[str, Any] = {}
    for origin, data in layers:
        for key, value in data.items():
            deep = key in DEEP or key == "defaults"
            for name, member in _leaves(key, value, deep):
                if key != "policy":  # of which everything holds, whoever says it
                    said = [_weaker(one, name) for one in said]
                said.append(Said(name, member, origin))
            whole[key] = _under(whole.get(key), value) if deep else value
    listed, regions = _clouds(whole.get("clouds"))
    project = whole.get("project")
    return Config(
        project=None if project is None else str(project),
        clouds=listed,
        regions=regions,
        defaults=whole.get("defaults") or {},
        labels={name: str(value) for name, value in (whole.get("labels") or {}).items()},
        policy=policy,
        prices=prices.read(whole.get("prices") or {}),
        throughput=prices.factors(whole.get("throughput") or {}),
        parallel=(whole.get("jobs") or {}).get("parallel"),
        given={
            clouds.canonical(name): Given.from_data(
                {key: one for key, one in names.items() if one is not None}
            )
            for name, names in (whole.get("given") or {}).items()
        },
        said=tuple(said),
        unused=unused,
    )


def _weaker(one: Said, name: str) -> Said:
    return Said(one.key, one.value, one.origin, False) if one.key == name else one


def _leaves(key: str, value: Any, deep: bool) -> Iterator[tuple[str, Any]]:
    if deep and isinstance(value, dict):
        for name, member in value.items():
            yield from _leaves(f"{key}.{name}", member, key == "defaults")
    else:
        yield key, value


def _under(weak: Any, strong: Any) -> Any:
    if not isinstance(weak, dict) or not isinstance(strong, dict):
        return strong
    return {**weak, **{name: _under(weak.get(name), value) for name, value in strong.items()}}


def _clouds(value: Any) -> tuple[tuple[str, ...] | None, dict[str, tuple[str, ...]]]:
    from compiler.catalog import clouds

    if value is None:
        return None, {}
    names = tuple(clouds.canonical(name) for name in value)
    if not isinstance(value, dict):
        return names, {}
    regions = {
        clouds.canonical(name): tuple(one["regions"])
        for name, one in value.items()
        if one and "regions" in one
    }
    return names, regions
