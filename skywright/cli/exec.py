"""`exec`: one more run on the nodes of a living deployment, without setup."""

from __future__ import annotations

from compiler.load import missing
from compiler.offer import Capability
from compiler.problem import Problems
from compiler.runnable import refusals
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.launch import after_acceptance, connect, timeline_end
from skywright.cli.living import look, refuse
from skywright.cli.order import make_run, send_files
from skywright.cli.planning import capabilities
from skywright.cli.sources import check_local
from skywright.cli.taskfile import check_name, read_entry


def run(values: Values) -> int:
    """Execute a command or a task file on a deployment."""
    name = check_name(values.deployment)
    entry = read_entry(values, values.entry, name)
    needed = missing(entry.task)
    if needed:
        raise Problems(needed)
    refused = refusals(entry.task, frozenset(Capability))
    if refused:
        raise Problems(refused)
    check_local(entry.task)
    client = connect()
    there = look(client, entry, name, values)
    if there:
        refuse(there, entry)
    refused = refusals(entry.task, capabilities(there.spec.cloud) if there else ())
    if refused:
        raise Problems(refused)
    files = send_files(entry.task, client, screen.say)
    after = timeline_end(client, name)
    task, clouds = (there.met, (there.spec.cloud,)) if there else (entry.task, ())
    accepted = client.execute(name, {"run": make_run(task, files, setup=False, clouds=clouds)})
    return after_acceptance(values, name, accepted["run"], entry.task.num_nodes, after)
