"""Machines for moto's instances: each running one is booted from its user data, in namespaces of its own.

An instance gets its private address on a network that is nobody else's, the metadata service of EC2 at 169.254.169.254,
AWS's addresses behind TLS, empty folders where a machine has its own, and a first process whose end takes everything
with it. What reaches AWS is a front that lets only requests through that are signed with the credentials of the
instance's role. Needs root on Linux. `Metal` is the data centre; tests announce and take away capacity there.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.standins.metal_front import Front
from tests.standins.metal_service import Service

NEW_NETWORK = 0x40000000
EVERY_S = 0.2
PRIVATE = ("var/lib/skywright", "opt/skywright", "root", "home", "tmp", "run")
"""Folders that each machine has for itself; empty at its first boot."""
FALLEN = "powered-off"

BOOT = r"""
set -e
mount --make-rprivate /
mount --bind "$ROOT" /mnt
for folder in $PRIVATE; do mkdir -p "/$folder"; mount --bind "/mnt/$folder" "/$folder"; done
mount -t proc proc /proc
mount --bind /mnt/hosts /etc/hosts
mount --bind /mnt/trusted /etc/ssl/certs/ca-certificates.crt
mount --bind /mnt/console /dev/console
hostname "$NODE"
cd /
exec env -i LANG=C.UTF-8 HOME=/root PATH=/mnt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  /bin/sh /mnt/user-data
"""

POWER_OFF = f"#!/bin/sh\ntouch /mnt/{FALLEN}\n"


def possible() -> bool:
    """Can this machine play a data centre?"""
    tools = ("ip", "nsenter", "unshare", "openssl")
    return os.name == "posix" and os.geteuid() == 0 and all(shutil.which(tool) for tool in tools)


@dataclass
class Machine:
    """One booted instance."""

    node: str
    address: str
    root: Path
    network: str
    process: subprocess.Popen[bytes]
    facts: dict[str, Any]
    notice: dict[str, str] | None = None
    rebalance: str | None = None
    tokens: set[str] = field(default_factory=set)

    @property
    def console(self) -> str:
        return (self.root / "console").read_text(errors="replace")

    def said(self) -> str:
        """What its first script wrote, for a test that fails."""
        return (self.root / "output").read_text(errors="replace")


class Metal:
    """`with Metal(url, folder) as metal`: from then on every running instance of `region` is a machine."""

    _numbers = itertools.count()

    def __init__(self, moto: str, folder: Path, region: str = "us-east-1") -> None:
        self.folder, self.region, self.moto = folder, region, moto
        self.machines: dict[str, Machine] = {}
        self.booted: list[str] = []
        self.ended: list[tuple[str, str]] = []
        """Machines that are gone, and what became of their instance."""
        self.trouble: list[str] = []
        self.bake: Callable[[Path], None] = lambda root: None
        """Puts into a new machine's folders (below `root`) what its image holds."""
        self._clients: dict[str, Any] = {}
        self.name = f"sky{os.getpid()}x{next(self._numbers)}"
        self._over = threading.Event()
        self._lock = threading.RLock()
        self._links = itertools.count(1)
        self._credentials: dict[str, dict[str, str]] = {}
        self._due: dict[str, float] = {}
        self._broken: set[str] = set()

    def client(self, service: str) -> Any:
        """One of boto3's, for the owner of the account."""
        import boto3

        with self._lock:
            if service not in self._clients:
                keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
                self._clients[service] = boto3.client(
                    service, region_name=self.region, endpoint_url=self.moto, **keys
                )
            return self._clients[service]

    # The data centre.

    def __enter__(self) -> Metal:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lay_network()
        self.service = Service(self._machine_at, self.role, self._listening("169.254.169.254", 80))
        front = Front(self.folder, self.region, self.moto, self.secret_of)
        self.front = front
        front.serve(self._listening("169.254.169.253", 443))
        self._watching = threading.Thread(target=self._watch, daemon=True, name="metal")
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watching.join()
        for node in list(self.machines):
            self._take_down(node)
        self.service.close()
        self.front.close()
        for network in os.listdir("/run/netns"):
            if network == self.name or network.startswith(f"{self.name}n"):
                subprocess.run(["ip", "netns", "delete", network], check=False)
        for one in self._clients.values():
            one.close()

    def notice(self, node: str, seconds: float) -> None:
        """Announce that an instance goes, as EC2 does; when the time has come it is terminated."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        with self._lock:
            self.machines[node].notice = {"action": "terminate", "time": at}
            self._due[node] = time.monotonic() + seconds

    def advise(self, node: str) -> None:
        """Recommend that an instance's work is moved: its capacity may go."""
        with self._lock:
            self.machines[node].rebalance = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def lose(self, node: str) -> None:
        """Take an instance away without a word."""
        self.client("ec2").terminate_instances(InstanceIds=[node])

    def cut(self, node: str) -> None:
        """Pull an instance's cable: it runs on, alone."""
        subprocess.run(["ip", "-n", self.machines[node].network, "link", "set", "eth0", "down"], check=True)

    def mend(self, node: str) -> None:
        network = self.machines[node].network
        subprocess.run(["ip", "-n", network, "link", "set", "eth0", "up"], check=True)
        subprocess.run(["ip", "-n", network, "route", "add", "default", "dev", "eth0"], check=True)

    # What others of the data centre ask.

    def role(self, machine: Machine) -> tuple[str, dict[str, str]]:
        """Name and credentials of the role of an instance; LookupError without a profile."""
        arn = machine.facts.get("IamInstanceProfile", {}).get("Arn")
        if not arn:
            raise LookupError("no profile")
        name = arn.rpartition("/")[2]
        role = self.client("iam").get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"][
            0
        ]
        with self._lock:
            if role["RoleName"] not in self._credentials:
                made = self.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName=machine.node)[
                    "Credentials"
                ]
                self._credentials[role["RoleName"]] = {
                    "AccessKeyId": made["AccessKeyId"],
                    "SecretAccessKey": made["SecretAccessKey"],
                    "Token": made["SessionToken"],
                    "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)),
                }
            return role["RoleName"], self._credentials[role["RoleName"]]

    def secret_of(self, key: str) -> dict[str, str] | None:
        """The credentials that were given out under an access key."""
        with self._lock:
            return next((one for one in self._credentials.values() if one["AccessKeyId"] == key), None)

    def _machine_at(self, address: str) -> Machine | None:
        with self._lock:
            return next((one for one in self.machines.values() if one.address == address), None)

    # The network.

    def _lay_network(self) -> None:
        _ip("netns", "add", self.name)
        # A bridge without an address of its own takes a port's, and another one when that port goes.
        _ip("-n", self.name, "link", "add", "switch", "address", "02:00:a9:fe:a9:fe", "type", "bridge")
        for address in ("169.254.169.254/32", "169.254.169.253/32"):
            _ip("-n", self.name, "address", "add", address, "dev", "switch")
        for device in ("lo", "switch"):
            _ip("-n", self.name, "link", "set", device, "up")
        _ip("-n", self.name, "route", "add", "default", "dev", "switch")

    def _listening(self, address: str, port: int) -> socket.socket:
        """A socket in the data centre's network; who accepts on it may be anywhere."""
        found: list[socket.socket] = []
        failed: list[BaseException] = []

        def listen() -> None:
            try:
                _enter(self.name)
                made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind((address, port))
                made.listen(64)
                found.append(made)
            except BaseException as error:
                failed.append(error)

        # Only this thread changes its network, and ends.
        thread = threading.Thread(target=listen)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return found[0]

    def _plug_in(self, address: str) -> str:
        number = next(self._links)
        network, near = f"{self.name}n{number}", f"p{number}"
        _ip("netns", "add", network)
        _ip("-n", self.name, "link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", network)
        _ip("-n", self.name, "link", "set", near, "master", "switch", "up")
        # Whoever takes over an address is known to all at once.
        station = ":".join(f"{int(part):02x}" for part in address.split("."))
        _ip("-n", network, "link", "set", "eth0", "address", f"02:01:{station}")
        _ip("-n", network, "address", "add", f"{address}/32", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", network, "link", "set", device, "up")
        _ip("-n", network, "route", "add", "default", "dev", "eth0")
        return network

    # Instances.

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            try:
                self._look()
            except Exception as error:
                self.trouble.append(repr(error))

    def _look(self) -> None:
        for node, due in list(self._due.items()):
            if time.monotonic() >= due:
                del self._due[node]
                self.lose(node)
        states = {one["InstanceId"]: one for one in _instances(self.client("ec2"))}
        for node in list(self.machines):
            machine = self.machines[node]
            machine.facts = states.get(node, machine.facts)
            state = states.get(node, {}).get("State", {}).get("Name", "unknown")
            if state != "running":
                self.ended.append((node, state))
                self._take_down(node)
            elif (machine.root / FALLEN).exists():
                self.ended.append((node, "switched itself off"))
                self._shut_down(node)
                del states[node]
        for node, one in states.items():
            if one["State"]["Name"] == "running" and node not in {*self.machines, *self._broken}:
                self._broken.add(node)
                self._boot(one)
                self._broken.discard(node)

    def _shut_down(self, node: str) -> None:
        """The machine has switched itself off: EC2 does what the instance says about that."""
        self._take_down(node)
        said = self.client("ec2").describe_instance_attribute(
            InstanceId=node, Attribute="instanceInitiatedShutdownBehavior"
        )
        wanted = said["InstanceInitiatedShutdownBehavior"].get("Value")
        if wanted == "terminate":
            self.lose(node)
        else:
            self.client("ec2").stop_instances(InstanceIds=[node])

    def _boot(self, facts: dict[str, Any]) -> None:
        node, address = facts["InstanceId"], facts["PrivateIpAddress"]
        said = self.client("ec2").describe_instance_attribute(InstanceId=node, Attribute="userData")
        content = base64.b64decode(said.get("UserData", {}).get("Value", ""))
        root = self.folder / node
        for name in (*PRIVATE, "bin"):
            (root / name).mkdir(parents=True, exist_ok=True)
        if not (root / FALLEN).exists():
            self.bake(root)
        (root / FALLEN).unlink(missing_ok=True)
        (root / "user-data").write_bytes(content)
        (root / "console").touch()
        (root / "hosts").write_text(self.front.hosts("169.254.169.253"))
        (root / "trusted").write_bytes(self.front.authority)
        for name in ("poweroff", "shutdown", "reboot", "halt"):
            (root / "bin" / name).write_text(POWER_OFF)
            (root / "bin" / name).chmod(0o755)
        network = self._plug_in(address)
        inside = [
            "unshare",
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            BOOT,
        ]
        with open(root / "output", "ab") as output:
            process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{network}", *inside],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "ROOT": str(root), "PRIVATE": " ".join(PRIVATE), "NODE": node},
                start_new_session=True,
            )
        with self._lock:
            self.machines[node] = Machine(node, address, root, network, process, facts)
            self.booted.append(node)

    def _take_down(self, node: str) -> None:
        """Processes and network are gone when this returns; the disk stays, for who looks at it later."""
        with self._lock:
            machine = self.machines.pop(node)
            self._due.pop(node, None)
        # `unshare` takes its child with it, the first process of the machine, and that one everything else.
        machine.process.send_signal(signal.SIGKILL)
        machine.process.wait()
        for pid in _inside(machine.network):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while _inside(machine.network) and time.monotonic() < deadline:
            time.sleep(0.01)
        subprocess.run(["ip", "netns", "delete", machine.network], check=True)


def _instances(ec2: Any) -> Iterator[dict[str, Any]]:
    for page in ec2.get_paginator("describe_instances").paginate():
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def _inside(network: str) -> list[int]:
    said = subprocess.run(["ip", "netns", "pids", network], capture_output=True, text=True, check=False)
    return [int(pid) for pid in said.stdout.split()]


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def _enter(network: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{network}") as file:
        if libc.setns(file.fileno(), NEW_NETWORK):
            raise OSError(ctypes.get_errno(), f"cannot enter {network}")
