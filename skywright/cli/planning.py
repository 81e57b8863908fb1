"""Plan and spec of an entry, for every command that needs them: values, offers, choice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.problem import Problem, Problems
from skywright.cli.policy import check_policy
from skywright.cli.taskfile import Entry

if TYPE_CHECKING:
    from compiler.catalog.shelf import Catalog
    from compiler.cost import Data
    from compiler.dag import DagPlan
    from compiler.offer import Capability, Offer
    from compiler.plan import Placement, Plan
    from compiler.search import Judged
    from compiler.spec import StackSpec
    from compiler.task import Task
    from compiler.terms import Terms
    from skywright.config import Config


def catalog_clouds() -> tuple[str, ...]:
    """Clouds whose prices the catalog knows, whether their machines can be had from here yet or not."""
    from skywright import catalog

    return catalog.catalog_clouds()


def make_plan(
    entry: Entry,
    *,
    secrets: bool = True,
    refuse: bool = True,
    clouds: Collection[str] = (),
    exact: bool = False,
    now: float | None = None,
    by_time: bool = False,
    avoid: Mapping[str, float] | None = None,
    judge: bool = True,
) -> Plan:
    """The plan of an entry all of whose values are given, among `clouds` (none: those that run here). `now` is
    what a deadline at a point in time is held against (seconds since 1970); `by_time` wants the fastest.
    `avoid` are places where something failed so many seconds ago; they are used when there is no other.

    Raises Problems task/value-needed, plan/..., policy/... Who only reviews need not have the `secrets`: their
    values change neither choice nor stack. Without `judge` the policy refuses nothing: a preview tells what it finds.
    With `refuse` also for what cannot run yet; `explain` tells that beside
    its plan.
    """
    from compiler import search, unfit

    sold = _sold(entry, secrets=secrets, refuse=refuse, clouds=clouds, now=now, by_time=by_time)
    made = partial(
        search.plan,
        entry.task,
        sold.offers,
        name=entry.name,
        enabled=sold.enabled,
        catalog=_catalog(sold.enabled, [entry]),
        exact=exact,
        terms=sold.terms,
    )
    plan = made(avoid=avoid or {})
    if avoid and not plan.placements:
        plan = made()
    if not plan.placements:
        from compiler.runnable import not_enabled

        closed = not_enabled(entry.task, sold.enabled)
        elsewhere = None if clouds else _elsewhere(entry, sold, exact)
        raise Problems((*closed, *sold.refused, unfit.no_offer(entry.task, plan, elsewhere)))
    blind = search.unmeasured(entry.task, plan, sold.terms)
    if blind:
        raise Problems(blind)
    if judge:
        check_policy(entry, plan)
    return plan


def _elsewhere(entry: Entry, sold: _Sold, exact: bool) -> Placement | None:
    """The best among the clouds whose prices are known, for a task that names none and that nothing enabled fits."""
    from compiler import search

    known = frozenset(catalog_clouds()).union(one.cloud for one in entry.config.prices.machines)
    if known <= sold.enabled or all(one.cloud is not None for one in entry.task.options):
        return None
    terms, catalog = replace(sold.terms, unable={}), _catalog(known, [entry])
    found = search.plan(
        entry.task, (), name=entry.name, enabled=known, catalog=catalog, exact=exact, terms=terms
    )
    return found.placements[0] if found.placements else None


def make_dag_plan(
    entries: Sequence[Entry],
    edges: Sequence[tuple[int, int]],
    *,
    name: str,
    clouds: Sequence[Collection[str]],
    together: bool = False,
    exact: bool = False,
    now: float | None = None,
) -> DagPlan:
    """The plan for several entries together, of which `edges` tell which waits for which; `clouds` for each entry
    as of `make_plan`. What cannot run yet is not refused.

    Raises Problems task/value-needed, plan/..., policy/... of all entries.
    """
    from compiler import dag, search

    sales: dict[str, _Sold] = {}
    with _all_problems() as tell:
        for entry, among in zip(entries, clouds, strict=True):
            with tell():
                sales[entry.name] = _sold(entry, secrets=False, refuse=False, clouds=among, now=now)
    catalog = _catalog(frozenset().union(*(one.enabled for one in sales.values())), entries)

    def judge(task: Task, called: str, data: Sequence[Data]) -> Judged:
        sold = sales[called]
        return search.judge(
            task, sold.offers, name=called, enabled=sold.enabled, catalog=catalog, data=data, exact=exact,
            terms=sold.terms,
        )  # fmt: skip

    made = dag.plan(
        [entry.task for entry in entries],
        edges,
        name=name,
        names=[entry.name for entry in entries],
        judge=judge,
        together=together,
    )
    with _all_problems() as tell:
        for entry, plan in zip(entries, made.plans, strict=True):
            with tell():
                check_policy(entry, plan)
    return made


@contextmanager
def _all_problems() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Gathers the Problems of several steps, and raises them together at the end."""
    found: list[Problem] = []

    @contextmanager
    def tell() -> Iterator[None]:
        try:
            yield
        except Problems as wrong:
            found.extend(wrong.problems)

    yield tell
    if found:
        raise Problems(found)


@dataclass(frozen=True, slots=True)
class _Sold:
    """What is for sale to one task and on which terms, and what of it cannot run yet."""

    offers: tuple[Offer, ...]
    enabled: frozenset[str]
    terms: Terms
    refused: tuple[Problem, ...]


def _sold(
    entry: Entry,
    *,
    secrets: bool,
    refuse: bool,
    clouds: Collection[str],
    now: float | None,
    by_time: bool = False,
) -> _Sold:
    from compiler.load import missing
    from compiler.runnable import refusals
    from compiler.terms import Terms
    from stacks import CLOUDS, cloud

    needed = missing(entry.task, secrets=secrets)
    if needed:
        raise Problems(needed)
    settings = entry.config
    enabled = frozenset(clouds or enabled_clouds(settings, entry.task))
    able = [name for name in CLOUDS if name in enabled]
    refused = refusals(entry.task, frozenset().union(*map(capabilities, able)))
    if refuse and refused:
        raise Problems(refused)
    offers = tuple(chain.from_iterable(cloud(name).offers() for name in able))
    unable = _unable(entry.task, able, refuse)
    unmade = {name: found for name in able if (found := getattr(cloud(name), "UNMADE", None))}
    terms = Terms(settings.regions, unable, unmade, now, settings.prices, by_time, settings.throughput)
    return _Sold(offers, enabled, terms, refused)


def _catalog(enabled: frozenset[str], entries: Sequence[Entry]) -> Catalog | None:
    """The prices for these tasks, when a cloud is enabled that has any."""
    if not enabled.intersection(catalog_clouds()):
        return None
    from skywright import catalog

    return catalog.open_catalog(catalog.locked([folder_of(entry) for entry in entries]))


def not_runnable(entry: Entry, plan: Plan) -> tuple[Problem, ...]:
    """Why `up` would refuse this plan: a cloud that cannot be used from here, and what it cannot do of the task."""
    from compiler.runnable import refusals

    cloud = plan.chosen.offer.cloud
    found = refusals(entry.task, capabilities(cloud))
    usable = enabled_clouds(entry.config, entry.task)
    if cloud in usable:
        return found
    here = ", ".join(f"`{name}`" for name in usable) or "none"
    says = f"machines of `{cloud}` cannot be had from here"
    hint = f"enabled: {here}; `skywright check` tells what the others need"
    return (Problem("plan/cloud-not-enabled", says, entry.task.place("resources", key=True), hint), *found)


def folder_of(entry: Entry) -> Path | None:
    """Where a task file lies, and what belongs to it; None of a command."""
    return Path(entry.task.file).expanduser().absolute().parent if entry.is_file else None


def capabilities(name: str) -> frozenset[Capability]:
    """What a cloud can do; nothing where its machines cannot be had from here yet."""
    from stacks import CLOUDS, cloud

    if name not in CLOUDS:
        return frozenset()
    found = cloud(name)
    more: frozenset[Capability] = getattr(found, "here", frozenset)()
    return found.CAPABILITIES | more


def _unable(task: Task, names: Sequence[str], refuse: bool) -> dict[str, str]:
    """Clouds that cannot run the task, with what they cannot do, as long as another one can.

    When none can, it is refused with the places of what it asks; who only explains goes on.
    """
    from compiler.runnable import lacking, refusals

    found = {name: lacking(task, capabilities(name)) for name in names}
    unable = {name: says for name, says in found.items() if says}
    named = {one.cloud for one in task.options}
    asked = [name for name in names if name in named or None in named]
    if asked and all(name in unable for name in asked):
        if refuse:
            raise Problems(refusals(task, capabilities(asked[0])))
        return {}
    return unable


def recent_losses() -> dict[str, float]:
    """Places where capacity was lost or refused lately, as control knows if it runs: it is never started for this."""
    from stacks.home import home

    if not (home() / "control" / "control.json").exists():
        return {}
    from skywright.control.client import Client

    try:
        return Client.connect(home(), start=False).recent_losses()
    except Problems:
        return {}


def enabled_clouds(settings: Config, task: Task | None = None) -> tuple[str, ...]:
    """Clouds a task may run on: those of the configuration, else those with credentials and those it names."""
    from stacks import CLOUDS, configured

    if settings.clouds is not None:
        return tuple(name for name in CLOUDS if name in settings.clouds)
    named = {one.cloud for one in task.options} if task else set()
    return tuple(dict.fromkeys((*configured(), *(name for name in CLOUDS if name in named))))


def make_spec(entry: Entry, placement: Placement, project: str) -> StackSpec:
    """The stack of one placement."""
    from compiler.lower import lower
    from skywright.cli.settings import owner
    from stacks import cloud
    from stacks.local import agent_digest

    offer = placement.offer
    return lower(
        entry.task,
        placement,
        name=entry.name,
        project=project,
        agent=agent_digest(),
        owner=owner(),
        image=_image(entry, offer),
        given=entry.config.given.get(offer.cloud),
        foundation=cloud(offer.cloud).FOUNDATION,
    )


def _image(entry: Entry, offer: Offer) -> str | None:
    """What the node starts from, as the catalog of the task knows it."""
    if offer.cloud not in catalog_clouds():
        return None
    from compiler.catalog import contents
    from compiler.catalog.images import image_for
    from skywright.catalog import open_catalog

    card = offer.accelerator.name if offer.accelerator else None
    known = contents.images(open_catalog(folder_of(entry)))
    image = image_for(offer.cloud, offer.region, card, offer.arch, images=known)
    return image.id if image else None


def settled(task: Task, placement: Placement) -> Task:
    """The task with the one of its alternatives that a placement meets."""
    return replace(task, requirements=placement.requirements or task.requirements)
