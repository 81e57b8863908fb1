"""AWS's own addresses for machines: TLS by an authority they trust, signatures checked, then on to moto."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import re
import socket
import ssl
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})"
)
HOP = ("connection", "transfer-encoding", "keep-alive", "content-length")


class Front:
    """`secret_of` gives the credentials of an access key that a machine may have. `refused` counts what was not let
    through, `passed` requests by method and host."""

    def __init__(
        self, folder: Path, region: str, moto: str, secret_of: Callable[[str], dict[str, str] | None]
    ) -> None:
        self.folder, self.region, self.moto, self.secret_of = folder, region, moto, secret_of
        self.refused: list[str] = []
        self.passed: Counter[str] = Counter()
        self.buckets: set[str] = set()
        self._own = [
            f"{service}.{region}.amazonaws.com" for service in ("s3", "secretsmanager", "sts", "ec2")
        ]
        self._certify()
        self.authority = (folder / "ca.pem").read_bytes()

    def hosts(self, address: str) -> str:
        """An /etc/hosts with all that a machine may call. Buckets are hosts too, and all of them are known by now."""
        import boto3

        s3 = boto3.client(
            "s3",
            region_name=self.region,
            endpoint_url=self.moto,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        buckets = [f"{one['Name']}.{self._own[0]}" for one in s3.list_buckets()["Buckets"]]
        s3.close()
        return "".join(["127.0.0.1 localhost\n", *(f"{address} {name}\n" for name in [*self._own, *buckets])])

    def serve(self, listening: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "front.pem", self.folder / "front.key")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self), bind_and_activate=False)
        self._server.socket.close()
        # The handshake is made by the thread of the connection: one that hangs holds nobody up.
        self._server.socket = context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
        self._server.daemon_threads = True
        poll = {"poll_interval": 0.02}
        threading.Thread(target=self._server.serve_forever, kwargs=poll, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def judge(self, method: str, target: str, headers: dict[str, str], body: bytes) -> str | None:
        """Why a request is not let through; None when its signature is that of a machine's role."""
        found = SIGNED.fullmatch(headers.get("authorization", ""))
        if not found:
            return "not signed"
        access, scope, names, signature = found.groups()
        keys = self.secret_of(access)
        if keys is None:
            return f"unknown key {access}"
        if headers.get("x-amz-security-token") != keys["Token"]:
            return "wrong session token"
        content = hashlib.sha256(body).hexdigest()
        if headers.get("x-amz-content-sha256", content) != content:
            return "the body is not the one that was signed"
        path, _, query = target.partition("?")
        pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(query, True))
        lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names.split(";"))
        query = "&".join(f"{key}={value}" for key, value in pairs)
        asked = "\n".join([method, path, query, lines, names, content])
        stamp = headers["x-amz-date"]
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(asked.encode()).hexdigest()])
        key = f"AWS4{keys['SecretAccessKey']}".encode()
        for part in (*scope.split("/"), text):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return None if key.hex() == signature else "wrong signature"

    def _certify(self) -> None:
        """An authority, and a certificate for AWS's addresses."""
        names = ",".join(f"DNS:{name},DNS:*.{name}" for name in self._own)
        run = {"cwd": self.folder, "check": True, "capture_output": True}
        new = [
            "openssl",
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ]
        subprocess.run(
            [*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=metal",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign"], **run,
        )  # fmt: skip
        subprocess.run([*new, "-keyout", "front.key", "-out", "front.csr", "-subj", "/CN=aws"], **run)
        (self.folder / "names").write_text(
            f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
        )
        sign = ["openssl", "x509", "-req", "-in", "front.csr", "-CA", "ca.pem", "-CAkey", "ca.key"]
        subprocess.run(
            [*sign, "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "front.pem"], **run
        )


def _handler(front: Front) -> type[BaseHTTPRequestHandler]:
    upstream = urlsplit(front.moto).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        behind: http.client.HTTPConnection | None = None

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError, ValueError):
                super().handle()
            if self.behind:
                self.behind.close()

        def do_any(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            if len(body) < size:
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            why = front.judge(self.command, self.path, headers, body)
            if why:
                front.refused.append(f"{self.command} {headers.get('host')}{self.path}: {why}")
                self.send_response(403)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            front.passed[f"{self.command} {headers['host']}"] += 1
            self.behind = self.behind or http.client.HTTPConnection(upstream)
            kept = {name: value for name, value in headers.items() if name not in HOP}
            if "content-length" in headers:
                kept["content-length"] = str(len(body))
            self.behind.request(self.command, self.path, body or None, kept)
            answer = self.behind.getresponse()
            content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            if length is not None and answer.status != 304:
                self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_any

    return Handler
