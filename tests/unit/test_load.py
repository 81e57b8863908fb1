"""Good task files mean what their author meant, whatever YAML would make of the words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compiler.load import load, missing
from compiler.offer import Accelerator
from compiler.quantity import Quantity
from compiler.task import Autostop, Task

ACCEPTANCE = Path(__file__).parents[3] / "shared" / "acceptance"


def task(text: str, file: str = "task.yaml", **overrides: Any) -> Task:
    return load(text.encode(), file, clouds=("local", "aws"), overrides=overrides)


def resources(text: str) -> Any:
    return task(f"resources: {{{text}}}").requirements


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("H100:8", Accelerator("H100", 8)),
        ("h100", Accelerator("H100", 1)),
        ("{H100: 8}", Accelerator("H100", 8)),
        ("{'H100:4'}", Accelerator("H100", 4)),
        ("H100-80GB:2", Accelerator("H100", 2)),
        ("A100-80gb:2.0", Accelerator("A100-80GB", 2)),
        ("NVIDIA A100-40GB", Accelerator("A100", 1)),
        ("rtx_4090:1", Accelerator("RTX4090", 1)),
        ("tpu-v5e-8", Accelerator("tpu-v5litepod-8", 1)),
        ("TPU-V4-32", Accelerator("tpu-v4-32", 1)),
        ("MI300X:8", Accelerator("MI300X", 8)),
        ("Jetson:4", Accelerator("Jetson", 4)),
        ("Trn1:16", Accelerator("Trainium", 16)),
    ],
)
def test_accelerators(text: str, wanted: Accelerator) -> None:
    assert resources(f"accelerators: {text}").accelerator == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cpus: 8", Quantity(8)),
        ("cpus: '8+'", Quantity(8, True)),
        ("cpus: 0.5", Quantity(0.5)),
        ("cpus: 8+", Quantity(8, True)),
        ("memory: 500+", Quantity(500, True)),
        ("memory: 512MB", Quantity(0.5)),
        ("memory: 2TB+", Quantity(2048, True)),
        ("memory: ' 16 GiB '", Quantity(16)),
    ],
)
def test_amounts(text: str, wanted: Quantity) -> None:
    read = resources(text)
    assert (read.cpus or read.memory_gb) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("true", Autostop(300)),
        ("yes", Autostop(300)),
        ("false", Autostop(None)),
        ("10", Autostop(600)),
        ("'10'", Autostop(600)),
        ("0", Autostop(0)),
        ("90s", Autostop(90)),
        ("2h", Autostop(7200)),
        ("1d", Autostop(86400)),
        ("{idle_minutes: 3}", Autostop(180)),
        ("{down: true}", Autostop(300, True)),
        ("{idle_minutes: 1, down: on, wait_for: JOBS}", Autostop(60, True, "jobs")),
    ],
)
def test_autostop(text: str, wanted: Autostop) -> None:
    assert resources(f"autostop: {text}").autostop == wanted


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("infra: local", ("local", None, None)),
        ("infra: aws/us-west-2", ("aws", "us-west-2", None)),
        ("infra: AWS/us-west-2/us-west-2a", ("aws", "us-west-2", "us-west-2a")),
        ("infra: aws/*/us-west-2a", ("aws", None, "us-west-2a")),
        ("infra: '*/us-west-2'", (None, "us-west-2", None)),
        ("infra: '*'", (None, None, None)),
        ("cloud: Aws, region: us-west-2", ("aws", "us-west-2", None)),
        ("zone: us-west-2a", (None, None, "us-west-2a")),
    ],
)
def test_where(text: str, where: tuple[str | None, str | None, str | None]) -> None:
    read = resources(text)
    assert (read.cloud, read.region, read.zone) == where


def test_a_kubernetes_context_may_hold_slashes() -> None:
    read = load(b"resources: {infra: k8s/team/lab}", "t.yaml", clouds=("kubernetes",)).requirements
    assert (read.cloud, read.region) == ("kubernetes", "team/lab")


def test_words_stay_words_where_text_is_wanted_and_mean_yes_or_no_elsewhere() -> None:
    read = task(
        "run: on\nsetup: 22:30\nenvs: {A: no, B: 010, C: 1_000, D: 0x1F, E: 1e3, F: true, G: .5, H: '7', I: 3.10}\n"
        "resources: {use_spot: On, labels: {v: 1.10, at: 2026-11-22}}\n"
    )
    assert read.run == "on"
    assert read.setup == "22:30"
    assert read.envs == {
        "A": "no", "B": "010", "C": "1_000", "D": "0x1F", "E": "1e3", "F": "true", "G": ".5", "H": "7", "I": "3.10",
    }  # fmt: skip
    assert read.requirements.use_spot is True
    assert read.requirements.labels == {"v": "1.10", "at": "2026-11-22"}


def test_scripts_keep_every_character() -> None:
    script = "cat <<-EOF\n\ttabbed\n\n  indented\nEOF\n"
    text = "run: |\n" + "".join(f"  {line}\n" if line else "\n" for line in script.splitlines())
    assert task(text).run == script
    assert task(text.replace("\n", "\r\n")).run == script


def test_anchors_and_merge_keys_work() -> None:
    read = task(
        "envs: &base {A: a, B: b}\nsecrets:\n  <<: *base\n  C: c\nresources:\n  <<: {cpus: 2}\n  memory: 4\n"
    )
    assert read.secrets == {"A": "a", "B": "b", "C": "c"}
    assert read.requirements.cpus == Quantity(2)
    assert read.requirements.memory_gb == Quantity(4)


def test_variables_are_filled_into_paths_and_resources_and_secrets_are_not() -> None:
    read = task(
        "workdir: $ROOT/code\nenvs: {ROOT: ~/x, GPU: 'A100:8', PRE: y}\nsecrets: {KEY: hunter2}\n"
        "file_mounts: {'/data/${PRE}': '${ROOT}/$KEY', /plain$: a}\nresources: {accelerators: '${GPU}'}\n"
        "run: echo $ROOT\n"
    )
    assert read.workdir == "~/x/code"
    assert read.file_mounts == {"/data/y": "~/x/$KEY", "/plain$": "a"}
    assert read.requirements.accelerator == Accelerator("A100", 8)
    assert read.run == "echo $ROOT"


def test_a_value_still_to_be_given_is_named_and_is_no_mistake() -> None:
    text = "envs:\n  GPU:\n  A: x\nsecrets:\n  KEY: null\nresources: {accelerators: $GPU}\nfile_mounts: {/d/$GPU: x}\n"
    read = task(text)
    assert read.needed() == ("GPU", "KEY")
    problems = missing(read)
    assert [one.code for one in problems] == ["task/value-needed"] * 2
    assert [(one.place.line, one.place.column) for one in problems if one.place] == [(2, 3), (5, 3)]
    assert "--env GPU" in (problems[0].hint or "")
    assert "--secret KEY" in (problems[1].hint or "")
    given = task(text, envs={"GPU": "L4:2"}, secrets={"KEY": "k"})
    assert given.needed() == ()
    assert given.requirements.accelerator == Accelerator("L4", 2)
    assert given.file_mounts == {"/d/L4:2": "x"}


def test_one_name_in_envs_and_secrets_is_a_secret_when_both_agree() -> None:
    assert task("envs: {A: x}\nsecrets: {A: x}").secrets == {"A": "x"}
    read = task("envs: {A: null}\nsecrets: {A: x}")
    assert (read.envs, read.secrets, read.needed()) == ({}, {"A": "x"}, ())


def test_the_command_line_wins() -> None:
    read = task(
        "name: a\nnum_nodes: 2\nenvs: {A: '1', B: '2'}\nresources: {cloud: aws, region: r, cpus: 2}\n",
        name="b",
        num_nodes=3,
        envs={"B": "3", "C": "4"},
        resources={"infra": "local", "use_spot": True},
    )
    assert (read.name, read.num_nodes) == ("b", 3)
    assert read.envs == {"A": "1", "B": "3", "C": "4"}
    assert (read.requirements.cloud, read.requirements.region) == ("local", None)
    assert read.requirements.use_spot
    assert read.requirements.cpus == Quantity(2)


def test_the_command_line_may_name_a_cloud_over_infra() -> None:
    read = task("resources: {infra: aws/r/z}", resources={"cloud": "local"})
    assert (read.requirements.cloud, read.requirements.zone) == ("local", None)


def test_sections_may_be_empty() -> None:
    read = task("resources:\nenvs:\nsecrets:\nfile_mounts:\nsetup:\nrun: x\n")
    assert read == Task(run="x")


@pytest.mark.parametrize(
    ("target", "plain"),
    [
        ("/data/", "/data"),
        ("/data//x/./y", "/data/x/y"),
        ("/data/../etc", "/etc"),
        ("~/x/../y", "~/y"),
        ("rel/x", "~/sky_workdir/rel/x"),
        ("./x", "~/sky_workdir/x"),
        (".", "~/sky_workdir"),
    ],
)
def test_targets_are_made_plain(target: str, plain: str) -> None:
    assert task(f"file_mounts: {{{target}: x}}").file_mounts == {plain: "x"}


@pytest.mark.parametrize(
    ("name", "file", "deployment"),
    [
        ("train", "x.yaml", "train"),
        ("My_Train.v2", "x.yaml", "my-train-v2"),
        (None, "some/dir/Train LLM.prod.yaml", "train-llm"),
        (None, "2024-run.yml", "t2024-run"),
        (None, "-.yaml", "task"),
    ],
)
def test_the_deployment_is_named_after_the_task_or_its_file(
    name: str | None, file: str, deployment: str
) -> None:
    assert task(f"name: {name}\nrun: x" if name else "run: x", file).deployment == deployment


def test_long_names_stay_apart() -> None:
    one, two = (task(f"name: {'x' * 60}{end}").deployment for end in "ab")
    assert one != two
    assert max(len(one), len(two)) <= 40


def test_places_lead_back_to_the_file() -> None:
    read = task("run: x\nresources:\n  infra: local\n  cpus: 2\n")
    place = read.place("resources", "cpus")
    assert place is not None
    assert (place.line, place.column, place.text) == (4, 9, "  cpus: 2")
    around = read.place("resources", "memory")
    assert around is not None
    assert (around.line, around.column) == (2, 1)
    assert read.place("workdir") is None
    assert Task().place("run") is None


def test_no_secret_in_repr_or_redacted_data() -> None:
    read = task("secrets: {KEY: hunter2}\nrun: x\n")
    assert "hunter2" not in repr(read)
    assert "hunter2" not in repr(read.to_data(redact=True))
    assert Task.from_data(read.to_data(redact=True)).secrets == {"KEY": None}
    assert read.to_data()["secrets"] == {"KEY": "hunter2"}


@pytest.mark.skipif(not ACCEPTANCE.is_dir(), reason="the acceptance inputs are not on this machine")
def test_the_acceptance_files_load() -> None:
    for path in sorted(ACCEPTANCE.glob("*.yaml")):
        if path.stem not in ("14_github_actions", "21_kubernetes_launcher"):
            read = load(path.read_bytes(), path.name, clouds=("local",))
            assert Task.from_data(read.to_data()) == read, path.name
