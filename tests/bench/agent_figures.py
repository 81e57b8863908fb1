"""Prints what the agent costs, as JSON: capture rate and CPU of a shim under a flood, and memory of both processes.

`agent_figures.py [MEGABYTES]`; capture is measured with a shim alone, memory with an agent, a shim and a running job.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FLOODS = 3
"""Each figure of a flood is the median of so many."""

LINE = (
    b"a line of a log as programs write it, with a number 1234567890 and words to make it a hundred bytes\n"
)


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as name:
        folder = Path(name)
        agent = folder / "agents" / "0"
        agent.mkdir(parents=True)
        for path in (ROOT / "runtime").glob("*.py"):
            shutil.copy(path, agent)
        floods = [capture(agent, folder / f"flood-{number}", megabytes) for number in range(FLOODS)]
        figures = {name: statistics.median(flood[name] for flood in floods) for name in floods[0]}
        figures.update(memory(agent, folder / "node"))
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}))


def capture(agent: Path, folder: Path, megabytes: int) -> dict[str, float]:
    """A job that writes as fast as it can; CPU is the shim's own, user and system."""
    folder.mkdir()
    writer = folder / "writer.py"
    writer.write_text(f"import os\nblock = {LINE!r} * {(1 << 20) // len(LINE)}\n"
                      f"for _ in range({megabytes}): os.write(1, block)\n")  # fmt: skip
    job = [sys.executable, "-I", "-S", "-E", str(writer)]
    command = [
        sys.executable,
        "-I",
        "-S",
        "-E",
        str(agent / "agent.py"),
        "shim",
        str(folder),
        "skywright-bench",
    ]
    numbers = ["0", str(1 << 40), "0", str(folder)]
    process = subprocess.Popen([*command, *numbers, *job], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"PATH=" + os.fsencode(os.environ["PATH"]) + b"\0\0\0\0end")
    began = time.monotonic()
    process.stdin.close()
    highest = cpu = 0.0
    while not (folder / "exit").exists():
        if process.poll() is not None:
            raise SystemExit("the shim ended early")
        highest = max(highest, resident_mb(process.pid))
        cpu = cpu_s(process.pid) or cpu
        time.sleep(0.005)
    seconds = time.monotonic() - began
    process.wait()
    size = json.loads((folder / "exit").read_text())["log_bytes"] / 1e6
    shutil.rmtree(folder)
    return {"capture_mb_s": size / seconds, "cpu_s_per_gb": cpu / size * 1000, "shim_flood_rss_mb": highest}


def memory(agent: Path, node: Path) -> dict[str, float]:
    """Agent and shim beside a job that runs, and the time from a start to the job's first byte at control."""
    node.mkdir()
    run = {
        "id": 1, "attempt": 1, "rank": 0, "num_nodes": 1, "peers": [], "task_id": "t", "user": "u",
        "cluster_info": {}, "gpus_per_node": 0, "setup": None, "script": "echo up; sleep 600", "envs": {},
        "secrets": {}, "files": [], "checkpoint": None, "go": "run", "cancel": False, "grace_s": 0,
    }  # fmt: skip
    control = Control(run)
    manifest = {
        "node": "bench", "address": "127.0.0.1", "home": str(node), "state": str(node / "agent"), "deadman_s": 600,
        "link": {"carrier": "http", "url": f"http://127.0.0.1:{control.server.server_port}"},
    }  # fmt: skip
    (node / "manifest.json").write_text(json.dumps(manifest))
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-E", str(agent / "agent.py"), str(node / "manifest.json")]
    )
    try:
        latencies = []
        for number in range(1, 12):
            control.first.clear()
            with control.changed:
                control.version = number
                asked = time.monotonic()
                control.changed.notify_all()
            control.first.wait(30)
            latencies.append((time.monotonic() - asked) * 1000)
        shim = int((node / f"agent/runs/{number}.1/run/claim").read_text().split()[0])
        before, at = cpu_s(process.pid), time.monotonic()
        time.sleep(5)
        idle = (cpu_s(process.pid) - before) / (time.monotonic() - at) * 100
        return {
            "shim_rss_mb": resident_mb(shim),
            "agent_rss_mb": resident_mb(process.pid),
            "agent_cpu_percent": idle,
            "accept_to_first_byte_ms": sorted(latencies)[len(latencies) // 2],
        }
    finally:
        control.fenced = True
        with control.changed:
            control.changed.notify_all()
        process.wait(30)


class Control:
    """As little of control as an agent needs: run number `version`, then the next."""

    def __init__(self, run: dict[str, Any]) -> None:
        self.run, self.version, self.fenced = run, 0, False
        self.changed, self.first = threading.Condition(), threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if self.fenced:
            return 409, {"stop": True, "reason": "over"}
        if path.endswith("/join"):
            return 200, {"token": "t", "lease_s": 30}
        if "/logs/" in path:
            if body and f"/logs/{self.version}/" in path:
                self.first.set()
            return 200, {"next": int(path.rpartition("=")[2]) + len(body)}
        asked = json.loads(body)
        with self.changed:
            if not asked["events"]:
                self.changed.wait_for(
                    lambda: self.version != asked["version"] or self.fenced, asked["hold_s"]
                )
            fresh = self.version != asked["version"]
        run = {**self.run, "id": self.version} if self.version else None
        acked = max([event["seq"] for event in asked["events"]], default=0)
        return 200, {
            "version": self.version, "acked": acked, "lease_s": 30, "server_time": time.time(),
            "desired": {"version": self.version, "run": run, "drain": False} if fresh else None,
        }  # fmt: skip

    def _handler(control) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, data = control.answer(self.path, body)
                text = json.dumps(data).encode()
                head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n\r\n".encode()
                try:
                    self.wfile.write(head + text)
                except OSError:
                    self.close_connection = True

            do_PUT = do_POST

        return Handler


def resident_mb(pid: int) -> float:
    """Resident memory of a process; 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def cpu_s(pid: int) -> float:
    """User and system time of a process itself."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
