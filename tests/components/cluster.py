"""A real Kubernetes API on loopback: kine, API server, controller manager, scheduler, and kwok's nodes.

What is real: admission, RBAC, field ownership, the Job controller, scheduling, garbage collection. What is not: kwok
runs no program of a pod, so nothing may be claimed here of what happens inside one. What is asked for with `exec` runs
on this machine.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.components import certificates, kine, kubernetes, kwok
from tests.components.building import Component, ensure

STAGES = Path(__file__).with_name("stages.yaml")
PATIENCE_S = 120.0
USERS = ("admin", "deployer", "controllers", "scheduler")
"""Each has a token. `deployer` may nothing until a test gives it a role."""
GROUPS = {"admin": "system:masters"}
NAMES = {"controllers": "system:kube-controller-manager", "scheduler": "system:kube-scheduler"}


class Refused(Exception):
    """The API server said no: its code and its own sentence."""

    def __init__(self, code: int, says: str) -> None:
        super().__init__(f"{code}: {says}")
        self.code = code


class Cluster:
    """One API in `folder`, and what tests ask of it. `start` waits until it answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokens = {name: secrets.token_hex(16) for name in USERS}
        self.port = self.kubelet = 0
        self.running: list[subprocess.Popen[bytes]] = []

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        built = {part.name: part for part in parts()}
        certificates.write(self.folder)
        (self.folder / "tokens.csv").write_text(
            "".join(
                f'{token},{NAMES.get(name, name)},{name},"{GROUPS.get(name, "")}"\n'
                for name, token in self.tokens.items()
            )
        )
        store, self.port, self.kubelet = _free_ports(3)
        self._keep(built["kine"], "kine", *self._kine(store))
        _until(lambda: _listens(store), "kine listens", self)
        self._keep(built["kubernetes"], "kube-apiserver", *self._api(store))
        _until(self._ready, "the API server is ready", self)
        for program, user in (("kube-controller-manager", "controllers"), ("kube-scheduler", "scheduler")):
            self._keep(built["kubernetes"], program, *self._controller(program, user))
        self._keep(
            built["kwok"],
            "kwok",
            f"--kubeconfig={self.kubeconfig('admin')}",
            f"--config={STAGES}",
            "--manage-all-nodes=true",
            f"--server-address=127.0.0.1:{self.kubelet}",
            f"--tls-cert-file={self.folder / 'server.crt'}",
            f"--tls-private-key-file={self.folder / 'server.key'}",
        )
        _until(lambda: self.there("/api/v1/namespaces/default/serviceaccounts/default"), "accounts", self)

    def stop(self) -> None:
        for process in reversed(self.running):
            process.send_signal(signal.SIGKILL)  # the API server keeps its port for a minute after SIGTERM
        for process in self.running:
            process.wait()
        self.running.clear()

    def kubeconfig(self, user: str, *, namespace: str = "default", context: str = "test") -> Path:
        """A kubeconfig for `user`, whose only context is `context`."""
        path = self.folder / f"{user}-{namespace}-{context}.kubeconfig"
        cluster = {"server": self.server, "certificate-authority": str(self.folder / "ca.crt")}
        chosen = {"cluster": "test", "user": user, "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
            "contexts": [{"name": context, "context": chosen}],
        }
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)
        return path

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        user: str = "admin",
        kind: str = "application/json",
    ) -> Any:
        """One call as `user`; the answer as data. Raises Refused."""
        import ssl

        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.tokens[user]}", "Content-Type": kind},
        )
        trusted = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        try:
            with urllib.request.urlopen(request, context=trusted, timeout=30) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            with contextlib.suppress(ValueError, KeyError):
                text = json.loads(text)["message"]
            raise Refused(error.code, text) from None
        return json.loads(text) if text.startswith("{") else text

    def add_node(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        taints: tuple[Mapping[str, str], ...] = (),
        **sizes: str,
    ) -> None:
        """A node that kwok plays: `cpu="8", memory="32Gi"` and what else it has, as the API writes amounts."""
        amounts = {"cpu": "8", "memory": "32Gi", "pods": "110"}
        amounts |= {key.replace("__", "/").replace("_dot_", "."): value for key, value in sizes.items()}
        facts = {"architecture": "amd64", "operatingSystem": "linux"}
        # Commands in a pod run on this machine, in the folder of the cluster: kwok is the kubelet of every node.
        reached = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.kubelet}},
        }
        marks = {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name}
        self.ask(
            "POST",
            "/api/v1/nodes",
            {
                "metadata": {"name": name, "labels": {**marks, **(labels or {})}},
                "spec": {"taints": [dict(taint) for taint in taints]},
                "status": {"capacity": amounts, "allocatable": amounts, "nodeInfo": facts, **reached},
            },
        )
        self.until(lambda: self._node_ready(name), f"node {name} is ready")

    def add_volume(self, name: str) -> None:
        """A volume that any claim without a class gets, of 1000 GiB, for one node or many. No bytes lie behind it."""
        spec = {
            "capacity": {"storage": "1000Gi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "hostPath": {"path": "/nowhere"},
        }
        self.ask("POST", "/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": spec})

    def remove_volume(self, name: str) -> None:
        """The volume, and the claim that has it. Its pods are gone."""
        found = self.ask("GET", f"/api/v1/persistentvolumes/{name}")
        if by := found["spec"].get("claimRef"):
            path = f"/api/v1/namespaces/{by['namespace']}/persistentvolumeclaims/{by['name']}"
            if self.there(path):
                self.ask("DELETE", path)
            self.until(lambda: not self.there(path), "the claim goes")
        self.ask("DELETE", f"/api/v1/persistentvolumes/{name}")
        self.until(lambda: not self.there(f"/api/v1/persistentvolumes/{name}"), "the volume goes")

    def remove_node(self, name: str) -> None:
        self.ask("DELETE", f"/api/v1/nodes/{name}")

    def until(self, what: Callable[[], Any], says: str) -> Any:
        """Poll until `what()` is true; its value."""
        return _until(what, says, self)

    def _node_ready(self, name: str) -> bool:
        node = self.ask("GET", f"/api/v1/nodes/{name}")
        ready = any(
            one["type"] == "Ready" and one["status"] == "True" for one in node["status"].get("conditions", ())
        )
        return ready and not any(
            taint["key"].startswith("node.kubernetes.io/") for taint in node["spec"].get("taints") or ()
        )

    def _ready(self) -> bool:
        try:
            return bool(self.ask("GET", "/readyz") == "ok")
        except (Refused, OSError):
            return False

    def there(self, path: str) -> bool:
        """Is something at this path?"""
        try:
            self.ask("GET", path)
        except Refused as refused:
            if refused.code != 404:
                raise
            return False
        return True

    def _kine(self, port: int) -> list[str]:
        options = "_journal=WAL&_synchronous=OFF&_busy_timeout=30000&_txlock=immediate"
        return [
            f"--endpoint=sqlite://{self.folder / 'kine.db'}?{options}",
            f"--listen-address=127.0.0.1:{port}",
            "--metrics-bind-address=0",
        ]

    def _api(self, store: int) -> list[str]:
        key = self.folder / "accounts.key"
        return [
            f"--etcd-servers=http://127.0.0.1:{store}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={self.folder / 'server.crt'}",
            f"--tls-private-key-file={self.folder / 'server.key'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={key}",
            "--endpoint-reconciler-type=none",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _controller(self, program: str, user: str) -> list[str]:
        flags = [f"--kubeconfig={self.kubeconfig(user)}", "--leader-elect=false", "--secure-port=0"]
        if program == "kube-controller-manager":
            flags += [
                "--use-service-account-credentials=true",
                f"--service-account-private-key-file={self.folder / 'accounts.key'}",
                f"--root-ca-file={self.folder / 'ca.crt'}",
            ]
        return flags

    def _keep(self, part: Component, program: str, *flags: str) -> None:
        with open(self.folder / f"{program}.log", "wb") as log:
            self.running.append(
                subprocess.Popen(
                    [part.program(program), *flags],
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={"HOME": str(self.folder), "PATH": ""},
                    preexec_fn=_die_with_parent,
                )
            )


def parts() -> tuple[Component, ...]:
    """What must be here before a cluster can start."""
    return (kubernetes.component(), kine.component(), kwok.component())


def running(folder: Path) -> Iterator[Cluster]:
    """A started cluster, stopped afterwards; its programs are made when they are not here yet. Raises Missing."""
    for part in parts():
        ensure(part, lambda text: print(text, file=sys.stderr))
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _die_with_parent() -> None:
    """Runs in the child: however the tests end, nothing of a cluster stays."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _until(what: Callable[[], Any], says: str, cluster: Cluster) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (value := what()):
        for process in cluster.running:
            if process.poll() is not None:
                log = cluster.folder / f"{Path(str(process.args[0])).name}.log"  # type: ignore[index]
                raise AssertionError(f"{log.name} ended: {log.read_text()[-2000:]}")
        assert time.monotonic() < deadline, f"never came true: {says}"
        time.sleep(0.05)
    return value
