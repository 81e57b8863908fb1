"""SkyPilot's command lines, word for word, on one living deployment."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Sky

pytestmark = pytest.mark.engine


def test_fingers_of_a_skypilot_user(sky: Sky) -> None:
    launched = sky.run("launch", "-y", "-c", "mine", "--infra", "local", "echo launched $SKYPILOT_NUM_NODES")
    assert launched.stdout == "launched 1\n"

    assert sky.run("exec", "mine", "echo quoted | tr a-z A-Z").stdout == "QUOTED\n"
    assert sky.run("exec", "-c", "mine", "echo", "hi", "there").stdout == "hi there\n"
    assert sky.run("exec", "mine", "--", "printf", "%s-", "-n").stdout == "-n-"
    task = sky.task("name: again\nsetup: echo never\nenvs: {WHO: nobody}\nrun: echo from $WHO\n")
    assert sky.run("exec", "mine", task, "--env", "WHO=file").stdout == "from file\n"
    assert sky.run("exec", "mine", "exit 3", code=100).stdout == ""

    rows = sky.run("queue", "mine").stdout.splitlines()
    assert len(rows) == 7
    assert "FAILED" in rows[1]
    assert "exit 3" in rows[1]
    assert [run["status"] for run in sky.json("queue", "mine")["runs"]] == ["SUCCEEDED"] * 5 + ["FAILED"]
    assert sky.run("logs", "mine", "3", "--tail", "1").stdout == "hi there\n"
    (folder,) = sky.run("logs", "mine", "1", "--sync-down").stdout.splitlines()
    assert (sky.folder / folder / "rank-0-attempt-1.log").read_text() == "launched 1\n"
    sky.run("logs", "mine", "1", "--status", code=0)
    sky.run("logs", "mine", "--status", code=100)
    sky.run("logs", "nobody", "--status", code=102)

    assert sky.run("autostop", "mine", "-i", "7").returncode == 0
    assert sky.deployment("mine")["autostop"] == {"idle_s": 420, "down": True}
    sky.run("autostop", "mine", "--cancel")
    assert sky.deployment("mine")["autostop"] is None
    assert "mine" in sky.run("status").stdout
    assert "node" in sky.run("status", "-r", "mine").stdout
    assert sky.run("status", "--ip", "mine").stdout.startswith("127.")
    assert sky.run("cost-report").stdout.count("mine") == 1

    sky.run("down", "m*", code=2)  # a pattern wants to be asked, and nobody is here
    sky.run("down", "-y", "m*")
    assert sky.json("status") == {"deployments": [], "foundations": []}
    sky.run("down", "mine", code=4)


def test_ctrl_c_without_a_terminal_leaves_it_running(sky: Sky) -> None:
    task = sky.task(
        "name: long\nresources: {infra: local}\nrun: |\n  echo started\n  while :; do sleep 0.1; done\n"
    )
    process = sky.start("up", task)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "left running" in said
    assert sky.deployment("long")["run"]["status"] == "RUNNING"

    follower = sky.start("logs", "long")
    assert follower.stdout is not None
    assert follower.stdout.readline() == "started\n"
    sky.run("cancel", "-a", "long")
    follower.communicate(timeout=30)
    assert follower.returncode == 103


def test_up_as_data_tells_the_run(sky: Sky) -> None:
    done = sky.run("up", str(ROOT / "examples" / "hello.yaml"), "--json")
    told = json.loads(done.stdout)
    assert (told["name"], told["run"]["status"], told["run"]["exit_code"]) == ("hello", "SUCCEEDED", 0)
    assert "node 0 of 1" in done.stderr
    preview = sky.json("up", "--dryrun", str(ROOT / "examples" / "two-nodes.yaml"))
    assert preview["stacks"][0]["create"] >= 2
    assert len(sky.nodes()) == 1
    assert not Path(sky.home, "previews", "preview").exists()
