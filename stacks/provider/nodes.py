"""Local nodes on disk: made, found, changed, removed; each is a folder and the processes that its init ends.

Every step can be repeated after a crash: the folder is written before anything starts, a node is found by
what its folder says and never by memory, and it is gone only after its processes are.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems
from stacks.home import FULL, disk_full, home, read_json, write_json
from stacks.process import Identity, alive, descendants, send
from stacks.provider import addresses, agents, starting

NODE_NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?-[0-9]+-[0-9a-f]{6}")
_LOCKS = 64
_END_S = 10.0


@dataclass(frozen=True, slots=True)
class Order:
    """What a node is made from. `deadman_s` and `labels` may change later; the rest makes another node."""

    project: str
    deployment: str
    rank: int
    agent: str
    market: str
    deadman_s: float
    cpus: float | None = None
    memory_gb: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    zone: str | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.project, starting.lived_in(self.deployment, self.zone), self.rank)


@dataclass(frozen=True, slots=True)
class Node:
    """One node folder. `init` is None while it is being made; `first` is the first process inside.

    `groups` are the control groups, by their path in a hierarchy, below which the node makes its own.
    """

    folder: Path
    node: str
    project: str
    deployment: str
    rank: int
    address: str
    port: int
    created: str
    market: str
    isolation: str
    labels: Mapping[str, str]
    init: Identity | None
    first: Identity | None
    groups: tuple[str, ...]
    zone: str | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.project, starting.lived_in(self.deployment, self.zone), self.rank)

    @property
    def alive(self) -> bool:
        return self.init is not None and alive(self.init)


def root() -> Path:
    """The folder of all nodes of this home."""
    folder = home() / "local" / "nodes"
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    return folder


def kept(project: str, deployment: str, zone: str | None = None) -> Path:
    """The folder that the nodes of a deployment share in one zone, and that survives them."""
    return home() / "local" / "kept" / project / starting.lived_in(deployment, zone)


def get(node: str) -> Node | None:
    """One node by its id, or None when it is gone (or was never one of ours)."""
    if not NODE_NAME.fullmatch(node):
        return None
    folder = root() / node
    data = read_json(folder / "node.json") if folder.is_dir() else None
    return None if data is None else _node(folder, data)


def existing() -> tuple[Node, ...]:
    """All nodes that have a folder, by name; living or not."""
    return tuple(node for name in sorted(os.listdir(root())) if (node := get(name)) is not None)


def create(order: Order, wanted: Callable[[], bool] = lambda: True) -> Node:
    """Make and start one node; returns when its init is up. A former node with the same key goes.

    `wanted` is asked once this call is the only one for its key: who waited for long may be wanted no more.
    Raises Problems: cloud/agent-missing, cloud/node-not-started, machine/disk-full, machine/no-address.
    """
    with _locked(order.key), _disk():
        if not wanted():
            raise Problems(Problem("cloud/node-not-started", "the engine that asked for this node is gone"))
        sweep()
        agent = agents.folder(home(), order.agent)
        for former in existing():
            if former.key == order.key:
                remove(former.node)
        name = f"{order.deployment}-{order.rank}-{secrets.token_hex(3)}"
        try:
            with locked("folders"):
                folder = _folder(name, order)
                kept(order.project, order.deployment, order.zone).mkdir(
                    mode=0o755, parents=True, exist_ok=True
                )
            starting.start(folder, agent)
        except BaseException:
            remove(name)
            raise
    made = get(name)
    assert made is not None
    return made


def _folder(name: str, order: Order) -> Path:
    """The node's folder with all that is known before anything runs; its address is taken by being in it."""
    # Nobody else is here now, so these are of creations that were killed.
    for left in root().glob(".new-*"):
        _delete(left)
    address, port = addresses.free({(node.address, node.port) for node in existing()})
    folder = root() / name
    new = root() / f".new-{name}"
    new.mkdir(mode=0o755)
    for part in ("home", "agent", "cloud"):
        (new / part).mkdir(mode=0o755)
    data = {
        "node": name,
        "project": order.project,
        "deployment": order.deployment,
        "rank": order.rank,
        "address": address,
        "port": port,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "market": order.market,
        "isolation": "",
        "labels": dict(order.labels),
        "init": None,
        "first": None,
        **({"zone": order.zone} if order.zone else {}),
    }
    write_json(new / "node.json", data)
    (new / "proof").touch(mode=0o600)
    (new / "proof").write_text(secrets.token_hex(32))
    manifest = starting.manifest(folder, data, order.deadman_s, order.cpus, order.memory_gb)
    write_json(new / "manifest.json", manifest)
    os.rename(new, folder)
    return folder


def update(node: str, labels: Mapping[str, str], deadman_s: float) -> Node | None:
    """Change what can change on a living node. None when it is gone."""
    found = get(node)
    if found is None:
        return None
    with _locked(found.key), _disk():
        for name, changes in (
            ("node.json", {"labels": dict(labels)}),
            ("manifest.json", {"labels": dict(labels), "deadman_s": deadman_s}),
        ):
            path = found.folder / name
            write_json(path, {**read_json(path), **changes})
    return get(node)


def remove(node: str) -> None:
    """End all of a node, then delete its folder; nothing for one that is gone. Problems when it stays."""
    found = get(node)
    if found is not None:
        _stop(found)
        _remove_groups(found)
        gone = found.folder.with_name(f".gone-{node}")
        with locked("folders"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(found.folder, gone)
            _remove_kept_if_empty(found)
    sweep(node)


def _remove_kept_if_empty(node: Node) -> None:
    """After a deployment's last node: a folder in which nothing was kept is of no use to anybody."""
    if any(other.key[:2] == node.key[:2] for other in existing()):
        return
    folder = kept(node.project, node.deployment, node.zone)
    with contextlib.suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def lose(node: Node) -> None:
    """Take a node away without a word, as a cloud may: nothing on it can say goodbye. Its folder stays."""
    for who in (node.init, node.first):
        if who is not None:
            # The first process ends by itself: where there are no namespaces it has to end the others first.
            ended(who, signal.SIGKILL if who is node.init else 0, _END_S)


def kill_agent(node: Node) -> int | None:
    """kill -9 of the agent alone; its pid as the host sees it, or None when none runs now."""
    for who in descendants(node.init.pid) if node.init else ():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{who.pid}/cmdline").read_bytes().split(b"\0")
            # The agent's shims run the same script, with another first argument.
            if f"{node.folder}/manifest.json".encode() in words and send(who, signal.SIGKILL):
                return who.pid
    return None


def sweep(node: str | None = None) -> None:
    """Delete what interrupted removals left, ours and those by hand (of one node, else of all)."""
    for name in os.listdir(root()):
        if node not in (None, name.removeprefix(".gone-")):
            continue
        # A folder without its record is no node any more: its init ends as soon as it sees that.
        bare = NODE_NAME.fullmatch(name) is not None and not (root() / name / "node.json").exists()
        if bare or name.startswith(".gone-"):
            _delete(root() / name)


def _stop(node: Node) -> None:
    for who in (node.init, node.first):
        if who is None:
            continue
        # The first process outlives a killed init only for the moment in which it ends what it has started.
        if not ended(who, signal.SIGTERM, _END_S) and not ended(who, signal.SIGKILL, _END_S):
            raise Problems(
                Problem(
                    "cloud/node-not-ended",
                    f"process {who.pid} of node {node.node} does not end",
                    hint="try again; a disk or mount that hangs can hold a process",
                )
            )


def ended(who: Identity, number: int, seconds: float) -> bool:
    """Signal a process and wait until it is gone; False when it still runs after `seconds`."""
    send(who, number)
    deadline = time.monotonic() + seconds
    pause = 0.001
    while alive(who):
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True


def _delete(folder: Path) -> None:
    """Delete a folder, also when another process does the same or its owner may not write to all of it."""
    for _ in range(100):  # each of two that delete together may lose every entry to the other
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            if not folder.exists():
                return
        except PermissionError:
            for below, names, _ in os.walk(folder):
                for path in (below, *(os.path.join(below, name) for name in names)):
                    if not os.path.islink(path):
                        os.chmod(path, 0o700)
        else:
            return
    shutil.rmtree(folder)


def _remove_groups(node: Node) -> None:
    """The control groups that the agent made for the node's jobs; empty once its processes are gone."""
    top = Path("/sys/fs/cgroup")
    for path in node.groups:
        for hierarchy in (top, *top.glob("*/")):
            for group in hierarchy.joinpath(path.lstrip("/")).glob(f"skywright-{node.node}*"):
                for below, _, _ in os.walk(group, topdown=False):
                    with contextlib.suppress(OSError):
                        os.rmdir(below)


def _node(folder: Path, data: Mapping[str, Any]) -> Node:
    init, first = data["init"], data["first"]
    return Node(
        folder=folder,
        node=data["node"],
        project=data["project"],
        deployment=data["deployment"],
        rank=data["rank"],
        address=data["address"],
        port=data["port"],
        created=data["created"],
        market=data["market"],
        isolation=data["isolation"],
        labels=data["labels"],
        init=Identity.from_data(init) if init else None,
        first=Identity.from_data(first) if first else None,
        groups=tuple(data.get("groups", ())),
        zone=data.get("zone"),
    )


def _locked(key: tuple[str, str, int]) -> contextlib.AbstractContextManager[None]:
    # A fixed set of files: one per key would stay behind, and deleting a lock file lets two hold "it".
    number = int(hashlib.sha256("\0".join(map(str, key)).encode()).hexdigest(), 16) % _LOCKS
    return locked(f"{number:02d}")


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Exclude every other thread and process of this home that wants the same name."""
    folder = home() / "local" / "locks"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise Problems(disk_full(home())) from error
