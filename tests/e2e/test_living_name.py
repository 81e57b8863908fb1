"""A second launch on a living name: nodes that fit stay; else what changes is said before anything happens."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Sky

pytestmark = pytest.mark.engine


def test_nodes_that_fit_stay_and_others_are_not_replaced_unasked(sky: Sky) -> None:
    first = "name: one\nresources: {infra: local, cpus: 0.6, memory: 0.6}\nrun: echo first\n"
    sky.run("up", sky.task(first), "--keep")
    nodes = set(sky.nodes())

    smaller = sky.task("name: one\nresources: {cpus: 0.5, labels: {team: vision}}\nrun: echo second\n")
    preview = sky.json("preview", smaller)
    assert preview["stacks"][0]["replace"] == 0
    assert sky.run("up", smaller).stdout == "second\n"
    assert set(sky.nodes()) == nodes
    assert next(iter(sky.nodes().values()))["labels"] == {"team": "vision"}

    larger = sky.task("name: one\nresources: {cpus: 0.5, memory: 1, use_spot: true}\nrun: echo third\n")
    refused = sky.run("up", larger, code=3)
    assert "error[plan/does-not-fit]" in refused.stderr
    assert "memory: 0.6 GB → 1 GB  the nodes are replaced" in refused.stderr
    assert "use_spot: false → true" in refused.stderr
    assert refused.stdout == ""
    assert set(sky.nodes()) == nodes
    (stack,) = sky.json("preview", larger)["stacks"]
    reasons = [reason for one in stack["resources"] for reason in one["reasons"]]
    assert {"memory", "use_spot"} <= set(reasons)
    assert not {"memory_gb", "market", "deadman_s"} & set(reasons)

    assert (
        "asks for 4, and its nodes have 0.6" in sky.run("exec", "one", "--cpus", "4", "echo x", code=3).stderr
    )
    assert "`num_nodes`" in sky.run("exec", "one", "--num-nodes", "2", "echo x", code=3).stderr
    assert sky.run("exec", "one", "--cpus", "0.6", "echo fits").stdout == "fits\n"

    theirs = sky.run("up", larger, code=5, env={"SKYWRIGHT_PROJECT": "theirs"}).stderr
    assert "error[lock/name-in-use]" in theirs
    assert sky.run("up", larger, "--yes").stdout == "third\n"
    assert not set(sky.nodes()) & nodes


def test_what_is_unknown_does_not_keep_the_others(sky: Sky) -> None:
    sky.run("up", sky.task("name: live\nresources: {infra: local}\nrun: echo\n"), "--keep")
    done = sky.run("down", "-y", "nosuch", "live", code=4)
    assert "there is no deployment `nosuch`" in done.stderr
    assert sky.nodes() == {}


def test_a_run_that_is_still_going_ends_before_its_nodes_change(sky: Sky) -> None:
    first = "name: busy\nresources: {infra: local, memory: 0.5}\nrun: |\n  while :; do sleep 0.1; done\n"
    sky.run("up", "-d", sky.task(first), "--keep")
    sky.wait_run("busy", "RUNNING")
    nodes = set(sky.nodes())
    larger = sky.task("name: busy\nresources: {memory: 1}\nrun: echo second\n")
    assert "run 1 is still going" in sky.run("up", larger, code=3).stderr
    second = sky.start("up", larger, "--yes")
    sky.wait(lambda: len(sky.json("queue", "busy")["runs"]) == 2, "the second run is accepted")
    assert [run["status"] for run in sky.json("queue", "busy")["runs"]] == ["RUNNING", "PENDING"]
    assert set(sky.nodes()) == nodes
    sky.run("cancel", "busy", "1")
    out, err = second.communicate(timeout=60)
    assert (second.returncode, out) == (0, "second\n"), err
    assert not set(sky.nodes()) & nodes


def test_the_alternative_that_can_be_had_runs_and_its_nodes_are_met_again(sky: Sky) -> None:
    text = "name: alt\nresources:\n  infra: local\n  ordered:\n  - {cpus: 4096}\n"
    text += "  - {cpus: 0.5, labels: {which: small}}\nrun: echo ran\n"
    assert sky.run("up", sky.task(text), "--keep").stdout == "ran\n"
    nodes = sky.nodes()
    assert [one["labels"] for one in nodes.values()] == [{"which": "small"}]
    again = sky.json("preview", sky.task(text.replace("echo ran", "echo again")))
    assert [(one["field"], one["meaning"]) for one in again["stacks"][0]["fields"]] == [("run", "restarts")]
    assert sky.run("up", sky.task(text.replace("echo ran", "echo again"))).stdout == "again\n"
    assert set(sky.nodes()) == set(nodes)
    markdown = sky.run("preview", "--markdown", sky.task(text.replace("0.5", "0.6"))).stdout
    assert "| `cpus` | `0.5` | `0.6` | the nodes are replaced |" in markdown
