"""A run from beginning to end on one node: its parts, environment, files, exit codes and log."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import tarfile

import pytest


@pytest.mark.carried(reached=True)
def test_hello(control, node, kit):
    control.want(kit.order("echo hello; pwd; exit 0"))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.phases() == ["ready", "running", "succeeded"]
    assert control.whole_log() == f"hello\n{node.home}/sky_workdir\n".encode()
    assert control.kinds("boot")[0]["reboot"] is False
    kit.until(lambda: node.processes() == [])
    assert node.groups() == []


@pytest.mark.carried
def test_setup_waits_at_the_barrier_for_run(control, node, kit):
    run = kit.order("echo run", setup="echo set up; cd /", go="setup")
    control.want(run)
    node.start()
    kit.until(lambda: "ready" in control.phases())
    assert control.log(phase="run") == b""
    control.want({**run, "go": "run"})
    assert control.ended()["phase"] == "succeeded"
    assert control.phases() == ["setup", "ready", "running", "succeeded"]
    assert control.whole_log(phase="setup") == b"set up\n"
    assert control.whole_log() == b"run\n"


def test_what_setup_leaves_reaches_run(control, node, kit):
    (node.home / ".bashrc").write_text(
        "case $- in\n  *i*) ;;\n  *) return;;\nesac\nset -e\nfalse_friend() { :; }\n"
    )
    setup = """
    export FOO="two
lines" PLAIN=1
    not_exported=1
    mkdir -p ~/tool && printf '#!/bin/sh\\necho tool works\\n' > ~/tool/mytool && chmod +x ~/tool/mytool
    echo 'export PATH="$HOME/tool:$PATH"' >> ~/.bashrc
    echo 'activate() { echo "activated $1"; }' >> ~/.bashrc
    greet() { echo "hi $1"; }; export -f greet
    exit 0
    """
    script = """
    false
    echo "[$FOO] $PLAIN [$not_exported]"; mytool; activate env; greet you
    """
    control.want(kit.order(script, setup=setup, envs={"PLAIN": "0"}))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == b"[two\nlines] 1 []\ntool works\nactivated env\nhi you\n"
    # a later run without setup, as exec makes it, still has them, below its own values
    control.want(kit.order('echo "$FOO $PLAIN"; mytool', id=2, envs={"PLAIN": "own"}))
    assert control.ended(run=2)["phase"] == "succeeded"
    assert control.whole_log(run=2) == b"two\nlines own\ntool works\n"


def test_variables_of_setup_and_run(control, node, kit):
    show = "env -0 | base64 -w0; echo"
    run = kit.order(
        show,
        setup=show,
        rank=1,
        num_nodes=2,
        peers=["127.0.0.2", "127.0.0.3"],
        gpus_per_node=8,
        checkpoint="~/ckpt",
        envs={"MINE": "a b\n'c'"},
    )
    control.want(run)
    node.start()
    assert control.ended()["phase"] == "succeeded"

    def values(phase: str) -> dict[str, str]:
        items = base64.b64decode(control.whole_log(phase=phase)).decode().split("\0")
        return dict(item.partition("=")[::2] for item in items if item)

    setup, ran = values("setup"), values("run")
    assert setup["SKYPILOT_SETUP_NODE_RANK"] == ran["SKYPILOT_NODE_RANK"] == ran["PET_NODE_RANK"] == "1"
    assert setup["SKYPILOT_SETUP_NODE_IPS"] == ran["SKYPILOT_NODE_IPS"] == "127.0.0.2\n127.0.0.3"
    assert setup["SKYPILOT_SETUP_NUM_GPUS_PER_NODE"] == ran["SKYPILOT_NUM_GPUS_PER_NODE"] == "8"
    assert ran["SKYPILOT_HEAD_IP"] == "127.0.0.2"
    assert "SKYPILOT_NODE_RANK" not in setup
    assert "SKYPILOT_SETUP_NODE_RANK" not in ran
    for both in (setup, ran):
        assert both["SKYPILOT_NUM_NODES"] == "2"
        assert both["SKYPILOT_TASK_ID"] == "sky-1_d_1"
        assert both["SKYPILOT_USER"] == "me"
        assert json.loads(both["SKYPILOT_CLUSTER_INFO"])["cluster_name"] == "d"
        assert both["MINE"] == "a b\n'c'"
        assert both["HOME"] == str(node.home)
        assert both["CHECKPOINT_DIR"] == both["SKYWRIGHT_CHECKPOINT_DIR"] == f"{node.home}/ckpt"


def test_the_job_gets_nothing_of_the_agents_environment(control, node, kit):
    node.environment["PULUMI_CONFIG_PASSPHRASE"] = node.environment["AWS_SECRET_ACCESS_KEY"] = "private"
    node.environment["HTTPS_PROXY"] = "http://proxy"
    control.want(kit.order("env"))
    node.start()
    text = control.whole_log().decode()
    assert "private" not in text
    assert "HTTPS_PROXY=http://proxy" in text


@pytest.mark.carried("http", "s3")
def test_secrets_reach_the_job_and_nothing_else(control, node, kit):
    secret = "canary-4711-+/=?"
    encoded = base64.b64encode(secret.encode()).decode()
    setup = f'export URL="https://u:$TOKEN@h/" B64={encoded} TOKEN2=$TOKEN; echo set'
    script = 'echo "$URL" "$B64" "$TOKEN2" | sha256sum; while [ ! -e ~/go ]; do sleep 0.02; done'
    control.want(
        kit.order(
            script,
            setup=setup.replace(encoded, '$(printf %s "$TOKEN" | base64 -w0)'),
            secrets={"TOKEN": secret},
        )
    )
    node.start()
    kit.until(lambda: control.log())
    expected = hashlib.sha256(f"https://u:{secret}@h/ {encoded} {secret}\n".encode()).hexdigest()
    assert control.log().decode().split()[0] == expected
    forms = [secret.encode(), encoded.encode()]
    on_disk = b"".join(path.read_bytes() for path in node.folder.rglob("*") if path.is_file())
    assert not [form for form in forms if form in on_disk]
    shim = node.claim()
    for pid in (node.process.pid, shim):
        for name in ("environ", "cmdline"):
            with open(f"/proc/{pid}/{name}", "rb") as file:
                assert not [form for form in forms if form in file.read()]
    # a restarted agent has them again from control, and the job is the same one
    node.kill()
    node.start()
    (node.home / "go").touch()
    assert control.ended()["phase"] == "succeeded"


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [
        ("exit 7", 7, None),
        ("kill -9 $$", None, 9),
        ("exec nothing-of-this-name", 127, None),
        ("set -e; false", 1, None),
    ],
)
def test_how_a_script_ended(control, node, kit, script, code, number):
    control.want(kit.order(script))
    node.start()
    last = control.ended()
    assert (last["phase"], last["exit_code"], last["signal"], last["oom"]) == ("failed", code, number, False)
    assert last["message"] is None


def test_a_failing_setup_is_named_and_run_is_not_begun(control, node, kit):
    control.want(kit.order("echo never", setup="echo why; exit 3"))
    node.start()
    last = control.ended()
    assert (last["phase"], last["exit_code"], last["message"]) == ("failed", 3, "setup")
    assert control.phases() == ["setup", "failed"]
    assert control.whole_log(phase="setup") == b"why\n"


@pytest.mark.fault("out of memory")
def test_out_of_memory_is_told_apart(control, node, kit):
    if not os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes") and not os.path.exists(
        "/sys/fs/cgroup/memory.max"
    ):
        pytest.skip("no memory controller here")
    eat = 'python3 -c "x = [bytearray(1 << 20) for _ in range(400)]"; exit $?'
    control.want(kit.order(eat))
    node.start(limits={"memory_bytes": 64 << 20})
    last = control.ended()
    assert (last["phase"], last["exit_code"], last["oom"]) == ("failed", 137, True)
    assert last["peak_memory_bytes"] >= 60 << 20
    assert node.groups() == []


@pytest.mark.fault("oversized environment")
def test_an_environment_no_program_can_be_given_fails_clearly(control, node, kit):
    control.want(kit.order("true", envs={"BIG": "x" * 200_000}))
    node.start()
    assert "BIG is 200005 bytes" in control.ended()["message"]
    control.want(kit.order("true", id=2, envs={f"V{n}": "x" * 120_000 for n in range(40)}))
    assert "the environment is" in control.ended(run=2)["message"]
    control.want(kit.order("echo ${#A}", id=3, envs={"A": "x" * 131_000, "B": "y" * 100_000}))
    assert control.ended(run=3)["phase"] == "succeeded"
    assert control.whole_log(run=3) == b"131000\n"


@pytest.mark.carried(reached=True)
def test_files_are_made_to_match(control, node, kit):
    first = control.blob(
        kit.packed({"a.txt": b"1", "dir": None, "dir/b.txt": b"2", "go.sh": b"#!/bin/sh\necho ran\n"})
    )
    second = control.blob(kit.packed({"a.txt": b"new", "c.txt": b"3"}))
    single = control.blob(kit.packed({"whatever": b"one file"}))

    def files(workdir: str) -> list[dict[str, str]]:
        return [
            {"digest": workdir, "target": "~/sky_workdir", "kind": "dir"},
            {"digest": single, "target": "~/conf/x.cfg", "kind": "file"},
        ]

    control.want(
        kit.order("cat a.txt dir/b.txt ~/conf/x.cfg; ./go.sh; echo made > dir/made", files=files(first))
    )
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.phases() == ["fetching", "ready", "running", "succeeded"]
    assert control.refuse == []
    assert control.whole_log() == b"12one fileran\n"
    control.want(kit.order("cat a.txt c.txt; find . -type f | sort", id=2, files=files(second)))
    assert control.ended(run=2)["phase"] == "succeeded"
    assert control.whole_log(run=2) == b"new3./a.txt\n./c.txt\n./dir/made\n"


def _special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.fault("hostile task file")
@pytest.mark.parametrize(
    "entries",
    [
        {"../out": b"x"},
        {"/tmp/out": b"x"},
        {"d/../../out": b"x"},
        {"dev": _special("dev", tarfile.CHRTYPE)},
        {"hard": _special("hard", tarfile.LNKTYPE, "../../etc/passwd")},
    ],
)
def test_archives_that_reach_outside_are_refused(control, node, kit, entries):
    digest = control.blob(kit.packed(entries))
    control.want(kit.order("true", files=[{"digest": digest, "target": "~/sky_workdir", "kind": "dir"}]))
    node.start()
    last = control.ended()
    assert last["phase"] == "failed"
    assert last["message"].startswith("fetch: ")
    assert not list(node.folder.rglob("out"))


@pytest.mark.fault("hostile task file")
def test_nothing_is_written_through_a_link(control, node, kit):
    outside = node.folder / "outside"
    outside.mkdir()
    digest = control.blob(kit.packed({"d": _special("d", tarfile.SYMTYPE, str(outside)), "d/file": b"x"}))
    control.want(
        kit.order("cat d/file", files=[{"digest": digest, "target": "~/sky_workdir", "kind": "dir"}])
    )
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert list(outside.iterdir()) == []


def test_a_damaged_or_missing_archive_fails_clearly(control, node, kit):
    digest = control.blob(kit.packed({"a": b"1"}))
    control.blobs[digest] = control.blobs[digest][:-1]
    control.want(kit.order("true", files=[{"digest": digest, "target": "~/sky_workdir", "kind": "dir"}]))
    node.start()
    assert "arrived damaged" in control.ended()["message"]
    control.want(kit.order("true", id=2, files=[{"digest": "0" * 64, "target": "~/x", "kind": "dir"}]))
    assert "404" in control.ended(run=2)["message"]


def test_the_checkpoint_folder_is_a_link_to_what_is_kept(control, node, kit):
    node.kept.mkdir()
    (node.kept / "step").write_text("41")
    (node.home / "ckpt").mkdir()
    (node.home / "ckpt" / "from-image").write_text("x")
    control.want(
        kit.order('cat ~/ckpt/step; echo 42 > "$CHECKPOINT_DIR/step"; ls ~/ckpt', checkpoint="~/ckpt")
    )
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == b"41from-image\nstep\n"
    assert (node.kept / "step").read_text() == "42\n"


@pytest.mark.carried
def test_progress_travels(control, node, kit):
    script = """
    echo '{"step": 1}' > $SKYWRIGHT_PROGRESS
    echo '{"step": 2, "fraction": 0.5, "note": "x", "deep": {"no": 1}}' >> $SKYWRIGHT_PROGRESS
    printf '{"step": 3' >> $SKYWRIGHT_PROGRESS
    while [ ! -e ~/go ]; do sleep 0.02; done
    printf '}\\n' >> $SKYWRIGHT_PROGRESS
    """
    control.want(kit.order(script))
    node.start()
    kit.until(lambda: control.observed.get("progress") == {"step": 2, "fraction": 0.5, "note": "x"})
    (node.home / "go").touch()
    kit.until(lambda: control.observed.get("progress") == {"step": 3})
    assert control.ended()["phase"] == "succeeded"


TORTURE = r"""
import os, sys
out = os.fdopen(1, "wb")
out.write(b"x" * 200_000 + b"\n")
for n in range(50):
    out.write(b"\r%d%%" % n); out.flush()
out.write(b"\0\0 nul \0\n\xff\xfe\xc3\x28 invalid\n")
snow = "\u2603".encode()
out.write(snow[:1]); out.flush(); out.write(snow[1:] + b"\nno newline at the end")
"""


@pytest.mark.fault("log flood")
@pytest.mark.carried(reached=True)
def test_log_bytes_are_the_jobs_bytes(control, node, kit):
    control.want(kit.order(f"cat > t.py <<'E'\n{TORTURE}\nE\npython3 t.py"))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    expected = subprocess.run(["python3", "-c", TORTURE], check=True, capture_output=True).stdout
    assert control.whole_log() == expected


@pytest.mark.fault("log flood")
@pytest.mark.carried("http", "s3")
def test_a_flood_arrives_whole_and_is_freed(control, node, kit):
    control.want(kit.order("seq 1 7000000"))
    node.start()
    assert control.ended(patience_s=60)["phase"] == "succeeded"
    log = control.whole_log()
    expected = subprocess.run(["seq", "1", "7000000"], check=True, capture_output=True).stdout
    assert len(log) > 50 << 20
    assert hashlib.sha256(log).digest() == hashlib.sha256(expected).digest()
    kept = (node.state / "runs/1.1/run/log").stat().st_blocks * 512
    assert kept <= 8 << 20


@pytest.mark.fault("processes left behind")
def test_what_a_job_leaves_behind_is_killed(control, node, kit):
    control.want(kit.order(kit.DAEMON))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == b"done\n"
    kit.until(lambda: node.processes() == [])
    assert node.groups() == []
