"""The first process of a pod, run here as it runs there: it brings up the agent, and ends as the cluster has to know.

No container is involved: what the image has is played by a folder as root.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.offer import Market
from compiler.spec import StackSpec
from stacks.kubernetes import objects
from stacks.provider import agents
from tests.conftest import need

IMAGE = Path(__file__).parents[2] / "runtime" / "image"
RUN = "import sys; sys.path.insert(0, {folder!r}); import pod; sys.exit(pod.serve({boot!r}, {root!r}))"
AGAIN, OVER, ENDED = objects.AGAIN, objects.OVER, 143

pytestmark = [pytest.mark.parametrize("control", ["pods"], indirect=True), pytest.mark.timeout(180)]


class Pod:
    """One pod of the Job `train`, rank 1, with its folders where the test put them."""

    def __init__(self, folder: Path, control: Any) -> None:
        spec = StackSpec(
            project="p",
            stack="d-kubernetes-test",
            deployment="d",
            cloud="kubernetes",
            region="test",
            instance_type="any-node",
            market=Market.SPOT,
            nodes=2,
            agent=agents.digest(),
            labels={"team": "nlp"},
        )
        self.folder, self.boot, self.root = folder, folder / "boot", folder / "root"
        self.boot.mkdir(parents=True)
        self.root.mkdir()
        self.name = f"{objects.base(spec)}-1-x7k2p.team@test"
        self.told = {**objects.node(spec), "link": control.carrying.link(self.name)}
        (self.boot / "agent").write_bytes(objects.archive())
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **told: Any) -> Pod:
        (self.boot / "node.json").write_text(json.dumps({**self.told, **told}))
        env = {
            "PATH": os.environ["PATH"],
            "JOB_COMPLETION_INDEX": "1",
            "SKYWRIGHT_POD": self.name.partition(".")[0],
            "SKYWRIGHT_NAMESPACE": "team",
        }
        code = RUN.format(folder=str(IMAGE), boot=str(self.boot), root=str(self.root))
        with open(self.folder / "said.txt", "ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-E", "-c", code], env=env, stdout=said, stderr=said
            )
        return self

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "manifest.json").read_text())
        return found

    def ended(self) -> int:
        assert self.process is not None
        return self.process.wait(60)

    def agents(self) -> list[int]:
        """Pids of agents of this pod."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if os.fsencode(self.root / "manifest.json") in words:
                    found.append(int(entry.name))
        return found

    def close(self) -> None:
        """As the kernel does when the first process ends: everything goes."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                    if os.fsencode(self.root) in text:
                        os.kill(int(entry.name), signal.SIGKILL)
                except OSError:
                    continue


@pytest.fixture
def pod(tmp_path: Path, control: Any) -> Iterator[Pod]:
    made = Pod(tmp_path / "pod", control)
    yield made
    made.close()


def test_a_pod_runs_a_task_and_says_who_it_is(control: Any, pod: Pod, kit: Any) -> None:
    control.want(kit.order("echo rank $SKYPILOT_NODE_RANK of $SKYPILOT_NUM_NODES", rank=1, num_nodes=2))
    pod.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == b"rank 1 of 2\n"
    assert (pod.manifest["node"], pod.manifest["rank"]) == (pod.name, 1)
    job = pod.name.rpartition("-1-")[0]
    assert pod.manifest["address"] == f"{job}-1.{job}-net.team.svc"
    assert pod.process is not None
    assert pod.process.poll() is None, "a pod stays until its deployment goes"


def test_the_signal_is_the_notice_and_the_pod_ends_when_the_task_has_saved(
    control: Any, pod: Pod, kit: Any
) -> None:
    control.want(kit.order("trap 'echo saved; exit 0' TERM; echo up; while :; do sleep 0.05; done"))
    pod.start(grace_s=100)
    kit.until(lambda: b"up" in control.log())
    assert pod.process is not None
    pod.process.send_signal(signal.SIGTERM)
    assert pod.ended() == ENDED
    (notice,) = control.kinds("notice")
    assert 60 < notice["deadline_s"] <= 100
    assert control.ended()["phase"] == "preempted"
    assert control.whole_log().endswith(b"saved\n")
    assert control.kinds("drained")


def test_a_fenced_pod_is_to_be_made_again(control: Any, pod: Pod, kit: Any) -> None:
    pod.start()
    kit.until(lambda: control.joins)
    control.fenced = True
    control.wake()
    assert pod.ended() == AGAIN


@pytest.mark.parametrize("limit", [{"deadman_s": 1.5}, {"most_s": 0.001}], ids=["silent", "expired"])
def test_who_is_left_alone_or_too_old_ends_the_whole_job(
    control: Any, pod: Pod, kit: Any, limit: dict[str, float]
) -> None:
    pod.start(**limit)
    kit.until(lambda: pod.agents() or (pod.process and pod.process.poll() is not None))
    control.stop()
    assert pod.ended() == OVER


def test_an_agent_that_is_killed_comes_back_to_its_job(control: Any, pod: Pod, kit: Any) -> None:
    control.want(kit.order("echo up; while [ ! -e ~/go ]; do sleep 0.05; done; echo done"))
    pod.start()
    kit.until(lambda: b"up" in control.log())
    (agent,) = pod.agents()
    os.kill(agent, signal.SIGKILL)
    kit.until(lambda: [one for one in pod.agents() if one != agent])
    (Path(pod.manifest["home"]) / "go").touch()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == b"up\ndone\n"


def test_another_agent_than_was_named_is_not_run(control: Any, pod: Pod) -> None:
    assert pod.start(agent="0" * 64).ended() == 1
    assert "another agent" in (pod.folder / "said.txt").read_text()
    assert pod.agents() == []


def test_the_interpreter_needs_nothing_of_the_image(control: Any, tmp_path: Path) -> None:
    """Run in a root that has a shell and nothing else: no Python, and no C library but the one that was brought."""
    need(os.geteuid() == 0 and sys.platform == "linux", "root on Linux")
    root = tmp_path / "image"
    place = "/var/lib/skywright/python"
    busy = shutil.which("busybox")
    command = [sys.executable, "-I", str(IMAGE / "pod.py"), "bring", place]
    unshared = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
    (root / "var/lib/skywright").mkdir(parents=True)
    made = tmp_path / "var"
    made.mkdir()
    # The interpreter is brought under the very path that it has in the pod, in a mount namespace of the test's own.
    script = f"mkdir -p {place} && mount --bind {made} {place} && exec {' '.join(command)}"
    assert subprocess.run([*unshared, script]).returncode == 0
    shutil.copytree(made, root / place.lstrip("/"), symlinks=True)
    for name in ("bin", "proc", "dev", "tmp"):
        (root / name).mkdir()
    _shell(root, busy)
    code = "import ssl, json, sys, subprocess; print(sys.executable, json.dumps(sys.version_info[0]))"
    enter = f"mount -t proc proc {root}/proc && exec chroot {root} {place}/bin/python3 -I -S -E -c '{code}'"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "--fork", "--pid", "sh", "-c", enter],
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{place}/bin/python3 3\n", done.stderr


def _shell(root: Path, busy: str | None) -> None:
    """The image's own `sh`: a static one where there is one, else this machine's with what it needs."""
    if busy:
        shutil.copy(busy, root / "bin" / "sh")
        return
    shell = Path("/bin/sh").resolve()
    shutil.copy(shell, root / "bin" / "sh")
    told = subprocess.run(["ldd", str(shell)], capture_output=True, text=True).stdout
    for word in told.split():
        if word.startswith("/"):
            place = root / word.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, place)
