"""The container that the parts of a run share: the engine's command lines, and what they answer. Starts nothing.

The engine (docker or podman, whichever the image has) only fetches the image and holds a container open for the run.
The parts of the run are not started by it: their shims put them into the container's namespaces themselves, so that
pipes, signals, exit codes, limits and environment are those of any other job.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import Any, Callable, Mapping, NamedTuple, Optional

from runtime import contents
from runtime.paths import target

LOGIN = ("SKYPILOT_DOCKER_USERNAME", "SKYPILOT_DOCKER_PASSWORD", "SKYPILOT_DOCKER_SERVER")
"""Variables of a task that log in to a registry; the server may be left out of the image's name."""

KEEPER = "trap 'exit 0' TERM; while :; do sleep 86400 & wait; done"
"""The container's first process: it waits, and collects what the job leaves behind."""

SHELLS = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash")
DOCKER_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
DEVICES = ("/dev/infiniband", "/dev/fuse")
"""Handed in where the machine has them: fast networks, and mounts of the job's own."""

Exists = Callable[[str], bool]


class Engine(NamedTuple):
    """A container engine: its name, and where its program is."""

    name: str
    path: str


class Inside(NamedTuple):
    """A container that is up: the pid of its first process, its image's environment, and where its bash is."""

    pid: int
    environment: Mapping[str, str]
    bash: str


def find(environment: Mapping[str, str], exists: Exists = os.path.exists) -> Optional[Engine]:
    """The machine's engine: docker where its daemon can be there, else podman, which needs none."""
    docker = shutil.which("docker", path=environment.get("PATH"))
    if docker and (environment.get("DOCKER_HOST") or any(exists(path) for path in DOCKER_SOCKETS)):
        return Engine("docker", docker)
    podman = shutil.which("podman", path=environment.get("PATH"))
    return Engine("podman", podman) if podman else None


def get(exists: Exists = os.path.exists) -> Optional[list[str]]:
    """Installs an engine on a vendor's image that has none; None where nobody knows how."""
    return contents.get(("podman",), exists)


def name(node: str, run: int) -> str:
    """The container of one run on one node, the same for all its attempts: setup is not repeated."""
    clean = "".join(letter if letter.isalnum() else "-" for letter in node)
    return f"skywright-{clean}-{run}"


def image(run: Mapping[str, Any]) -> str:
    """The image as the engine is asked for it: in the registry that the task logs in to."""
    server = credentials(run)[2]
    wanted = str(run["container"])
    return wanted if not server or wanted.startswith(server + "/") else f"{server}/{wanted}"


def credentials(run: Mapping[str, Any]) -> tuple[str, str, str]:
    """User, password and server of the registry; empty where the task says none."""
    given = {**run["envs"], **run["secrets"]}
    user, password, server = (given.get(one, "") for one in LOGIN)
    return user, password, server.rstrip("/")


def login(engine: Engine, user: str, server: str) -> list[str]:
    """The password is read from standard input."""
    return [engine.path, "login", "--username", user, "--password-stdin", *([server] if server else [])]


def pull(engine: Engine, wanted: str) -> list[str]:
    return [engine.path, "pull", "--quiet", wanted]


def known(engine: Engine, wanted: str) -> list[str]:
    """Ends well where the machine has the image."""
    return [engine.path, "image", "inspect", wanted]


def look(engine: Engine, called: str) -> list[str]:
    return [engine.path, "container", "inspect", called]


def remove(engine: Engine, called: str) -> list[str]:
    return [engine.path, "rm", "--force", "--volumes", called]


def hold(
    engine: Engine,
    called: str,
    run: Mapping[str, Any],
    manifest: Mapping[str, Any],
    exists: Exists = os.path.exists,
) -> list[str]:
    """Bring the container up. No environment: that is the job's alone."""
    words = [
        *(engine.path, "run", "--detach", "--pull", "never", "--name", called),
        *("--label", f"skywright={manifest['node']}"),
        *("--network", "host", "--ipc", "host", "--user", "0:0"),
        *("--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined"),
    ]
    words += _accelerators(engine, run["gpus_per_node"], exists)
    for device in DEVICES:
        if exists(device):
            words += ["--device", device]
    for source, place in mounts(run, manifest):
        words += ["--mount", f"type=bind,{_field('source', source)},{_field('target', place)}"]
    return [*words, "--entrypoint", "/bin/sh", image(run), "-c", KEEPER]


def mounts(run: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What of the node is seen inside, under the same names: working directory, files, checkpoint, notes."""
    home = manifest["home"]
    places = {os.path.join(home, "sky_workdir"), os.path.join(manifest["state"], "runs")}
    places.update(target(entry["target"], home) for entry in (*run["files"], *run.get("buckets", ())))
    if run["checkpoint"]:
        places.add(target(run["checkpoint"], home))
        places.add(manifest.get("kept") or target(run["checkpoint"], home))
    found: list[tuple[str, str]] = []
    for place in sorted(places):
        if not any(place.startswith(above + "/") for _, above in found):
            found.append((os.path.realpath(place), place))
    return found


def inside(answer: str, exists: Exists = os.path.lexists) -> Optional[Inside]:
    """What `look` printed of a container that is up; None of one that is not. Raises ValueError, KeyError."""
    data = json.loads(answer)[0]
    pid = int(data["State"]["Pid"])
    if pid <= 0 or not data["State"]["Running"]:
        return None
    pairs = (item.partition("=") for item in data["Config"].get("Env") or ())
    environment = {one: value for one, equals, value in pairs if equals and one != "HOME"}
    bash = next((path for path in SHELLS if exists(os.path.join("/proc", str(pid), "root") + path)), "")
    return Inside(pid, environment, bash)


def _accelerators(engine: Engine, count: int, exists: Exists) -> list[str]:
    if not count:
        return []
    if exists("/dev/kfd"):
        return ["--device", "/dev/kfd", "--device", "/dev/dri"]
    if exists("/dev/accel0") or exists("/dev/vfio/0"):
        return ["--privileged"]  # TPUs: their devices have no fixed names
    return ["--gpus", "all"] if engine.name == "docker" else ["--device", "nvidia.com/gpu=all"]


def _field(key: str, value: str) -> str:
    """One field of `--mount`, which is read as a line of CSV."""
    text = f"{key}={value}"
    return '"%s"' % text.replace('"', '""') if set(text) & set(',"\n') else text
