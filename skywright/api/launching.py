"""From a Task to an accepted run: validate, optimize, explain, launch, exec, by the steps of the command line."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from compiler.problem import Problem, Problems
from skywright.api.dag import Dag
from skywright.api.following import Handle
from skywright.api.task import Task

if TYPE_CHECKING:
    from compiler.dag import DagPlan
    from compiler.plan import Plan
    from skywright.cli.arguments import Values
    from skywright.cli.taskfile import Entry

_LOG = logging.getLogger("skywright")


def validate(task: Task | Dag) -> None:
    """Check everything that can be checked here: values, and the files that tasks take from this machine.

    Raises Problems task/...; of a Dag those of all its tasks.
    """
    from skywright.cli.sources import check_local

    found: list[Problem] = []
    for one in task.tasks if isinstance(task, Dag) else (task,):
        try:
            check_local(one.compiled())
        except Problems as wrong:
            found.extend(wrong.problems)
    if found:
        raise Problems(found)


@overload
def optimize(task: Task) -> Plan: ...
@overload
def optimize(task: Dag) -> DagPlan: ...
def optimize(task: Task | Dag) -> Plan | DagPlan:
    """The plan among all clouds whose prices are known, whether they can be used from here yet or not.

    `plan.chosen` is the cheapest (or first) placement, `plan.placements` has the others; `hourly` is USD for all
    nodes. That of a Dag has a plan for each of its tasks, in its order, the `transfers` between them and the `total`
    in USD: together they are the cheapest. Raises Problems task/..., plan/no-offer, policy/...
    """
    if isinstance(task, Dag):
        return _optimized(task)
    from skywright.cli.planning import make_plan

    entry = entry_of(_single(task), None)
    return make_plan(entry, secrets=False, refuse=False, clouds=_priced(entry), now=time.time())


def explain(task: Task | Dag) -> str:
    """What the command `explain` says of the plan that `optimize` makes, as lines of text. Raises as it does."""
    from compiler import explain as single
    from compiler import explain_dag

    if isinstance(task, Dag):
        return "\n".join(line.text for line in explain_dag.lines(optimize(task)))
    return "\n".join(line.text for line in single.lines(entry_of(task, None).task, optimize(task)))


def _optimized(dag: Dag) -> DagPlan:
    from compiler.pipeline import named
    from compiler.task import deployment_name
    from skywright.cli.planning import make_dag_plan

    if not dag.tasks:
        raise Problems(Problem("task/wrong-value", "the Dag holds no task"))
    entries = [entry_of(task, None) for task in dag.tasks]
    names = named([entry.task for entry in entries])
    entries = [replace(entry, name=name) for entry, name in zip(entries, names, strict=True)]
    number = {id(task): index for index, task in enumerate(dag.tasks)}
    return make_dag_plan(
        entries,
        [(number[id(first)], number[id(then)]) for first, then in dag.edges],
        name=deployment_name(dag.name or "dag"),
        clouds=[_priced(entry) for entry in entries],
        now=time.time(),
    )


def _priced(entry: Entry) -> list[str]:
    """All clouds with prices, but for those that the configuration leaves out."""
    from skywright.cli.planning import catalog_clouds
    from stacks import CLOUDS

    wanted = entry.config.clouds
    every = dict.fromkeys((*CLOUDS, *catalog_clouds()))
    return [one for one in every if wanted is None or one in wanted]


def launch(
    task: Task | Dag,
    cluster_name: str | None = None,
    retry_until_up: bool = False,
    idle_minutes_to_autostop: int | None = None,
    *,
    dryrun: bool = False,
    down: bool = False,
    keep: bool = False,
    no_setup: bool = False,
    replace_nodes: bool = False,
) -> Handle:
    """Start a task on a deployment, a new one or the living one of that name. Returns as soon as control has
    accepted it, before there is a node; `sky.get(handle)` or `handle.wait()` waits for the run.

    Nodes are given back after `idle_minutes_to_autostop` minutes without a run, with `down` removed, with `keep`
    never; negative minutes are `keep`. Living nodes that the task does not fit are refused (plan/does-not-fit),
    with `replace_nodes` replaced; more nodes of a gang are added.
    `dryrun` checks and plans, and returns a handle of run 0, which is none.
    Nobody is asked about costs: the policy of the configuration is what limits them. Raises Problems task/...,
    plan/..., policy/..., control/... .
    """
    from skywright.cli import living, settings
    from skywright.cli.launch import connect, never_used, ready_engine
    from skywright.cli.order import make_order, send_files
    from skywright.cli.planning import make_plan, make_spec, recent_losses
    from skywright.cli.policy import gate
    from skywright.cli.sources import check_local

    entry = entry_of(_single(task), cluster_name)
    check_local(entry.task)
    plan = make_plan(entry, now=time.time(), avoid=recent_losses())
    spec = make_spec(entry, plan.chosen, settings.project())
    values = values_of(
        "up",
        retry_until_up=retry_until_up,
        idle_minutes_to_autostop=idle_minutes_to_autostop,
        down=down,
        keep=keep,
        no_setup=no_setup,
    )
    there = (
        None if never_used() else living.look(connect(), entry, entry.name, values, plan.chosen.requirements)
    )
    if there and not there.fits:
        if there.replaced and not replace_nodes:
            living.refuse(there, entry)
        living.agreed(there, entry, yes=True)
    if dryrun:
        return Handle(entry.name, 0)
    ready_engine(quiet=True)
    gate(entry, plan, there)
    client = connect()
    files = send_files(entry.task, client, _LOG.info)
    accepted = client.launch(make_order(entry, plan, spec, values, files, there))
    return Handle(entry.name, accepted["run"])


def exec(task: Task | Dag, cluster_name: str) -> Handle:
    """Queue a task on the nodes of a living deployment, without its setup. Returns when control has accepted it.

    Raises Problems task/..., plan/not-runnable-yet, control/no-such-deployment, control/... .
    """
    from compiler.load import missing
    from compiler.offer import Capability
    from compiler.runnable import refusals
    from skywright.cli import living
    from skywright.cli.launch import connect
    from skywright.cli.order import make_run, send_files
    from skywright.cli.planning import capabilities
    from skywright.cli.sources import check_local

    entry = entry_of(_single(task), cluster_name)
    wrong = missing(entry.task) or refusals(entry.task, frozenset(Capability))
    if wrong:
        raise Problems(wrong)
    check_local(entry.task)
    client = connect()
    there = living.look(client, entry, entry.name, values_of("exec"))
    if there:
        living.refuse(there, entry)
    wrong = refusals(entry.task, capabilities(there.spec.cloud) if there else ())
    if wrong:
        raise Problems(wrong)
    files = send_files(entry.task, client, _LOG.info)
    wanted, clouds = (there.met, (there.spec.cloud,)) if there else (entry.task, ())
    accepted = client.execute(entry.name, {"run": make_run(wanted, files, setup=False, clouds=clouds)})
    return Handle(entry.name, accepted["run"])


def _single(task: Task | Dag) -> Task:
    """The one task of it. Raises Problems plan/not-runnable-yet."""
    if isinstance(task, Task):
        return task
    if not isinstance(task, Dag):
        kind = type(task).__name__
        raise Problems(Problem("task/wrong-type", f"a Task or a Dag is wanted, not `{kind}`"))
    if len(task.tasks) == 1:
        return task.tasks[0]
    if not task.tasks:
        raise Problems(Problem("task/wrong-value", "the Dag holds no task"))
    says = f"a Dag of {len(task.tasks)} tasks cannot run yet"
    hint = "`sky.jobs.launch` runs its tasks one after the other"
    raise Problems(Problem("plan/not-runnable-yet", says, hint=hint))


def entry_of(task: Task, name: str | None = None) -> Entry:
    """The entry that the command line would have made of it. Old forms are told to the log `skywright`."""
    import secrets

    from skywright import config
    from skywright.cli.taskfile import Entry, check_name

    if name is not None:
        check_name(name)
    start: Path | None = task.file.expanduser().absolute().parent if task.file else None
    settings = config.read(start)
    made = task.compiled(settings.under_task())
    for hint in made.hints:
        _LOG.info("%s", hint)
    if name is None:
        name = made.deployment if made.name or task.file else f"cmd-{secrets.token_hex(2)}"
    return Entry(made, name, bool(task.file), settings)


def values_of(verb: str, **given: Any) -> Values:
    """What the command line would have read: everything else as when no flag is given."""
    from skywright.cli.arguments import Values
    from skywright.cli.flags import Kind
    from skywright.cli.verbs import find

    found = find(verb)
    flags = found.flags if found else ()
    every = {flag.dest: () if flag.kind is Kind.MANY else None for flag in flags}
    return Values(verb, verb, {**every, **given})
