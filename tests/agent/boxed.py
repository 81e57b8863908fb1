"""Control played over a bucket: the product's own mailbox, with the desk of the tests' Control behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from skywright.control import mailbox
from skywright.control.mailbox import Log, Mailbox
from skywright.control.pace import Pace
from stacks.objects import open_objects
from stacks.objects.pods import Pods
from tests.agent.stores import Emulator, Relay

FAST = Pace(beat_s=0.3, poll_s=0.05, segment_s=0.1, look_s=0.02)
OVER = {"succeeded", "failed", "cancelled", "preempted", "unknown"}


class Desk:
    """What is done with the words of a node; `control` keeps them."""

    def __init__(self, control: Any, schema: Callable[[str], Any], folder: Path) -> None:
        self.control, self.schema, self.folder = control, schema, folder

    def stopped(self) -> str | None:
        return "this node was replaced" if self.control.fenced else None

    def join(self, who: Mapping[str, Any]) -> None:
        self.control.joins.append(dict(who))

    def acked(self) -> int:
        return len(self.control.events)

    def hear(self, events: list[dict[str, Any]], observed: Any, age_s: float) -> None:
        control = self.control
        with control.changed:
            control.syncs += 1
            control.ages.append(age_s)
            for event in events:
                self.schema("event").validate(event)
                assert event["seq"] == len(control.events) + 1
                control.events.append(event)
            control.observed = observed

    def log_size(self, log: Log) -> int:
        return len(self.control.logs.setdefault(log, bytearray()))

    def log(self, log: Log, offset: int, content: bytes) -> int:
        held = self.control.logs[log]
        self.control.log_calls.append((log, offset, len(content)))
        assert offset <= len(held)
        overlap = held[offset : offset + len(content)]
        assert overlap == content[: len(overlap)], "bytes that were sent before came back different"
        held += content[len(overlap) :]
        return len(held)

    def ended(self, log: Log) -> bool:
        return bool(OVER & set(self.control.phases(*log[:2])))

    def wish(self, has: int) -> tuple[int, dict[str, Any] | None]:
        control = self.control
        with control.changed:
            # Through text: what is handed over is changed by nobody.
            fresh = control.desired is not None and control.version != has
            return control.version, json.loads(json.dumps(control.desired)) if fresh else None

    def archive(self, digest: str) -> Path | None:
        content = self.control.blobs.get(digest)
        if content is None:
            return None
        path = self.folder / digest
        path.write_bytes(content)
        return path

    def pace(self) -> Pace:
        return FAST


class Carrying:
    """The half of a Control that moves what is in a bucket. `start` and `stop` are a control's life."""

    def __init__(self, control: Any, emulator: Emulator, schema: Callable[[str], Any], folder: Path) -> None:
        self.control, self.emulator, self.schema, self.folder = control, emulator, schema, folder
        self.store = emulator.store(f"tests/{uuid.uuid4().hex}")
        self.objects = open_objects(self.store, emulator.env)
        self.relay = Relay(emulator, refuse=control.refuse)
        self.relay.__enter__()
        self.node: str | None = None
        self._running: threading.Thread | None = None
        self._over = threading.Event()

    def link(self, node: str) -> dict[str, Any]:
        self.node = node
        self.start()
        return {"carrier": "bucket", "store": self.relay.link(self.store), "secrets": "tests/"}

    def start(self) -> None:
        if self.node and self._running is None:
            self._over.clear()
            self._running = threading.Thread(target=lambda: asyncio.run(self._step_on()), daemon=True)
            self._running.start()

    def stop(self) -> None:
        self._over.set()
        if self._running:
            self._running.join()
        self._running = None

    def close(self) -> None:
        self.stop()
        self.relay.__exit__()

    async def _step_on(self) -> None:
        assert self.node is not None
        box = Mailbox(self.node, self.objects, Desk(self.control, self.schema, self.folder), time.monotonic)
        while not self._over.is_set():
            try:
                if not await box.step():
                    return
            except Exception as error:
                self.control.wrong.append(repr(error))
                raise
            await asyncio.sleep(FAST.look_s)

    def keep_secrets(self, values: Mapping[str, str]) -> None:
        """Where the node's identity finds them: Secrets Manager."""
        import boto3

        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        client = boto3.client(
            "secretsmanager", region_name="us-east-1", endpoint_url=self.emulator.url, **keys
        )
        for name, value in values.items():
            with contextlib.suppress(client.exceptions.ResourceExistsException):
                client.create_secret(Name=f"tests/{name}")
            client.put_secret_value(SecretId=f"tests/{name}", SecretString=value)
        client.close()

    def left(self) -> list[str]:
        """Keys that are in the bucket."""
        return self.objects.list()

    def put(self, key: str, content: bytes) -> None:
        self.objects.put(key, content)

    def document(self) -> dict[str, Any] | None:
        found = self.objects.get(f"down/{self.node}/desired")
        return json.loads(found.content) if found and found.content else None


class Reaching(Carrying):
    """Control reaches into the node, as into a pod: its own objects, and the agent's own half answering each call in
    a process of its own. What carries the call into a pod is the one thing that is missing."""

    def __init__(self, control: Any, schema: Callable[[str], Any], folder: Path, agent: Path) -> None:
        self.control, self.schema, self.folder = control, schema, folder
        self.box = folder / "mailbox" / "box"
        self.words = [sys.executable, "-I", "-S", "-E", str(agent / "agent.py"), "objects", str(self.box)]
        self.objects = Pods(self._ask, lambda: ["the-pod"])
        self.node = None
        self._running = None
        self._over = threading.Event()

    def _ask(self, pod: str, told: str) -> str | None:
        return subprocess.run(self.words, input=told, stdout=subprocess.PIPE, text=True, check=True).stdout

    def link(self, node: str) -> dict[str, Any]:
        self.node = node
        self.start()
        store = {"kind": "folder", "bucket": str(self.box.parent), "prefix": self.box.name}
        return {"carrier": "bucket", "store": store, "secrets": f"{self.folder}/secrets/"}

    def close(self) -> None:
        self.stop()

    def keep_secrets(self, values: Mapping[str, str]) -> None:
        (self.folder / "secrets").mkdir(exist_ok=True)
        for name, value in values.items():
            (self.folder / "secrets" / name).write_text(value)


@contextlib.contextmanager
def quick_words() -> Any:
    """Documents are written often: tests cannot wait for a minute to see that control lives."""
    before = mailbox.ACK_S, mailbox.REFRESH_S
    mailbox.ACK_S = mailbox.REFRESH_S = 0.4  # type: ignore[misc]
    yield
    mailbox.ACK_S, mailbox.REFRESH_S = before  # type: ignore[misc]
