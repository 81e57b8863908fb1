"""Every way a task file can be wrong gives one Problem with its place; nothing else is ever raised."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from compiler.load import load
from compiler.pipeline import load_all
from compiler.problem import Exit, Problem, Problems

CLOUDS = ("local",)


@dataclass(frozen=True)
class Case:
    """One mistake. `at` is line and column; `hint` a piece of the hint, None when there is none to give."""

    name: str
    content: bytes
    code: str
    at: tuple[int, int]
    hint: str | None
    says: str = ""


def laughs() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(lines).encode()


CASES = (
    Case("unknown-field", b"runn: echo\n", "task/unknown-field", (1, 1), "did you mean `run`?", "`runn`"),
    Case(
        "unknown-field-of-resources",
        b"resources:\n  acelerators: H100:8\n",
        "task/unknown-field",
        (2, 3),
        "did you mean `accelerators`?",
        "`acelerators` is not a field of `resources`",
    ),
    Case("misplaced-field", b"run: x\ncpus: 4\n", "task/unknown-field", (2, 1), "a field of `resources`"),
    Case("unknown-field-far-off", b"zzqqy: 1\n", "task/unknown-field", (1, 1), None),
    Case("text-for-number", b"num_nodes: two\n", "task/wrong-type", (1, 12), "for example `num_nodes: 2`"),
    Case("quoted-number", b'num_nodes: "2"\n', "task/wrong-type", (1, 12), "without quotes: `2`"),
    Case(
        "number-for-text", b"name: 12\n", "task/wrong-type", (1, 7), 'quote it when a text is meant: `"12"`'
    ),
    Case("list-for-text", b"run:\n  - echo\n", "task/wrong-type", (1, 1), None, "wants a text, not a list"),
    Case("text-for-mapping", b"resources: 4\n", "task/wrong-type", (1, 12), None, "wants a mapping"),
    Case("fraction-of-nodes", b"num_nodes: 1.5\n", "task/wrong-type", (1, 12), "num_nodes: 2"),
    Case(
        "bucket-for-checkpoint",
        b"checkpoint: s3://mine/run\n",
        "task/wrong-value",
        (1, 13),
        "mount the bucket by `file_mounts`",
    ),
    Case("name-for-a-kept-secret", b"secrets: [A]\n", "task/bad-name", (1, 11), None, "`secrets:HF_TOKEN`"),
    Case("true-for-nodes", b"num_nodes: true\n", "task/wrong-type", (1, 12), "num_nodes: 2"),
    Case(
        "text-for-bool", b"resources:\n  use_spot: maybe\n", "task/wrong-type", (2, 13), "`true` or `false`"
    ),
    Case("list-as-task", b"- run: x\n", "task/wrong-type", (1, 1), "a task file is a mapping"),
    Case("text-as-task", b"just words\n", "task/wrong-type", (1, 1), "a task file is a mapping"),
    Case("list-for-env", b"envs:\n  A: [1]\n", "task/wrong-type", (2, 3), None),
    Case("zero-nodes", b"num_nodes: 0\n", "task/wrong-value", (1, 12), "num_nodes: 2", "at least 1, not 0"),
    Case("too-many-nodes", b"num_nodes: 99999999\n", "task/wrong-value", (1, 12), "num_nodes", "at most"),
    Case("endless-nodes", b"num_nodes: " + b"9" * 5000, "task/wrong-type", (1, 12), "num_nodes"),
    Case(
        "no-number-of-requests",
        b"service:\n  readiness_probe: /\n  replica_policy:\n    min_replicas: 1\n    target_qps_per_replica: .nan\n",
        "task/wrong-value",
        (5, 29),
        None,
        "cannot be `nan`",
    ),
    Case("infinite-nodes", b"num_nodes: .inf\n", "task/wrong-type", (1, 12), "num_nodes"),
    Case("nan-cpus", b"resources:\n  cpus: .nan\n", "task/wrong-value", (2, 9), "`8` or `8+`"),
    Case("zero-cpus", b"resources: {cpus: 0}\n", "task/wrong-value", (1, 19), "cpus: 4", "more than 0"),
    Case("unit-of-cpus", b"resources: {cpus: 8GB}\n", "task/wrong-value", (1, 19), "no unit of CPUs"),
    Case("unit-of-memory", b"resources: {memory: 8XB}\n", "task/wrong-value", (1, 21), "no unit of size"),
    Case("plus-in-disk", b"resources: {disk_size: 8+}\n", "task/wrong-value", (1, 24), "`256` or `1TB`"),
    Case("time-unit", b"resources: {autostop: 3y}\n", "task/wrong-value", (1, 23), "no unit of time"),
    Case(
        "negative-autostop",
        b"resources: {autostop: -1}\n",
        "task/wrong-value",
        (1, 23),
        "for example",
        "at least 0",
    ),
    Case("duplicate-key", b"run: a\nname: x\nrun: b\n", "task/duplicate-key", (3, 1), "line 1"),
    Case("tab", b"resources:\n\tcpus: 2\n", "task/tab-indentation", (2, 1), "spaces"),
    Case(
        "tab-after-spaces", b"resources:\n  cpus: 2\n \tmemory: 2\n", "task/tab-indentation", (3, 2), "spaces"
    ),
    Case("tab-in-script", b"run: |\n\techo\n", "task/tab-indentation", (2, 1), "spaces"),
    Case(
        "tab-in-a-script-is-no-mistake",
        b"run: |\n  if x\n  \techo\nname: a: b\n",
        "task/yaml-syntax",
        (4, 8),
        "quote",
    ),
    Case("latin-1", b"name: x\nrun: caf\xe9\n", "task/not-utf8", (2, 9), "UTF-8", "0xe9"),
    Case("utf-16", "run: x\n".encode("utf-16"), "task/not-utf8", (1, 1), "UTF-8"),
    Case("nul", b"name: x\nrun: a\x00b\n", "task/control-character", (2, 7), "remove", "NUL"),
    Case("escaped-nul", b'run: "a\\0b"\n', "task/control-character", (1, 6), "remove", "NUL"),
    Case("escape-character", b"run: \x1b[1m\n", "task/control-character", (1, 6), "remove", "U+001B"),
    Case("empty", b"", "task/empty-file", (1, 1), "run: echo hello"),
    Case("only-comments", b"# nothing\n\n---\n", "task/empty-file", (1, 1), "run: echo hello"),
    Case("laughs", laughs(), "task/alias-expansion", (5, 10), "fewer"),
    Case("alias-of-itself", b"envs: &e\n  A: *e\n", "task/alias-expansion", (2, 6), None),
    Case("alias-of-nothing", b"envs: &some {A: b}\nsecrets: *same\n", "task/yaml-syntax", (2, 10), "`*some`"),
    Case("python-tag", b"run: !!python/object:os.system x\n", "task/yaml-tag", (1, 6), "plain data"),
    Case("own-tag", b"run: !env HOME\n", "task/yaml-tag", (1, 6), "plain data"),
    Case("binary-tag", b"run: !!binary aGk=\n", "task/yaml-tag", (1, 6), "plain data"),
    Case("lying-tag", b"num_nodes: !!int two\n", "task/yaml-tag", (1, 12), None),
    Case(
        "ten-megabytes", b"run: |\n" + b"  echo 0123456789\n" * 600_000, "task/too-large", (1, 1), "workdir"
    ),
    Case("deep-lists", b"run: " + b"[" * 500_000, "task/too-deep", (1, 55), None),
    Case("deep-mappings", b"run: " + b"{a: " * 200_000, "task/too-deep", (1, 202), None),
    Case("number-as-key", b"envs:\n  1: a\n", "task/key-not-text", (2, 3), 'quote it: `"1"`'),
    Case("list-as-key", b"? [a]\n: b\n", "task/key-not-text", (1, 3), None),
    Case("mapping-as-key", b"run: x\n{{ name }}: y\n", "task/key-not-text", (2, 1), "quote"),
    Case("colon-in-text", b"run: echo a: b\n", "task/yaml-syntax", (1, 12), "quote"),
    Case("open-quote", b"run: 'echo\nname: x\n", "task/yaml-syntax", (1, 6), "close it"),
    Case("open-bracket", b"resources: {cpus: 2\n", "task/yaml-syntax", (1, 20), None),
    Case("backquote", b"run: `date`\n", "task/yaml-syntax", (1, 6), "quote"),
    Case(
        "unknown-accelerator",
        b"resources: {accelerators: H10:8}\n",
        "task/unknown-accelerator",
        (1, 27),
        "`H100`",
    ),
    Case(
        "unknown-accelerator-in-map",
        b"resources:\n  accelerators:\n    A1000: 2\n",
        "task/unknown-accelerator",
        (3, 5),
        "`A100`",
    ),
    Case("no-accelerators", b"resources: {accelerators: A100:0}\n", "task/wrong-value", (1, 27), "A100:1"),
    Case("bad-count", b"resources: {accelerators: A100:x}\n", "task/wrong-value", (1, 27), "H100:8"),
    Case(
        "endless-cards", b"resources: {accelerators: {A100: 1e999}}\n", "task/wrong-value", (1, 34), "A100:1"
    ),
    Case(
        "uri-workdir", b"workdir: https://x/y\n", "task/wrong-value", (1, 10), "workdir: {url: https://x/y}"
    ),
    Case("secret-names", b"secrets: [HF_TOKEN]\n", "task/bad-name", (1, 11), None, "kept secret"),
    Case(
        "alternatives", b"resources:\n  any_of:\n  - x: 1\n", "task/unknown-field", (3, 5), None, "`any_of`"
    ),
    Case(
        "two-kinds-of-alternatives",
        b"resources:\n  any_of: [{cpus: 1}]\n  ordered: [{cpus: 2}]\n",
        "task/conflicting-fields",
        (3, 3),
        "cheapest wins",
    ),
    Case(
        "alternatives-in-alternatives",
        b"resources:\n  any_of:\n  - ordered: [{cpus: 2}]\n",
        "task/conflicting-fields",
        (3, 5),
        "one list",
    ),
    Case(
        "accelerators-in-order-beside-alternatives",
        b"resources:\n  accelerators: [A100, H100]\n  any_of: [{infra: aws}, {infra: gcp}]\n",
        "task/conflicting-fields",
        (2, 3),
        "name one",
    ),
    Case(
        "different-priorities",
        b"resources:\n  any_of: [{priority: 1}, {priority: 2}]\n",
        "task/conflicting-fields",
        (1, 1),
        "one",
    ),
    Case("memory-by-nothing", b"resources: {memory: x}\n", "task/wrong-value", (1, 21), "4x"),
    Case(
        "a-maker-of-nothing",
        b"resources: {accelerators: 'acme:80GB+'}\n",
        "task/wrong-value",
        (1, 27),
        "`amd`",
    ),
    Case("no-such-port", b"resources: {ports: 70000-70001}\n", "task/wrong-value", (1, 20), "65535"),
    Case("ports-backwards", b"resources: {ports: 90-80}\n", "task/wrong-value", (1, 20), "smaller one"),
    Case("no-such-disk", b"resources: {local_disk: 'floppy:1'}\n", "task/wrong-value", (1, 25), "nvme:500+"),
    Case("no-such-tier", b"resources: {disk_tier: turbo}\n", "task/wrong-value", (1, 24), "`ultra`"),
    Case(
        "no-such-strategy", b"resources: {job_recovery: failovr}\n", "task/wrong-value", (1, 27), "`failover`"
    ),
    Case(
        "old-and-new-name",
        b"resources:\n  spot_recovery: auto\n  job_recovery: failover\n",
        "task/conflicting-fields",
        (2, 3),
        "`job_recovery` alone",
    ),
    Case(
        "disk-without-name",
        b"resources:\n  volumes:\n  - path: /x\n",
        "task/missing-field",
        (3, 5),
        "by its name",
    ),
    Case(
        "two-containers",
        b"resources:\n  image_id: {docker: a, r: 'docker:b'}\n",
        "task/conflicting-fields",
        (2, 3),
        "one of them",
    ),
    Case(
        "no-such-bucket",
        b"file_mounts:\n  /data: s4://b/\n",
        "task/wrong-value",
        (2, 10),
        "begin with s3",
        "s4://",
    ),
    Case("empty-bucket", b"file_mounts:\n  /data: {mode: MOUNT}\n", "task/missing-field", (2, 3), "`source`"),
    Case(
        "copy-of-nothing",
        b"file_mounts:\n  /data: {name: b, mode: COPY}\n",
        "task/missing-field",
        (2, 3),
        "mode: MOUNT",
    ),
    Case(
        "uri-as-name",
        b"file_mounts:\n  /data: {name: 's3://b'}\n",
        "task/wrong-value",
        (2, 17),
        "source: s3://b",
    ),
    Case(
        "store-of-another",
        b"file_mounts:\n  /data: {source: 's3://b', store: gcs}\n",
        "task/conflicting-fields",
        (2, 36),
        "leave `store` out",
    ),
    Case(
        "service-and-pool",
        b"service: {replicas: 1}\npool: {workers: 1}\n",
        "task/conflicting-fields",
        (2, 1),
        "keep one",
    ),
    Case("probe-path", b"service: {readiness_probe: health}\n", "task/wrong-value", (1, 28), "/health"),
    Case(
        "two-numbers-of-replicas",
        b"service:\n  replicas: 1\n  replica_policy: {min_replicas: 1}\n",
        "task/conflicting-fields",
        (2, 3),
        "keep one",
    ),
    Case(
        "replicas-backwards",
        b"service:\n  replica_policy: {min_replicas: 2, max_replicas: 1, target_qps_per_replica: 1}\n",
        "task/conflicting-fields",
        (2, 51),
        "larger",
    ),
    Case(
        "replicas-without-reason",
        b"service:\n  replica_policy: {min_replicas: 1, max_replicas: 2}\n",
        "task/missing-field",
        (2, 3),
        "target_qps_per_replica",
    ),
    Case(
        "pool-without-number",
        b"pool: {upscale_delay_seconds: 1}\n",
        "task/missing-field",
        (1, 1),
        "workers: 4",
    ),
    Case("deadline-without-zone", b"deadline: 2026-12-01T08:00:00\n", "task/wrong-value", (1, 11), "no zone"),
    Case("deadline-of-words", b"deadline: tomorrow\n", "task/wrong-value", (1, 11), "2h"),
    Case("edge-of-nothing", b"edge_config: {power_constraints: much}\n", "task/wrong-value", (1, 34), "300W"),
    Case("header-in-a-task", b"run: x\nexecution: parallel\n", "task/misplaced-field", (2, 1), "document"),
    Case(
        "task-in-a-header",
        b"execution: serial\nrun: x\n---\nrun: y\n",
        "task/misplaced-field",
        (2, 1),
        "next documents",
    ),
    Case(
        "group-of-strangers",
        b"name: g\nexecution: parallel\nprimary_tasks: [trainr]\n---\nname: trainer\nrun: x\n",
        "task/wrong-value",
        (3, 17),
        "`trainer`",
    ),
    Case(
        "group-without-names",
        b"name: g\nexecution: parallel\n---\nrun: x\n",
        "task/missing-field",
        (4, 1),
        "letters",
    ),
    Case(
        "two-values",
        b"envs: {A: x}\nsecrets:\n  A: y\n",
        "task/conflicting-fields",
        (3, 3),
        "`secrets` alone",
    ),
    Case(
        "infra-and-cloud",
        b"resources:\n  infra: local\n  cloud: local\n",
        "task/conflicting-fields",
        (3, 3),
        "alone",
    ),
    Case(
        "two-mounts", b"file_mounts:\n  /a: x\n  /a/: y\n", "task/conflicting-fields", (3, 3), "one of them"
    ),
    Case(
        "hiding-checkpoint",
        b"file_mounts: {~/ck/data: x}\ncheckpoint: ~/ck\n",
        "task/conflicting-fields",
        (2, 13),
        "of its own",
    ),
    Case("name-with-spaces", b"name: my task\n", "task/bad-name", (1, 7), "for example `my-task`"),
    Case("name-with-shell", b'name: "x; rm -rf $HOME"\n', "task/bad-name", (1, 7), "`x-rm-rf-HOME`"),
    Case("name-with-newline", b'name: "x\\n"\n', "task/bad-name", (1, 7), "`x`"),
    Case("name-as-path", b"name: ../../etc\n", "task/bad-name", (1, 7), "`etc`"),
    Case("endless-name", b"name: " + b"x" * 300, "task/wrong-value", (1, 7), None),
    Case("bad-variable", b"envs:\n  MY-VAR: 1\n", "task/bad-name", (2, 3), None, "`MY-VAR`"),
    Case("bad-secret-name", b"secrets:\n  a b: 1\n", "task/bad-name", (2, 3), None),
    Case("mount-outside-home", b"file_mounts:\n  ~/../x: y\n", "task/target-outside", (2, 3), "begins with"),
    Case(
        "mount-outside-workdir",
        b"file_mounts:\n  a/../../x: y\n",
        "task/target-outside",
        (2, 3),
        "begins with",
    ),
    Case("mount-outside-root", b"file_mounts:\n  /../etc: y\n", "task/target-outside", (2, 3), "begins with"),
    Case("mount-over-root", b"file_mounts:\n  /: y\n", "task/wrong-value", (2, 3), "begins with"),
    Case("mount-over-home", b"file_mounts:\n  ~/: y\n", "task/wrong-value", (2, 3), "begins with"),
    Case("mount-in-proc", b"file_mounts:\n  /proc/1: y\n", "task/wrong-value", (2, 3), "begins with"),
    Case("mount-of-others", b"file_mounts:\n  ~root/x: y\n", "task/wrong-value", (2, 3), "begins with"),
    Case("checkpoint-outside", b"checkpoint: ~/../../x\n", "task/target-outside", (1, 13), "begins with"),
    Case("not-a-number", b"inputs:\n  CLOUD: .nan\n", "task/wrong-value", (2, 10), None, "cannot be `nan`"),
    Case("no-price", b"resources:\n  max_hourly_cost: .nan\n", "task/wrong-value", (2, 20), "12.5", "`nan`"),
    Case("no-end", b"budget: .inf\n", "task/wrong-value", (1, 9), "250", "`inf`"),
    Case("unknown-cloud", b"resources:\n  infra: locla/x\n", "task/unknown-cloud", (2, 10), "`local`"),
    Case(
        "too-much-infra",
        b"resources:\n  infra: local/a/b/c\n",
        "task/wrong-value",
        (2, 10),
        "infra: aws/us-west-2",
    ),
)


def problems_of(content: bytes) -> tuple[Problem, ...]:
    with pytest.raises(Problems) as caught:
        load_all(content, "task.yaml", clouds=CLOUDS)
    return caught.value.problems


@pytest.mark.fault("hostile task file")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_is_one_problem_with_its_place(case: Case) -> None:
    (problem,) = problems_of(case.content)
    assert problem.code == case.code, problem
    assert problem.place is not None
    assert (problem.place.line, problem.place.column) == case.at, problem
    assert problem.exit is Exit.TASK
    assert case.says in problem.message
    if case.hint is None:
        assert problem.hint is None or problem.hint
    else:
        assert problem.hint is not None
        assert case.hint in problem.hint


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_problem_is_short_and_printable(case: Case) -> None:
    (problem,) = problems_of(case.content)
    text = str(problem)
    assert len(text) < 1500
    assert all(char.isprintable() or char == "\n" for char in text)
    assert text.startswith(f"error[{case.code}]: ")


def test_the_caret_marks_the_word() -> None:
    (problem,) = problems_of(b"resources:\n  acelerators: H100:8\n")
    first, spot, marks, hint = str(problem).splitlines()
    assert first == "error[task/unknown-field]: `acelerators` is not a field of `resources`"
    assert spot == "  task.yaml:2:3    acelerators: H100:8"
    assert marks == " " * spot.index("acelerators") + "^" * len("acelerators")
    assert hint == "  hint: did you mean `accelerators`?"


def test_all_mistakes_of_a_stage_come_at_once_in_the_order_of_the_file() -> None:
    found = problems_of(b"num_nodes: 0\nresources:\n  cpu: 3\n  memry: 4\nrun: [x]\n")
    assert [(one.code, one.place.line) for one in found if one.place] == [
        ("task/wrong-value", 1),
        ("task/unknown-field", 3),
        ("task/unknown-field", 4),
        ("task/wrong-type", 5),
    ]


def test_every_repeated_key_is_told() -> None:
    found = problems_of(b"run: a\nrun: b\nresources:\n  cpus: 1\n  cpus: 2\n")
    assert [one.place.line for one in found if one.place] == [2, 5]
    assert {one.code for one in found} == {"task/duplicate-key"}


def test_no_message_shows_the_value_of_a_secret() -> None:
    canary = "hunter2canary"
    for content in (
        f"secrets:\n  TOKEN: [{canary}]\n",
        f"secrets:\n  TOKEN: {canary}\nenvs:\n  TOKEN: other\n",
        f"envs:\n  TOKEN: other\nsecrets:\n  TOKEN: {canary}\n",
        f"secrets:\n  TO-KEN: {canary}\n",
        f"secrets: {{TOKEN: [{canary}]}}\n",
    ):
        found = problems_of(content.encode())
        assert canary not in "\n".join(str(one) for one in found), content
        assert canary not in repr(found)


def test_a_wrong_override_is_told_without_a_place() -> None:
    with pytest.raises(Problems) as caught:
        load(b"num_nodes: 2\nrun: x\n", "t.yaml", clouds=CLOUDS, overrides={"num_nodes": 0})
    (problem,) = caught.value.problems
    assert problem.code == "task/wrong-value"
    assert problem.place is None
    assert "command line" in problem.message


def test_a_wrong_accelerator_of_the_command_line_is_told() -> None:
    with pytest.raises(Problems) as caught:
        load(b"run: x\n", "t.yaml", clouds=CLOUDS, overrides={"resources": {"accelerators": "H10"}})
    (problem,) = caught.value.problems
    assert problem.code == "task/unknown-accelerator"
    assert problem.place is None
