"""Runs the Pulumi engine on one stack from a private folder: the only importer of pulumi.automation."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems
from compiler.spec import Foundation, StackSpec
from stacks import home, network, process, program, refusal
from stacks.backend import Backend
from stacks.eject.recording import Recording
from stacks.process import Identity
from stacks.refusal import Died, Refused
from stacks.state import State

OWN_PROVIDER = frozenset({"local"})
"""Clouds that need no other provider than ours: nothing is to be downloaded for them."""

MARK = "SKYWRIGHT_ENGINE_OF"
"""In the environment of every engine and provider process: which stack they were started for."""


def download(root: str) -> None:
    """Let the SDK's installer put its engine into `root`. Raises what it raises."""
    from pulumi.automation import PulumiCommand

    PulumiCommand.install(root=root)


@dataclass(frozen=True, slots=True)
class StackName:
    """A stack of which only the name is known: its program cannot be run, but its state can be looked at."""

    project: str
    stack: str
    cloud: str


class Session:
    """The engine on one stack. `folder` is private to the caller and gets Pulumi's project files.

    Every method runs one CLI process to its end and raises Refused when it failed; `kill` and `interrupt` may
    be called from another thread. `started` is told about each process that may write state.
    """

    def __init__(
        self,
        cli: Path,
        spec: StackSpec | Foundation | StackName,
        backend: Backend,
        folder: Path,
        started: Callable[[Identity | None], None] = lambda who: None,
    ) -> None:
        self.spec, self.backend = spec, backend
        self._cli, self._folder, self._started = cli, folder, started
        self._child: subprocess.Popen[str] | None = None
        self._stopped = threading.Event()
        self.network_coming = False
        """Is the network that the program looks up only about to be made? For a first preview."""
        self.recording: Recording | None = None
        """Filled by what the program registers."""
        self._stack = f"organization/{spec.project}/{spec.stack}"
        if backend.url.startswith(("http://", "https://")):
            self._stack = spec.stack  # belongs to whoever is logged in there
        self.mark = mark(backend, spec)
        self._env = {**backend.env, MARK: self.mark}
        if spec.cloud in OWN_PROVIDER:
            self._env.setdefault("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        project = {"name": spec.project, "runtime": "python", "main": "."}
        home.write(folder / "Pulumi.yaml", json.dumps(project).encode())  # JSON is YAML
        # The SDK takes half a second to import: meanwhile the first commands run.
        if not isinstance(spec, StackName):
            threading.Thread(target=_import_sdk, name="import-sdk", daemon=True).start()

    # The stack and its state.

    def state(self) -> State | None:
        """The stack's state, or None where there is no such stack."""
        try:
            found = State.from_data(json.loads(self._run("stack", "export", *self._of)))
        except Refused as refused:
            if refusal.NO_STACK.search(refused.text):
                return None
            raise
        if encryption := found.encryption():
            # From the state alone the engine would take a wrong passphrase and go on.
            home.write(self._folder / f"Pulumi.{self.spec.stack}.yaml", json.dumps(encryption).encode())
        return found

    def restore(self, data: Mapping[str, Any]) -> None:
        """Replace the stack's state by an edited export."""
        draft = self._folder / "import.json"
        home.write(draft, json.dumps(data).encode())
        try:
            self._run("stack", "import", "--file", str(draft), *self._of)
        finally:
            draft.unlink(missing_ok=True)

    def init(self) -> None:
        """Make the stack."""
        provider = self.backend.secrets_provider
        extra = ["--secrets-provider", provider] if provider else []
        self._run("stack", "init", "--no-select", *extra, *self._of)

    def unlock(self) -> None:
        """Remove the lock that a dead engine left. The caller has shown that it is dead."""
        self._run("cancel", "--yes", *self._of)

    def remove(self, force: bool = False) -> None:
        """Remove the stack: an empty one, or by `force` what its state still holds."""
        self._run("stack", "rm", "--yes", *(["--force"] if force else []), *self._of)

    # The program.

    def preview(self, hear: Callable[[dict[str, Any]], None], replace: Sequence[str] = ()) -> None:
        self._engine("preview", hear, _replacing(replace))

    def up(self, hear: Callable[[dict[str, Any]], None], replace: Sequence[str] = ()) -> None:
        self._engine("up", hear, ["--yes", "--skip-preview", *_replacing(replace)])

    def refresh(self, hear: Callable[[dict[str, Any]], None]) -> None:
        self._engine("refresh", hear, ["--yes", "--skip-preview"])

    def look(self, events: Path) -> None:
        """Compare the state with the cloud; the engine's events go to a file. Takes no lock, writes no state."""
        self._run("refresh", "--preview-only", "--suppress-progress", "--event-log", str(events), *self._of)

    def destroy(self, hear: Callable[[dict[str, Any]], None]) -> None:
        self._engine("destroy", hear, ["--yes", "--skip-preview"])

    def interrupt(self) -> None:
        """Ask the running command to finish what it is at and end; the next ones are refused."""
        self._stopped.set()
        child = self._child
        if child is not None and child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGINT)

    @property
    def interrupted(self) -> bool:
        return self._stopped.is_set()

    def kill(self) -> None:
        """End the running command and every process it started, at once."""
        self._stopped.set()
        child = self._child
        if child is not None and child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.end_family(process.identity(child.pid))

    # Processes.

    @property
    def _of(self) -> tuple[str, str]:
        return ("--stack", self._stack)

    def _engine(self, verb: str, hear: Callable[[dict[str, Any]], None], arguments: Iterable[str]) -> None:
        """One command whose program runs here, when the engine asks for it; events are streamed to `hear`."""
        import grpc

        raised: list[BaseException] = []
        spec = self.spec
        assert not isinstance(spec, StackName), "it has no program"

        def declare() -> None:
            try:
                if self.recording:
                    self.recording.listen()
                with network.coming() if self.network_coming else contextlib.nullcontext():
                    program.declare(spec)
            except BaseException as error:
                raised.append(error)
                raise

        services = functools.cache(lambda: _services(declare, hear))

        class Late(grpc.GenericRpcHandler):
            """Waits for the SDK when the engine first calls: by then it has been starting for 0.3 s."""

            def service(self, handler_call_details: Any) -> Any:
                found = (each.service(handler_call_details) for each in services())
                return next((handler for handler in found if handler), None)

        server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        server.add_generic_rpc_handlers((Late(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        client = ["--client", f"127.0.0.1:{port}", "--exec-kind", "auto.inline"]
        try:
            self._run(verb, *arguments, *client, "--event-log", f"tcp://127.0.0.1:{port}", *self._of)
        except Refused:
            if raised and not refusal.ASKED.search(str(raised[0])):
                raise refusal.program(raised[0]) from raised[0]
            raise
        finally:
            server.stop(0)

    def _run(self, *arguments: str) -> str:
        verb = " ".join(arguments[:2]) if arguments[0] == "stack" else arguments[0]
        if self._stopped.is_set():
            raise Refused(verb, "interrupted")
        child = subprocess.Popen(
            [self._cli, "--non-interactive", "--color", "never", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._folder,
            env=self._env,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._child = child
        try:
            if verb not in ("stack export", "preview"):
                self._started(process.identity(child.pid))
            if self._stopped.is_set():  # asked for between the check above and the start
                child.send_signal(signal.SIGINT)
            out, err = child.communicate()
        finally:
            if child.poll() is None:
                process.end_family(process.identity(child.pid))
                child.wait()
            self._child = None
        if child.returncode < 0:
            raise Died(verb, f"signal {-child.returncode}")
        if re.search(r"^(panic|fatal error): ", err, re.MULTILINE):
            raise Died(verb, err)
        if child.returncode != 0:
            raise Refused(verb, err.strip() or out.strip() or f"exit code {child.returncode}")
        return out


def mark(backend: Backend, spec: StackSpec | Foundation | StackName) -> str:
    """The value of MARK for one stack of one backend."""
    return f"{backend.url} {spec.project}/{spec.stack}"


def end_leftovers(wanted: str, noted: Identity | None) -> None:
    """End what a killed operation left running. Raises Problems lock/held when the system does not let us."""
    found = leftovers(wanted)
    try:
        if noted:
            process.end_family(noted)
        for who in found:
            process.end_family(who)
    except PermissionError:
        who = noted or found[0]
        raise Problems(
            Problem(
                "lock/held",
                f"the engine of an operation that was killed still runs as another user, process {who.pid}",
                hint="wait for it to end, or have that user end it",
            )
        ) from None


def leftovers(wanted: str) -> list[Identity]:
    """Living engine and provider processes with this MARK: what a killed operation left running."""
    found = []
    for pid, words, env in _processes():
        # Nothing else has any business with the mark, but what inherited it is not ours to end.
        ours = any("pulumi" in os.path.basename(word) for word in words[:2])
        ours = ours or any("stacks.provider.server" in word for word in words)
        if ours and env.get(MARK) == wanted:
            with contextlib.suppress(ProcessLookupError):
                found.append(process.identity(pid))
    return [who for who in found if who.pid != os.getpid() and process.alive(who)]


def _processes() -> Iterable[tuple[int, list[str], dict[str, str]]]:
    """Pid, command and environment of the processes of this user."""
    if not os.path.isdir("/proc/self"):
        yield from _processes_by_ps()
        return
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            command = Path("/proc", entry, "cmdline").read_bytes()
            content = Path("/proc", entry, "environ").read_bytes()
        except OSError:
            continue
        pairs = (item.partition(b"=") for item in content.split(b"\0") if b"=" in item)
        env = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
        yield int(entry), [os.fsdecode(word) for word in command.split(b"\0")], env


def _processes_by_ps() -> Iterable[tuple[int, list[str], dict[str, str]]]:
    done = subprocess.run(["ps", "-A", "-E", "-ww", "-o", "pid=,command="], capture_output=True, text=True)
    for line in done.stdout.splitlines():
        pid, _, rest = line.strip().partition(" ")
        # The environment follows the command, and values may hold spaces: the mark is looked for as it is.
        _, _, value = rest.partition(f"{MARK}=")
        parts = value.split(" ")
        yield int(pid), rest.split(" "), {MARK: " ".join(parts[:2])}


def _replacing(urns: Sequence[str]) -> list[str]:
    return [word for urn in urns for word in ("--replace", urn)]


def _import_sdk() -> None:
    import grpc  # noqa: F401
    import pulumi.automation._server
    import pulumi.runtime.proto  # noqa: F401


def _services(program: Callable[[], None], hear: Callable[[dict[str, Any]], None]) -> list[Any]:
    """gRPC handlers of the two services the engine dials: the language runtime, and where its events go."""
    from google.protobuf import empty_pb2
    from pulumi.automation._server import LanguageServer
    from pulumi.runtime.proto import events_pb2_grpc, language_pb2_grpc

    class Events(events_pb2_grpc.EventsServicer):
        def StreamEvents(self, request_iterator: Any, context: Any) -> Any:
            for request in request_iterator:
                hear(json.loads(request.event))
            return empty_pb2.Empty()

    class Collected(list[Any]):
        """Looks like a server to the generated code, and keeps what it registers."""

        def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
            self.extend(handlers)

        def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
            """The same handlers again, for another way of finding them."""

    collected: Any = Collected()
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(program), collected)
    events_pb2_grpc.add_EventsServicer_to_server(Events(), collected)
    return collected
