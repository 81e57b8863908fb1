"""Managed jobs with pretended machines: the queue, pipelines, groups, cancelling, restarts of control."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compiler.problem import Problem, Problems
from skywright.control import gang
from skywright.control.client import Client
from tests.e2e.control_fakes import House, order, until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.end()


def jobs(*names: str, **more: Any) -> dict[str, Any]:
    """A launch of a job with a stage for each name; `more` is of the job, `run` of every stage's run."""
    run, max_s = more.pop("run", {}), more.pop("max_s", None)
    stages = [{"name": name, "order": order(name, **run), "max_s": max_s} for name in names]
    return {"name": more.pop("name", names[0]), "stages": stages, **more}


def parallel(house: House, count: int) -> None:
    (house.home / "config.yaml").write_text(f"jobs: {{parallel: {count}}}\n")


def is_so(client: Client, number: int, status: str) -> dict[str, Any]:
    until(lambda: client.job(number)["status"] == status, f"job {number} is {status}: {client.job(number)}")
    return client.job(number)


def over(client: Client, number: int, status: str) -> dict[str, Any]:
    is_so(client, number, status)
    until(lambda: client.job(number)["over"], f"nothing of job {number} is left")
    return client.job(number)


def statuses(job: dict[str, Any]) -> list[str]:
    return [stage["status"] for stage in job["stages"]]


def stage_is(client: Client, number: int, stage: int, status: str) -> None:
    until(lambda: client.job(number)["stages"][stage]["status"] == status, f"stage {stage} is {status}")


def attempt_is(client: Client, name: str, attempt: int) -> None:
    until(lambda: client.runs(name)[0]["attempt"] == attempt, f"attempt {attempt}")


def waits(_: dict[str, Any]) -> int | None:
    """A run that goes on until it is told to end."""
    return None


def test_a_job_runs_on_nodes_of_its_own_that_go_when_it_is_done(house: House) -> None:
    client = house.open()
    seen: list[dict[str, Any]] = []
    house.scripts[0] = lambda run: seen.append(run) or 0  # type: ignore[func-returns-value]
    (number,) = client.submit_jobs(jobs("train", run={"secrets": {"TOKEN": "hush"}}))
    job = over(client, number, "SUCCEEDED")
    (stage,) = job["stages"]
    assert (stage["deployment"], stage["exit_code"], stage["cleared"]) == (f"job-{number}-train", 0, True)
    assert house.cloud.nodes == {}
    assert client.deployments() == []
    assert seen[0]["envs"]["SKYPILOT_MANAGED_JOB_ID"] == str(number)
    assert seen[0]["secrets"] == {"TOKEN": "hush"}
    assert seen[0]["task_id"].startswith("sky-managed-")
    assert seen[0]["task_id"].endswith(f"_train_{number}-0")
    assert b"hush" not in (house.home / "control" / "control.db").read_bytes()
    assert client.logs(stage["deployment"], stage["run"], None, 0)[0][0].data == b"rank 0 attempt 1 ends 0\n"


def test_the_queue_keeps_priorities_and_the_order_of_arrival(house: House) -> None:
    parallel(house, 1)
    client = house.open()
    house.scripts[0] = waits
    (first,) = client.submit_jobs(jobs("first"))
    is_so(client, first, "RUNNING")
    low, low_too = client.submit_jobs(jobs("low", priority=-5, count=2))
    (plain,) = client.submit_jobs(jobs("plain"))
    (high,) = client.submit_jobs(jobs("high", priority=10))
    running = first
    for later in (high, plain, low, low_too):
        assert client.job(later)["status"] == "PENDING"
        (stage,) = client.job(running)["stages"]
        house.agent(stage["deployment"], 0).finish(0)
        over(client, running, "SUCCEEDED")
        is_so(client, later, "RUNNING")
        running = later
    parallel(house, 2)
    (more,) = client.submit_jobs(jobs("more"))
    is_so(client, more, "RUNNING")


def test_siblings_know_their_rank(house: House) -> None:
    client = house.open()
    seen: list[dict[str, Any]] = []
    house.scripts[0] = lambda run: seen.append(run["envs"]) or 0  # type: ignore[func-returns-value]
    for number in client.submit_jobs(jobs("sweep", count=3)):
        over(client, number, "SUCCEEDED")
    assert {(one["SKYPILOT_JOB_RANK"], one["SKYPILOT_NUM_JOBS"]) for one in seen} == {
        ("0", "3"),
        ("1", "3"),
        ("2", "3"),
    }


def test_a_pipeline_goes_on_where_it_was_after_every_restart(house: House) -> None:
    client = house.open()
    house.scripts[0] = waits
    (number,) = client.submit_jobs(jobs("prepare", "train", "eval", name="all"))
    for stage, name in enumerate(("prepare", "train", "eval")):
        called = f"job-{number}-{stage}-{name}"
        stage_is(client, number, stage, "RUNNING")
        assert {facts.deployment for facts in house.cloud.nodes.values()} == {called}
        house.close()
        client = house.open()
        house.agent(called, 0).finish(0)
        stage_is(client, number, stage, "SUCCEEDED")
        house.close()
        client = house.open()
    job = over(client, number, "SUCCEEDED")
    assert statuses(job) == ["SUCCEEDED"] * 3
    made = [request.spec.stack for request in house.operations.requests if request.kind.value == "up"]
    assert made == [
        f"job-{number}-{stage}-{name}-local" for stage, name in enumerate(("prepare", "train", "eval"))
    ]
    assert house.cloud.nodes == {}


@pytest.mark.parametrize(("code", "status"), [(3, "FAILED"), (0, "SUCCEEDED")])
def test_a_failing_stage_ends_the_pipeline(house: House, code: int, status: str) -> None:
    client = house.open()
    house.scripts[0] = lambda _: code
    (number,) = client.submit_jobs(jobs("one", "two"))
    job = over(client, number, status)
    assert statuses(job) == ([status, "CANCELLED"] if code else [status, status])
    assert job["stages"][0]["exit_code"] == code
    assert house.cloud.nodes == {}


def test_a_lost_node_is_recovered_and_costs_no_restart(house: House) -> None:
    client = house.open()
    house.scripts[0] = waits
    (number,) = client.submit_jobs(jobs("train", run={"recovery": {"restarts": 1, "codes": [75]}}))
    name = f"job-{number}-train"
    is_so(client, number, "RUNNING")
    before = house.cloud.of(name)[0]
    house.agent(name, 0).notice(0.0)
    until(lambda: house.cloud.of(name).get(0, before) != before, "another node")
    is_so(client, number, "RUNNING")
    assert client.job(number)["recoveries"] == 1
    for code, attempt in ((75, 3), (75, 4), (1, 5)):
        house.agent(name, 0).finish(code)
        is_so(client, number, "RECOVERING")
        house.clock.passes(gang.AGAIN_S)
        attempt_is(client, name, attempt)
        is_so(client, number, "RUNNING")
    house.agent(name, 0).finish(1)
    job = over(client, number, "FAILED")
    assert (job["stages"][0]["exit_code"], job["recoveries"]) == (1, 4)


def test_a_job_is_cancelled_wherever_it_is(house: House) -> None:
    parallel(house, 1)
    client = house.open()
    house.operations.held.clear()
    (making,) = client.submit_jobs(jobs("making", "later"))
    (waiting,) = client.submit_jobs(jobs("waiting"))
    until(lambda: house.operations.requests, "its nodes are being made")
    assert client.cancel_jobs([waiting]) == [waiting]
    assert statuses(over(client, waiting, "CANCELLED")) == ["CANCELLED"]
    assert client.cancel_jobs(name="making") == [making]
    assert statuses(over(client, making, "CANCELLED")) == ["CANCELLED", "CANCELLED"]
    house.operations.held.set()

    house.scripts[0] = waits
    (running,) = client.submit_jobs(jobs("running"))
    is_so(client, running, "RUNNING")
    house.close()
    client = house.open()
    assert client.cancel_jobs() == [running]
    over(client, running, "CANCELLED")
    assert client.cancel_jobs([running]) == []
    assert house.cloud.nodes == {}
    with pytest.raises(Problems, match="run/no-such-job"):
        client.cancel_jobs([99])


def test_nodes_that_cannot_be_made_end_the_job_with_the_reason(house: House) -> None:
    client = house.open()
    house.operations.problems = [Problem("engine/failed", "the provider is broken")]
    (number,) = client.submit_jobs(jobs("train", "eval"))
    job = over(client, number, "FAILED_PRECHECKS")
    assert (statuses(job), job["reason"]) == (["FAILED_PRECHECKS", "CANCELLED"], "the provider is broken")


def test_a_refused_removal_is_asked_for_again(house: House) -> None:
    client = house.open()
    house.scripts[0] = waits
    (number,) = client.submit_jobs(jobs("train"))
    is_so(client, number, "RUNNING")
    house.operations.problems = [Problem("engine/failed", "not now")]
    house.agent(f"job-{number}-train", 0).finish(0)
    is_so(client, number, "SUCCEEDED")
    until(lambda: not house.operations.problems, "the removal was refused")
    assert house.cloud.nodes
    until(lambda: house.clock.passes(20) and client.job(number)["over"], "it is removed after all")
    assert house.cloud.nodes == {}


def test_a_job_may_run_only_so_long(house: House) -> None:
    client = house.open()
    house.scripts[0] = waits
    (number,) = client.submit_jobs(jobs("train", max_s=3600.0))
    is_so(client, number, "RUNNING")
    house.clock.passes(3601)
    job = over(client, number, "FAILED")
    assert job["reason"] == "it ran longer than 1 h"


def test_tasks_of_a_group_run_together_until_the_primary_ones_have_ended(house: House) -> None:
    client = house.open()
    house.scripts[0] = waits
    told = jobs("trainer", "server", name="rl", together=True, primaries=["trainer"], delays={"default": 30})
    (number,) = client.submit_jobs(told)
    until(lambda: statuses(client.job(number)) == ["RUNNING", "RUNNING"], "both run")
    agent = house.agent(f"job-{number}-0-trainer", 0)
    assert agent.seen[-1]["run"]["envs"]["SKYPILOT_JOBGROUP_NAME"] == "rl"
    agent.finish(0)
    job = is_so(client, number, "WINDING_DOWN")
    assert statuses(job) == ["SUCCEEDED", "RUNNING"]
    house.clock.passes(31)
    assert statuses(over(client, number, "SUCCEEDED")) == ["SUCCEEDED", "CANCELLED"]
    assert house.cloud.nodes == {}
