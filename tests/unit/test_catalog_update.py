"""`catalog update`, `ls` and `lock`: what is broken stays as it was, and a locked plan is the same for ever."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiler.catalog import build, contents, package
from compiler.catalog.rows import Row
from compiler.problem import Problems
from skywright import snapshots
from skywright.catalog import LOCK, locked, open_catalog
from skywright.cli.program import main
from skywright.pricing import VENDORS
from skywright.pricing.fetching import Broken, Fetcher
from skywright.pricing.update import State, judged, update
from skywright.pricing.vendor import Fetched, Job, Skipped
from tests.unit.test_pricing_parsers import row

Vendor = Callable[[Job], Fetched]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a packed catalog of Lambda and Vast as they are shipped, and its mark."""
    whole = snapshots.opened(snapshots.shipped())
    rows = [one for cloud in ("lambda", "vast") for one in contents.rows(whole, cloud)]
    content = build.packed(rows, date=whole.date, dropped={}, preset=0)
    whole.connection.close()
    folder = tmp_path_factory.mktemp("shipped")
    (folder / "catalog.sqlite.xz").write_bytes(content)
    mark = {"sha256": hashlib.sha256(content).hexdigest(), "date": whole.date, "rows": len(rows)}
    (folder / "catalog.json").write_text(json.dumps(mark))
    return folder


@pytest.fixture(autouse=True)
def apart(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "_HERE", str(small))
    monkeypatch.setattr(package, "PACKED", str(small / "catalog.sqlite.xz"))
    monkeypatch.setenv("SKYWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SKYWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text("run: x\nresources: {infra: lambda, accelerators: 'A10:1'}\n")
    return path


def vendors(monkeypatch: pytest.MonkeyPatch, **found: Vendor) -> None:
    """These vendors answer so; the others are skipped."""

    def absent(job: Job) -> Fetched:
        raise Skipped("needs a key")

    for module in VENDORS.values():
        monkeypatch.setattr(f"skywright.pricing.{module}.fetch", found.get(module, absent))


def times(factor: float, *, most: int | None = None) -> Vendor:
    """The last rows of the cloud at so many times their price."""

    def fetch(job: Job) -> Fetched:
        return Fetched(
            tuple(
                replace(
                    one,
                    price=one.price and round(one.price * factor, 6),
                    spot=one.spot and round(one.spot * factor, 6),
                    source="now",
                )
                for one in job.last[:most]
            )
        )

    return fetch


def broken(job: Job) -> Fetched:
    raise Broken("prices.example answered 503, 4 times")


def strange(job: Job) -> Fetched:
    raise KeyError("surprise")


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main((*words, "--json"))
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, json.loads(said.out)


def test_an_update_makes_a_new_snapshot_of_what_changed_and_keeps_the_rest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, task: Path
) -> None:
    _, before = answer(capsys, "explain", str(task))
    vendors(monkeypatch, lambdalabs=times(1.1))
    code, said = answer(capsys, "catalog", "update")
    assert code == 0
    assert {one["cloud"]: one["state"] for one in said["clouds"]}["lambda"] == "updated"
    assert {one["state"] for one in said["clouds"] if one["cloud"] != "lambda"} == {"skipped"}
    _, after = answer(capsys, "explain", str(task))
    old, new = (plan["placements"][0]["offer"] for plan in (before, after))
    assert new["price"] == pytest.approx(old["price"] * 1.1)
    assert new["source"] == "now"
    assert after["catalog"] == said["snapshot"]["date"] > before["catalog"]
    _, shown = answer(capsys, "catalog")
    assert shown["rows"] == snapshots.shipped().rows, "the other clouds are as they were"
    _, kept = answer(capsys, "catalog", "ls")
    assert [(one["in_use"], one["date"]) for one in kept["snapshots"]] == [
        (True, after["catalog"]),
        (False, before["catalog"]),
    ]
    assert "lambda" in kept["snapshots"][0]["source"]
    assert kept["snapshots"][1]["source"].startswith("shipped")


@pytest.mark.parametrize(
    ("vendor", "code", "says"),
    [
        (broken, "cloud/prices-not-fetched", "503"),
        (strange, "cloud/prices-not-fetched", "not understood"),
        (times(100.0), "cloud/prices-implausible", "1e+02 times"),
        (times(0.01), "cloud/prices-implausible", "times those of before"),
        (times(1.0, most=100), "cloud/prices-implausible", "100 rows, and 425 before"),
        (times(1.0, most=0), "cloud/prices-implausible", "not a single price"),
    ],
)
def test_a_broken_cloud_stays_as_it_was_while_the_others_are_updated(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    vendor: Vendor,
    code: str,
    says: str,
) -> None:
    vendors(monkeypatch, lambdalabs=vendor, vast=times(1.2))
    exit_code, said = answer(capsys, "catalog", "update")
    assert exit_code == 4
    (problem,) = said["problems"]
    assert problem["code"] == code
    assert says in problem["message"]
    assert "its 425 rows stay as they were" in problem["message"]
    catalog = open_catalog()
    assert {one.source for one in contents.rows(catalog, "vast")} == {"now"}
    assert {one.source for one in contents.rows(catalog, "lambda")} == {"published lambda prices, 2026-05-20"}
    assert len(contents.rows(catalog, "lambda")) == 425


def test_when_nothing_could_be_had_nothing_changes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendors(monkeypatch, vast=broken)
    assert main(["catalog", "update", "vast"]) == 4
    said = capsys.readouterr()
    assert "error[cloud/prices-not-fetched]" in said.err
    assert "the catalog is as it was" in said.out
    assert snapshots.current() == snapshots.shipped()
    assert main(["catalog", "update", "runpod"]) == 4, "who names a cloud wants to know that it was not asked"
    assert "cloud/prices-need-key" in capsys.readouterr().err
    assert main(["catalog", "update"]) == 4
    assert "cloud/prices-need-key" not in capsys.readouterr().err


def test_clouds_that_are_new_are_planned_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, task: Path
) -> None:
    machine = row("do", "gpu-l40s", "tor1", 0.01, accelerator="L40S", count=1.0, cpus=8.0, memory_gb=64.0)
    vendors(monkeypatch, digitalocean=lambda job: Fetched((machine,)))
    assert main(["catalog", "update", "digitalocean"]) == 0
    capsys.readouterr()
    task.write_text("run: x\nresources: {accelerators: 'L40S:1'}\n")
    _, plan = answer(capsys, "explain", "--all-clouds", str(task))
    assert plan["placements"][0]["offer"]["instance_type"] == "gpu-l40s"


def test_the_same_prices_are_the_same_snapshot(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendors(monkeypatch, vast=times(1.0))
    main(["catalog", "update", "vast"])
    first = snapshots.current()
    main(["catalog", "update", "vast"])
    assert snapshots.current().sha256 == first.sha256
    assert len(snapshots.listed()) == 2


def test_a_locked_plan_is_the_same_after_an_update(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, task: Path
) -> None:
    vendors(monkeypatch, lambdalabs=times(1.5))
    code, said = answer(capsys, "catalog", "lock", str(task))
    assert code == 0
    assert Path(said["file"]) == task.parent / LOCK
    assert json.loads((task.parent / LOCK).read_text())["sha256"] == said["sha256"]

    def planned() -> str:
        assert main(["explain", str(task), "--json"]) == 0
        return capsys.readouterr().out

    first = planned()
    assert json.loads(first)["catalog_pinned"] == said["sha256"]
    main(["catalog", "update", "lambda"])
    capsys.readouterr()
    assert planned() == first
    assert main(["explain", str(task)]) == 0
    assert f"pinned by catalog.lock ({said['sha256'][:12]})" in capsys.readouterr().out
    (task.parent / LOCK).unlink()
    assert planned() != first
    # What an update made can be pinned as well, and stays after the next one.
    main(["catalog", "lock"])
    capsys.readouterr()
    second = planned()
    vendors(monkeypatch, lambdalabs=times(1.2))
    main(["catalog", "update", "lambda"])
    capsys.readouterr()
    assert planned() == second


def test_tasks_that_are_planned_together_need_one_catalog(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("none", "one", "same", "other")]
    for folder, letter in zip(folders[1:], "aab", strict=True):
        folder.mkdir()
        (folder / LOCK).write_text(json.dumps({"format": 1, "sha256": letter * 64}))
    assert locked([None, folders[0]]) is None
    assert locked([None, *folders[:3]]) == folders[1]
    with pytest.raises(Problems, match="pins another catalog") as wrong:
        locked(folders)
    assert wrong.value.problems[0].code == "usage/bad-catalog-lock"


def test_a_locked_catalog_that_is_not_here_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, task: Path, tmp_path: Path
) -> None:
    vendors(monkeypatch, lambdalabs=times(1.5))
    main(["catalog", "update", "lambda"])
    main(["catalog", "lock", str(task)])
    shutil.rmtree(tmp_path / "home")
    capsys.readouterr()
    assert main(["explain", str(task)]) == 0, "the cache has it still"
    shutil.rmtree(tmp_path / "cache")
    capsys.readouterr()
    code, said = answer(capsys, "explain", str(task))
    assert code == 4
    (problem,) = said["problems"]
    assert problem["code"] == "machine/catalog-not-here"
    assert "catalog lock" in problem["hint"]


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", "[]", '{"sha256": 1}', '{"sha256": "../../etc"}', '{"sha256": "%s", "format": 2}' % ("a" * 64)],
)  # fmt: skip
def test_a_lock_that_is_none_is_said_with_its_place(
    capsys: pytest.CaptureFixture[str], task: Path, content: str
) -> None:
    (task.parent / LOCK).write_text(content)
    code, said = answer(capsys, "explain", str(task))
    assert code == 2
    (problem,) = said["problems"]
    assert problem["code"] == "usage/bad-catalog-lock"
    assert problem["file"].endswith(LOCK)
    assert problem["line"] == 1


def test_a_snapshot_that_was_changed_is_not_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vendors(monkeypatch, vast=times(1.2))
    main(["catalog", "update", "vast"])
    shutil.rmtree(tmp_path / "cache")
    (packed,) = (tmp_path / "home" / "catalog").glob("*.xz")
    content = packed.read_bytes()
    packed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    capsys.readouterr()
    assert main(["gpus", "H100"]) == 4
    assert "machine/catalog-damaged" in capsys.readouterr().err
    packed.write_bytes(content)
    assert main(["gpus", "H100"]) == 0


def test_a_newer_version_brings_its_own_prices(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    vendors(monkeypatch, vast=times(1.2))
    main(["catalog", "update", "vast"])
    assert snapshots.current() != snapshots.shipped()
    newer = replace(snapshots.shipped(), date="2999-01-01")
    monkeypatch.setattr(snapshots, "shipped", lambda: newer)
    assert snapshots.current() == newer


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("catalog", "updat"), "usage/unknown-command"),
        (("catalog", "update", "mars"), "usage/unknown-cloud"),
        (("catalog", "update", "aws", "local"), "usage/unknown-cloud"),
        (("catalog", "ls", "aws"), "usage/too-many-words"),
        (("catalog", "lock", "a.yaml", "b.yaml"), "usage/too-many-words"),
        (("catalog", "lock", "absent.yaml"), "task/no-such-file"),
    ],
)
def test_wrong_words_are_said(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: str) -> None:
    exit_code, said = answer(capsys, *words)
    assert exit_code == 2
    assert said["problems"][0]["code"] == code


def test_one_update_at_a_time(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "home" / "catalog"
    folder.mkdir(parents=True)
    with open(folder / ".update.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, said = answer(capsys, "catalog", "update", "vast")
    assert code == 5
    assert said["problems"][0]["code"] == "lock/catalog-busy"


def test_a_crash_while_writing_leaves_the_old_catalog(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from stacks import home

    vendors(monkeypatch, vast=times(1.2))
    real, left = home.write, [0]

    def dies(path: Path, content: bytes, mode: int = 0o600) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(path, content, mode)

    monkeypatch.setattr(home, "write", dies)
    # Packed, its facts, which one is used: what was packed before the crash is there the next time.
    for written in (0, 1, 1):
        left[0] = written
        assert main(["catalog", "update", "vast"]) == 130
        assert snapshots.current() == snapshots.shipped()
        assert open_catalog().rows == snapshots.shipped().rows
    left[0] = 2
    assert main(["catalog", "update", "vast"]) == 0
    assert snapshots.current() != snapshots.shipped()


def test_prices_are_judged_beside_those_of_before() -> None:
    last = [row("do", f"m{n}", "r", 1.0, 0.5) for n in range(20)]
    assert judged(last, last) == ""
    assert judged(last[:10], last) == ""
    assert judged(last[:9], last) == "9 rows, and 20 before"
    assert judged(last, []) == "", "a cloud that is new has nothing to be judged by"
    assert judged([], []) == "not a single price"

    def changed(factor: float, many: int) -> list[Row]:
        return [
            replace(one, price=one.price and one.price * factor, spot=None) if n < many else one
            for n, one in enumerate(last)
        ]

    assert judged(changed(2.9, 20), last) == ""
    assert "3.1 times" in judged(changed(3.1, 20), last)
    assert "changed more than 5 times" in judged(changed(6.0, 12), last)
    assert judged(changed(6.0, 5), last) == ""


def test_clouds_are_asked_side_by_side_and_one_that_fails_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = threading.Barrier(2, timeout=20)

    def meets(job: Job) -> Fetched:
        job.tell("half way")
        both.wait()
        return Fetched((row(job.cloud, "m", "r"),))

    vendors(monkeypatch, vast=meets, oci=meets, cudo=strange)
    told: list[tuple[str, str]] = []
    found = update(
        ("vast", "cudo", "oci", "ibm"), {}, (), date="2026-11-22", regions={}, fetcher=Fetcher(),
        watch=lambda cloud, text: told.append((cloud, text)),
    )  # fmt: skip
    states: Mapping[str, State] = {one.cloud: one.state for one in found}
    assert states == {
        "vast": State.UPDATED, "cudo": State.KEPT, "oci": State.UPDATED, "ibm": State.SKIPPED,
    }  # fmt: skip
    assert ("oci", "half way") in told
    assert ("ibm", "skipped") in told


def test_the_settings_say_which_regions_are_asked_for_and_a_terminal_sees_it_move(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from skywright.cli import screen

    (tmp_path / ".skywright.yaml").write_text("clouds: {aws: {regions: [us-east-2]}, azure: {}}\n")
    asked: dict[str, tuple[str, ...] | None] = {}

    def looks(job: Job) -> Fetched:
        asked[job.cloud] = job.regions
        job.tell("[half] way")
        raise Broken("done")

    vendors(monkeypatch, aws=looks, azure=looks)
    monkeypatch.setattr(screen, "coloured", lambda stream: True)
    assert main(["catalog", "update", "aws", "azure"]) == 4
    assert asked == {"aws": ("us-east-2",), "azure": None}
    assert "Traceback" not in capsys.readouterr().err
