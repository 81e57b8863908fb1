"""`./invoke bench`: start times, memory, capture and recovery against their targets, as processes that a user starts.

Every figure is measured from outside: commands by their wall time, memory from /proc, recovery from the timeline. Times
are medians. A home of its own is used and left empty; the engine comes from the cache.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
HELLO = "examples/hello.yaml"
PATIENCE_S = 120.0

SPOT = """\
name: bench-spot
num_nodes: 2
resources: {infra: local, use_spot: true}
checkpoint: ~/kept
run: |
  trap 'exit 143' TERM
  while :; do sleep 0.1 & wait $!; done
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `limit` is its target in `unit`; `least` says that more is better."""

    name: str
    unit: str
    limit: float | None
    least: bool = False
    value: float | None = None
    note: str = ""
    rival: float | None = None

    @property
    def ok(self) -> bool | None:
        if self.value is None or self.limit is None:
            return None
        return self.value >= self.limit if self.least else self.value <= self.limit

    @property
    def target(self) -> str:
        return "-" if self.limit is None else f"{'≥' if self.least else '≤'} {self.limit:g} {self.unit}"


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("invoke --list", "s", 0.3),
        Figure("validate", "s", 0.45),
        Figure("explain", "s", 0.45),
        Figure("preview of hello", "s", 1.5),
        Figure("warm up of hello to its first byte", "s", 4),
        Figure("  of which engine", "s", None),
        Figure("up again on living nodes to its first byte", "s", None),
        Figure("control", "MB", 60),
        Figure("control ready", "s", 1),
        Figure("agent with a running job", "MB", 40),
        Figure("shim", "MB", 12),
        Figure("shim under 1 GB of output", "MB", 12),
        Figure("log capture", "MB/s", 500, least=True),
        Figure("log capture CPU", "s/GB", 1),
        Figure("explain with the full catalog", "s", 0.45),
        Figure("optimizer p95", "ms", 50),
        Figure("optimizer memory", "MB", 100),
        Figure("optimizer with 10 times the rows", "x", 2),
        Figure("notice to control", "s", 2),
        Figure("silent loss declared", "s", 35),
        Figure("replacement runs after its loss is confirmed", "s", 10),
        Figure("bucket carrier, an idle node", "$/day", 0.10),
        Figure("bucket carrier, a running node", "$/day", 0.25),
        Figure("bucket carrier, a node somebody watches", "$/day", None),
        Figure("preview of an unchanged stack of 4 nodes on AWS", "s", 3),
        Figure("resources that change when one of 8 nodes is replaced", "", 1),
        Figure("user data on AWS", "bytes", 4096),
        Figure("drift of 20 stacks", "s", 40),
        Figure("lock of a killed owner taken over", "s", 60),
        Figure("judging a new stack of 4 nodes on AWS by policy", "s", None),
        Figure("judging it again when a node is replaced", "s", None),
        Figure("preview of 20 new stacks on AWS", "s", 40),
        Figure("preview of 20 new stacks on this machine", "s", 40),
        Figure("comment on those 20 stacks", "characters", 65536),
    )
}


def run(values: Any) -> int:
    """Measure everything, or only the groups that are named (up, agent, stacks, ...), and print it."""
    if values.only and values.only[0] == "corpus":
        from tests.bench import corpus

        return corpus.run(values.only[1:])
    if values.only and values.only[0] == "deadline":
        from tests.bench import deadline

        return deadline.run(
            [Path(values.traces)] if values.traces else [], values.every or 1, bool(values.json)
        )
    if values.only and values.only[0] == "clouds":
        from tests.bench import clouds as table

        return table.run(values.only[1:], as_data=bool(values.json))
    groups: dict[str, Callable[[Bench], dict[str, tuple[float, str]]]] = {
        "start": start_times,
        "up": up_times,
        "control": control_figures,
        "agent": agent_figures,
        "plan": plan_times,
        "link": link_costs,
        "recovery": recovery,
        "stacks": clouds,
        "preview": previews,
        "state": state,
    }
    wanted = [name for name in groups if not values.only or name in values.only]
    measured: dict[str, Figure] = {}
    with Bench.home() as bench:
        for name in wanted:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            for figure, (value, note) in groups[name](bench).items():
                measured[figure] = replace(FIGURES[figure], value=round(value, 3), note=note)
    if values.rival:
        from tests.bench import rival

        for figure, value in rival.measure().items():
            measured[figure] = replace(measured.get(figure, FIGURES[figure]), rival=round(value, 3))
    shown = [measured[name] for name in FIGURES if name in measured]
    beside = plan_beside() if "plan" in (values.only or ()) else []
    if values.json:
        print(json.dumps({"machine": machine(), "figures": [{**asdict(one), "ok": one.ok} for one in shown]}))
    else:
        print_table(shown, rival=bool(values.rival))
        print("\n".join(["", *beside] if beside else []))
    return 0


class Bench:
    """A user with an empty home."""

    def __init__(self, folder: Path) -> None:
        from stacks.home import cache

        self.folder = folder
        self.home = folder / ".skywright"
        self.env = {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("PULUMI_", "SKYWRIGHT_"))
            },
            "HOME": str(folder),
            "SKYWRIGHT_HOME": str(self.home),
            "SKYWRIGHT_CACHE": str(cache()),
            "SKYWRIGHT_PROJECT": "bench",
        }

    @classmethod
    def home(cls) -> _Home:
        return _Home()

    def command(self, *words: str) -> list[str]:
        return [str(ROOT / "invoke"), *words]

    def sky(self, *words: str) -> str:
        done = subprocess.run(self.command(*words), cwd=ROOT, env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{words} exited {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def seconds(self, *words: str, times: int) -> float:
        """Median wall time of a command, after one that warms the file cache."""
        self.sky(*words)
        taken = []
        for _ in range(times):
            begun = time.monotonic()
            self.sky(*words)
            taken.append(time.monotonic() - begun)
        return statistics.median(taken)

    def to_first_byte(self, *words: str) -> float:
        """Seconds from the start of a command to the first byte of the task's output."""
        begun = time.monotonic()
        process = subprocess.Popen(
            self.command(*words), cwd=ROOT, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        first = process.stdout.read(1)
        taken = time.monotonic() - begun
        _, said = process.communicate()
        if not first or process.returncode:
            raise SystemExit(f"{words} exited {process.returncode}:\n{said.decode()}")
        return taken

    def client(self) -> Any:
        from skywright.control.client import Client

        return Client.connect(self.home, start=False)

    def events(self, name: str) -> list[dict[str, Any]]:
        client, after, found = self.client(), 0, []
        while (answer := client.follow(name, after, 0))["events"]:
            found += answer["events"]
            after = answer["next"]
        return found


class _Home:
    """A Bench in a folder that is gone afterwards, with everything that ran in it."""

    def __enter__(self) -> Bench:
        from stacks.install import ensure

        ensure(lambda text: print(text, file=sys.stderr))
        self.folder = Path(tempfile.mkdtemp(prefix="skywright-bench-"))
        self.bench = Bench(self.folder)
        return self.bench

    def __exit__(self, *_: object) -> None:
        if (self.bench.home / "control").exists():
            subprocess.run(
                self.bench.command("down", "--all", "--yes"),
                cwd=ROOT,
                env=self.bench.env,
                capture_output=True,
            )
            subprocess.run(
                self.bench.command("chaos", "kill-control"), cwd=ROOT, env=self.bench.env, capture_output=True
            )
        shutil.rmtree(self.folder, ignore_errors=True)


def start_times(bench: Bench) -> dict[str, tuple[float, str]]:
    return {
        "invoke --list": (bench.seconds("--list", times=9), "wrapper and all"),
        "validate": (bench.seconds("validate", HELLO, times=9), ""),
        "explain": (bench.seconds("explain", HELLO, times=9), ""),
        "preview of hello": (bench.seconds("preview", HELLO, times=3), "a new stack"),
    }


def up_times(bench: Bench) -> dict[str, tuple[float, str]]:
    bench.sky("up", HELLO)
    bench.sky("down", "hello")
    first, engine, again = [], [], []
    for number in range(3):
        name = f"hello-{number}"
        first.append(bench.to_first_byte("up", "-c", name, HELLO))
        results = [
            event["data"]["seconds"] for event in bench.events(name) if event["data"].get("type") == "result"
        ]
        engine.append(float(results[0]["engine"]))
        again.append(bench.to_first_byte("up", "-c", name, HELLO))
    control = json.loads((bench.home / "control" / "control.json").read_text())["pid"]
    memory = resident_mb(control)
    for number in range(3):
        bench.sky("down", f"hello-{number}")
    return {
        "warm up of hello to its first byte": (statistics.median(first), "control runs, new stack and node"),
        "  of which engine": (statistics.median(engine), ""),
        "up again on living nodes to its first byte": (statistics.median(again), ""),
        "control": (memory, "after 7 runs, 3 deployments living"),
    }


def control_figures(_bench: Bench) -> dict[str, tuple[float, str]]:
    return {"control ready": (json_of("control_figures.py")["ready_s"], "first start in an empty home")}


def agent_figures(_bench: Bench) -> dict[str, tuple[float, str]]:
    found = json_of("agent_figures.py")
    return {
        "agent with a running job": (found["agent_rss_mb"], ""),
        "shim": (found["shim_rss_mb"], ""),
        "shim under 1 GB of output": (found["shim_flood_rss_mb"], "the highest seen"),
        "log capture": (found["capture_mb_s"], ""),
        "log capture CPU": (found["cpu_s_per_gb"], "user and system"),
    }


def link_costs(_bench: Bench) -> dict[str, tuple[float, str]]:
    """What a day of the link over a bucket costs for one node, on AWS; tests/agent/test_mailbox.py counts the same."""
    from compiler.catalog.tariffs import REQUESTS
    from skywright.control import pace

    found = {}
    for name, title in (
        ("idle", "an idle node"),
        ("running", "a running node"),
        ("watched", "a node somebody watches"),
    ):
        day = pace.requests(name)
        elsewhere = ", ".join(f"{cloud} ${day.cost(prices):.3f}" for cloud, prices in REQUESTS.items())
        note = f"{day.writes:,} writes and {day.reads:,} reads a day; {elsewhere}"
        found[f"bucket carrier, {title}"] = (round(day.cost(REQUESTS["aws"]), 4), note)
    return found


def clouds(_bench: Bench) -> dict[str, tuple[float, str]]:
    found = json_of("cloud_figures.py")
    return {
        "preview of an unchanged stack of 4 nodes on AWS": (
            found["preview_s"],
            "an operation from its start to its end; moto behind a stand-in for the provider",
        ),
        "resources that change when one of 8 nodes is replaced": (found["changed"], "of the whole stack"),
        "user data on AWS": (found["user_data"], "as EC2 has it, of the largest of 8 nodes"),
        "judging a new stack of 4 nodes on AWS by policy": (
            found["policy_s"],
            f"a preview within an `up` of {found['policy_up_s']:.1f} s in all",
        ),
        "judging it again when a node is replaced": (found["policy_again_s"], "by what the state says"),
    }


def previews(_bench: Bench) -> dict[str, tuple[float, str]]:
    found = json_of("preview_figures.py")
    aws, here = found["aws"], found["local"]
    note = "{cpu:.0f} s of CPU, load {load:.1f}; one command, two previews at a time"
    load = os.getloadavg()[0]
    return {
        "preview of 20 new stacks on AWS": (
            aws["seconds"],
            note.format(cpu=aws["cpu"], load=load) + "; with their network, at the stand-in",
        ),
        "preview of 20 new stacks on this machine": (
            here["seconds"],
            note.format(cpu=here["cpu"], load=load),
        ),
        "comment on those 20 stacks": (found["comment"], "with the whole summary"),
    }


def state(_bench: Bench) -> dict[str, tuple[float, str]]:
    found = json_of("state_figures.py")
    return {
        "drift of 20 stacks": (
            found["drift_s"],
            f"two at a time, {found['drift_cpu_s']:.0f} s of CPU; moto behind a stand-in for the provider",
        ),
        "lock of a killed owner taken over": (
            found["takeover_s"],
            "killed on another machine in the middle of an `up`; to the end of the `up` that takes over",
        ),
    }


def plan_times(bench: Bench) -> dict[str, tuple[float, str]]:
    task = bench.folder / "plan.yaml"
    task.write_text("run: echo\nresources: {accelerators: L4, cpus: 4+}\n")
    found = json_of("plan_figures.py")
    figures = {
        "explain with the full catalog": (
            bench.seconds("explain", "--all-clouds", str(task), times=9),
            "a process of its own, wrapper and all",
        ),
        "optimizer p95": (found["p95_ms"], f"{found['requests']:.0f} requests, the catalog opened for each"),
        "optimizer memory": (found["memory_mb"], "the whole process"),
    }
    if plan_figures_source().is_dir():
        grown = json_of("plan_figures.py", "growth")
        note = f"{grown['once_ms']:.1f} ms and {grown['many_ms']:.1f} ms, median"
        figures["optimizer with 10 times the rows"] = (grown["ratio"], note)
    return figures


def plan_figures_source() -> Path:
    from tests.bench.plan_figures import SOURCE

    return SOURCE


def plan_beside() -> list[str]:
    """SkyPilot's choices beside ours, where its environment and the price lists are there."""
    from tests.bench import plan_figures

    python = plan_figures.oracle()
    if python is None or not plan_figures.SOURCE.is_dir():
        return ["not compared with SkyPilot: its environment or the price lists are not here"]
    imported, answers = plan_figures.peer(python)
    return plan_figures.report(plan_figures.choices(answers), imported)


def json_of(script: str, *words: str) -> dict[str, float]:
    """What a script beside this one measures."""
    command = [sys.executable, "-m", f"tests.bench.{Path(script).stem}", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def recovery(bench: Bench) -> dict[str, tuple[float, str]]:
    task = bench.folder / "spot.yaml"
    task.write_text(SPOT)
    bench.sky("up", "-d", str(task))
    wait(lambda: running(bench, attempt=1), "the task runs")
    asked = time.time()
    bench.sky("chaos", "preempt", "bench-spot", "--rank", "1", "--notice", "10")
    wait(lambda: running(bench, attempt=2), "it runs after a notice")
    notice = first(bench, "notice", asked)["at"] - asked
    asked = time.time()
    bench.sky("chaos", "kill", "bench-spot", "--rank", "0")
    wait(lambda: running(bench, attempt=3), "it runs after a silent loss")
    lost = first(bench, "lost", asked)["at"]
    again = next(event["at"] for event in since(bench, lost) if event["data"].get("status") == "RUNNING")
    bench.sky("down", "bench-spot")
    return {
        "notice to control": (notice, "from the command that announces it"),
        "silent loss declared": (lost - asked, "lease ended, and the cloud confirms"),
        "replacement runs after its loss is confirmed": (again - lost, "all ranks run again"),
    }


def running(bench: Bench, attempt: int) -> bool:
    run = bench.client().deployment("bench-spot")["run"]
    return bool(run and run["status"] == "RUNNING" and run["attempt"] == attempt)


def since(bench: Bench, at: float) -> Iterator[dict[str, Any]]:
    return (event for event in bench.events("bench-spot") if event["at"] >= at)


def first(bench: Bench, kind: str, at: float) -> dict[str, Any]:
    return next(event for event in since(bench, at) if event["kind"] == kind)


def wait(what: Callable[[], bool], says: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        if time.monotonic() > deadline:
            raise SystemExit(f"never came true: {says}")
        time.sleep(0.05)


def resident_mb(pid: int) -> float:
    """Resident memory, or where the system tells it the proportional share, which counts shared pages once."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def machine() -> dict[str, Any]:
    return {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 2), "python": sys.version.split()[0]}


def print_table(shown: list[Figure], *, rival: bool) -> None:
    from skywright.cli.screen import table

    head = ["FIGURE", "MEASURED", "TARGET", "", *(["SKYPILOT"] if rival else []), "NOTE"]
    rows = []
    for one in shown:
        mark = {True: "ok", False: "MISSED", None: ""}[one.ok]
        value = "-" if one.value is None else f"{one.value:.3g} {one.unit}"
        other = [] if not rival else ["-" if one.rival is None else f"{one.rival:.3g} {one.unit}"]
        rows.append([one.name, value, one.target, mark, *other, one.note])
    for line in table(head, rows, right=(1,)):
        print(line)
    here = machine()
    print(f"\n{here['cpus']} CPUs, load {here['load']}, Python {here['python']}")
