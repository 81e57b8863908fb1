"""Python against the real thing: what is launched runs side by side, is waited for, read, stopped and removed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import skywright as sky
from tests.e2e.conftest import Sky

pytestmark = pytest.mark.engine

ENDLESS = "echo begun\nwhile :; do sleep 0.1; done\n"
HERE = sky.Resources(cloud=sky.Local())


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sky: Sky) -> Sky:
    """The fixture's user is who we are too."""
    for name in ("HOME", "SKYWRIGHT_HOME", "SKYWRIGHT_CACHE", "SKYWRIGHT_PROJECT"):
        monkeypatch.setenv(name, sky.env[name])
    monkeypatch.chdir(tmp_path)
    return sky


def test_two_tasks_side_by_side_from_launch_to_down(user: Sky) -> None:
    handles = [
        sky.launch(sky.Task(name, run=ENDLESS, resources=HERE), cluster_name=name) for name in ("one", "two")
    ]
    # Neither can end by itself: both were accepted while the other was on its way.
    assert [(handle.name, handle.run) for handle in handles] == [("one", 1), ("two", 1)]
    assert all(handle.status()["status"] not in ("SUCCEEDED", "FAILED", "CANCELLED") for handle in handles)
    assert sorted(one["name"] for one in sky.status()) == ["one", "two"]
    with pytest.raises(TimeoutError):
        handles[0].wait(timeout_s=0)

    user.wait_run("one", "RUNNING")
    user.wait(lambda: _logged("one") == "begun\n", "output of run 1")
    assert sky.cancel("one") == [1]
    assert sky.cancel("two", all=True) == [1]
    assert [sky.get(handle)["status"] for handle in handles] == ["CANCELLED", "CANCELLED"]
    assert sky.tail_logs("one", 1, output_stream=io.StringIO()) == 103

    said = io.StringIO()
    failed = sky.launch(sky.Task("one", run="echo größe; exit 3", resources=HERE), "one")
    run = sky.stream_and_get(failed, said)
    assert (run["status"], run["exit_code"], said.getvalue()) == ("FAILED", 3, "größe\n")

    with pytest.raises(sky.Problems, match="plan/does-not-fit"):
        sky.launch(sky.Task(run="ls", resources=HERE, num_nodes=2), "one")

    said = io.StringIO()
    again = sky.exec(sky.Task(run="echo $WHO; echo last", envs={"WHO": "me"}), "one")
    assert again.stream(said)["status"] == "SUCCEEDED"
    assert said.getvalue() == "me\nlast\n"
    assert again.wait() == again.status()
    assert [run["status"] for run in sky.queue("one")] == ["CANCELLED", "FAILED", "SUCCEEDED"]
    assert sky.job_status("one") == {3: "SUCCEEDED"}
    said = io.StringIO()
    assert sky.tail_logs("one", tail=1, output_stream=said) == 0
    assert said.getvalue() == "last\n"
    folder = sky.download_logs("one", [2])[2]
    assert (folder / "rank-0-attempt-1.log").read_text() == "größe\n"
    _then_remove()
    assert user.nodes() == {}


def _then_remove() -> None:
    sky.autostop("one", 7)
    (one,) = sky.status("one")
    assert one["autostop"] == {"idle_s": 420, "down": True}
    for refused in (sky.stop, sky.start):
        with pytest.raises(sky.Problems, match="cloud/cannot-stop"):
            refused("one")
    assert sky.endpoints("one") == {}
    with pytest.raises(sky.Problems, match="run/no-such-run"):
        sky.job_status("one", [9])
    sky.down("one")
    sky.down("two")
    assert sky.status() == []
    assert {row["name"] for row in sky.cost_report()} == {"one", "two"}
    with pytest.raises(sky.Problems, match="control/no-such-deployment"):
        sky.down("one")


def _logged(name: str) -> str:
    said = io.StringIO()
    sky.tail_logs(name, follow=False, output_stream=said)
    return said.getvalue()


def test_files_of_a_workdir_and_several_nodes(user: Sky, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (user.folder / "code").mkdir()
    (user.folder / "code" / "words.txt").write_text("from here\n")
    task = sky.Task("pair", workdir="code", num_nodes=2, run="cat words.txt", resources=HERE)
    task.set_file_mounts({"/data/w": "code/words.txt"})
    handle = sky.launch(task, down=True)
    sky.stream_and_get(handle)
    assert sorted(capfdbinary.readouterr().out.splitlines()) == [b"[0] from here", b"[1] from here"]
    assert handle.wait()["exit_code"] == 0
    with pytest.raises(sky.Problems, match="task/no-such-workdir"):
        sky.launch(sky.Task(workdir="absent", run="ls", resources=HERE))
