"""What plays control over HTTP, HTTPS and buckets, and nodes with real agent processes, for the tests of this folder.

`control` is one of CARRIERS: over HTTP where a test says nothing, and over all of them where it is `carried`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest

from tests.agent import boxed, stores
from tests.components import certificates

CARRIERS = ("http", "https", "s3", "gcs", "azblob")
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 45.0
PYTHON = os.environ.get("SKYWRIGHT_TEST_PYTHON", sys.executable)
"""The interpreter of the nodes: name another to try the agent on it."""

DAEMON = """python3 - <<'E'
import os, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
time.sleep(600)
E
echo done
"""


def schema(name: str) -> Any:
    data = json.loads((ROOT / "schemas" / f"{name}.v1.json").read_text())
    return jsonschema.Draft202012Validator(data)


def until(condition: Callable[[], Any], says: str = "", patience_s: float = PATIENCE_S) -> Any:
    """Wait for a condition that a process will make true; its value."""
    end = time.monotonic() + patience_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            pytest.fail(f"did not happen in {patience_s:.0f} s: {says or condition}")
        time.sleep(0.01)


class Control:
    """Control as a node sees it. Everything that arrives is checked against the schemas and kept."""

    def __init__(self, address_file: Path, certificates: Path | None = None) -> None:
        """`certificates`: the folder of those it shows, over HTTPS."""
        self.address_file, self.certificates = address_file, certificates
        self.host = "127.0.0.1"
        self.carrying: boxed.Carrying | None = None
        self.ages: list[float] = []
        self.changed = threading.Condition()
        self.desired: dict[str, Any] | None = None
        self.version = 0
        self.token = "t-0"
        self.events: list[dict[str, Any]] = []
        self.observed: dict[str, Any] = {}
        self.logs: dict[tuple[int, int, str], bytearray] = {}
        self.log_calls: list[tuple[tuple[int, int, str], int, int]] = []
        self.blobs: dict[str, bytes] = {}
        self.fenced = False
        self.joins: list[dict[str, Any]] = []
        self.syncs = 0
        self.wrong: list[str] = []
        self.refuse: list[
            tuple[str, int, dict[str, str]]
        ] = []  # (part of the path, status, headers), used up
        self.replay = False
        self.server: ThreadingHTTPServer | None = None

    def over_bucket(self, emulator: stores.Emulator, folder: Path) -> Control:
        self.carrying = boxed.Carrying(self, emulator, schema, folder)
        return self

    def link(self, node: Node) -> dict[str, Any]:
        """How the node's manifest says to reach it."""
        if self.carrying:
            return self.carrying.link(node.manifest["node"])
        (node.folder / "proof").write_text("the-proof\n")
        proof = str(node.folder / "proof")
        return {"carrier": "http", "address_file": str(self.address_file), "proof_file": proof}

    def start(self) -> None:
        """Listen on a new port and say so in the address file."""
        if self.carrying:
            self.carrying.start()
            return
        self.server = ThreadingHTTPServer((self.host, 0), _handler(self))
        self.server.daemon_threads = True
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        kind = "http"
        if self.certificates:
            kind, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificates / "server.crt", self.certificates / "server.key")
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        draft = self.address_file.with_suffix(".new")
        draft.write_text(json.dumps({"url": f"{kind}://{self.host}:{self.server.server_port}"}))
        draft.replace(self.address_file)

    def stop(self) -> None:
        """Stop listening; calls that are held are dropped."""
        if self.carrying:
            self.carrying.stop()
            return
        server, self.server = self.server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            with self.changed:
                self.changed.notify_all()

    def want(self, run: dict[str, Any] | None, drain: bool = False, check: bool = True) -> None:
        if self.carrying and run and run.get("secrets"):
            self.carrying.keep_secrets(run["secrets"])
        with self.changed:
            self.version += 1
            self.desired = {"version": self.version, "run": run, "drain": drain}
            if check:
                schema("desired").validate(self.desired)
            self.changed.notify_all()

    def wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def phases(self, run: int = 1, attempt: int = 1) -> list[str]:
        return [event["phase"] for event in self.of(run, attempt)]

    def of(self, run: int = 1, attempt: int = 1) -> list[dict[str, Any]]:
        return [
            event
            for event in list(self.events)
            if event["kind"] == "phase" and (event["run"], event["attempt"]) == (run, attempt)
        ]

    def kinds(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in list(self.events) if event["kind"] == kind]

    def ended(self, run: int = 1, attempt: int = 1, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until the attempt is over; its last event."""
        over = {"succeeded", "failed", "cancelled", "preempted", "unknown"}
        until(lambda: over & set(self.phases(run, attempt)), f"end of {run}.{attempt}", patience_s)
        return self.of(run, attempt)[-1]

    def log(self, run: int = 1, attempt: int = 1, phase: str = "run") -> bytes:
        return bytes(self.logs.get((run, attempt, phase), b""))

    def whole_log(self, run: int = 1, attempt: int = 1, phase: str = "run") -> bytes:
        """Wait until the log has the size that the last event of the attempt gave; its bytes."""
        size = self.ended(run, attempt)["log_bytes"][phase]
        until(lambda: len(self.log(run, attempt, phase)) >= size, "the whole log")
        assert len(self.log(run, attempt, phase)) == size
        return self.log(run, attempt, phase)

    def blob(self, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        return digest


def _handler(control: Control) -> type[BaseHTTPRequestHandler]:
    mine = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError, OSError, ValueError):
                super().handle()

        def answer(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
            body = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_any(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            if control.server is not self.server or len(body) < size:
                self.close_connection = True
                return
            for item in control.refuse:
                if item[0] in self.path:
                    control.refuse.remove(item)
                    if item[1] == 0:
                        self.close_connection = True
                        return
                    self.answer(item[1], {}, item[2])
                    return
            try:
                self.route(body)
            except (jsonschema.ValidationError, KeyError, ValueError, AssertionError) as error:
                control.wrong.append(f"{self.command} {self.path}: {error}")
                self.answer(400, {})

        do_GET = do_POST = do_PUT = do_any

        def route(self, body: bytes) -> None:
            url = urlsplit(self.path)
            if control.fenced:
                self.answer(409, {"stop": True, "reason": "this node was replaced"})
            elif url.path.endswith("/join"):
                control.joins.append(json.loads(body))
                assert control.joins[-1]["proof"] == "the-proof"
                self.answer(200, {"token": control.token, "lease_s": 30})
            elif self.headers.get("Authorization") != f"Bearer {control.token}":
                self.answer(401, {})
            elif url.path.endswith("/sync"):
                self.sync(json.loads(body))
            elif "/logs/" in url.path:
                self.log(url.path, int(parse_qs(url.query)["offset"][0]), body)
            else:
                digest = url.path.rpartition("/")[2]
                found = control.blobs.get(digest)
                self.answer(200 if found is not None else 404, found if found is not None else {})

        def sync(self, body: dict[str, Any]) -> None:
            assert set(body) == {"version", "events", "observed", "hold_s"}
            with control.changed:
                control.syncs += 1
                for event in body["events"]:
                    schema("event").validate(event)
                    if event["seq"] == len(control.events) + 1:
                        control.events.append(event)
                    assert event == control.events[event["seq"] - 1]
                control.observed = body["observed"]
                if not body["events"] and not control.replay:
                    control.changed.wait_for(
                        lambda: (
                            control.version != body["version"]
                            or control.server is not self.server
                            or control.fenced
                        ),
                        timeout=body["hold_s"],
                    )
                fresh = control.version != body["version"] or control.replay
                answer = {
                    "version": control.version,
                    "desired": control.desired if fresh else None,
                    "acked": len(control.events),
                    "lease_s": 30,
                    "server_time": time.time(),
                }
            if control.server is not self.server:
                self.close_connection = True
                return
            if control.fenced:
                self.answer(409, {"stop": True, "reason": "this node was replaced"})
                return
            self.answer(200, answer)

        def log(self, path: str, offset: int, body: bytes) -> None:
            run, attempt, phase = path.split("/")[-3:]
            key = (int(run), int(attempt), phase)
            with control.changed:
                held = control.logs.setdefault(key, bytearray())
                control.log_calls.append((key, offset, len(body)))
                assert len(body) <= 1 << 20
                if offset > len(held):
                    self.answer(409, {"next": len(held)})
                    return
                overlap = held[offset : offset + len(body)]
                assert overlap == body[: len(overlap)], "bytes that were sent before came back different"
                held += body[len(overlap) :]
            self.answer(200, {"next": len(held)})

    mine.append(Handler)
    return Handler


class Node:
    """A node's folders and its agent process."""

    def __init__(self, folder: Path, control: Control, agent: Path) -> None:
        self.folder, self.control, self.agent = folder, control, agent
        self.home, self.state, self.kept = folder / "home", folder / "agent", folder / "kept"
        self.home.mkdir(parents=True)
        self.state.mkdir()
        self.manifest: dict[str, Any] = {
            "version": 1,
            "project": "p",
            "deployment": "d",
            "rank": 0,
            "node": f"n-{uuid.uuid4().hex[:8]}",
            "cloud": "local",
            "address": "127.0.0.1",
            "home": str(self.home),
            "state": str(self.state),
            "kept": str(self.kept),
            "deadman_s": 600,
        }
        self.manifest["link"] = control.link(self)
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: list[str] = []
        self.environment: dict[str, str] = {"PATH": os.environ["PATH"]}
        if control.certificates:
            self.environment["SSL_CERT_FILE"] = str(control.certificates / "ca.crt")

    def start(self, **manifest: Any) -> Node:
        self.manifest.update(manifest)
        schema("manifest").validate(self.manifest)
        path = self.folder / "manifest.json"
        path.write_text(json.dumps(self.manifest))
        with open(self.folder / "agent.txt", "ab") as said:
            self.process = subprocess.Popen(
                [*self.prefix, PYTHON, "-I", "-S", "-E", str(self.agent / "agent.py"), str(path)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env=self.environment,
            )
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def claim(self, run: int = 1, attempt: int = 1, part: str = "run") -> int:
        """The pid of the shim."""
        path = self.state / "runs" / f"{run}.{attempt}" / part / "claim"
        return int(until(lambda: path.exists() and path.read_text(), "a claim").split()[0])

    def processes(self) -> list[int]:
        """Every process but the agent that has to do with this node."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (self.process is None or int(entry.name) != self.process.pid):
                with contextlib.suppress(OSError):
                    text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                    if os.fsencode(self.folder) in text:
                        found.append(int(entry.name))
        return found

    def groups(self) -> list[str]:
        """Control groups with this node's name."""
        name = self.manifest["node"]
        return [
            str(path)
            for root in Path("/sys/fs/cgroup").glob("*")
            for path in _below(root)
            if name in path.name
        ]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for pid in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for group in self.groups():
            until(lambda group=group: _removed(group), f"{group} to be empty")
        said = (self.folder / "agent.txt").read_text() if (self.folder / "agent.txt").exists() else ""
        assert "Traceback" not in said, said
        for path in self.state.rglob("shim.txt"):
            assert path.read_text() == "", path.read_text()


def _removed(group: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        try:
            os.rmdir(group)
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            raise
    return True


def _below(root: Path) -> Iterator[Path]:
    for folder, names, _ in os.walk(root):
        for name in names:
            if name.startswith("skywright-"):
                yield Path(folder) / name


def order(script: str | None = None, **fields: Any) -> dict[str, Any]:
    """A run as the desired state holds it."""
    base: dict[str, Any] = {
        "id": 1,
        "attempt": 1,
        "rank": 0,
        "num_nodes": 1,
        "peers": ["127.0.0.1"],
        "task_id": "sky-1_d_1",
        "user": "me",
        "cluster_info": {"cluster_name": "d", "cloud": "local", "region": None, "zone": None},
        "gpus_per_node": 0,
        "setup": None,
        "script": script,
        "envs": {},
        "secrets": {},
        "files": [],
        "checkpoint": None,
        "go": "run",
        "cancel": False,
        "grace_s": 5,
    }
    return {**base, **fields}


def packed(entries: dict[str, Any]) -> bytes:
    """A tar.gz: name -> bytes of a file, None for a folder, a TarInfo with anything else."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in entries.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                info.size, info.mode = len(content), 0o755 if re.search(r"\.sh$", name) else 0o644
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture(scope="session")
def agent_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent as a node has it: the package's files side by side, away from the checkout."""
    folder = tmp_path_factory.mktemp("agents") / "0123abcd"
    folder.mkdir()
    for path in (ROOT / "runtime").glob("*.py"):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], stores.Emulator]]:
    """Each kind of store, started when it is first asked for."""
    with contextlib.ExitStack() as started:
        known: dict[str, stores.Emulator] = {}

        def get(kind: str) -> stores.Emulator:
            if kind not in known:
                folder = tmp_path_factory.mktemp(kind)
                known[kind] = started.enter_context(stores.emulator(kind, folder))
            return known[kind]

        yield get


@pytest.fixture
def control(request: pytest.FixtureRequest, tmp_path: Path, agent_folder: Path) -> Iterator[Control]:
    carrier = getattr(request, "param", "http")
    if carrier == "https":
        certificates.write(tmp_path)
    made = Control(tmp_path / "control.json", tmp_path if carrier == "https" else None)
    if carrier == "pods":
        made.carrying = boxed.Reaching(made, schema, tmp_path, agent_folder)
    elif carrier not in ("http", "https"):
        made.over_bucket(request.getfixturevalue("emulators")(carrier), tmp_path)
    with boxed.quick_words():
        made.start()
        yield made
        made.stop()
        if made.carrying:
            made.carrying.close()
    assert made.wrong == []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if mark := metafunc.definition.get_closest_marker("carried"):
        # In pods each call of control is a process: a few tests show that it means the same.
        reached = ("pods",) if mark.kwargs.get("reached") else ()
        metafunc.parametrize("control", (*(mark.args or CARRIERS), *reached), indirect=True)


@pytest.fixture
def new_node(tmp_path: Path, control: Control, agent_folder: Path) -> Iterator[Callable[[str], Node]]:
    nodes: list[Node] = []

    def make(name: str = "node") -> Node:
        nodes.append(Node(tmp_path / name, control, agent_folder))
        return nodes[-1]

    yield make
    for node in nodes:
        node.close()


@pytest.fixture
def node(new_node: Callable[[str], Node]) -> Node:
    return new_node("node")


class Kit:
    """The helpers as one fixture: test modules cannot import from a conftest."""

    DAEMON = DAEMON
    until, order, packed = staticmethod(until), staticmethod(order), staticmethod(packed)


@pytest.fixture
def kit() -> type[Kit]:
    return Kit
