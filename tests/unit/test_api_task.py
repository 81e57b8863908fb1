"""Python makes the same task as YAML, says what is wrong without a traceback, and costs nothing to import."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import skywright as sky
from compiler.catalog.clouds import KNOWN
from compiler.load import load
from compiler.task import Task as Compiled

ROOT = Path(__file__).parents[2]


def of_yaml(text: str) -> Compiled:
    found = load(text.encode(), "python", clouds=("local",))
    return replace(found, source=None)


def endless() -> dict[str, Any]:
    inner: dict[str, Any] = {}
    inner["again"] = inner
    return inner


SAME: dict[str, tuple[Any, str]] = {
    "resources": (
        lambda: sky.Task(
            "train",
            setup="pip install x",
            run="python train.py",
            num_nodes=2,
            envs={"EPOCHS": 3, "DEBUG": True, "MODEL": None},
            secrets={"TOKEN": None},
            resources=sky.Resources(
                sky.AWS(),
                accelerators={"A100": 8},
                memory="500+",
                disk_size=1000,
                use_spot=True,
                region="us-west-2",
            ),
        ),
        "name: train\nsetup: pip install x\nrun: python train.py\nnum_nodes: 2\n"
        "envs: {EPOCHS: 3, DEBUG: true, MODEL: null}\nsecrets: {TOKEN: null}\n"
        "resources: {cloud: aws, accelerators: {A100: 8}, memory: 500+, disk_size: 1000,"
        " use_spot: true, region: us-west-2}\n",
    ),
    "a list is the cheapest": (
        lambda: sky.Task().set_resources([sky.Resources(cloud=sky.AWS()), sky.Resources(cloud=sky.GCP())]),
        "resources: {any_of: [{cloud: aws}, {cloud: gcp}]}",
    ),
    "a set is the cheapest": (
        lambda: sky.Task().set_resources({sky.Resources(cloud=sky.GCP()), sky.Resources(cloud=sky.AWS)}),
        "resources: {any_of: [{cloud: aws}, {cloud: gcp}]}",
    ),
    "ordered": (
        lambda: sky.Task().set_resources(
            sky.ordered([sky.Resources(infra="gcp"), sky.Resources(infra="aws/us-east-1")])
        ),
        "resources: {ordered: [{infra: gcp}, {infra: aws/us-east-1}]}",
    ),
    "one in a list": (
        lambda: sky.Task().set_resources([sky.Resources(cpus="4+")]),
        "resources: {cpus: 4+}",
    ),
    "accelerators in order": (
        lambda: sky.Task(resources=sky.Resources(accelerators=["A100:8", "V100:8"])),
        "resources: {accelerators: ['A100:8', 'V100:8']}",
    ),
    "any accelerator": (
        lambda: sky.Task(resources=sky.Resources(accelerators={"A100:8", "V100:8"})),
        "resources: {accelerators: {'A100:8', 'V100:8'}}",
    ),
    "ports and labels": (
        lambda: sky.Task(
            resources=sky.Resources(ports=(8080, "9000-9010"), labels={"team": "ml"}, image_id="docker:x")
        ),
        "resources: {ports: [8080, 9000-9010], labels: {team: ml}, image_id: 'docker:x'}",
    ),
    "mounts": (
        lambda: (
            sky.Task()
            .set_file_mounts({"/data": "s3://bucket/data"})
            .set_storage_mounts({"/ckpt": sky.Storage(name="mine", mode="MOUNT"), "/in": "gs://other"})
            .update_envs({"A": "1"})
        ),
        "envs: {A: '1'}\n"
        "file_mounts: {/data: s3://bucket/data, /ckpt: {name: mine, mode: MOUNT}, /in: {source: gs://other}}",
    ),
    "text that YAML would read otherwise": (
        lambda: sky.Task(
            run="no: \u2028 '\"\x85 # {}\t\nécho 🚀\n", envs={"A": "010", "B": "no", "C": " x "}
        ),
        "run: \"no: \\u2028 '\\\"\\x85 # {}\\t\\nécho 🚀\\n\"\nenvs: {A: '010', B: 'no', C: ' x '}",
    ),
    "later names": (
        lambda: sky.Task(resources=sky.Resources(accelerators="${GPU}:2")).update_envs({"GPU": "L4"}),
        "resources: {accelerators: 'L4:2'}\nenvs: {GPU: L4}",
    ),
    "fields of ours": (
        lambda: sky.Task(
            deadline="12h", budget=10, isolation="mig", checkpoint="~/c", sync={"exclude": ["*.pt"]}
        ),
        "deadline: 12h\nbudget: 10\nisolation: mig\ncheckpoint: ~/c\nsync: {exclude: ['*.pt']}",
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_python_and_yaml_make_the_same_task(name: str) -> None:
    make, text = SAME[name]
    assert make().compiled() == of_yaml(text)


def test_a_file_keeps_its_places_until_it_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("name: one\nenvs: {A: 010}\nresources: {ports: 8080}\nrun: echo\n")
    task = sky.Task.from_yaml(path)
    assert task.compiled() == load(path.read_bytes(), str(path), clouds=("local",))
    assert task.compiled().place("resources", "ports") is not None
    task.update_envs({"B": "2"}).name = "two"
    assert task.compiled().envs == {"A": "010", "B": "2"}
    assert (task.name, task.run, task.num_nodes) == ("two", "echo", 1)
    again = sky.Task.from_yaml_config(task.to_yaml_config())
    assert again.compiled() == task.compiled()
    with pytest.raises(sky.Problems, match="task/no-such-file"):
        sky.Task.from_yaml(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: sky.Resources(accelerators="A1000:8"), "task/unknown-accelerator"),
        (lambda: sky.Resources(cloud="awss"), "task/unknown-cloud"),
        (lambda: sky.Resources(memory="lots"), "task/wrong-value"),
        (lambda: sky.Resources(cpus=float("nan")), "task/wrong-value"),
        (lambda: sky.Resources(zone=object()), "task/wrong-type"),  # type: ignore[arg-type]
        (lambda: sky.Task(num_nodes=0), "task/wrong-value"),
        (lambda: sky.Task(name="-"), "task/bad-name"),
        (lambda: sky.Task(run=lambda: None), "task/wrong-type"),  # type: ignore[arg-type]
        (lambda: sky.Task(run="\ud800"), "task/not-utf8"),
        (lambda: sky.Task(config=endless()), "task/too-deep"),
        (lambda: sky.Resources(cloud="aws", infra="gcp"), "task/conflicting-fields"),
        (lambda: sky.Task().set_resources([]), "task/wrong-value"),
        (lambda: sky.Task().set_resources("A100"), "task/wrong-type"),  # type: ignore[arg-type]
        (lambda: sky.Task().set_storage_mounts({"/x": "s4://bucket"}), "task/wrong-value"),
        (lambda: sky.Task().set_storage_mounts({"/x": 3}), "task/wrong-type"),  # type: ignore[dict-item]
        (lambda: sky.Task.from_yaml_config({"nam": "x"}), "task/unknown-field"),
        (lambda: sky.Task() >> sky.Task(), "usage/no-dag"),
        (lambda: sky.launch(sky.Dag()), "task/wrong-value"),
        (lambda: sky.launch("file.yaml"), "task/wrong-type"),  # type: ignore[arg-type]
        (lambda: sky.launch(sky.Task(run="x"), "Bad Name"), "usage/bad-name"),
        (lambda: sky.jobs.launch(sky.Task(), pool="p"), "plan/not-runnable-yet"),
        (lambda: sky.jobs.launch(sky.Dag()), "plan/not-runnable-yet"),
        (lambda: sky.jobs.launch(sky.Task(run="x"), num_jobs=0), "task/wrong-value"),
        (lambda: sky.jobs.cancel(), "task/wrong-value"),
        (lambda: sky.jobs.pool_apply(), "plan/not-runnable-yet"),
        (lambda: sky.serve.up(sky.Task(), service_name="x"), "plan/not-runnable-yet"),
        (lambda: sky.stop("nobody"), "control/no-such-deployment"),
        (lambda: sky.down("nobody"), "control/no-such-deployment"),
        (lambda: sky.endpoints("nobody"), "control/no-such-deployment"),
        (lambda: sky.tail_logs("nobody"), "control/no-such-deployment"),
    ],
)
def test_what_is_wrong_is_a_problem_without_a_place(make: Any, code: str) -> None:
    with pytest.raises(sky.Problems) as found:
        make()
    assert found.value.problems[0].code == code
    assert found.value.problems[0].place is None


def test_a_wrong_change_leaves_the_task_as_it_was() -> None:
    task = sky.Task("good", num_nodes=2)
    with pytest.raises(sky.Problems):
        task.num_nodes = -1
    assert (task.name, task.num_nodes) == ("good", 2)


def test_secrets_are_not_shown() -> None:
    task = sky.Task("quiet", secrets={"TOKEN": "hidden-value"})
    assert "hidden-value" not in repr(task)
    with pytest.raises(sky.Problems) as found:
        task.set_secrets({"TOKEN": ["hidden-value"]})  # type: ignore[dict-item]
    assert "hidden-value" not in str(found.value)


def test_resources_are_values() -> None:
    one = sky.Resources(cloud=sky.AWS(), accelerators="A100:8")
    assert one == sky.Resources("aws", accelerators="A100:8")
    assert len({one, sky.Resources("aws", accelerators="A100:8")}) == 1
    assert one.copy(use_spot=True, cloud=None).to_data() == {"accelerators": "A100:8", "use_spot": True}


def test_every_cloud_that_files_may_name_is_a_class() -> None:
    from skywright.api import clouds

    found = {one.NAME for one in vars(clouds).values() if isinstance(one, type) and one is not clouds.Cloud}
    assert found == KNOWN
    assert sky.AWS() == sky.AWS()
    assert sky.AWS() != sky.GCP()


def test_tasks_of_a_dag_are_joined_by_arrows() -> None:
    with sky.Dag("chain") as dag:
        one, two, three = sky.Task("a"), sky.Task("b"), sky.Task("c")
        one >> two >> three
    outside = sky.Task("d")
    assert dag.tasks == [one, two, three]
    assert dag.edges == ((one, two), (two, three))
    assert dag.is_chain()
    with pytest.raises(sky.Problems, match="usage/dag-cycle"):
        dag.add_edge(three, one)
    dag.add_edge(one, outside)
    assert not dag.is_chain()
    with pytest.raises(sky.Problems, match="plan/not-runnable-yet"):
        sky.launch(dag)
    dag.remove(outside)
    assert dag.is_chain()


def test_planning_knows_clouds_that_do_not_run_here_yet() -> None:
    options = [sky.Resources(cloud=cloud(), accelerators="A100:8") for cloud in (sky.AWS, sky.GCP, sky.Azure)]
    plan = sky.optimize(sky.Task().set_resources(options))
    singles = [sky.optimize(sky.Task(resources=one)).chosen.hourly for one in options]
    assert plan.chosen.hourly == min(singles)
    assert sky.optimize(sky.Task(resources=sky.ordered(options))).chosen.hourly == singles[0]


def test_what_there_is_when_nothing_was_launched() -> None:
    assert sky.status() == []
    assert sky.cost_report() == []
    assert "local" in sky.enabled_clouds()
    assert any(line.what == "local" for line in sky.check([sky.Local()]))
    prices = sky.list_accelerators("H100:8")
    assert list(prices) == ["H100"]
    assert all(row.count == 8 for row in prices["H100"])
    assert sky.get([1]) == [1]


def test_importing_is_light() -> None:
    code = (
        "import sys; before = set(sys.modules); import skywright as sky; new = set(sys.modules) - before;"
        "print(sorted(new)); sky.Task; print('yaml' in sys.modules, 'pulumi' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    new, rest = done.stdout.splitlines()
    assert new == "['skywright']"
    assert rest == "False False"


def test_every_name_that_is_promised_is_there() -> None:
    for name in sky.__all__:
        assert getattr(sky, name) is not None, name
    assert set(sky.__all__) <= set(dir(sky))
    with pytest.raises(AttributeError):
        sky.nothing  # noqa: B018


def test_a_dag_is_planned_as_a_whole() -> None:
    with sky.Dag("night") as dag:
        first = sky.Task("first", run="x", outputs={"CLOUD": 5000}).set_resources(
            sky.Resources(sky.AWS(), cpus="8+")
        )
        second = sky.Task("second", run="x").set_resources(sky.Resources(sky.AWS(), accelerators="H100:8"))
        third = sky.Task("third", run="x").set_resources(sky.Resources(cpus="2+"))
        first >> second
        first >> third
    made = sky.optimize(dag)
    assert [one.name for one in made.plans] == ["first", "second", "third"]
    assert made.edges == ((0, 1), (0, 2))
    assert made.plans[0].chosen.offer.region == made.plans[1].chosen.offer.region
    assert made.total == pytest.approx(sum(one.chosen.total for one in made.plans) + made.moved)
    assert sky.explain(dag).splitlines()[0].startswith("night · 3 tasks with 2 that wait for another")
    assert "▶" in sky.explain(third)
