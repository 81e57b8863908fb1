"""The tests' agents and control with a bucket in memory between them: the same runs over the other carrier."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import pytest

from skywright.control import mailbox, mailroom
from skywright.control.pace import Pace
from stacks.boot import Store
from stacks.objects import Found
from tests.e2e.control_fakes import FakeAgent, Fenced, House

STORE = Store("s3", "bucket", "prefix", region="us-east-1")
FAST = Pace(beat_s=1, poll_s=1, segment_s=0.02, look_s=0.02)


class Bucket:
    """Objects in memory, as stacks.objects gives them."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[bytes, str, float]] = {}
        self.lock = threading.Lock()
        self.versions = 0

    def get(self, key: str, mark: str = "") -> Found | None:
        with self.lock:
            if key not in self.held:
                return None
            content, now, at = self.held[key]
            return Found(None if mark == now else content, now, time.monotonic() - at)

    def put(self, key: str, content: bytes) -> None:
        with self.lock:
            self.versions += 1
            self.held[key] = (content, str(self.versions), time.monotonic())

    def new(self, key: str, content: bytes | BinaryIO) -> bool:
        if key in self.held:
            return False
        self.put(key, content if isinstance(content, bytes) else content.read())
        return True

    def delete(self, keys: Iterable[str]) -> None:
        with self.lock:
            for key in keys:
                self.held.pop(key, None)

    def list(self, start: str = "") -> list[str]:
        return sorted(key for key in self.held if key.startswith(start))


class BucketAgent(FakeAgent):
    """Says through objects what the other one says in calls."""

    def __init__(self, bucket: Bucket, *given: Any) -> None:
        super().__init__(*given)
        self.bucket = bucket
        self.logs: list[str] = []
        self._beats = 0
        self._observed: Any = {}
        self._hung_up = threading.Event()

    def _hang_up(self) -> None:
        self._hung_up.set()

    def call(self, method: str, path: str, body: bytes, token: str | None = None) -> tuple[int, bytes]:
        if (self._document() or {}).get("stop") is not None:
            raise Fenced
        if path.endswith("/join"):
            self._beat()
            return 200, b'{"token": "none"}'
        if path.endswith("/sync"):
            return 200, json.dumps(self._exchange(json.loads(body))).encode()
        run, attempt, phase = path.partition("?")[0].split("/")[-3:]
        name, offset = f"{run}.{attempt}.{phase}", int(path.rpartition("=")[2])
        self.bucket.new(f"up/{self.node}/logs/{name}/{offset:015d}", body)
        self.logs.append(name)
        self._beat()
        return 200, json.dumps({"next": offset + len(body)}).encode()

    def _exchange(self, said: dict[str, Any]) -> dict[str, Any]:
        self._hung_up.clear()
        for event in said["events"]:
            self.bucket.new(f"up/{self.node}/events/{event['seq']:012d}", json.dumps(event).encode())
        self._observed = said["observed"]
        self._beat()
        end = time.monotonic() + said["hold_s"]
        while True:
            found = self._document() or {"acked": 0, "desired": None, "stop": None}
            if found["stop"] is not None:
                raise Fenced
            wish = found["desired"]
            fresh = wish is not None and wish["version"] != said["version"]
            acked = found["acked"] >= max((event["seq"] for event in said["events"]), default=0)
            if (fresh or said["events"]) and acked:
                version = wish["version"] if wish else 0
                return {"acked": found["acked"], "version": version, "desired": wish if fresh else None}
            if self.dead or self._hung_up.is_set() or time.monotonic() > end:
                raise OSError("nothing was said")
            time.sleep(0.01)

    def _beat(self) -> None:
        self._beats += 1
        beat = {
            "boot_id": "b",
            "agent": "a",
            "pid": 1,
            "at": self._beats,
            "version": self.version,
            "said": self.seq,
            "logs": self.logs,
            "observed": self._observed,
        }
        self.bucket.put(f"up/{self.node}/beat", json.dumps(beat).encode())

    def _document(self) -> dict[str, Any] | None:
        found = self.bucket.get(f"down/{self.node}/desired")
        return json.loads(found.content) if found and found.content else None


def over_bucket(house: House, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Let a house's agents meet its control in a bucket."""
    bucket = Bucket()
    monkeypatch.setattr(mailroom, "open_objects", lambda store, env: bucket)
    monkeypatch.setattr(mailbox, "ACK_S", 0.1)
    for name in ("IDLE", "RUNNING", "WATCHED"):
        monkeypatch.setattr(mailroom, name, FAST)
    house.operations.store = STORE.to_data()

    def agent(node: str, rank: int) -> FakeAgent:
        script: Callable[[dict[str, Any]], int | None] = lambda run: house.scripts.get(rank, lambda _: 0)(run)  # noqa: E731
        return BucketAgent(bucket, house.home, node, rank, script)

    house.operations._agent = agent
    house.cloud.agent = agent
    return bucket
