"""`./invoke bench clouds`: examples that readers paste, on each cloud from plan to `down`, at the real engine.

Each cloud is its stand-in, each example the file as it stands, pinned to the cloud by the flags of the command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from compiler.offer import Capability
from compiler.problem import Problems
from compiler.spec import StackSpec
from stacks import cloud as module
from stacks import home, operate, process
from stacks.operate import Kind, Request
from tests.standins.install import install
from tests.standins.sites import PROJECT, SITES, STORE, Site, site
from tests.standins.store import VARIABLE

READERS = Path(__file__).resolve().parents[1] / "data" / "readers"
EXAMPLES = tuple(sorted(path.stem for path in READERS.glob("*.yaml")))
PATIENCE_S = 300.0
AWAY_S = 60.0
STORAGE = re.compile(
    r"^skywright-|[Bb]ucket|^Object |^StorageAccount |^Blob|^ResourceGroup |^persistentvolumeclaims "
)
"""What stays of a deployment whose task keeps a folder, until somebody removes it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """How one example fared on one cloud. `chosen` is the placement in words, `seconds` by step, `refused` what of
    the task `up` still refuses there, `kept` what stays after `down` on purpose, `failed` the step that went wrong
    and what it said."""

    cloud: str
    example: str
    chosen: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    resources: int = 0
    refused: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    failed: str | None = None


class Wrong(Exception):
    """A step did not do what it has to."""


def run(words: Sequence[str], as_data: bool = False) -> int:
    """Live the lives named by `words` (clouds, beginnings of examples; none: all), and print the table."""
    clouds = [name for name in SITES if name in words] or list(SITES)
    named = [word for word in words if word not in SITES]
    examples = [one for one in EXAMPLES if not named or one.startswith(tuple(named))]
    cells = []
    for cloud in clouds:
        with at(cloud) as there:
            for example in examples:
                print(f"{cloud}: {example}", file=sys.stderr, flush=True)
                cells.append(live(there, example))
    if as_data:
        print(json.dumps({"cells": [asdict(cell) for cell in cells]}))
    else:
        print_table(cells)
    return 1 if any(cell.failed for cell in cells) else 0


@dataclass
class There:
    """One cloud's site, and a user with an empty home who operates there."""

    site: Site
    folder: Path
    count: int = 0

    def operation(self, kind: Kind, spec: Any, **request: Any) -> dict[str, Any]:
        """What came out of an operation that went well. Raises Wrong."""
        from skywright.cli import settings

        self.count += 1
        folder = self.folder / "operations" / str(self.count)
        env = settings.engine_env(clouds=[self.site.cloud])
        env["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
        operate.start(Request(folder.name, kind, spec, env=env, **request), folder)
        until(lambda: not operate.running(folder), PATIENCE_S, f"the end of {kind.value}")
        result = operate.result(folder)
        if result is None:
            raise Wrong((folder / "output.txt").read_text()[-2000:])
        if not result["ok"]:
            problem = result["problem"]
            raise Wrong(f"{problem['code']}: {problem['message']}")
        return result

    def end(self) -> None:
        """End whatever still runs."""
        for folder in (self.folder / "operations").glob("*/"):
            if (who := operate.owner(folder)) is not None:
                process.end(who)


@contextlib.contextmanager
def at(
    cloud: str, place: Callable[[Path], contextlib.AbstractContextManager[Site]] | None = None
) -> Iterator[There]:
    """A user at the stand-in of a cloud, whose environment is this process's meanwhile. `place` makes the site in an
    empty folder, where it is another than a new one."""
    folder = Path(tempfile.mkdtemp(prefix="skywright-clouds-"))
    cache = str(home.cache())
    before = dict(os.environ)
    foreign = ("PULUMI_", "AWS_", "GOOGLE_", "CLOUDSDK_", "AZURE_", "ARM_", "KUBE", "SKYWRIGHT_")
    try:
        for name in [one for one in os.environ if one.startswith(foreign) and one != "SKYWRIGHT_CACHE"]:
            del os.environ[name]
        (folder / "site").mkdir()
        with place(folder / "site") if place else site(cloud, folder / "site") as found:
            os.environ.update(
                {**found.env, VARIABLE: str(folder / "site" / STORE)},
                HOME=str(folder),
                SKYWRIGHT_HOME=str(folder / ".skywright"),
                SKYWRIGHT_CACHE=cache,
                SKYWRIGHT_PROJECT=PROJECT,
            )
            settle(found)
            made = There(found, folder)
            try:
                yield made
            finally:
                made.end()
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder, ignore_errors=True)


def settle(found: Site) -> None:
    """What a user has beside credentials: an engine, and plugins."""
    from stacks.install import ensure

    ensure(lambda text: print(text, file=sys.stderr))
    install(home.home() / "pulumi", (found.provider,))


def configure(there: There, file: Path) -> None:
    """What the team owns beside what its task names."""
    given = there.site.given if "networking:" in file.read_text() else {}
    lines = "".join(f"    {name}: {value}\n" for name, value in given.items())
    text = f"given:\n  {there.site.cloud}:\n{lines}" if given else ""
    (home.home() / "config.yaml").write_text(text)


def live(there: There, example: str, only: Sequence[str] = ()) -> Cell:
    """One example's life on one cloud, step by step (of `only`) as far as it gets."""
    cell = Cell(there.site.cloud, example)
    steps: dict[str, float] = {}
    known: dict[str, Any] = {}
    for name, step in STEPS.items():
        if only and name not in only:
            continue
        begun = time.monotonic()
        try:
            step(there, example, known)
        except (Wrong, Problems, AssertionError) as wrong:
            says = wrong.problems[0].message if isinstance(wrong, Problems) else str(wrong)
            cell = replace(cell, failed=f"{name}: {says}")
            break
        finally:
            steps[name] = round(time.monotonic() - begun, 2)
    if cell.failed and "spec" in known:
        with contextlib.suppress(Wrong):
            down(there, example, known, check=False)
    return replace(
        cell,
        chosen=known.get("chosen", {}),
        seconds=steps,
        resources=known.get("resources", 0),
        refused=known.get("refused", ()),
        kept=known.get("kept", ()),
    )


def plan(there: There, example: str, known: dict[str, Any]) -> None:
    """The file unchanged, pinned by `--infra`: what `compile FILE --infra CLOUD` plans."""
    from skywright.cli.arguments import parse
    from skywright.cli.planning import make_plan, not_runnable
    from skywright.cli.taskfile import read_entry
    from skywright.cli.verbs import VERBS

    verb = next(one for one in VERBS if one.name == "compile")
    file = str(READERS / f"{example}.yaml")
    configure(there, Path(file))
    # `--json`: hints about old forms are not for this output.
    values = parse(verb, [file, *pinned(there.site.cloud, Path(file)), "--json"])
    entry = read_entry(values, (file,), None)
    made = make_plan(entry, secrets=False, refuse=False)
    offer, wanted = made.chosen.offer, made.chosen.requirements or entry.task.requirements
    asked = wanted.accelerator.count if wanted.accelerator else 0
    has = offer.accelerator.count if offer.accelerator else 0
    known.update(
        entry=entry,
        plan=made,
        refused=tuple(problem.message for problem in not_runnable(entry, made)),
        chosen={
            "where": offer.where,
            "machine": offer.instance_type,
            "nodes": made.chosen.nodes,
            "accelerator": str(offer.accelerator),
            "market": offer.market.value,
            "larger": has > asked,
            "asked": asked,
        },
    )


def pinned(cloud: str, file: Path) -> list[str]:
    """The flags that put a file on a cloud which it does not name itself: what it says of a region is another's."""
    import yaml

    named = (yaml.safe_load(file.read_text()).get("resources") or {}).get("cloud")
    return [] if named == cloud else ["--infra", cloud]


def compiled(there: There, example: str, known: dict[str, Any]) -> None:
    """The folder that people review; its stack is brought up."""
    from compiler.folder import files
    from skywright.cli.planning import make_spec

    spec = make_spec(known["entry"], known["plan"].chosen, PROJECT)
    made = files(known["plan"], (spec,), project=PROJECT)
    folder = there.folder / f"{example}.compiled"
    folder.mkdir(exist_ok=True)
    for name, content in made.items():
        (folder / name).write_bytes(content)
    need(str(there.folder).encode() not in b"".join(made.values()), "a path of this machine is in the folder")
    known["spec"] = spec
    there.site.own(spec)


def preview(there: There, example: str, known: dict[str, Any]) -> None:
    """It makes nothing."""
    known["before"] = changed(there.operation(Kind.PREVIEW, known["spec"]))
    need(known["before"], "the first preview is empty")
    need(not there.site.alive(known["spec"]), "a preview made nodes")


def up(there: There, example: str, known: dict[str, Any]) -> None:
    """What was previewed is what is made."""
    spec: StackSpec = known["spec"]
    made = there.operation(Kind.UP, spec)
    known.update(nodes=made["nodes"], resources=made["resources"])
    need(changed(made) == known.get("before", changed(made)), "up did other things than the preview said")
    need(len(there.site.alive(spec)) == spec.nodes, "there are not as many nodes as asked")


def unchanged(there: There, example: str, known: dict[str, Any]) -> None:
    """A preview without a change of the task is empty."""
    found = changed(there.operation(Kind.PREVIEW, known["spec"]))
    need(not found, f"the preview is not empty: {found}")


def lost(there: There, example: str, known: dict[str, Any]) -> None:
    """The last rank goes without a notice and comes back; every other node stays."""
    spec: StackSpec = known["spec"]
    before = {row["rank"]: row["id"] for row in known["nodes"]}
    rank = max(before)
    alive = set(there.site.alive(spec))
    there.site.lose(before[rank], spec)
    until(lambda: set(there.site.alive(spec)) != alive, AWAY_S, "the node goes")
    result = there.operation(Kind.UP, spec, lost=(before[rank],))
    after = {row["rank"]: row["id"] for row in result["nodes"]}
    need({one for one in before if before[one] != after[one]} == {rank}, "other nodes changed, or none did")
    names = {name for _, name in changed(result)}
    # Where the cloud's own controller makes nodes, nothing of the stack changes.
    allowed = (set(),) if has_controller(spec.cloud) else ({f"node-{rank}"},)
    need(names in allowed, f"changed: {sorted(names)}")
    known["nodes"] = result["nodes"]
    need(len(there.site.alive(spec)) == spec.nodes, "there are not as many nodes as asked")


def has_controller(cloud: str) -> bool:
    return hasattr(module(cloud), "present")


def down(there: There, example: str, known: dict[str, Any], check: bool = True) -> None:
    """Stack and network go, and nothing is left but the storage of a task that keeps a folder: what is brought up again
    finds it."""
    spec: StackSpec = known["spec"]
    there.operation(Kind.DESTROY, spec)
    if spec.foundation is not None:
        there.operation(Kind.DESTROY, spec.foundation)
    if check and spec.checkpoint and Capability.CHECKPOINT in module(spec.cloud).CAPABILITIES:
        need(there.site.left(spec), "the storage of the checkpoint is gone")
        there.operation(Kind.UP, spec)
        need(len(there.site.alive(spec)) == spec.nodes, "it does not come up again beside its checkpoint")
        need(not changed(there.operation(Kind.PREVIEW, spec)), "the preview beside a checkpoint is not empty")
        there.operation(Kind.DESTROY, spec)
        need(there.site.left(spec), "the storage of the checkpoint is gone with its second life")
        if spec.foundation is not None:
            there.operation(Kind.DESTROY, spec.foundation)
    if check:
        # A cluster collects what belonged to deleted objects in its own time.
        with contextlib.suppress(Wrong):
            until(lambda: not beside(there, spec), AWAY_S if has_controller(spec.cloud) else 1.0, "")
        need(not beside(there, spec), f"left: {beside(there, spec)}")
        known["kept"] = tuple(there.site.left(spec))
    there.site.empty(spec)


def beside(there: There, spec: StackSpec) -> list[str]:
    """What is left and should not be: all of it, or all but the storage in which a checkpoint may lie."""
    found = there.site.left(spec)
    return [one for one in found if not STORAGE.search(one)] if spec.checkpoint else found


STEPS: Mapping[str, Callable[[There, str, dict[str, Any]], None]] = {
    "plan": plan,
    "compile": compiled,
    "preview": preview,
    "up": up,
    "unchanged": unchanged,
    "lost": lost,
    "unchanged again": unchanged,
    "down": down,
}


def changed(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(operation, resource) of all that was not left as it was, the network's too."""
    steps = [*result["steps"], *result.get("foundation", {}).get("steps", ())]
    return sorted((step["op"], step["resource"]) for step in steps if step["op"] not in ("same", "read"))


def need(true: object, says: str) -> None:
    if not true:
        raise Wrong(says)


def until(what: Callable[[], Any], seconds: float, says: str) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise Wrong(f"not within {seconds:g} s: {says}")
        time.sleep(0.02)


def print_table(cells: Sequence[Cell]) -> None:
    from skywright.cli.screen import table

    short = {"unchanged": "same", "unchanged again": "same"}
    head = ["EXAMPLE", "CLOUD", "CHOSEN", "NODES", "THINGS", *(short.get(name, name) for name in STEPS), ""]
    ordered = sorted(cells, key=lambda one: one.example)
    for line in table(head, [row(cell) for cell in ordered]):
        print(line)
    print(
        "\nseconds of each step; `same`: a preview that has to be empty, `lost`: a node taken away and had again"
    )
    for cell in ordered:
        for line in notes(cell):
            print(f"- {cell.example} on {cell.cloud}: {line}")


def row(cell: Cell) -> list[str]:
    chosen = cell.chosen
    where = f"{chosen['where']} {chosen['machine']} {chosen['market']}" if chosen else "-"
    nodes = f"{chosen['nodes']} × {chosen['accelerator']}" if chosen else "-"
    taken = [f"{cell.seconds[name]:.1f}" if name in cell.seconds else "-" for name in STEPS]
    return [
        cell.example,
        cell.cloud,
        where,
        nodes,
        str(cell.resources),
        *taken,
        "FAILED" if cell.failed else "ok",
    ]


def notes(cell: Cell) -> Iterator[str]:
    chosen = cell.chosen
    if chosen and chosen["larger"]:
        yield f"larger than asked ({chosen['accelerator']}, asked {chosen['asked']:g})"
    for says in cell.refused:
        yield f"`up` refuses {says}"
    if cell.kept:
        shown = (
            f"{one.partition(' ')[0]} {one.rpartition('/')[2]}" if "/" in one else one for one in cell.kept
        )
        yield f"kept after `down`, as the task asks: {', '.join(shown)}"
    if cell.failed:
        yield f"FAILED at {cell.failed}"
