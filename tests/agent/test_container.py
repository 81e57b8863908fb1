"""Runs inside a container: held open by a stand-in engine with real namespaces, and by podman where there is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from runtime import container

ENGINE = Path(__file__).with_name("engine_standin.py")
IMAGE = "ghcr.io/lab/train:1"
AGENT_RUNS = "/var/lib/skywright/agent/runs"


@pytest.fixture
def engine(node, tmp_path):
    """The stand-in in the node's PATH; a function that gives its calls."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"]).returncode:
        pytest.skip("namespaces cannot be had here")
    folder = tmp_path / "engine"
    folder.mkdir()
    (folder / "images").write_text(f"{IMAGE}\n")
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{ENGINE}" "$@"\n')
    program.chmod(0o755)
    node.environment.update(
        PATH=f"{folder}:{os.environ['PATH']}", DOCKER_HOST="unix:///standin", STANDIN_ENGINE=str(folder)
    )
    yield lambda: [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
    for path in folder.glob("*.pid"):
        subprocess.run([program, "rm", path.stem], env=node.environment, check=True)


def test_the_command_lines_of_both_engines():
    run = {"id": 7, "container": IMAGE, "gpus_per_node": 8, "envs": {}, "secrets": {}, "checkpoint": "~/ckpt"}
    run["files"] = [{"target": "/data/a,b"}, {"target": "~/sky_workdir/in/it"}]
    manifest = {"node": "i-0a1", "home": "/home/ann", "state": "/var/lib/skywright/agent", "kept": "/kept"}
    there = {"/dev/fuse", "/dev/nvidiactl"}.__contains__
    shared = [
        *("--detach", "--pull", "never", "--name", "skywright-i-0a1-7", "--label", "skywright=i-0a1"),
        *("--network", "host", "--ipc", "host", "--user", "0:0"),
        *("--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined"),
    ]
    mounts = [
        word
        for place in ("/data/a,b", "/home/ann/ckpt", "/home/ann/sky_workdir", "/kept", AGENT_RUNS)
        for word in (
            "--mount",
            f"type=bind,source={place},target={place}"
            if "," not in place
            else f'type=bind,"source={place}","target={place}"',
        )
    ]
    keeper = ["--entrypoint", "/bin/sh", IMAGE, "-c", container.KEEPER]
    called = container.name("i-0a1", 7)
    docker, podman = container.Engine("docker", "/bin/docker"), container.Engine("podman", "/bin/podman")
    fuse = ["--device", "/dev/fuse"]
    assert container.hold(docker, called, run, manifest, there) == [
        "/bin/docker", "run", *shared, "--gpus", "all", *fuse, *mounts, *keeper,
    ]  # fmt: skip
    assert container.hold(podman, called, run, manifest, there) == [
        "/bin/podman", "run", *shared, "--device", "nvidia.com/gpu=all", *fuse, *mounts, *keeper,
    ]  # fmt: skip
    amd = container.hold(docker, called, run, manifest, {"/dev/kfd"}.__contains__)
    assert amd[len(shared) + 2 :][:4] == ["--device", "/dev/kfd", "--device", "/dev/dri"]
    plain = container.hold(docker, called, {**run, "gpus_per_node": 0}, manifest, lambda _: False)
    assert plain == ["/bin/docker", "run", *shared, *mounts, *keeper]
    assert container.pull(docker, IMAGE) == ["/bin/docker", "pull", "--quiet", IMAGE]
    assert container.look(docker, called) == ["/bin/docker", "container", "inspect", called]
    assert container.remove(docker, called) == ["/bin/docker", "rm", "--force", "--volumes", called]
    assert container.login(docker, "me", "r.io") == [
        "/bin/docker", "login", "--username", "me", "--password-stdin", "r.io",
    ]  # fmt: skip


def test_setup_and_run_share_one_container_that_goes_with_the_run(control, node, kit, engine, tmp_path):
    own = tmp_path / "engine" / "own"
    setup = f"cat {own}/mark; echo of setup > {own}/left; export FROM_SETUP=1; echo $OF_IMAGE $PATH $HOME"
    script = f"cat {own}/left; echo $FROM_SETUP $$; pwd; cat in.txt; exit 3"
    digest = control.blob(kit.packed({"in.txt": b"brought\n"}))
    files = [{"digest": digest, "target": "~/sky_workdir", "kind": "dir"}]
    control.want(kit.order(script, setup=setup, container=IMAGE, files=files))
    node.start()
    end = control.ended()
    assert (end["phase"], end["exit_code"]) == ("failed", 3)
    home = str(node.home)
    assert control.whole_log(phase="setup") == f"inside\nyes /image/bin:/usr/bin:/bin {home}\n".encode()
    lines = control.whole_log().decode().splitlines()
    assert [lines[0], *lines[2:]] == ["of setup", f"{home}/sky_workdir", "brought"]
    assert int(lines[1].split()[1]) < 100, "the job sees the container's processes alone"
    assert not (own / "mark").exists(), "nothing of it is seen outside"
    assert [call[0] for call in engine()].count("run") == 1
    control.want(None)
    kit.until(lambda: not list((tmp_path / "engine").glob("*.pid")), "the container to be removed")


def test_a_later_attempt_finds_what_setup_did(control, node, kit, engine, tmp_path):
    own = tmp_path / "engine" / "own"
    first = kit.order(f"cat {own}/left; sleep 600", setup=f"echo kept > {own}/left", container=IMAGE)
    control.want(first)
    node.start()
    kit.until(lambda: control.log() == b"kept\n")
    control.want({**first, "cancel": True})
    assert control.ended()["phase"] == "cancelled"
    control.want({**first, "attempt": 2, "script": f"cat {own}/left"})
    assert control.ended(attempt=2)["phase"] == "succeeded"
    assert control.whole_log(attempt=2) == b"kept\n"


def test_the_job_is_told_to_stop_and_saves(control, node, kit, engine):
    script = "trap 'echo saving; sleep 0.2; echo saved; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    run = kit.order(script, container=IMAGE)
    control.want(run)
    node.start()
    kit.until(lambda: control.log() == b"up\n")
    control.want({**run, "cancel": True})
    assert control.ended()["phase"] == "cancelled"
    assert control.whole_log().endswith(b"saving\nsaved\n"), (
        "the shell may tell of the sleep that was ended too"
    )
    kit.until(lambda: node.groups() == [])


def test_the_agent_may_be_killed_while_a_container_runs(control, node, kit, engine, tmp_path):
    control.want(
        kit.order("echo a; sleep 600 & while [ ! -e go ]; do sleep 0.05; done; echo b", container=IMAGE)
    )
    node.start()
    kit.until(lambda: control.log() == b"a\n")
    node.kill()
    node.start()
    (node.home / "sky_workdir" / "go").touch()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == b"a\nb\n"
    assert [call[0] for call in engine()].count("run") == 1
    control.want(None)
    kit.until(lambda: not list((tmp_path / "engine").glob("*.pid")), "the container to be removed")


def test_a_password_is_in_no_command_line_and_no_file(control, node, kit, engine):
    secrets = {
        "SKYPILOT_DOCKER_USERNAME": "me",
        "SKYPILOT_DOCKER_PASSWORD": "pass word",
        "SKYPILOT_DOCKER_SERVER": "ghcr.io",
        "TOKEN": "hidden-one",
    }
    control.want(kit.order("echo ok ${#TOKEN}", container="lab/train:1", secrets=secrets))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == b"ok 10\n"
    login, pull = (next(call for call in engine() if call[0] == verb) for verb in ("login", "pull"))
    assert login[:5] == ["login", "--username", "me", "--password-stdin", "ghcr.io"]
    assert pull[2] == IMAGE
    folder = login[-1].removeprefix("DOCKER_CONFIG=")
    assert pull[-1] == login[-1]
    assert not os.path.exists(folder), "the login goes with the fetching"
    for path in (node.folder, node.state):
        for file in path.rglob("*"):
            if file.is_file():
                assert b"pass word" not in file.read_bytes()
                assert b"hidden-one" not in file.read_bytes(), file
    assert "pass word" not in json.dumps(engine())
    assert "hidden-one" not in json.dumps(engine())


def test_what_is_missing_is_said(control, node, kit, engine, tmp_path):
    control.want(kit.order("true", container="nobody/has:it"))
    node.start()
    assert (
        control.ended()["message"]
        == "fetch: the image nobody/has:it cannot be had: no such image nobody/has:it"
    )
    (tmp_path / "engine" / "docker").unlink()
    control.want(kit.order("true", container=IMAGE, id=2))
    node.kill()
    node.environment["PATH"] = "/nowhere"
    node.start(isolation="directory")  # the user's own machine: nothing is installed there
    says = control.ended(run=2)["message"]
    assert says == "fetch: the task wants a container, and this machine has neither docker nor podman"


def test_a_container_that_is_gone_fails_the_run(control, node, kit, engine, tmp_path):
    run = kit.order("echo never", setup="true", go="setup", container=IMAGE)
    control.want(run)
    node.start()
    kit.until(lambda: "ready" in control.phases())
    (path,) = (tmp_path / "engine").glob("*.pid")
    subprocess.run(["kill", "-9", path.read_text().split()[1]], check=True)
    kit.until(lambda: not os.path.exists(f"/proc/{path.read_text().split()[1]}"))
    control.want({**run, "go": "run"})
    end = control.ended()
    assert (end["phase"], end["message"]) == ("failed", "the run's container is gone")


PODMAN = shutil.which("podman")
PROGRAMS = ("bash", "sh", "cat", "sleep", "ls", "id", "env")


@pytest.fixture
def small_image(tmp_path):
    """An image of a shell and a few programs of this machine, known to podman for this test."""
    if PODMAN is None or os.geteuid() != 0:
        pytest.skip("podman, as root, is not here")
    archive = tmp_path / "root.tar"
    needed = {"/only-here": "/etc/hostname"}
    for name in PROGRAMS:
        path = shutil.which(name)
        assert path is not None
        told = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        needed |= {word: os.path.realpath(word) for word in told.split() if word.startswith("/")}
        needed[f"/bin/{name}"] = os.path.realpath(path)
    with tarfile.open(archive, "w") as tar:
        for place, source in sorted(needed.items()):
            tar.add(source, place)
        for name in ("tmp", "proc", "sys", "dev", "etc", "root"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
    name = f"localhost/skywright-test:{os.getpid()}"
    change = ["--change", "ENV OF_IMAGE=yes"]
    made = subprocess.run(
        [PODMAN, "import", "--quiet", *change, archive, name], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"podman does not work here: {made.stderr.strip()[-200:]}")
    yield name
    subprocess.run([PODMAN, "rmi", "--force", name], capture_output=True, check=True)


def test_podman_really_runs_it(control, node, kit, small_image, tmp_path):
    setup = "echo left > /left; export FROM_SETUP=1; id -u"
    script = (
        "cat /left; echo $FROM_SETUP $OF_IMAGE; ls /only-here; [ -e /usr/bin ] || echo apart; pwd; exit 5"
    )
    control.want(kit.order(script, setup=setup, container=small_image, secrets={"TOKEN": "hidden-one"}))
    node.environment["HOME"] = os.environ.get("HOME", "/root")
    node.start()
    end = control.ended(patience_s=90)
    assert (end["phase"], end["exit_code"]) == ("failed", 5), (end, control.log(), control.log(phase="setup"))
    assert control.whole_log(phase="setup") == b"0\n"
    assert control.whole_log().decode() == f"left\n1 yes\n/only-here\napart\n{node.home}/sky_workdir\n"
    control.want(None)
    called = container.name(node.manifest["node"], 1)
    look = [PODMAN, "container", "inspect", called]
    kit.until(lambda: subprocess.run(look, capture_output=True).returncode, "the container to be removed", 60)
