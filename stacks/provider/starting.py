"""How a node starts: its manifest, its init, and the kinds of isolation in the order they are tried."""

from __future__ import annotations

import json
import os
import pwd
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems
from stacks.cloud import Probe
from stacks.home import home, read_json, write_json
from stacks.process import Identity, end, identity
from stacks.provider import agents

INIT = Path(__file__).resolve().parent / "init.py"
_READY_S = 30.0
_FROM_THE_STARTER = (
    "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TERM",
    "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def isolations() -> tuple[str, ...]:
    """What may keep a node apart from its host, best first. SKYWRIGHT_ISOLATION leaves the one it names."""
    if forced := os.environ.get("SKYWRIGHT_ISOLATION"):
        return (forced,)
    possible = {
        "namespaces": sys.platform == "linux" and os.geteuid() == 0,
        "bubblewrap": sys.platform == "linux" and shutil.which("bwrap") is not None,
        "directory": True,
    }
    return tuple(name for name, here in possible.items() if here)


def probe(address: str, port: int) -> Probe:
    """How the agent of a spot node notices that it will be taken away: as on a big cloud."""
    at = f"http://{address}:{port}/latest"
    return Probe(
        url=f"{at}/meta-data/spot/instance-action",
        every_s=1.0,
        member="action",
        values=("terminate", "stop", "hibernate"),
        deadline="time",
        token={
            "url": f"{at}/api/token",
            "method": "PUT",
            "headers": {"X-aws-ec2-metadata-token-ttl-seconds": "21600"},
            "header": "X-aws-ec2-metadata-token",
        },
    )


def lived_in(deployment: str, zone: str | None) -> str:
    """What tells nodes and kept folders of one deployment in two zones of this machine apart."""
    return f"{deployment}@{zone}" if zone else deployment


def manifest(
    folder: Path, node: Mapping[str, Any], deadman_s: float, cpus: float | None, memory_gb: float | None
) -> dict[str, Any]:
    """The agent's orders (schemas/manifest.v1.json); its paths are the same inside the node and outside."""
    limits: dict[str, Any] = {}
    if memory_gb is not None:
        limits["memory_bytes"] = int(memory_gb * 2**30)
    if cpus is not None:
        limits["cpus"] = cpus
    data: dict[str, Any] = {
        "version": 1,
        "project": node["project"],
        "deployment": node["deployment"],
        "rank": node["rank"],
        "node": node["node"],
        "cloud": "local",
        "address": node["address"],
        "home": str(folder / "home"),
        "state": str(folder / "agent"),
        "kept": str(
            home() / "local" / "kept" / node["project"] / lived_in(node["deployment"], node.get("zone"))
        ),
        "link": {
            "carrier": "http",
            "address_file": str(folder / "cloud" / "control.json"),
            "proof_file": str(folder / "proof"),
        },
        "deadman_s": deadman_s,
    }
    if node["market"] == "spot":
        data["probe"] = probe(node["address"], node["port"]).to_data()
    if limits:
        data["limits"] = limits
    if node["labels"]:
        data["labels"] = dict(node["labels"])
    return data


def start(folder: Path, agent: Path) -> None:
    """Start the init of a node whose folder is written; returns once up. Problems cloud/node-not-started."""
    refused = []
    for isolation in isolations():
        apart = "directory" if isolation == "directory" else "namespaces"
        for name, says in (("node.json", isolation), ("manifest.json", apart)):
            write_json(folder / name, {**read_json(folder / name), "isolation": says})
        failure = _try(folder, agent, isolation)
        if failure is None:
            return
        refused.append(f"{isolation}: {failure}")
        if not failure.startswith("unsupported "):
            break
    raise Problems(
        Problem(
            "cloud/node-not-started",
            f"local node {folder.name} did not start ({'; '.join(refused)})",
            hint="`invoke check` says what this machine can do for local nodes",
        )
    )


def _try(folder: Path, agent: Path, isolation: str) -> str | None:
    """One attempt; the reason when it failed, with nothing left running."""
    with open(folder / "init.log", "ab") as log:
        launcher = subprocess.Popen(
            [sys.executable, "-I", "-S", "-E", str(INIT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**_environment(), "HOME": str(folder / "home")},
            cwd="/",
            start_new_session=True,
        )
    assert launcher.stdin is not None
    assert launcher.stdout is not None
    init: Identity | None = None
    done = False
    with launcher.stdin as tell, launcher.stdout as hear:
        try:
            _tell(tell, json.dumps(_order(folder, agent, isolation)))
            word, _, pid = _hear(hear.fileno()).partition(" ")
            if word != "pid":
                return f"{word} {pid}".strip() or _last_words(folder)
            init = identity(int(pid))
            record = folder / "node.json"
            write_json(
                record,
                {**read_json(record), "init": init.to_data(), "first": None, "groups": _groups(init.pid)},
            )
            _tell(tell, "go")
            word, _, rest = _hear(hear.fileno()).partition(" ")
            if word != "ready":
                return rest or _last_words(folder)
            write_json(record, {**read_json(record), "first": identity(int(rest)).to_data()})
            done = True
            return None
        except (BrokenPipeError, ProcessLookupError):
            return _last_words(folder)
        finally:
            launcher.wait()
            if init is not None and not done:
                end(init)


def _order(folder: Path, agent: Path, isolation: str) -> dict[str, Any]:
    node = read_json(folder / "node.json")
    orders = read_json(folder / "manifest.json")
    # Not the virtual environment's link: the folder behind it is all that an interpreter without site needs.
    python = os.path.realpath(sys.executable)
    return {
        "node": node["node"],
        "folder": str(folder),
        "home": orders["home"],
        "address": node["address"],
        "port": node["port"],
        "isolation": isolation,
        "covered": str(home()),
        "writable": [str(folder), orders["kept"]],
        "readable": [str(agent), os.path.realpath(sys.base_prefix), str(INIT.parent)],
        "control": str(home() / "control" / "control.json"),
        "agent": [python, "-I", "-S", "-E", str(agent / agents.ENTRY), str(folder / "manifest.json")],
    }


def _environment() -> dict[str, str]:
    """What a machine gives its processes: never the starter's own variables, which may hold credentials."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    own = os.path.join(sys.prefix, "bin") if sys.prefix != sys.base_prefix else None
    path = [part for part in os.environ.get("PATH", "").split(":") if part and part != own]
    path += [part for part in _SYSTEM_PATH.split(":") if part not in path]
    given = {name: os.environ[name] for name in _FROM_THE_STARTER if name in os.environ}
    return {**given, "PATH": ":".join(path), "USER": user, "LOGNAME": user, "SHELL": "/bin/bash"}


def _groups(pid: int) -> list[str]:
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return []
    return sorted({line.split(":", 2)[2] for line in lines})


def _tell(pipe: Any, text: str) -> None:
    pipe.write(text.encode() + b"\n")
    pipe.flush()


def _hear(handle: int) -> str:
    """One line; empty when the other side closed or is silent for too long."""
    deadline = time.monotonic() + _READY_S
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([handle], [], [], max(0.0, deadline - time.monotonic()))
        byte = os.read(handle, 1) if ready else b""
        if not byte:
            return ""
        line += byte
    return line.decode().strip()


def _last_words(folder: Path) -> str:
    lines = (folder / "init.log").read_text(errors="replace").strip().splitlines()
    if lines and lines[-1].startswith("bwrap: "):
        return f"unsupported {lines[-1]}"
    return lines[-1] if lines else "its init ended without a word"
