"""Plan and spec of an entry, for every command that needs them: values, offers, choice."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.problem import Place, Problem, Problems
from skywright.cli.taskfile import Entry

if TYPE_CHECKING:
    from compiler.offer import Capability
    from compiler.plan import Placement, Plan
    from compiler.spec import StackSpec
    from compiler.task import Task
    from skywright.config import Config


def catalog_clouds() -> tuple[str, ...]:
    """Clouds whose prices the catalog knows, whether their machines can be had from here yet or not."""
    from compiler.catalog.package import CLOUDS

    return CLOUDS


def make_plan(
    entry: Entry,
    *,
    secrets: bool = True,
    refuse: bool = True,
    clouds: Collection[str] = (),
    exact: bool = False,
    now: float | None = None,
    by_time: bool = False,
) -> Plan:
    """The plan of an entry all of whose values are given, among `clouds` (none: those that run here). `now` is
    what a deadline at a point in time is held against (seconds since 1970); `by_time` wants the fastest.

    Raises Problems task/value-needed, plan/..., policy/... Who only reviews need not have the `secrets`: their
    values change neither choice nor stack. With `refuse` also for what cannot run yet; `explain` tells that beside
    its plan.
    """
    from compiler import search
    from compiler.load import missing
    from compiler.runnable import not_enabled, refusals
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
    offers = chain.from_iterable(cloud(name).offers() for name in able)
    unable = _unable(entry.task, able, refuse)
    catalog = None
    if enabled.intersection(catalog_clouds()):
        from skywright.catalog import open_catalog

        catalog = open_catalog()
    terms = Terms(settings.regions, unable, now, settings.prices, by_time, settings.throughput)
    plan = search.plan(
        entry.task,
        offers,
        name=entry.name,
        enabled=enabled,
        catalog=catalog,
        exact=exact,
        terms=terms,
    )
    if not plan.placements:
        closed = not_enabled(entry.task, enabled)
        raise Problems((*closed, *refused, search.no_offer(entry.task, plan)))
    blind = search.unmeasured(entry.task, plan, terms)
    if blind:
        raise Problems(blind)
    check_policy(entry, plan)
    return plan


def capabilities(name: str) -> frozenset[Capability]:
    """What a cloud can do; nothing where its machines cannot be had from here yet."""
    from stacks import CLOUDS, cloud

    return cloud(name).CAPABILITIES if name in CLOUDS else frozenset()


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


def check_policy(entry: Entry, plan: Plan) -> None:
    """What user, project and task allow. Raises Problems policy/label-missing, policy/too-dear,
    policy/over-budget."""
    policy, found = entry.config.policy, list[Problem]()
    for name in policy.require_labels:
        if any(name not in one.labels for one in entry.task.options):
            place = entry.task.place("resources", "labels", key=True)
            hint = f"add `labels: {{{name}: ...}}` to `resources`"
            found.append(
                Problem("policy/label-missing", f"every task here has the label `{name}`", place, hint)
            )
    most = policy.max_hourly_cost
    if most is not None and plan.chosen.hourly > most:
        says = f"`{entry.name}` costs {plan.chosen.hourly:.2f} USD/h, and {most:g} is the most that is allowed here"
        found.append(Problem("policy/too-dear", says, hint="`skywright config` shows where this is set"))
    budget = entry.task.budget
    if budget is not None and plan.chosen.total > budget:
        found.append(_over_budget(entry, plan, budget))
    if found:
        raise Problems(found)


def _over_budget(entry: Entry, plan: Plan, budget: float) -> Problem:
    from compiler.words import money, span

    hours = span(plan.estimate.hours * 3600)
    where = f"{plan.chosen.offer.where} {plan.chosen.offer.instance_type}"
    taken = f"{hours} by default" if plan.estimate.assumed and plan.estimate.deadline_h is None else hours
    says = f"`{entry.name}` costs {money(plan.chosen.total)} on {where}, and its budget is {money(budget)}"
    hint = (
        f"reckoned for {taken}; `duration` tells how long it takes, `skywright explain` where the money goes"
    )
    return Problem("policy/over-budget", says, entry.task.place("budget"), hint)


def enabled_clouds(settings: Config, task: Task | None = None) -> tuple[str, ...]:
    """Clouds a task may run on: those of the configuration, else those with credentials and those it names."""
    from stacks import CLOUDS, configured

    if settings.clouds is not None:
        return tuple(name for name in CLOUDS if name in settings.clouds)
    named = {one.cloud for one in task.options} if task else set()
    return tuple(dict.fromkeys((*configured(), *(name for name in CLOUDS if name in named))))


def make_spec(entry: Entry, placement: Placement, project: str) -> StackSpec:
    """The stack of one placement."""
    from compiler.catalog.images import image_for
    from compiler.lower import lower
    from skywright.cli.settings import owner
    from stacks import cloud
    from stacks.local import agent_digest

    offer = placement.offer
    card = offer.accelerator.name if offer.accelerator else None
    image = image_for(offer.cloud, offer.region, card, offer.arch)
    return lower(
        entry.task,
        placement,
        name=entry.name,
        project=project,
        agent=agent_digest(),
        owner=owner(),
        image=image.id if image else None,
        given=entry.config.given.get(offer.cloud),
        foundation=cloud(offer.cloud).FOUNDATION,
    )


def settled(task: Task, placement: Placement) -> Task:
    """The task with the one of its alternatives that a placement meets."""
    return replace(task, requirements=placement.requirements or task.requirements)


def check_local(task: Task) -> None:
    """Whether the folders and files that the task takes from this machine are here.

    Raises Problems task/no-such-workdir, task/no-such-source, with their places in the file.
    """
    found: list[Problem] = []
    if task.workdir is not None:
        path = Path(task.workdir).expanduser()
        place = task.place("workdir")
        if not path.exists():
            found.append(_absent("task/no-such-workdir", "workdir", task.workdir, task, place))
        elif not path.is_dir():
            found.append(
                Problem("task/no-such-workdir", f"the workdir `{task.workdir}` is not a folder", place)
            )
    for target, source in task.file_mounts.items():
        if not Path(source).expanduser().exists():
            place = task.place("file_mounts", target)
            found.append(_absent("task/no-such-source", f"source of `{target}`", source, task, place))
    if found:
        raise Problems(found)


def _absent(code: str, what: str, written: str, task: Task, place: Place | None) -> Problem:
    path = Path(written).expanduser()
    beside = Path(task.file).expanduser().parent / path
    hint = None
    if not path.is_absolute():
        hint = f"relative paths begin where you are, {Path.cwd()}"
        if beside.exists():
            hint += f";\nit is beside the task file: cd {beside.parent}"
    return Problem(code, f"the {what}, `{written}`, does not exist", place, hint)
