"""Whether living nodes are enough for a new task: what it asks beside what their stack says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from compiler import buckets
from compiler.catalog import accelerators, inside, tariffs
from compiler.lower import OF_THE_USERS
from compiler.needs import MemoryOf, Requirements
from compiler.offer import Accelerator, Market, Offer
from compiler.problem import Place
from compiler.quantity import Quantity
from compiler.spec import StackSpec
from compiler.task import Task

_ROUNDING = 1e-6

PLACE = ("cloud", "region", "zone")


@dataclass(frozen=True, slots=True)
class Misfit:
    """One field of the file that living nodes do not meet: what is asked, and what they have, for people."""

    field: str
    asked: str
    has: str

    @property
    def says(self) -> str:
        return f"`{self.field}` asks for {self.asked}, and its nodes have {self.has}"


def misfits(
    task: Task,
    spec: StackSpec,
    machine: Offer | None = None,
    *,
    market_asked: bool = False,
    price: float | None = None,
) -> tuple[Misfit, ...]:
    """What of the task the nodes of `spec` do not meet; empty when it fits. Of alternatives, the nearest counts.

    A node without a limit in its spec has all of `machine` (of any size when that is None). The market counts
    when the file says `use_spot`, or with `market_asked`. `price` is USD per node and hour.
    """
    nodes = []
    if task.num_nodes > spec.nodes:
        nodes.append(Misfit("num_nodes", str(task.num_nodes), str(spec.nodes)))
    asked = market_asked or _says_market(task)
    wanted = _nearest(task, spec, machine, asked)
    most = wanted.max_hourly_cost
    dear = []
    if most is not None and price is not None and price > most + _ROUNDING:
        dear.append(Misfit("max_hourly_cost", f"{most:g} USD/h", f"{price:g} USD/h"))
    return (*nodes, *_of(wanted, spec, machine, asked), *dear)


def met(task: Task, spec: StackSpec, machine: Offer | None = None, *, market_asked: bool = False) -> Task:
    """The task with the one of its alternatives that living nodes meet best, the first of several."""
    asked = market_asked or _says_market(task)
    wanted, card = _nearest(task, spec, machine, asked), spec.accelerator
    if wanted.accelerator_memory and card:
        count = wanted.accelerator_memory.count
        wanted = replace(wanted, accelerator=Accelerator(card.name, count), accelerator_memory=None)
    return replace(task, requirements=wanted)


def _nearest(task: Task, spec: StackSpec, machine: Offer | None, market_asked: bool) -> Requirements:
    return min(task.options, key=lambda one: len(tuple(_of(one, spec, machine, market_asked))))


def kept(task: Task, spec: StackSpec) -> StackSpec:
    """The living spec for a task that fits: only labels and ports that the task gives differ, and containers for
    secrets and rights to buckets that it adds; they change in place."""
    labels, ports = task.requirements.labels, task.requirements.ports
    added = () if spec.cloud == OF_THE_USERS else {*task.secrets, *buckets.secret_names(task, spec.cloud)}
    reached = buckets.granted(buckets.rows(task), spec.cloud)
    return replace(
        spec,
        labels=dict(sorted(labels.items())) if labels else spec.labels,
        ports=ports or spec.ports,
        secrets=tuple(sorted({*spec.secrets, *added})),
        buckets=buckets.merged(spec.buckets, reached),
    )


def place(task: Task, misfit: Misfit) -> Place | None:
    """Where the file says it."""
    if misfit.field == "num_nodes":
        return task.place("num_nodes")
    names = (misfit.field, "infra") if misfit.field in PLACE else (misfit.field,)
    for name in names:
        if task.source is not None and task.source.place(("resources", name)):
            return task.place("resources", name)
    return None


def _of(wanted: Requirements, spec: StackSpec, machine: Offer | None, market_asked: bool) -> Iterator[Misfit]:
    for name in PLACE:
        asked, has = getattr(wanted, name), getattr(spec, name)
        if asked is not None and asked != has:
            yield Misfit(name, asked, has or "none")
    if wanted.instance_type is not None and wanted.instance_type != spec.instance_type:
        yield Misfit("instance_type", wanted.instance_type, spec.instance_type)
    card, there = wanted.accelerator, spec.accelerator
    if card and (there is None or there.name != card.name or there.count < card.count):
        yield Misfit("accelerators", str(card), str(there) if there else "none")
    if wanted.accelerator_memory and not _has_memory(wanted.accelerator_memory, there):
        by = wanted.accelerator_memory
        yield Misfit("accelerators", f"{by.gb}GB:{by.count}", str(there) if there else "none")
    cpus = spec.cpus if spec.cpus is not None or machine is None else machine.cpus
    memory = spec.memory_gb if spec.memory_gb is not None or machine is None else machine.memory_gb
    if _off(wanted.cpus, cpus, wanted.exact):
        yield Misfit("cpus", str(wanted.cpus), f"{cpus:g}")
    if _off(wanted.memory_gb, memory, wanted.exact):
        yield Misfit("memory", f"{wanted.memory_gb} GB", f"{memory:g} GB")
    ratio = wanted.memory_per_cpu
    if ratio and cpus and memory and memory + _ROUNDING < ratio.value * cpus:
        yield Misfit("memory", f"{ratio}x", f"{memory / cpus:g} GB for each vCPU")
    yield from _tiers(wanted, spec)
    if wanted.disk_gb and spec.disk_gb is not None and wanted.disk_gb > spec.disk_gb + _ROUNDING:
        yield Misfit("disk_size", f"{wanted.disk_gb:g} GB", f"{spec.disk_gb:g} GB")
    spot = spec.market is Market.SPOT
    if market_asked and wanted.use_spot != spot:
        yield Misfit("use_spot", str(wanted.use_spot).lower(), str(spot).lower())


def _off(asked: Quantity | None, has: float | None, exact: bool) -> bool:
    """Is there less than asked, or with `exact` more?"""
    if asked is None or has is None:
        return False
    more = exact and not asked.at_least and asked.value < has - _ROUNDING
    return more or asked.value > has + _ROUNDING


def _says_market(task: Task) -> bool:
    """Not saying `use_spot` is no wish for on-demand: what lives already is taken as it is."""
    if any(one.use_spot for one in task.options):
        return True
    if task.source is None or not isinstance(task.source.data, dict):
        return False
    resources = task.source.data.get("resources")
    if not isinstance(resources, dict):
        return False
    several = [*(resources.get("any_of") or ()), *(resources.get("ordered") or ())]
    return any(isinstance(one, dict) and one.get("use_spot") is not None for one in (resources, *several))


def _has_memory(asked: MemoryOf, there: Accelerator | None) -> bool:
    """Whether the accelerators of a node are of those that a request by memory names."""
    if there is None or there.count < asked.count:
        return False
    at_least, maker = asked.gb.at_least, asked.maker
    return there.name in accelerators.with_memory(asked.gb.value, at_least=at_least, vendor=maker)


def _tiers(wanted: Requirements, spec: StackSpec) -> Iterator[Misfit]:
    """Speeds that are asked for beyond what every node has, and disks inside the machine."""
    plain = (None, "none", "medium") if spec.cloud in tariffs.TIERS else tariffs.PLAIN
    if wanted.disk_tier not in (*plain, spec.disk_tier):
        yield Misfit("disk_tier", str(wanted.disk_tier), spec.disk_tier or "medium")
    if wanted.network_tier == "best" != spec.network_tier:
        yield Misfit("network_tier", "best", spec.network_tier or "standard")
    disk = wanted.local_disk
    if disk and not inside.has_disk(spec.cloud, spec.instance_type, disk):
        yield Misfit("local_disk", f"{disk.kind}:{disk.gb}", "none of this size")
