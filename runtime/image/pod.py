"""The first process of a pod: brings up the agent, keeps it up, and tells it when the pod is about to end.

`pod.py bring FOLDER` runs before, in an image that has Python: it puts an interpreter into FOLDER which needs nothing
of the image that the task runs in, neither Python nor a C library. `pod.py objects FOLDER` is what control asks for
when it reaches into the pod. Standard library only, Python 3.9.

Ends with AGAIN when the pod is to be made again, with OVER when the whole deployment is to end (control is silent,
or it has lived for long enough), with 143 after the pod was told to end.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import threading
import time
from typing import Any, Optional

BOOT = "/etc/skywright"
"""What the ConfigMap holds: `agent` (a tar archive), `node.json`, this file."""
ROOT = "/var/lib/skywright"
AGAIN, OVER, ENDED = 75, 76, 143
TOLD_S = 2.0
"""After a node has drained: the least time for its last words to reach control."""
TICK_S = 0.25

WRAPPER = """#!/bin/sh
exec "{to}/lib/{loader}" --argv0 "{to}/bin/python3" --library-path "{to}/lib" "{to}/bin/python.real" "$@"
"""


def bring(to: str) -> None:
    """Copy the interpreter that runs this, its standard library, and every C library that they need."""
    real, standard = os.path.realpath(sys.executable), sysconfig.get_path("stdlib")
    os.makedirs(os.path.join(to, "bin"), exist_ok=True)
    lib = os.path.join(to, "lib")
    left_out = shutil.ignore_patterns(
        "site-packages", "test", "tests", "idlelib", "ensurepip", "__pycache__", "config-*"
    )
    shutil.copytree(
        standard, os.path.join(lib, os.path.basename(standard)), ignore=left_out, dirs_exist_ok=True
    )
    shutil.copy(real, os.path.join(to, "bin", "python.real"))
    modules = os.path.join(standard, "lib-dynload")
    needed, loader = set(), ""
    for name in [real, *(os.path.join(modules, one) for one in sorted(os.listdir(modules)))]:
        told = subprocess.run(
            ["ldd", name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ).stdout.decode()
        needed |= set(re.findall(r"=> (/\S+)", told))
        loader = loader or next(iter(re.findall(r"^\s*(/\S*ld-linux\S*) \(", told, re.MULTILINE)), "")
    for name in [*sorted(needed), loader]:
        shutil.copy(name, os.path.join(lib, os.path.basename(name)))
    wrapper = os.path.join(to, "bin", "python3")
    with open(wrapper, "w") as file:
        file.write(WRAPPER.format(to=to, loader=os.path.basename(loader)))
    os.chmod(wrapper, 0o755)  # noqa: S103


def unpacked(wanted: str, archive: str, root: str) -> str:
    """The agent's folder, named by its hash. Raises ValueError when the archive holds another one."""
    folder = os.path.join(root, "agents", wanted)
    os.makedirs(folder, exist_ok=True)
    total = hashlib.sha256()
    with tarfile.open(archive) as tar:
        for member in sorted(tar, key=lambda one: one.name):
            source = tar.extractfile(member) if member.isreg() and "/" not in member.name else None
            if source is None:
                continue
            content = source.read()
            total.update(b"%s\0%d\0" % (member.name.encode(), len(content)) + content)
            with open(os.path.join(folder, member.name), "wb") as file:
                file.write(content)
    if total.hexdigest() != wanted:
        raise ValueError("the ConfigMap holds another agent than the deployment names")
    return folder


class Ending:
    """When the pod ends: asked by the agent's probe at `url`, set by the signal that the kubelet sends first."""

    def __init__(self, grace_s: float) -> None:
        self.grace_s = grace_s
        self.at: Optional[float] = None
        ending = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                at = ending.at
                said = {} if at is None else {"action": "terminate", "time": _stamp(at)}
                content = json.dumps(said).encode()
                self.send_response(404 if at is None else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{server.server_address[1]}/ending"
        threading.Thread(target=server.serve_forever, daemon=True, name="ending").start()

    def soon(self, *_: object) -> None:
        if self.at is None:
            self.at = time.time() + self.grace_s


def manifest(node: dict[str, Any], ending: Ending, root: str) -> dict[str, Any]:
    """The agent's orders (schemas/manifest.v1.json), with what the pod knows of itself."""
    rank = int(os.environ["JOB_COMPLETION_INDEX"])
    home = os.environ.get("HOME", "")
    if not os.access(home, os.W_OK) or home == "/":
        home = os.path.join(root, "home")
        os.makedirs(home, exist_ok=True)
    state = os.path.join(root, "state")
    os.makedirs(state, mode=0o700, exist_ok=True)
    probe = {
        "url": ending.url,
        "every_s": 0.5,
        "member": "action",
        "values": ["terminate"],
        "deadline": "time",
    }
    given = {
        name: value for name, value in node.items() if name not in ("agent", "grace_s", "context", "job")
    }
    pod, namespace = os.environ["SKYWRIGHT_POD"], os.environ["SKYWRIGHT_NAMESPACE"]
    return {
        "version": 1,
        **given,
        "rank": rank,
        "node": f"{pod}.{namespace}@{node['context']}",
        "address": f"{node['job']}-{rank}.{node['job']}-net.{namespace}.svc",
        "home": home,
        "state": state,
        "probes": [probe],
    }


def last_state(path: str) -> dict[str, Any]:
    """What the agent's journal says last; nothing when it cannot be read."""
    found: dict[str, Any] = {}
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
        for line in lines:
            text = line.partition(b" ")[2]
            found = json.loads(text).get("state") or found if text else found
    except (OSError, ValueError):
        pass
    return found


def untold(store: Optional[dict[str, Any]]) -> bool:
    """Lies there something that control has not taken yet? It could not reach in any more."""
    if not store or store["kind"] != "folder":
        return False
    up = os.path.join(store["bucket"], store["prefix"], "up")
    return any(name != "beat" for _, _, names in os.walk(up) for name in names)


def serve(boot: str, root: str) -> int:
    """Run the agent until the pod is to end; the exit code says what is to become of it."""
    with open(os.path.join(boot, "node.json")) as file:
        node = json.load(file)
    ending = Ending(float(node["grace_s"]))
    signal.signal(signal.SIGTERM, ending.soon)
    folder = unpacked(node["agent"], os.path.join(boot, "agent"), root)
    orders = manifest(node, ending, root)
    path = os.path.join(root, "manifest.json")
    with open(path, "w") as file:
        json.dump(orders, file)
    command = [sys.executable, "-I", "-S", "-E", os.path.join(folder, "agent.py"), path]
    journal = os.path.join(orders["state"], "journal")
    agent = subprocess.Popen(command)
    drained: Optional[float] = None
    while True:
        code = _reaped(agent.pid)
        if code == 0:
            why = last_state(journal).get("leaving")
            return OVER if why in ("silent", "expired") else AGAIN
        if code is not None:
            time.sleep(TICK_S * 4)
            agent = subprocess.Popen(command)
        if ending.at is not None:
            now = time.time()
            if drained is None and last_state(journal).get("drained"):
                drained = now
            told = drained is not None and now > drained + TOLD_S and not untold(orders["link"].get("store"))
            if told or now > ending.at:
                return ENDED
        time.sleep(TICK_S)


def _reaped(agent: int) -> Optional[int]:
    """Collect whatever has ended: orphans of the task become children of the first process. The agent's exit code."""
    found: Optional[int] = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found if found is not None else 1
        if pid == 0:
            return found
        if pid == agent:
            found = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _stamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def main(args: list[str]) -> int:
    if args[:1] == ["bring"]:
        bring(args[1])
        return 0
    if args[:1] == ["objects"]:
        with open(os.path.join(BOOT, "node.json")) as file:
            wanted = json.load(file)["agent"]
        agent = os.path.join(ROOT, "agents", wanted, "agent.py")
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-E", agent, *args])  # noqa: S606
    return serve(BOOT, ROOT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
