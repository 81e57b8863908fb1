"""How commands talk to control: starts it when it is not there, repeats calls across its restarts, raises Problems."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from compiler.codec import decode
from compiler.problem import Problem, Problems
from skywright.control import VERSION, starting
from skywright.control.answers import not_running, told, unreachable

if TYPE_CHECKING:
    from stacks.drift import Drift

Data = dict[str, Any]

START_S = 15.0
"""How long a started control may take until it answers."""

AGAIN_S = 20.0
"""How long a call is repeated while control cannot be reached: it may be restarting."""

REPLICAS_S = 5.0
"""Of these, how long another replica may take to be found after one ended; then one is started."""

CALL_S = 60.0

KEYS = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_ACCESS_TOKEN")
"""What opens a state; whoever removes a deployment may have it right where it was wrong before."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Log bytes of one rank: `data` stands at `offset` of its phase's log."""

    rank: int
    attempt: int
    phase: str
    offset: int
    data: bytes


class _Elsewhere(Exception):
    """Another replica of control answers this, at `url` if that is known."""

    def __init__(self, url: str | None) -> None:
        self.url = url
        super().__init__("the replica that looks after this deployment does not answer")


class Client:
    """Calls one control. Every method raises Problems and nothing else that a user meets."""

    def __init__(self, home: Path, *, start: bool = True) -> None:
        self._folder = home / "control"
        self._home = home
        self._start = start

    @classmethod
    def connect(cls, home: Path, *, start: bool = True) -> Client:
        """A client of the home's control, which is started when it is not there and `start` allows it.

        A control of another version is replaced; its operations go on and are taken over.
        Raises Problems control/not-running, control/not-started, control/port-taken and others of its start.
        """
        client = cls(home, start=start)
        found = client._answering()
        if found and found.get("version") == VERSION:
            return client
        if not start:
            if found:
                return client
            raise Problems(not_running())
        if found:
            client._replace()
        client._launch_control()
        return client

    # Calls.

    def health(self) -> Data:
        """{version, pid, deployments}."""
        return self._object("GET", "/v1/health")

    def launch(self, order: Mapping[str, Any]) -> Data:
        """Make a deployment, or use the living one of that name; returns {name, run}."""
        return self._object("POST", "/v1/deployments", _named(order))

    def execute(self, name: str, order: Mapping[str, Any]) -> Data:
        """Queue a run on a living deployment; returns {run}."""
        return self._object("POST", _path(name, "runs"), _named(order))

    def deployments(self, refresh: bool = False) -> list[Data]:
        """Every deployment that exists. `refresh` asks the clouds first."""
        found: list[Data] = self._data("GET", "/v1/deployments" + ("?refresh=1" if refresh else ""))
        return found

    def deployment(self, name: str) -> Data:
        """One deployment, also one that is gone. Problems control/no-such-deployment."""
        return self._object("GET", _path(name))

    def runs(self, name: str) -> list[Data]:
        """Its runs, oldest first."""
        found: list[Data] = self._data("GET", _path(name, "runs"))
        return found

    def follow(self, name: str, after: int, wait_s: float) -> Data:
        """{events, next, deployment, runs}; waits up to `wait_s` for an event after `after` or other news."""
        query = urlencode({"after": after, "wait_s": wait_s})
        return self._object("GET", f"{_path(name, 'follow')}?{query}", timeout_s=wait_s + CALL_S)

    def logs(
        self, name: str, run: int | None, cursor: Data | None, wait_s: float
    ) -> tuple[list[Chunk], Data, bool]:
        """New log bytes of a run (the newest when None) after `cursor`; True when it has ended and all was given."""
        asked = {"run": run, "cursor": cursor, "wait_s": wait_s}
        content = self._call("POST", _path(name, "logs"), asked, timeout_s=wait_s + CALL_S)
        head, _, rest = content.partition(b"\n")
        told = json.loads(head)
        chunks, start = [], 0
        for item in told["chunks"]:
            size = item.pop("size")
            chunks.append(Chunk(data=rest[start : start + size], **item))
            start += size
        return chunks, told["cursor"], told["ended"]

    def cancel(self, name: str, runs: list[int] | None) -> list[int]:
        """Stop runs and return their numbers. Problems run/no-such-run.

        None: all unfinished ones. An empty list: the running one, the newest waiting one when none runs.
        """
        found: list[int] = self._data("POST", _path(name, "cancel"), {"runs": runs})
        return found

    def autostop(self, name: str, idle_s: float | None, down: bool = True) -> Data:
        """Give the nodes back after `idle_s` seconds without a run from now on; None: never.

        Returns {idle_s, down}: what will really happen, as not every cloud can stop nodes.
        """
        return self._object("POST", _path(name, "autostop"), {"idle_s": idle_s, "down": down})

    def down(self, name: str, purge: bool = False) -> Data:
        """Begin to remove a deployment; `follow` it until its state is gone or failed, or `wanted` is up again."""
        keys = {name: os.environ[name] for name in KEYS if name in os.environ}
        return self._object("POST", _path(name, "down"), {"purge": purge, "env": {**keys, **_places()}})

    def release(self, name: str) -> Data:
        """Forget a deployment whose stack lives on in other hands; its cloud is left alone. Problems lock/busy."""
        return self._object("POST", _path(name, "release"), {})

    def stop(self, name: str) -> Data:
        """Begin to stop the nodes of a deployment; `follow` it until its state is stopped, or `wanted` is up again.

        Raises Problems cloud/cannot-stop, control/not-up.
        """
        return self._object("POST", _path(name, "stop"), {})

    def start(self, name: str) -> Data:
        """Begin to start stopped nodes; `follow` it until its state is idle. Problems as of `stop`."""
        return self._object("POST", _path(name, "start"), {})

    def move(self, name: str, choice: Mapping[str, Any] | str | None, env: Mapping[str, str]) -> Data:
        """Begin to move a deployment as moving.ask says: {name, where, market, hourly, from}. `follow` tells more."""
        return self._object(
            "POST", _path(name, "move"), {"choice": choice, "env": {**env, **_places()}}, again=False
        )

    def access(self, name: str, ranks: list[int] | None = None) -> list[Data]:
        """How to reach nodes (None: all): rows of {rank, node, address, access}. Problems cloud/no-access."""
        found: list[Data] = self._data("POST", _path(name, "access"), {"ranks": ranks}, timeout_s=120)
        return found

    def endpoints(self, name: str) -> list[Data]:
        """Where opened ports are: rows of {rank, port, address, public}; empty when the task opens none."""
        found: list[Data] = self._data("GET", _path(name, "endpoints"), timeout_s=120)
        return found

    def chaos(self, name: str, kind: str, rank: int = 0, notice_s: float | None = None) -> Data:
        """Break something: preempt, kill, kill-agent, kill-operation."""
        asked = {"kind": kind, "rank": rank, "notice_s": notice_s}
        return self._object("POST", _path(name, "chaos"), asked, again=False)

    def cost(self, names: Sequence[str] = (), by: str | None = None) -> list[Data]:
        """What each deployment, also of the past, has cost; or each owner, task, cloud or month (`by`).

        `names` may have `*` and `?`.
        """
        asked = urlencode([*(("name", name) for name in names), *([("by", by)] if by else ())])
        found: list[Data] = self._data("GET", f"/v1/cost?{asked}" if asked else "/v1/cost")
        return found

    def budget(self, name: str, usd: float | None) -> Data:
        """Say what a living deployment may cost in all; None: there is no limit."""
        return self._object("POST", _path(name, "budget"), {"usd": usd})

    def recent_losses(self) -> dict[str, float]:
        """Where capacity was lost or refused within a day (`aws us-east-1a`), and how many seconds ago."""
        found: dict[str, float] = self._data("GET", "/v1/losses", again=False)
        return found

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Which archives control does not have yet."""
        found: list[str] = self._data("POST", "/v1/blobs/missing", {"digests": list(digests)})
        return found

    def put_blob(self, digest: str, path: Path) -> None:
        """Send an archive; `digest` is the SHA-256 of the file's bytes."""
        self._call("PUT", f"/v1/blobs/{quote(digest, safe='')}", path, timeout_s=600)

    def orphans(self, delete: bool = False, env: Mapping[str, str] | None = None) -> Data:
        """{orphans, things, lost, unasked}, as skywright/control/strays.py says; `delete` removes what is ours.

        Places where nothing lives any more are asked with the credentials in `env`; `unasked` says which gave no
        answer: rows of {place, problem}.
        """
        return self._object("POST", "/v1/orphans", {"delete": delete, "env": dict(env or {})}, timeout_s=300)

    def drift(self, name: str) -> Drift:
        """What became of a deployment's stack, by its own credentials. Raises Problems cloud/..., engine/..."""
        from stacks.drift import Drift

        return decode(Drift, self._object("POST", _path(name, "drift"), {}, timeout_s=300))

    def login(self, name: str, env: Mapping[str, str]) -> Data:
        """Renew a deployment's credentials by those in `env`; returns {name, cloud}. Problems cloud/credentials."""
        return self._object("POST", _path(name, "login"), {"env": dict(env)}, timeout_s=120)

    # Managed jobs.

    def submit_jobs(self, order: Mapping[str, Any]) -> list[int]:
        """Queue one job or several of one launch; their numbers."""
        stages = [{**one, "order": _named(one["order"])} for one in order["stages"]]
        asked = {**order, "stages": stages, "call": os.urandom(16).hex()}
        found: list[int] = self._object("POST", "/v1/jobs", asked)["ids"]
        return found

    def jobs(self, *, all_of_them: bool = False, name: str | None = None) -> list[Data]:
        """Jobs, newest first: those that have not ended and the newest that have, or all."""
        query = urlencode({"all": int(all_of_them), **({} if name is None else {"name": name})})
        found: list[Data] = self._data("GET", f"/v1/jobs?{query}")
        return found

    def job(self, number: int) -> Data:
        """One job. Problems run/no-such-job."""
        return self._object("GET", f"/v1/jobs/{number}")

    def follow_job(self, number: int, after: int, wait_s: float) -> Data:
        """{events, next, job}; waits up to `wait_s` for an event after `after`, unless the job has ended."""
        query = urlencode({"after": after, "wait_s": wait_s})
        return self._object("GET", f"/v1/jobs/{number}/follow?{query}", timeout_s=wait_s + CALL_S)

    def cancel_jobs(self, numbers: list[int] | None = None, name: str | None = None) -> list[int]:
        """Cancel jobs by number or name, with neither all; the numbers of those that had not ended."""
        found: list[int] = self._data("POST", "/v1/jobs/cancel", {"ids": numbers, "name": name})
        return found

    # Transport.

    def _data(
        self, method: str, path: str, sent: Any = None, *, again: bool = True, timeout_s: float = CALL_S
    ) -> Any:
        return json.loads(self._call(method, path, sent, again=again, timeout_s=timeout_s))

    def _object(self, method: str, path: str, sent: Any = None, **how: Any) -> Data:
        found: Data = self._data(method, path, sent, **how)
        return found

    def _call(
        self, method: str, path: str, sent: Any = None, *, again: bool = True, timeout_s: float = CALL_S
    ) -> bytes:
        """One call, repeated while control cannot be reached. With `again` False only until it was sent whole."""
        begun = time.monotonic()
        deadline, at = begun + AGAIN_S, None
        while True:
            unsent = True
            try:
                connection = self._connection(timeout_s, at)
                try:
                    connection.connect()
                    unsent = False
                    return self._exchange(connection, method, path, sent)
                finally:
                    connection.close()
            except _Elsewhere as moved:
                if time.monotonic() > deadline:
                    raise Problems(unreachable(moved)) from None
                at = moved.url
                time.sleep(0.0 if at else 0.1)
            except (OSError, http.client.HTTPException) as error:
                at = None
                if isinstance(error, TimeoutError) or not (again or unsent) or time.monotonic() > deadline:
                    raise Problems(unreachable(error)) from None
                if self._has_replicas() and time.monotonic() - begun < REPLICAS_S:
                    pass  # another one is about to say where it is
                elif self._start and self._answering() is None:
                    self._launch_control()
                elif not self._start and not self._is_running():
                    raise Problems(not_running()) from None
                time.sleep(0.1)

    def _connection(self, timeout_s: float, at: str | None = None) -> http.client.HTTPConnection:
        """To control, to the replica `at` where that is known."""
        found = {"url": at} if at else self._address()
        if found is None:
            raise ConnectionRefusedError("control.json is missing")
        host, _, port = found["url"].removeprefix("http://").partition(":")
        return http.client.HTTPConnection(host, int(port), timeout=timeout_s)

    def _exchange(self, connection: http.client.HTTPConnection, method: str, path: str, sent: Any) -> bytes:
        headers = {"Authorization": f"Bearer {(self._folder / 'token').read_text().strip()}"}
        if isinstance(sent, Path):
            with open(sent, "rb") as file:
                headers["Content-Length"] = str(os.fstat(file.fileno()).st_size)
                connection.request(method, path, body=file, headers=headers)
        else:
            content = None if sent is None else json.dumps(sent).encode()
            connection.request(method, path, body=content, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status == 421:
            raise _Elsewhere(json.loads(content).get("control"))
        if answer.status >= 400:
            raise Problems(told(answer.status, content))
        return content

    # Starting.

    def _address(self) -> Data | None:
        try:
            found: Data = json.loads((self._folder / "control.json").read_bytes())
            return found
        except (OSError, ValueError):
            return None

    def _has_replicas(self) -> bool:
        return bool((self._address() or {}).get("replicas"))

    def _is_running(self) -> bool:
        return self._address() is not None and self._answering() is not None

    def _answering(self) -> Data | None:
        """Its health when control answers now."""
        try:
            connection = self._connection(5.0)
            try:
                found: Data = json.loads(self._exchange(connection, "GET", "/v1/health", None))
                return found
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError, Problems):
            # Another program may have its port by now.
            return None

    def _replace(self) -> None:
        """Ask a control of another version to end, and wait for it."""
        self._data("POST", "/v1/stop", again=False)
        deadline = time.monotonic() + START_S
        while self._answering() is not None and time.monotonic() < deadline:
            time.sleep(0.05)

    def _launch_control(self) -> None:
        """Start control as a process of its own and wait until it answers."""
        starting.start(self._home, self._answering, START_S)


def _named(order: Mapping[str, Any]) -> Data:
    """The order with a name for this call: sent again after a lost answer, it orders nothing twice."""
    run = {**(order.get("run") or {}), "call": os.urandom(16).hex()}
    return {**order, "run": run, "env": {**(order.get("env") or {}), **_places()}}


def _places() -> dict[str, str]:
    """Where the person who types keeps what can be fetched again: control may have been started elsewhere."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("SKYWRIGHT_CACHE") or Path(root) / "skywright")
    return {"SKYWRIGHT_CACHE": str(cache.expanduser().absolute())}


def _path(name: str, *more: str) -> str:
    if not name or quote(name, safe="") != name:
        # No deployment can be called so, and a `/` would lead elsewhere.
        raise Problems(Problem("control/no-such-deployment", f"there is no deployment `{name[:60]}`"))
    return "/".join(["/v1/deployments", name, *more])
