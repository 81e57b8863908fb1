"""Buckets for tests: an emulator of each kind of store, and a relay that plays a node's surroundings before it.

The relay is the node's way to the store and its metadata service in one; what a test puts into `refuse` it refuses.
"""

from __future__ import annotations

import base64
import calendar
import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stacks.boot import Store
from tests.components import azurite, certificates, fakegcs
from tests.components.building import Component, Missing, ensure
from tests.conftest import need
from tests.standins import moto_server

PATIENCE_S = 30.0
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account that Azurite has, and its key, as its documentation gives them."""
BUCKET = "tests"
DROPPED, DONE_AND_DROPPED = 0, -1
"""A call that never arrived, and one whose answer was lost."""
TOO_SKEWED_S = 900.0


@dataclass(frozen=True)
class Emulator:
    """A store that runs: what control needs to reach it, and where the relay leads."""

    kind: str
    url: str
    env: dict[str, str]
    context: ssl.SSLContext | None = None

    def store(self, prefix: str) -> Store:
        """For control, straight to it."""
        path = f"/{ACCOUNT}" if self.kind == "azblob" else ""
        return Store(
            self.kind,
            BUCKET,
            prefix,
            region="us-east-1" if self.kind == "s3" else None,
            account=ACCOUNT if self.kind == "azblob" else None,
            endpoint=self.url + path,
        )


@contextlib.contextmanager
def emulator(kind: str, folder: Path) -> Iterator[Emulator]:
    """One with an empty bucket."""
    with {"s3": _s3, "gcs": _gcs, "azblob": _azblob}[kind](folder) as made:
        yield made


@contextlib.contextmanager
def _s3(_: Path) -> Iterator[Emulator]:
    import boto3

    env = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    with moto_server.serving() as url:
        client = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield Emulator("s3", url, env)


@contextlib.contextmanager
def _gcs(folder: Path) -> Iterator[Emulator]:
    port = _free_port()
    words = [
        "-backend",
        "memory",
        "-scheme",
        "http",
        "-host",
        "127.0.0.1",
        "-port",
        str(port),
        "-public-host",
        f"127.0.0.1:{port}",  # what clients read objects by, which the engine does
        "-log-level",
        "error",
    ]
    with _serving(_built(fakegcs.component()), "fake-gcs-server", words, port, folder):
        _ask(
            f"http://127.0.0.1:{port}",
            "POST",
            "/storage/v1/b?project=p",
            json.dumps({"name": BUCKET}).encode(),
        )
        yield Emulator("gcs", f"http://127.0.0.1:{port}", {})


@contextlib.contextmanager
def _azblob(folder: Path) -> Iterator[Emulator]:
    from azure.storage.blob import ContainerClient

    port = _free_port()
    certificates.write(folder)
    words = [
        *("--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent"),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port), "--oauth", "basic"),
        *("--cert", str(folder / "server.crt"), "--key", str(folder / "server.key")),
    ]
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    with _serving(_built(azurite.component()), "azurite-blob", words, port, folder):
        url = f"https://127.0.0.1:{port}"
        with Relay(Emulator("azblob", url, {}, context)) as relay:
            # Control goes past the certificate too: its SDK would need the authority from the environment.
            made = Emulator("azblob", relay.url, {"AZURE_STORAGE_KEY": KEY})
            with ContainerClient(made.store("").endpoint, BUCKET, credential=KEY) as container:
                container.create_container()
            yield made


def _built(component: Component) -> Component:
    try:
        ensure(component)
    except Missing as why:
        need(False, f"{component.name}: {why}")
    return component


@contextlib.contextmanager
def _serving(component: Component, program: str, words: list[str], port: int, folder: Path) -> Iterator[None]:
    with open(folder / f"{program}.txt", "wb") as said:
        child = subprocess.Popen([component.program(program), *words], cwd=folder, stdout=said, stderr=said)
    try:
        end = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert child.poll() is None, (folder / f"{program}.txt").read_text()
            assert time.monotonic() < end, f"{program} does not listen"
            time.sleep(0.02)
        yield
    finally:
        child.kill()
        child.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _ask(url: str, method: str, path: str, body: bytes) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


@dataclass
class Relay:
    """Stands before an emulator on a port of its own.

    `refuse` is used up: (part of the path, what happens, headers): a status, DROPPED, or DONE_AND_DROPPED.
    """

    emulator: Emulator
    refuse: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    cut: bool = False
    """Nothing gets through."""
    clock_ahead_s: float = 0.0
    """The store's clock, before the machine's."""

    def __enter__(self) -> Relay:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _relaying(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        poll = {"poll_interval": 0.02}
        threading.Thread(target=self._server.serve_forever, kwargs=poll, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def link(self, store: Store) -> dict[str, str]:
        """The manifest's `link.store` of a node behind this relay."""
        path = urlsplit(store.endpoint or "").path
        return {**store.to_data(), "endpoint": self.url + path, "metadata": self.url}

    def refused(self, path: str) -> tuple[int, dict[str, str]] | None:
        if self.cut:
            return 0, {}
        for item in list(self.refuse):
            if item[0] in path:
                self.refuse.remove(item)
                return item[1], item[2]
        return None


def _relaying(relay: Relay) -> type[BaseHTTPRequestHandler]:
    upstream = urlsplit(relay.emulator.url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        behind: http.client.HTTPConnection | None = None

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError, OSError, ValueError):
                super().handle()
            if self.behind:
                self.behind.close()

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "date" not in {name.lower() for name in headers}:
                self.send_header("Date", self.date_time_string())
            if "Content-Length" not in headers and status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_any(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            if len(body) < size:
                self.close_connection = True
                return
            said = metadata(self.command, self.path, dict(self.headers))
            if said is not None:
                self.answer(200 if said else 401, said, {})
                return
            relay.counts[f"{self.command} {self.path.partition('?')[0]}"] += 1
            refused = relay.refused(self.path)
            if refused and refused[0] in (DROPPED, DONE_AND_DROPPED):
                if refused[0] == DONE_AND_DROPPED:
                    self.behind_us(body)
                self.close_connection = True
            elif refused:
                self.answer(refused[0], b"", refused[1])
            elif self.skewed():
                self.answer(403, b"", {"Date": self.date_time_string(time.time() + relay.clock_ahead_s)})
            else:
                self.forward(body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_any

        def skewed(self) -> bool:
            """Was the request signed at another time than the store's?"""
            stamp = self.headers.get("x-amz-date")
            if not stamp or not relay.clock_ahead_s:
                return False
            at = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
            return abs(at - time.time() - relay.clock_ahead_s) > TOO_SKEWED_S

        def forward(self, body: bytes) -> None:
            status, content, kept = self.behind_us(body)
            if relay.clock_ahead_s:
                for name in [name for name in kept if name.lower() in ("date", "last-modified")]:
                    at = parsedate_to_datetime(kept[name]).timestamp()
                    kept[name] = self.date_time_string(at + relay.clock_ahead_s)
            self.answer(status, content, kept)

        def behind_us(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
            if self.behind is None:
                self.behind = (
                    http.client.HTTPSConnection(upstream.netloc, context=relay.emulator.context)
                    if upstream.scheme == "https"
                    else http.client.HTTPConnection(upstream.netloc)
                )
            drop = ("host", "connection", "content-length")
            sent = {name: value for name, value in self.headers.items() if name.lower() not in drop}
            if self.headers.get("Content-Length") is not None:
                sent["Content-Length"] = str(len(body))
            # Signatures of azure-storage-blob cover neither the host nor the connection.
            self.behind.request(self.command, self.path, body or None, sent)
            answer = self.behind.getresponse()
            content = answer.read()
            kept = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() not in ("connection", "transfer-encoding", "keep-alive", "content-length")
            }
            if self.command == "HEAD" and answer.getheader("Content-Length"):
                kept["Content-Length"] = str(answer.getheader("Content-Length"))
            return answer.status, content, kept

    return Handler


def metadata(method: str, path: str, headers: dict[str, str]) -> bytes | None:
    """What the metadata services of three clouds say of who we are; None for what is no such question."""
    headers = {name.lower(): value for name, value in headers.items()}
    if path.startswith("/latest/"):
        if path == "/latest/api/token":
            good = method == "PUT" and "x-aws-ec2-metadata-token-ttl-seconds" in headers
            return b"imds-token" if good else b""
        if headers.get("x-aws-ec2-metadata-token") != "imds-token":
            return b""
        if path.endswith("/security-credentials/"):
            return b"node-role"
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        keys = {
            "AccessKeyId": "AKIDNODE",
            "SecretAccessKey": "secret",
            "Token": "session",
            "Expiration": ends,
        }
        return json.dumps(keys).encode()
    if path.startswith("/computeMetadata/"):
        said = {"access_token": "ya29.node", "expires_in": 3599, "token_type": "Bearer"}
        return json.dumps(said).encode() if headers.get("metadata-flavor") == "Google" else b""
    if path.startswith("/metadata/identity/"):
        said = {"access_token": bearer(), "expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"}
        return json.dumps(said).encode() if headers.get("metadata") == "true" else b""
    return None


def bearer() -> str:
    """A token as Azure's directory makes them; Azurite looks at its claims and not at its signature."""
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": f"https://sts.windows.net/{uuid.UUID(int=1)}/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 3600,
    }
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    packed = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*packed, base64.urlsafe_b64encode(b"signature").rstrip(b"=").decode()])
