"""What `check` says of Kubernetes: whether each context answers, which rights are missing by name, what it serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.problem import Problems
from stacks.cloud import Check
from stacks.kubernetes import api, queue

SERVED = (
    (
        queue.GROUP,
        "Kueue: `given.kubernetes.queue`, or a task's label kueue.x-k8s.io/queue-name, names a queue",
    ),
    ("jobset.x-k8s.io", "JobSet is served; gangs are Indexed Jobs all the same"),
)
"""Groups of APIs that change what can be asked for."""

PAGE = "docs/clouds/kubernetes.md has the Role that is needed"


def lines(contexts: Sequence[str]) -> tuple[Check, ...]:
    """One line for each thing that a person can act on."""
    if not contexts:
        says = "no kubeconfig with a current context"
        return (Check(False, says, "KUBECONFIG names the file, or ~/.kube/config"),)
    return tuple(line for context in contexts for line in _context(context))


def _context(context: str) -> Iterator[Check]:
    try:
        with api.cluster(context) as cluster:
            yield from _cluster(cluster)
    except Problems as problems:
        first = problems.problems[0]
        yield Check(False, first.message, first.hint)


def _cluster(cluster: api.Cluster) -> Iterator[Check]:
    lacking = cluster.lacking()
    where = f"{cluster.context}, namespace {cluster.namespace}"
    needed = [(one, verbs) for one, verbs in lacking if one.wanted_for is None]
    if needed:
        missing = "; ".join(f"{', '.join(verbs)} {one}" for one, verbs in needed)
        yield Check(False, f"{where}: not allowed: {missing}", PAGE)
    else:
        yield Check(True, f"{where}: answers, and everything that is needed is allowed")
    for one, verbs in lacking:
        if one.wanted_for is not None and (one.group != queue.GROUP or cluster.serves(queue.GROUP)):
            yield Check(True, f"{where}: without {', '.join(verbs)} {one} there is no {one.wanted_for}", PAGE)
    if not cluster.may("", "nodes", "list", namespaced=False):
        hint = "a ClusterRole with `list nodes`, or `prices.machines` in the configuration"
        yield Check(True, f"{where}: nodes cannot be listed, so no accelerators are offered", hint)
    for group, says in SERVED:
        if cluster.serves(group):
            yield Check(True, f"{where}: {says}")
