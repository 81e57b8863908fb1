"""Components of tests: made once, by one process at a time, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.components import building
from tests.components.building import Component, Missing, ensure, ensure_all
from tests.components.golang import HERE, PINS, GoModule
from tests.components.table import COMPONENTS


class Script:
    """A recipe that runs a shell text in the folder."""

    def __init__(self, text: str) -> None:
        self.text, self.made = text, 0

    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def make(self, folder: Path, progress: building.Progress) -> None:
        self.made += 1
        building.run(["sh", "-c", self.text], folder, {}, "scripting", progress)


GOOD = "mkdir bin && echo hello >bin/it && chmod +x bin/it"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKYWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "components"


def component(text: str = GOOD) -> Component:
    return Component("thing", ("it",), Script(text))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def test_it_is_made_once_and_said(own_cache: Path) -> None:
    said: list[str] = []
    thing = component()
    assert not thing.here
    first = ensure(thing, said.append)
    again = ensure(thing, said.append)
    assert first == again == own_cache / "thing" / thing.recipe.digest()
    assert thing.program("it").read_text() == "hello\n"
    assert isinstance(thing.recipe, Script)
    assert thing.recipe.made == 1
    assert [line.split(" in ")[0] for line in said] == ["scripting …", "thing: made"]


def test_another_recipe_is_another_folder(own_cache: Path) -> None:
    ensure(component())
    ensure(component(GOOD.replace("hello", "goodbye")))
    assert len(left(own_cache / "thing")) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mkdir bin; echo broken pipes >&2; exit 3", "scripting: broken pipes"),
        ("exit 3", "scripting: exit code 3"),
        ("mkdir bin", "making thing gave no it"),
    ],
)
def test_what_fails_leaves_nothing_and_says_why(own_cache: Path, text: str, why: str) -> None:
    with pytest.raises(Missing, match=why):
        ensure(component(text))
    assert left(own_cache / "thing") == []
    assert ensure_all([component(text), component()], lambda text: None).keys() == {"thing"}
    assert component().here


def test_what_a_killed_process_left_goes(own_cache: Path) -> None:
    draft = own_cache / "thing" / ".making-dead"
    draft.mkdir(parents=True)
    (draft / "half").write_text("x")
    ensure(component())
    assert left(own_cache / "thing") == [component().recipe.digest()]


def test_two_at_once_make_one(own_cache: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    thing = component(f"read line <'{gate}'; {GOOD}")
    said: list[str] = []
    waits = threading.Event()

    def hear(text: str) -> None:
        said.append(text)
        if "waiting" in text:
            waits.set()

    threads = [threading.Thread(target=ensure, args=(thing, hear)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert waits.wait(30)
    gate.write_text("go\n")
    for thread in threads:
        thread.join(30)
    assert isinstance(thing.recipe, Script)
    assert thing.recipe.made == 1
    assert thing.here


def test_whoever_waits_no_longer_ends_what_runs(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    stop.set()
    monkeypatch.setattr(building, "STOP", stop)
    with pytest.raises(Missing, match="given up"):
        ensure(component("sleep 1000"))
    assert left(own_cache / "thing") == []


def test_recipes_of_go_modules_are_pinned() -> None:
    for make in COMPONENTS.values():
        recipe = make().recipe
        if isinstance(recipe, GoModule):
            mod, sums = ((HERE / recipe.pins / name).read_text() for name in PINS)
            assert "replace ." not in mod
            assert len(sums.splitlines()) > 10
            assert all(package in mod for package in recipe.packages)
            assert recipe.digest() != GoModule(recipe.pins, recipe.packages, (("a.b", "c"),)).digest()


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_ci_must_have_them_and_others_are_told(own_cache: Path, ci: str, code: int) -> None:
    env = {**os.environ, "PATH": str(Path(sys.executable).parent), "CI": ci}
    done = subprocess.run(
        [sys.executable, "-m", "tests.components"],
        cwd=Path(__file__).parents[2],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert "kubernetes: not here: no `go` on PATH" in done.stdout
