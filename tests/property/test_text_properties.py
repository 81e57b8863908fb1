"""Whatever bytes a file holds, reading it ends with a Task or with Problems, and says nothing twice."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from referencing import Registry, Resource

import schemas
from compiler import schema
from compiler.load import load, missing
from compiler.normal import normal
from compiler.problem import Problems
from compiler.source import parse
from compiler.task import VALID_NAME, Task, deployment_name

CONTRACT = schemas.load("task.v1.json")
FOLDER = Path(schemas.__file__).parent
FILES = [*sorted(FOLDER.glob("task.v1*.json")), FOLDER / "config.v1.json", FOLDER / "policy.v1.json"]
REGISTRY: Registry[Any] = Registry().with_resources(
    (known["$id"], Resource.from_contents(known)) for known in (schemas.load(path.name) for path in FILES)
)
CHECKER = jsonschema.Draft202012Validator(CONTRACT, registry=REGISTRY)
RESOURCES = schemas.load("task.v1.resources.json")

GOOD = b"""# a task with everything
name: train-llama
workdir: ${WHERE}/code
num_nodes: 2
resources: &needs
  infra: local
  accelerators: {A100: 8}
  cpus: 8+
  memory: 500GB+
  disk_size: 1TB
  use_spot: yes
  labels: {team: nlp, 'year': 2026}
  autostop:
    idle_minutes: 30
    down: true
envs:
  WHERE: ~/x
  EPOCHS: 010
  MODEL:
secrets: {HF_TOKEN: null}
file_mounts:
  ~/data: ./data
  /etc/app.conf: app.conf
checkpoint: ~/checkpoints
setup: |
  pip install torch
run: |
  torchrun --nnodes=2 train.py "$EPOCHS"
"""

PIECES = [
    b"\t",
    b"\x00",
    b"\xff",
    b"[",
    b"{",
    b"}",
    b": ",
    b"- ",
    b"&a ",
    b"*a",
    b"!!x ",
    b"'",
    b'"',
    b"|\n",
    b"#",
]
PIECES += [
    b"\n---\n",
    b"<<: ",
    b"null",
    b"0",
    b"-1",
    b"1e999",
    b".nan",
    b"? ",
    b"%",
    b"\r",
    "\u2028".encode(),
    b"$A",
]


def read(content: bytes) -> Task | None:
    """A Task, or None when the file is refused as it should be."""
    refused: Problems | None = None
    try:
        return load(content, "t.yaml", clouds=("local",))
    except Problems as problems:
        refused = problems
    assert refused.problems
    assert len(str(refused)) < 20_000
    assert all(one.code.startswith("task/") for one in refused.problems)
    assert all(one.place and one.place.line >= 1 and one.place.column >= 1 for one in refused.problems)
    json.dumps([one.to_data() for one in refused.problems])
    return None


def test_the_good_file_is_good() -> None:
    task = read(GOOD)
    assert task is not None
    assert task.needed() == ("HF_TOKEN", "MODEL")
    assert [(one.place.line, one.place.column) for one in missing(task) if one.place] == [(20, 11), (19, 3)]


@given(st.binary(max_size=300))
@example(b"%TAG ! !\n--- !x")
@example(b"\xef\xbb\xbfrun: x")
@example(b"? ? ?")
def test_any_bytes(content: bytes) -> None:
    read(content)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_file(data: st.DataObject) -> None:
    content = GOOD
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 12))
        piece = data.draw(st.sampled_from(PIECES) | st.binary(max_size=4))
        content = content[:start] + piece + content[start + length :]
    task = read(content)
    if task is not None:
        assert Task.from_data(task.to_data()) == task


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 12000),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.sampled_from(
        ["", "x", "8+", "80GB", "A100:8", "none", "jobs", "a b", "local", "s3://b", "10h", "x\n"]
    ),
)
FIELDS = sorted(CONTRACT["properties"]) + sorted(RESOURCES["properties"])
KEYS = st.sampled_from(
    [*FIELDS, "idle_minutes", "down", "wait_for", "hook", "url", "ref", "A", "b-c", "source", ""]
)
ANY = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def nearly(written: Mapping[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Data that is near to what a schema takes."""
    known = schemas.plain(written)
    if depth > 2:
        return LEAVES
    if "anyOf" in known:
        return st.one_of([nearly(one, depth + 1) for one in known["anyOf"]])
    if "enum" in known:
        return st.sampled_from(known["enum"])
    kinds = known.get("type", "string")
    made = []
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind == "object":
            members = {
                name: nearly(one, depth + 1) | LEAVES for name, one in known.get("properties", {}).items()
            }
            extra = known.get("additionalProperties")
            more = st.dictionaries(
                KEYS, nearly(extra, depth + 1) if isinstance(extra, dict) else ANY, max_size=2
            )
            made.append(st.fixed_dictionaries({}, optional=members) if members else more)
        elif kind == "array":
            made.append(st.lists(nearly(known.get("items", {}), depth + 1), max_size=2))
        elif kind in ("integer", "number"):
            made.append(st.integers(-1, 10001))
        elif kind == "boolean":
            made.append(st.booleans())
        elif kind == "null":
            made.append(st.none())
        else:
            made.append(st.sampled_from(["x", "", "a b", "8+", "local"]))
    return st.one_of(made)


def one_field() -> st.SearchStrategy[Any]:
    top = CONTRACT["properties"]
    inner = RESOURCES["properties"]
    fields = [
        st.fixed_dictionaries({name: nearly(known) | ANY})
        for name, known in top.items()
        if name != "resources"
    ]
    fields += [
        st.fixed_dictionaries({"resources": st.fixed_dictionaries({name: nearly(known) | ANY})})
        for name, known in inner.items()
    ]
    return st.one_of(fields)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(one_field() | ANY)
def test_our_checker_and_jsonschema_agree(data: Any) -> None:
    faults = schema.check(data, CONTRACT)
    assert CHECKER.is_valid(data) == (faults == []), faults


def test_the_checker_knows_every_keyword_of_the_schema() -> None:
    silent = {
        "$schema",
        "$id",
        "title",
        "description",
        "examples",
        "default",
        "$defs",
        "x-says",
        "x-change",
        "x-old",
        "x-fold",
        "x-yes",
        "x-internal",
    }

    def walk(known: dict[str, Any]) -> None:
        assert set(known) <= schema.KEYWORDS | silent, set(known) - schema.KEYWORDS - silent
        for name in ("properties", "$defs"):
            for one in known.get(name, {}).values():
                walk(one)
        for name in ("additionalProperties", "items", "propertyNames"):
            if isinstance(known.get(name), dict):
                walk(known[name])
        for one in known.get("anyOf", []):
            walk(one)
        assert "pattern" not in known or "x-says" in known

    for path in FILES:
        walk(schemas.load(path.name))
        jsonschema.Draft202012Validator.check_schema(schemas.load(path.name))


def test_the_examples_in_the_schema_are_valid() -> None:
    def walk(known: dict[str, Any]) -> None:
        for one in known.get("examples", []):
            base = {"$id": "https://skywright.dev/schemas/one.json", **known}
            jsonschema.Draft202012Validator(base, registry=REGISTRY).validate(normal(one, base))
        for name in ("properties", "$defs"):
            for one in known.get(name, {}).values():
                walk(one)
        for name in ("additionalProperties", "items"):
            if isinstance(known.get(name), dict):
                walk(known[name])
        for one in known.get("anyOf", []):
            walk(one)

    for path in FILES:
        walk(schemas.load(path.name))


@given(st.text(max_size=80))
def test_any_text_makes_a_valid_name(text: str) -> None:
    name = deployment_name(text)
    assert VALID_NAME.match(name)
    assert deployment_name(name) == name


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ).filter(lambda data: data is not None)
)
def test_what_yaml_writes_is_read_back(data: Any) -> None:
    text = yaml.safe_dump(data, allow_unicode=True, default_style='"')
    with contextlib.suppress(Problems):
        read_back = parse(text.encode(), "t.yaml").data
        if "\x85" not in text and "\u2028" not in text and "\u2029" not in text:
            assert read_back == data


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_both_parsers_see_the_same(loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "CSafeLoader", getattr(yaml, loader))
    source = parse(GOOD, "t.yaml")
    assert source.data["envs"] == {"WHERE": "~/x", "EPOCHS": 10, "MODEL": None}
    assert source.written(("envs", "EPOCHS")) == "010"
    place = source.place(("resources", "labels", "year"))
    assert place is not None
    assert (place.line, place.column, place.width) == (12, 31, 4)
