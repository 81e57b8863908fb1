"""Finding and getting the engine: four ways, one call at a time, nothing half-made left. Downloads are pretended."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from desk import wait

from compiler.problem import Problems
from stacks import home, install

FAKE = "#!/bin/sh\necho v{version}\n"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without an engine, without Go, whose network is closed."""
    monkeypatch.setenv("SKYWRIGHT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(install, "INSTALLER", "http://127.0.0.1:9/install.sh")
    real = install.shutil.which
    monkeypatch.setattr(install.shutil, "which", lambda name: real(name, path=str(tmp_path / "bin")))
    return tmp_path


def program(path: Path, text: str) -> None:
    path.write_text(textwrap.dedent(text))
    path.chmod(0o755)


def fake_go(empty: Path, then: str = "") -> None:
    """A `go` that writes an engine where `-o` says, and one line a call into a log."""
    program(
        empty / "bin" / "go",
        f"""\
        #!/bin/sh
        echo "$PWD $*" >> {empty}/built
        while [ "$1" != -o ]; do shift; done
        mkdir -p "$(dirname "$2")"
        printf '#!/bin/sh\\necho v{install.VERSION}\\n' > "$2"
        chmod +x "$2"
        {then}
        """,
    )


def left(empty: Path) -> list[str]:
    return sorted(path.name for path in (empty / "cache" / "engine").iterdir())


def test_none_of_four_ways_is_one_problem_that_names_them_all(empty):
    assert install.find() is None
    with pytest.raises(Problems) as refused:
        install.ensure()
    (problem,) = refused.value.problems
    assert problem.code == "engine/missing"
    assert problem.exit == 4
    for way in ("PATH: no `pulumi`", "cache: no 3.", "installer: http", "Go build: no `go`"):
        assert way in problem.message
    assert left(empty) == ["lock"]


@pytest.mark.parametrize(
    ("version", "good"),
    [("3.259.0", True), ("3.300.1", True), ("3.258.9", False), ("4.0.0", False), ("", False)],
)
def test_on_path_counts_when_new_enough(empty, version, good):
    program(empty / "bin" / "pulumi", FAKE.format(version=version))
    found = install.find()
    assert (found is not None) == good
    if found:
        assert found.how is install.Way.PATH
        assert "new enough" in found.why


def test_a_cli_on_path_is_asked_for_its_version_once_until_it_changes(empty):
    path = empty / "bin" / "pulumi"
    program(path, f"#!/bin/sh\necho asked >> {empty}/asked\necho v3.259.0\n")
    for _ in range(3):
        assert install.find()
    assert (empty / "asked").read_text().splitlines() == ["asked"]
    program(path, f"#!/bin/sh\necho asked >> {empty}/asked\necho v3.270.10\n")
    found = install.find()
    assert found is not None
    assert found.version == "3.270.10"


def test_a_build_is_kept_and_found_again_without_any_process(empty, monkeypatch):
    fake_go(empty)
    said: list[str] = []
    engine = install.ensure(said.append)
    assert engine.how is install.Way.BUILD
    assert engine.version == install.VERSION
    assert any("building pulumi" in line for line in said)
    assert left(empty) == [install.VERSION, "lock"]
    built = (empty / "built").read_text()
    assert f"version.Version=v{install.VERSION}" in built
    assert "engine_build" not in built.split()[0], "the build works on a copy"

    def never(*_: object, **__: object) -> None:
        raise AssertionError("started a process")

    monkeypatch.setattr(subprocess, "Popen", never)
    assert install.find() == install.ensure() == engine


def test_an_engine_of_another_version_is_refused_and_not_kept(empty):
    fake_go(empty, then='printf "#!/bin/sh\\necho v3.1.0\\n" > "$2"')
    with pytest.raises(Problems) as refused:
        install.ensure()
    assert "Go build: it gave version 3.1.0" in refused.value.problems[0].message
    assert left(empty) == ["lock"]


def test_a_failing_build_gives_its_last_line_and_leaves_nothing(empty):
    fake_go(empty, then='echo "module lookup disabled by GOPROXY=off" >&2; exit 1')
    with pytest.raises(Problems) as refused:
        install.ensure()
    assert "Go build: module lookup disabled" in refused.value.problems[0].message
    assert left(empty) == ["lock"]


def test_a_build_that_hangs_is_given_up_with_all_it_started(empty, monkeypatch):
    monkeypatch.setattr(install, "TICK_S", 0.05)
    monkeypatch.setattr(install, "BUILD_LIMIT_S", 0.1)
    fake_go(empty, then=f"sleep 600 & echo $! > {empty}/child; wait")
    said: list[str] = []
    with pytest.raises(Problems) as refused:
        install.ensure(said.append)
    assert "gave up" in refused.value.problems[0].message
    assert any("0:00" in line for line in said), "says how long it has been at it"
    if (empty / "child").exists():
        child = int((empty / "child").read_text())
        wait(
            lambda: (
                not Path(f"/proc/{child}/stat").exists() or " Z " in Path(f"/proc/{child}/stat").read_text()
            )
        )


def test_half_made_things_of_a_killed_call_are_cleared(empty):
    fake_go(empty)
    junk = home.cache() / "engine" / ".making-old"
    (junk / "bin").mkdir(parents=True)
    broken = home.cache() / "engine" / install.VERSION / "bin"
    broken.mkdir(parents=True)
    (broken / "pulumi").write_text("half")
    assert install.find() is None
    assert install.ensure().how is install.Way.BUILD
    assert left(empty) == [install.VERSION, "lock"]


def test_two_calls_at_once_build_once_and_the_second_says_that_it_waits(empty):
    gate = empty / "gate"
    os.mkfifo(gate)
    fake_go(empty, then=f"cat {gate} > /dev/null")
    got: list[install.Engine] = []
    said: list[list[str]] = [[], []]

    def call(number: int) -> None:
        got.append(install.ensure(said[number].append))

    calls = [threading.Thread(target=call, args=(number,)) for number in (0, 1)]
    calls[0].start()
    wait((empty / "built").exists)
    calls[1].start()
    wait(lambda: said[1])
    assert "waiting" in said[1][0]
    gate.write_text("go on")
    for one in calls:
        one.join(30)
    assert got[0] == got[1]
    assert len((empty / "built").read_text().splitlines()) == 1


def test_finding_imports_neither_pulumi_nor_the_network(empty):
    code = "import sys; from stacks import install; install.find(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"pulumi", "grpc", "urllib.request"} & set(loaded)


@pytest.mark.engine
def test_the_engine_here_knows_its_version(cli):
    done = subprocess.run([cli.path, "version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"v{cli.version}"


@pytest.mark.parametrize("ask", [install.find, install.ensure, install.ways])
def test_a_cache_that_cannot_be_used_is_one_problem(empty, ask):
    (empty / "cache").write_text("not a folder")
    with pytest.raises(Problems) as refused:
        ask()
    (problem,) = refused.value.problems
    assert problem.code == "machine/cache-unusable"
    assert str(empty / "cache") in problem.message
    assert "SKYWRIGHT_CACHE" in (problem.hint or "")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_another_users_cache_is_one_problem(empty):
    (empty / "cache").mkdir(mode=0o700)
    (empty / "cache" / "engine").mkdir()
    os.seteuid(65534)
    try:
        with pytest.raises(Problems) as refused:
            install.ensure()
    finally:
        os.seteuid(0)
    assert refused.value.problems[0].code == "machine/cache-unusable"


def test_the_ways_to_an_engine_are_told_without_trying_them(empty):
    assert install.ways() == ()
    fake_go(empty)
    assert install.ways() == ("Go build",)
    install.ensure()
    assert install.ways() == ("cache", "Go build")
    program(empty / "bin" / "pulumi", FAKE.format(version=install.VERSION))
    assert install.ways() == ("PATH", "cache", "Go build")
    assert len((empty / "built").read_text().splitlines()) == 1
