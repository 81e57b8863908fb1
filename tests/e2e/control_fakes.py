"""A cloud, an engine and agents for control's tests: real HTTP and a real store, pretended machines."""

from __future__ import annotations

import asyncio
import http.client
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn

from compiler.offer import Capability, Market
from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from skywright.control.app import application
from skywright.control.client import Client
from skywright.control.context import Control
from skywright.control.server import Server, bind
from stacks.cloud import ANYWHERE, Access, Failure, NodeFacts, Scope, Traces
from stacks.drift import Drift, Thing
from stacks.operate import Kind, Request
from stacks.process import Identity

PATIENCE_S = 30.0


def until(what: Callable[[], Any], says: str = "it") -> Any:
    """Poll until `what()` is true and return that."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.01)
    raise AssertionError(f"never came true: {says}")


class FakeClock:
    """Real time plus what the test adds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead

    def steady(self) -> float:
        return time.monotonic() + self.ahead

    def passes(self, seconds: float) -> bool:
        """Let that much time pass; always true, to stand before what is then looked at."""
        self.ahead += seconds
        return True


class FakeCloud:
    """Nodes in a dictionary; every node that exists has an agent thread."""

    NAME = "local"
    ENV: tuple[str, ...] = ()
    EXTRA = None

    @staticmethod
    def traces(spec: StackSpec) -> Traces:
        return Traces({"stack": spec.stack}, ("look there",))

    CAPABILITIES = frozenset({Capability.SPOT, Capability.MULTI_NODE})

    def __init__(self) -> None:
        self.nodes: dict[str, NodeFacts] = {}
        self.agents: dict[str, FakeAgent] = {}
        self.asked = 0
        self.standing: set[str] = set()
        self.alive: dict[str, bool] = {}
        self.key: str | None = None
        """The credentials that it accepts, when it is one that wants some."""
        self.agent: Callable[[str, int], FakeAgent]
        self.unstoppable = False
        self.secrets: list[tuple[str, dict[str, str]]] = []
        """What was written into its secret store: stack and values."""
        self.held: dict[str, asyncio.Event] = {}
        self.things: dict[str, list[str]] = {}
        """What exists beside nodes, by stack."""
        self.vanished: tuple[Thing, ...] = ()
        """What states know and this cloud has not."""
        """Deployments about which it answers only later, when asked by an account of that name."""

    def elsewhere(self, key: str) -> None:
        """Be a cloud that wants credentials: FAKE_KEY."""
        self.ENV, self.EXTRA, self.key = ("FAKE_",), "fake", key

    async def ask(
        self, cloud: str, what: str, *given: Any, scope: Scope, env: Mapping[str, str], folder: Path
    ) -> Any:
        """As stacks.asking.ask, in this process."""
        if held := self.held.get(env.get("FAKE_ACCOUNT", "")):
            await held.wait()
        if env.get("FAKE_KEY") != self.key:
            raise Problems(Problem("cloud/credentials", "the token has expired"))
        if what == "write_secrets":
            spec, values = given
            assert set(values) <= set(spec["secrets"]), "there is no container"
            self.secrets.append((spec["stack"], values))
            return None
        return getattr(self, what)(*given, scope)

    async def look(self, env: Mapping[str, str], project: str, stack: str, *, folder: Path) -> Drift:
        """As stacks.drift.ask: the nodes are known, those that are not there any more are lost."""
        if self.key is not None and env.get("FAKE_KEY") != self.key:
            raise Problems(Problem("cloud/credentials", "the token has expired"))
        return Drift(stack, lost=self.vanished, known=("role",))

    def sweep(
        self, spec: Mapping[str, Any], known: Sequence[str], look: bool, scope: Scope = ANYWHERE
    ) -> tuple[str, ...]:
        found = tuple(one for one in self.things.get(spec["stack"], ()) if one not in known)
        if not look:
            self.things[spec["stack"]] = [one for one in self.things.get(spec["stack"], []) if one in known]
        return found

    def verify(self, node: str, proof: str, scope: Scope = ANYWHERE) -> bool:
        return node in self.nodes and proof == f"proof of {node}"

    def inventory(self, project: str | None = None, scope: Scope = ANYWHERE) -> tuple[NodeFacts, ...]:
        self.asked += 1
        return tuple(facts for facts in list(self.nodes.values()) if project in (None, facts.project))

    def remove(self, node: str, scope: Scope = ANYWHERE) -> None:
        self.nodes.pop(node, None)
        if agent := self.agents.pop(node, None):
            agent.die()

    def preempt(self, node: str, notice_s: float | None, scope: Scope = ANYWHERE) -> None:
        if notice_s is None:
            self.remove(node)
        else:
            self.agents[node].notice(notice_s)

    def stop(self, nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
        if self.unstoppable:
            raise Problems(Problem("cloud/cannot-stop", "spot cannot be stopped"))
        for node in nodes:
            self.nodes[node] = replace(self.nodes[node], alive=False, stopped=True)
            if agent := self.agents[node]:
                agent.die()

    def start(self, nodes: tuple[str, ...], scope: Scope = ANYWHERE) -> None:
        for node in nodes:
            facts = self.nodes.get(node)
            if facts and not facts.alive:
                self.nodes[node] = replace(facts, alive=True, stopped=False)
                before = self.agents[node]
                self.agents[node] = self.agent(node, facts.rank)
                self.agents[node].seq, self.agents[node].setups = (
                    before.seq,
                    before.setups,
                )  # its journal stays
                self.agents[node].start()

    def access(self, node: str, scope: Scope = ANYWHERE) -> Access:
        forward = ("forward", node, "{port}", "{local}")
        return Access(("shell", node, scope.region or ""), forward, f"proxy {node}", "me")

    def sort(self, error: str) -> Failure:
        return Failure.OTHER

    def of(self, deployment: str, stack: str | None = None) -> dict[int, str]:
        """Node ids by rank, of several stacks those of the newest; fails when two of one stack hold one rank."""
        found: dict[int, str] = {}
        seen: set[tuple[str | None, int]] = set()
        for facts in self.nodes.values():
            if facts.deployment == deployment and stack in (None, facts.stack):
                assert (facts.stack, facts.rank) not in seen, "two nodes of one rank"
                seen.add((facts.stack, facts.rank))
                found[facts.rank] = facts.node
        return found


class FakeOperations:
    """Engine operations that act on the fake cloud when their result is asked for."""

    def __init__(self, cloud: FakeCloud, agent: Callable[[str, int], FakeAgent]) -> None:
        self.cloud, self._agent = cloud, agent
        cloud.agent = agent
        self.requests: list[Request] = []
        self.problems: list[Problem] = []
        """What the next operations fail with."""
        self.failure = "other"
        self.resources = 0
        """What a failing one leaves."""
        self.store: dict[str, str] | None = None
        """The bucket that stacks say they have made."""
        self.names = ["lease"]
        """Steps that an operation tells."""
        self.full: dict[str, int] = {}
        """Zones without room, and how many nodes of a gang they let in before they say so."""
        self.held = threading.Event()
        self.held.set()
        self.killed: set[Path] = set()
        self.stopped: list[Path] = []
        self._results: dict[Path, dict[str, Any]] = {}
        self._running: dict[Path, Request] = {}

    def start(self, request: Request, folder: Path) -> Identity:
        folder.mkdir(parents=True, exist_ok=True)
        self.requests.append(request)
        self.killed.discard(folder)
        self._running[folder] = request
        return Identity(1, 1, "boot")

    def read(self, folder: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
        if offset or folder not in self._running:
            return [], offset
        return [
            {"at": 1.0, "type": "step", "name": name, "status": "done", "seconds": 0.1} for name in self.names
        ], 1

    def running(self, folder: Path) -> bool:
        return folder in self._running and folder not in self.killed and folder not in self._results

    def owner(self, folder: Path) -> Identity | None:
        return None

    def stop(self, folder: Path) -> None:
        self.stopped.append(folder)
        self.held.set()

    def result(self, folder: Path) -> dict[str, Any] | None:
        request = self._running.get(folder)
        if request is None or folder in self.killed or not self.held.is_set():
            return None
        if folder not in self._results:
            self._results[folder] = self._carry_out(request)
        return self._results[folder]

    def _carry_out(self, request: Request) -> dict[str, Any]:
        result: dict[str, Any] = {"ok": True, "problem": None, "failure": None, "changes": {}, "steps": []}
        if self.cloud.key is not None and request.env.get("FAKE_KEY") != self.cloud.key:
            self.problems.insert(0, Problem("cloud/credentials", "the token has expired"))
        if self.problems:
            problem = self.problems.pop(0)
            failure = "credentials" if problem.code == "cloud/credentials" else self.failure
            told = {"problem": problem.to_data(), "failure": failure, "resources": self.resources}
            return {**result, **told, "ok": False, "nodes": []}
        assert isinstance(request.spec, StackSpec)
        there = self.cloud.of(request.spec.deployment, request.spec.stack)
        if request.kind is Kind.DESTROY:
            for node in there.values():
                self.cloud.remove(node)
            return {**result, "nodes": [], "changes": {"delete": len(there)}}
        made = 0
        for rank in request.spec.ranks:
            if rank in there and there[rank] not in request.lost:
                continue
            if request.spec.zone in self.full and made >= self.full[request.spec.zone]:
                text = f"there is no room in {request.spec.zone}"
                told = {"problem": Problem("cloud/capacity", text).to_data(), "failure": "capacity"}
                return {**result, **told, "ok": False, "nodes": [], "resources": len(there)}
            if rank in there:
                self.cloud.remove(there[rank])
            there[rank] = self._make(request.spec, rank)
            made += 1
        nodes = [
            {"rank": rank, "id": there[rank], "address": self.cloud.nodes[there[rank]].address}
            for rank in request.spec.ranks
        ]
        return {
            **result,
            "store": self.store,
            "nodes": nodes,
            "changes": {"create": len(nodes)},
            "seconds": {"total": 0.1},
        }

    def _make(self, spec: StackSpec, rank: int) -> str:
        node = f"{spec.deployment}-{rank}-{secrets.token_hex(3)}"
        address = f"127.0.0.{rank + 2}"
        self.cloud.nodes[node] = NodeFacts(
            node, spec.project, spec.deployment, rank, address, True, "now", spec.stack, spec.region
        )
        self.cloud.agents[node] = self._agent(node, rank)
        self.cloud.agents[node].start()
        return node


class Fenced(Exception):
    """Control told the node to stop for ever."""


class FakeAgent(threading.Thread):
    """Keeps to docs/link.md. `script` decides what a started run does: an exit code, or None to go on until told."""

    def __init__(
        self, home: Path, node: str, rank: int, script: Callable[[dict[str, Any]], int | None]
    ) -> None:
        super().__init__(daemon=True, name=f"agent-{node}")
        self.home, self.node, self.rank, self.script = home, node, rank, script
        self.token = ""
        self.fenced = self.dead = False
        self.quiet = False
        """Does nothing and says nothing: the partition of tests."""
        self.silent = threading.Event()
        self.version = 0
        self.seq = 0
        self.events: list[dict[str, Any]] = []
        self.said: list[dict[str, Any]] = []
        self.desired: dict[str, Any] | None = None
        self.seen: list[dict[str, Any]] = []
        self.key = (0, 0)
        self.phase = ""
        self.observed: dict[str, Any] = {}
        self.setups: list[tuple[int, int]] = []
        self._held: http.client.HTTPConnection | None = None
        self._noticed: float | None = None

    # What tests do to it.

    def die(self) -> None:
        """Returns when nothing more will come from it."""
        self.dead = True
        while self.is_alive() and self is not threading.current_thread():
            self._hang_up()
            self.join(0.01)

    def fall_silent(self) -> None:
        """Returns when nothing more will come from it."""
        self.quiet = True
        self._hang_up()
        assert self.silent.wait(PATIENCE_S)

    def notice(self, seconds: float) -> None:
        self._noticed = seconds
        self._hang_up()

    def fail(self, message: str) -> None:
        """The rank fails without an exit code, as the agent says when it cannot go on."""
        self._enter("failed", message=message, log_bytes={})
        self._hang_up()

    def finish(self, code: int) -> None:
        """End the running task of this rank."""
        self._end(code)
        self._hang_up()

    def report(self, **progress: Any) -> None:
        self.observed = progress
        self._hang_up()

    def _hang_up(self) -> None:
        held = self._held
        if held and held.sock:
            try:
                held.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # What it does.

    def run(self) -> None:
        while not (self.dead or self.fenced):
            try:
                if self.quiet:
                    self.silent.set()
                    time.sleep(0.02)
                    continue
                if not self.token:
                    self._join()
                self._sync()
            except Fenced:
                self.fenced = True
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.02)

    def call(self, method: str, path: str, body: bytes, token: str | None = None) -> tuple[int, bytes]:
        url = json.loads((self.home / "control" / "control.json").read_bytes())["url"]
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        self._held = connection if path.endswith(("/sync", "/join")) else self._held
        try:
            connection.request(
                method, path, body, {"Authorization": f"Bearer {self.token if token is None else token}"}
            )
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status == 409 and json.loads(content).get("stop"):
            raise Fenced
        return answer.status, content

    def _join(self) -> None:
        body = {"proof": f"proof of {self.node}", "boot_id": "b", "agent": "a", "pid": 1}
        status, content = self.call("POST", f"/v1/nodes/{self.node}/join", json.dumps(body).encode())
        if status != 200:
            raise OSError(status)
        self.token = json.loads(content)["token"]

    def _sync(self) -> None:
        if self._noticed is not None and self.phase != "drained":
            self._drain()
        said = {
            "version": self.version,
            "events": self.events,
            "observed": {"run": self.key[0], "attempt": self.key[1], "progress": self.observed or None},
            "hold_s": 2,
        }
        status, content = self.call("POST", f"/v1/nodes/{self.node}/sync", json.dumps(said).encode())
        if status == 401:
            self.token = ""
        if status != 200:
            raise OSError(status)
        answer = json.loads(content)
        self.events = [event for event in self.events if event["seq"] > answer["acked"]]
        self.version = answer["version"]
        if answer["desired"]:
            self.desired = answer["desired"]
            self.seen.append(answer["desired"])
            self._follow(answer["desired"]["run"])

    def say(self, kind: str, **fields: Any) -> None:
        self.seq += 1
        event = {"seq": self.seq, "at": float(self.seq), "kind": kind, **fields}
        self.events.append(event)
        self.said.append(event)

    def _enter(self, phase: str, **fields: Any) -> None:
        self.phase = phase
        self.say("phase", run=self.key[0], attempt=self.key[1], phase=phase, **fields)

    def _follow(self, run: dict[str, Any] | None) -> None:
        if run is None or self._noticed is not None:
            return
        key = (run["id"], run["attempt"])
        if key > self.key:
            self.key = key
            if run["cancel"]:
                self._enter("cancelled")
                return
            if run["setup"] and run["id"] not in [done[0] for done in self.setups]:
                self._enter("setup")
                self.setups.append(key)
            self._enter("ready")
        if key != self.key or self.phase not in ("ready", "running"):
            return
        if run["cancel"]:
            self._enter("cancelled", log_bytes={"run": 0} if self.phase == "running" else {})
        elif self.phase == "ready" and run["go"] == "run":
            self._enter("running")
            code = self.script({**run, "node": self.node})
            if code is not None:
                self._end(code)

    def _end(self, code: int) -> None:
        text = f"rank {self.rank} attempt {self.key[1]} ends {code}\n".encode()
        self.put_log(*self.key, "run", 0, text)
        self._enter(
            "failed" if code else "succeeded",
            exit_code=code,
            signal=None,
            oom=False,
            log_bytes={"run": len(text)},
        )

    def put_log(self, run: int, attempt: int, phase: str, offset: int, data: bytes) -> tuple[int, int]:
        path = f"/v1/nodes/{self.node}/logs/{run}/{attempt}/{phase}?offset={offset}"
        status, content = self.call("PUT", path, data)
        return status, json.loads(content).get("next", -1)

    def _drain(self) -> None:
        self.say("notice", deadline_s=self._noticed, source="fake")
        if self.phase in ("ready", "running"):
            self._enter("preempted", log_bytes={})
        self.say("drained", run=self.key[0], attempt=self.key[1])
        self.phase = "drained"


class TestServer(Server):
    """The product's server in a thread."""

    __test__ = False

    def __init__(
        self, config: uvicorn.Config, control: Control, ready: Path, url: str, up: threading.Event
    ) -> None:
        super().__init__(config, control, ready, url)
        self._up = up
        self.loop: asyncio.AbstractEventLoop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._up.set()


class House:
    """One control in this process: its server thread, fake cloud and engine, and a client."""

    def __init__(self, home: Path, where: str | None = None) -> None:
        self.home, self.where = home, where
        self.cloud = FakeCloud()
        self.clock = FakeClock()
        self.scripts: dict[int, Callable[[dict[str, Any]], int | None]] = {}
        self.operations = FakeOperations(self.cloud, self._agent)
        self._server: TestServer | None = None
        self._thread: threading.Thread | None = None

    def _agent(self, node: str, rank: int) -> FakeAgent:
        return FakeAgent(self.home, node, rank, lambda run: self.scripts.get(rank, lambda _: 0)(run))

    def open(self) -> Client:
        """Start the server (again); returns a client."""
        folder = self.home / "control"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text("token of the user")
        ready = threading.Event()

        def serve() -> None:
            listening = bind(0)
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            control = Control(
                self.home,
                self.operations,
                lambda _: self.cloud,  # type: ignore[arg-type, return-value]
                self.clock,
                self.cloud.ask,
                self.cloud.look,
                lambda env, project: tuple(self.cloud.standing),
                where=self.where,
                url=url,
            )
            app = application(control, "token of the user", self.close)
            config = uvicorn.Config(
                app, http="h11", ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=1
            )
            self._server = TestServer(config, control, folder / "control.json", url, ready)
            self._server.run(sockets=[listening])

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE_S)
        return Client.connect(self.home, start=False)

    def close(self) -> None:
        """End the server; nodes and operations stay as they are."""
        if self._server and self._thread:
            self._server.loop.call_soon_threadsafe(self._server.end)
            self._thread.join(PATIENCE_S)
            self._thread = None

    def end(self) -> None:
        for agent in list(self.cloud.agents.values()):
            agent.die()
        self.close()
        for agent in list(self.cloud.agents.values()):
            agent.join(PATIENCE_S)

    def agent(self, name: str, rank: int) -> FakeAgent:
        return self.cloud.agents[self.cloud.of(name)[rank]]


def order(name: str = "hello", nodes: int = 1, zones: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """A launch order for fake nodes; `more` goes into its run, options or spec by name. `zones` (`us-a`, `eu-b`) are
    the approved places, of the regions `us` and `eu`."""
    labels = more.pop("labels", {})
    places = [(zone.partition("-")[0], zone) for zone in zones] or [(None, None)]
    specs = [
        StackSpec(
            project="proj",
            stack=f"{name}-local-{region}" if region else f"{name}-local",
            deployment=name,
            cloud="local",
            instance_type="this-machine",
            market=Market.SPOT,
            nodes=nodes,
            agent="0" * 64,
            region=region,
            zone=zone,
            labels=labels,
            secrets=tuple(more.get("secrets", ())),
        )
        for region, zone in places
    ]
    choices = [
        {
            "spec": spec.to_data(),
            "where": f"local {spec.zone}" if spec.zone else "local",
            "market": "spot",
            "hourly": float(number * nodes),
            "gpus_per_node": number,
        }
        for number, spec in enumerate(specs)
    ]
    run = {
        "name": name,
        "setup": None,
        "script": "true",
        "envs": {},
        "secrets": {},
        "files": [],
        "checkpoint": None,
        "recovery": None,
        "gpus_per_node": 0,
        "num_nodes": nodes,
    }
    options = {"keep": False, "idle_s": None, "down": True, "retry_until_up": False}
    env = more.pop("env", {})
    beyond = more.pop("envelope", None)
    for key, value in more.items():
        (run if key in run else options)[key] = value
    return {
        "name": name,
        "project": "proj",
        "owner": "me",
        "task": {},
        "plan": {**{name: choices[0][name] for name in ("where", "market", "hourly")}, "envelope": beyond},
        "spec": specs[0].to_data(),
        "choices": choices,
        "run": run,
        "options": options,
        "env": env,
    }
