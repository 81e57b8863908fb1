"""Runs the parts of a task, setup and run: their shell, environment and shim; finds them after a restart."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import Any, Mapping, Optional

from runtime import cgroup, redact
from runtime.attempts import Place
from runtime.container import Inside
from runtime.paths import target
from runtime.rclone import SECRETS
from runtime.shim import EXPORTS_FD

LONGEST = 131072
"""Bytes of one `NAME=VALUE` with its end that Linux still passes to a program."""
PASSED = (
    "PATH",
    "LANG",
    "LANGUAGE",
    "TZ",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
)
PASSED_STARTS = ("LC_", "CUDA_", "NVIDIA_", "NCCL_", "PIP_", "UV_")
PASSED_ENDS = ("_proxy", "_PROXY")
"""What the job inherits from the machine: the rest of the agent's environment is nobody else's."""

SHELL = r"""
# Reads the start files as an interactive shell would (they often leave at once when `$-` has no i), then the script.
__skywright_script=$1 __skywright_cwd=$PWD
shopt -s expand_aliases
[ -n "${PS1-}" ] || PS1='$ '
for __skywright_file in ~/.bash_profile ~/.bash_login ~/.profile ''; do
  [ -r "$__skywright_file" ] && break
done
for __skywright_file in "$__skywright_file" ~/.bashrc; do
  [ -f "$__skywright_file" ] && [ -r "$__skywright_file" ] || continue
  __skywright_text=$(<"$__skywright_file")
  . <(printf '%s\n' "${__skywright_text//\$-/\$\{-\}i}") >/dev/null 2>&1
done
set +euvxfn +o pipefail
unset PS1 __skywright_text __skywright_file
cd "$__skywright_cwd"
trap 'exit 143' TERM
if [ "$2" = exports ]; then
  trap '__skywright_code=$?; [ $__skywright_code = 0 ] && env -0 >&EXPORTS_FD; exit $__skywright_code' EXIT
fi
set --
. "$__skywright_script"
"""


class Unfit(Exception):
    """The part cannot be started, and why."""


class Shim:
    """A living or ended shim: pid and start ticks say which process is meant, whatever became of the pid since."""

    def __init__(self, pid: int, start: int, pidfd: int = -1) -> None:
        self.pid, self.start, self.pidfd = pid, start, pidfd
        self.killed_by = ""
        """Name of the signal that ended it, as far as the agent that started it still lives to be told."""
        if pidfd < 0 and hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self.pidfd = os.pidfd_open(pid)

    def ended(self) -> bool:
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                if os.WIFSIGNALED(status):
                    self.killed_by = signal.Signals(os.WTERMSIG(status)).name
                return True
        return start_ticks(self.pid) != self.start

    def signal(self, number: int) -> None:
        if not self.ended():
            with contextlib.suppress(OSError):
                os.kill(self.pid, number)

    def close(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.pidfd = -1


def claimed(place: Place, boot_id: str) -> Optional[Shim]:
    """The shim that claimed the part (it may have ended); None when none has. Raises Unfit after a reboot."""
    try:
        with open(os.path.join(place.folder, "claim"), encoding="ascii") as file:
            pid, start, boot = file.read().split()
    except (OSError, ValueError):
        return None
    if boot != boot_id:
        raise Unfit("the machine rebooted")
    return Shim(int(pid), int(start))


def sweep(place: Place) -> None:
    """Kill and remove whatever a part left behind when its shim could not."""
    cgroup.remove(cgroup.find(place.group))
    cgroup.kill_marked(b"SKYWRIGHT_PART=" + os.fsencode(place.folder) + b"\0")


def start(
    place: Place,
    script: str,
    environment: Mapping[str, str],
    secrets: Mapping[str, str],
    memory_bytes: int,
    cwd: str,
    wants_exports: bool,
    inside: Optional[Inside] = None,
) -> Shim:
    """Start the shim of a part. Starting a part twice is harmless: it is run by whoever claims it. Raises Unfit."""
    bash = inside.bash if inside else shutil.which("bash", path=environment.get("PATH")) or "/bin/bash"
    environment = {**environment, "SKYWRIGHT_PART": place.folder}
    check(environment)
    os.makedirs(place.folder, mode=0o700, exist_ok=True)
    os.makedirs(cwd, exist_ok=True)
    shell, text = os.path.join(place.folder, "shell.sh"), os.path.join(place.folder, "script.sh")
    _put(shell, SHELL.replace("EXPORTS_FD", str(EXPORTS_FD)))
    _put(text, script if script.endswith("\n") else script + "\n")
    entry = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agent.py")
    numbers = (str(memory_bytes), str(_spool(place.folder)), str(inside.pid if inside else 0))
    job = (bash, "--noprofile", "--norc", shell, text, *(["exports"] if wants_exports else []))
    with open(os.path.join(place.folder, "shim.txt"), "ab") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-E", entry, "shim", place.folder, place.group, *numbers, cwd, *job],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            cwd="/",
            env={},
            start_new_session=True,
        )
    shim = Shim(process.pid, start_ticks(process.pid))
    with contextlib.suppress(OSError):
        assert process.stdin is not None
        process.stdin.write(b"\0\0".join((_packed(environment), _packed(secrets), b"end")))
        process.stdin.close()
    process.returncode = 0  # the shim outlives this object, and `Shim.ended` collects it
    return shim


def check(environment: Mapping[str, str]) -> None:
    """Raises Unfit for what no program can be started with."""
    total = 0
    for name, value in environment.items():
        size = len(os.fsencode(name)) + len(value.encode("utf-8", "surrogateescape")) + 2
        total += size + 8
        if not name or "=" in name or "\0" in name + value:
            raise Unfit(f"environment variable {name!r} cannot be passed to a program")
        if size > LONGEST:
            raise Unfit(
                f"environment variable {name} is {size} bytes long; a program can be given {LONGEST}: use a file"
            )
    most = os.sysconf("SC_ARG_MAX") - 8192
    if total > most:
        raise Unfit(f"the environment is {total} bytes long; a program can be given {most}: use files")


def environment(
    run: Mapping[str, Any],
    part: str,
    manifest: Mapping[str, Any],
    folder: str,
    exports: Mapping[str, str],
    own: bool,
    image: Optional[Mapping[str, str]] = None,
) -> dict[str, str]:
    """The job's whole environment. `exports` are those of the last setup, `own` whether it was this attempt's; in a
    container `image`, its own environment, takes the place of the machine's."""
    home = manifest["home"]
    own_secrets = {name: value for name, value in run["secrets"].items() if not name.startswith(SECRETS)}
    given = {**run["envs"], **own_secrets}
    values = {
        name: value
        for name, value in os.environ.items()
        if (_passed(name) if image is None else name.endswith(PASSED_ENDS))
    }
    values.update(image or {})
    values.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    user = "root" if os.getuid() == 0 else os.environ.get("USER", "user")
    values.update(HOME=home, USER=user, LOGNAME=user, SHELL="/bin/bash", PYTHONUNBUFFERED="1")
    if run["checkpoint"]:
        folder_kept = target(run["checkpoint"], home)
        values.update(CHECKPOINT_DIR=folder_kept, SKYWRIGHT_CHECKPOINT_DIR=folder_kept)
    values.update({**given, **exports} if own else {**exports, **given})
    values.update(
        SKYPILOT_TASK_ID=run["task_id"],
        SKYPILOT_CLUSTER_INFO=json.dumps(run["cluster_info"]),
        SKYPILOT_USER=run["user"],
        SKYPILOT_NUM_NODES=str(run["num_nodes"]),
        SKYWRIGHT_PROGRESS=os.path.join(folder, "progress"),
        SKYWRIGHT_NOTICE=os.path.join(folder, "notice"),
    )
    prefix = "SKYPILOT_SETUP_" if part == "setup" else "SKYPILOT_"
    values.update(
        {
            prefix + "NODE_RANK": str(run["rank"]),
            prefix + "NODE_IPS": "\n".join(run["peers"]),
            prefix + "NUM_GPUS_PER_NODE": str(run["gpus_per_node"]),
        }
    )
    if part == "run":
        head = run["peers"][0] if run["peers"] else manifest["address"]
        values.update(
            SKYPILOT_HEAD_IP=head, SKYPILOT_INTERNAL_JOB_ID=str(run["id"]), PET_NODE_RANK=str(run["rank"])
        )
    return values


def read_exports(path: str, secrets: Mapping[str, str]) -> dict[str, str]:
    """What setup exported, secrets put back in; a variable whose secret is not known any more is left out."""
    try:
        with open(path, "rb") as file:
            items = file.read().split(b"\0")
    except FileNotFoundError:
        return {}
    known = redact.forms(
        {name.encode(): value.encode("utf-8", "surrogateescape") for name, value in secrets.items()}
    )
    found = {}
    for item in items:
        name, equals, value = redact.show(item, known).partition(b"=")
        if equals and not redact.hidden(value) and not name.startswith((b"SKYPILOT_", b"SKYWRIGHT_")):
            found[os.fsdecode(name)] = os.fsdecode(value)
    return found


def stop(shim: Shim) -> None:
    """Ask the job to end."""
    shim.signal(signal.SIGTERM)


def kill(shim: Shim) -> None:
    """End the job."""
    shim.signal(signal.SIGUSR1)


def _passed(name: str) -> bool:
    return name in PASSED or name.startswith(PASSED_STARTS) or name.endswith(PASSED_ENDS)


def _packed(values: Mapping[str, str]) -> bytes:
    pairs = (f"{name}={value}".encode("utf-8", "surrogateescape") for name, value in values.items())
    return b"\0".join(pairs)


def _put(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        os.chmod(path, 0o600)
        file.write(text)


def _spool(folder: str) -> int:
    """Most bytes a log may hold on disk: a good part of what is free, so that a flood does not end the machine."""
    free = shutil.disk_usage(folder).free
    return min(8 << 30, free // 2)


def start_ticks(pid: int) -> int:
    """When the process started, in ticks since boot; -1 when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] in "ZX" else int(fields[19])
