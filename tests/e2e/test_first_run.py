"""From a task file to its output, its exit code, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Sky

pytestmark = pytest.mark.engine


def test_hello_runs_is_found_again_and_leaves_nothing(sky: Sky) -> None:
    up = sky.run("up", str(ROOT / "examples" / "hello.yaml"))
    assert "node 0 of 1" in up.stdout
    assert sky.deployment("hello")["run"]["status"] == "SUCCEEDED"

    again = sky.run("exec", "hello", "echo", "hi", "there")
    assert again.stdout == "hi there\n"
    queue = sky.json("queue", "hello")["runs"]
    assert [run["run"] for run in queue] == [1, 2]

    first = sky.run("logs", "hello", "1", "--no-follow")
    assert first.stdout == up.stdout
    assert len(sky.nodes()) == 1
    assert len(sky.stacks()) == 1
    assert [(one["name"], one["state"]) for one in sky.json("drift")["stacks"]] == [("hello", "same")]

    sky.run("down", "-y", "hello")
    assert sky.nodes() == {}
    assert sky.stacks() == []
    assert not any("agent.py" in command or "init.py" in command for _pid, command in sky.processes())
    assert sky.json("orphans")["orphans"] == []


def test_two_nodes_reach_each_other_by_address(sky: Sky) -> None:
    up = sky.run("launch", "-y", "-c", "pair", str(ROOT / "examples" / "two-nodes.yaml"))
    assert "[0] rank 0 heard: hello from rank 1 from 127." in up.stdout
    assert "[1] rank 1 spoke" in up.stdout
    addresses = {facts["address"] for facts in sky.nodes().values()}
    assert len(addresses) == 2


def test_a_failing_setup_stops_before_run(sky: Sky) -> None:
    task = sky.task(
        "name: broken\nresources: {infra: local}\nsetup: |\n  echo preparing\n  exit 3\nrun: echo never\n"
    )
    up = sky.run("up", task, code=100)
    assert "preparing" in up.stdout
    assert "never" not in up.stdout
    run = sky.deployment("broken")["run"]
    assert (run["status"], run["exit_code"]) == ("FAILED_SETUP", 3)
    assert sky.run("logs", "broken", "--status", code=100)


@pytest.mark.fault("gang loses a rank")
def test_the_first_failing_rank_is_named_and_the_others_are_stopped(sky: Sky) -> None:
    task = sky.task(
        "name: gang\nnum_nodes: 3\nresources: {infra: local}\n"
        'run: |\n  if [ "$SKYPILOT_NODE_RANK" = 1 ]; then echo giving up; exit 42; fi\n'
        "  while :; do sleep 0.1; done\n"
    )
    up = sky.run("up", task, code=100)
    assert "[1] giving up" in up.stdout
    run = sky.deployment("gang")["run"]
    assert (run["status"], run["exit_code"], run["failed_rank"]) == ("FAILED", 42, 1)
    assert {rank["rank"]: rank["phase"] for rank in run["ranks"]} == {
        0: "cancelled",
        1: "failed",
        2: "cancelled",
    }
    assert "1" in up.stderr
    assert "42" in up.stderr


def test_setup_reaches_run_and_workdir_and_mounts_arrive(sky: Sky) -> None:
    (sky.folder / "code").mkdir()
    (sky.folder / "code" / "train.py").write_text("print('trained')\n")
    (sky.folder / "words.txt").write_text("mounted words\n")
    task = sky.task(
        "name: parts\nworkdir: code\nresources: {infra: local}\n"
        "file_mounts: {/data/words.txt: words.txt}\n"
        "envs: {GREETING: hello, TIMES: 2}\n"
        "setup: |\n  export FROM_SETUP='kept $value'\n  echo 'export PATH=$HOME/tools:$PATH' >> ~/.bashrc\n"
        "  mkdir -p ~/tools && printf '#!/bin/sh\\necho tool ran\\n' > ~/tools/tool && chmod +x ~/tools/tool\n"
        'run: |\n  python3 train.py; cat /data/words.txt; echo "$FROM_SETUP $GREETING $TIMES"; tool\n'
    )
    up = sky.run("up", task, "--env", "TIMES=3")
    assert up.stdout.splitlines()[-4:] == ["trained", "mounted words", "kept $value hello 3", "tool ran"]
    assert not Path("/data/words.txt").exists()


def test_the_host_is_untouched(sky: Sky) -> None:
    marker = f"skywright-e2e-{sky.folder.name}"
    task = sky.task(
        "name: messy\nresources: {infra: local}\n"
        f"setup: |\n  echo changed > /etc/{marker}\n  echo changed > /tmp/{marker}\n"
        f"run: cat /etc/{marker} /tmp/{marker}\n"
    )
    up = sky.run("up", task)
    assert up.stdout.count("changed") == 2
    assert not Path("/etc", marker).exists()
    assert not Path("/tmp", marker).exists()


def test_cancel_and_exit_codes(sky: Sky) -> None:
    task = sky.task(
        "name: long\nresources: {infra: local}\nrun: |\n  echo started\n  while :; do sleep 0.1; done\n"
    )
    sky.run("launch", "-d", task)
    sky.wait_run("long", "RUNNING")
    sky.run("logs", "long", "--status", code=101)
    sky.run("logs", "long", "7", "--status", code=102)
    sky.run("cancel", "long", "1")
    sky.wait_run("long", "CANCELLED")
    sky.run("logs", "long", "--status", code=103)
    assert sky.run("logs", "long", "1", "--no-follow", code=None).stdout.startswith("started\n")


def test_a_living_name_reuses_its_nodes(sky: Sky) -> None:
    task = sky.task("name: twice\nresources: {infra: local}\nrun: echo one\n")
    sky.run("up", task)
    before = set(sky.nodes())
    sky.task("name: twice\nresources: {infra: local}\nrun: echo two\n")
    assert sky.run("up", task).stdout == "two\n"
    assert set(sky.nodes()) == before
