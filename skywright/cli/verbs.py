"""The verbs of the command line as one table: names, flags and help. Imports nothing of the product."""

from __future__ import annotations

from dataclasses import replace

from skywright.cli.flags import (
    ALL,
    DETACH,
    ENTRY,
    FILE,
    JSON,
    LATER,
    LAUNCH_FLAGS,
    MINIMIZE,
    NAME,
    NAMES,
    TASK,
    VERBOSE,
    YES,
    Flag,
    Kind,
    Positional,
    Verb,
    text,
)
from skywright.cli.job_verbs import JOB_VERBS
from skywright.cli.money_verbs import MONEY_VERBS
from skywright.cli.review_verbs import PREVIEW, REVIEW_VERBS
from skywright.cli.state_verbs import STATE_VERBS

SHOWN_LATER = ("show-pools", "show-services")

LAUNCH_DOC = """The task file is compiled, the plan is shown, Pulumi makes the nodes, and its output is
followed. On a living name its nodes are used again. Ctrl-C asks: stop the task, or leave it running."""

CHAOS_DOC = """KIND is one of
  preempt         announce that the node's spot capacity is taken away, then take it (--notice SECONDS)
  kill            take the node away without a notice
  kill-agent      kill -9 the agent of a node; its task runs on
  kill-control    kill -9 control; the next command starts it again
  kill-operation  kill -9 the engine operation that is running"""

CATALOG_DOC = """ls lists the catalogs that are kept here. update asks each vendor for its prices; what cannot be had
stays as it was. lock writes catalog.lock beside a task: its plans then use just the prices of now."""

BAKE_DOC = """Both are made by one recipe of one list (docs/clouds/images.md). In a cloud a machine runs it, an image
is made of the machine, and the machine goes; `bake` again goes on where it was cut off."""

MOVE_DOC = """The task runs on until the new nodes are there. Then it is told to save, its checkpoint is carried over,
and it goes on in the new place. What cannot be had there leaves it where it is (docs/move.md)."""

ORPHANS_DOC = "What may be another's is shown and never deleted: docs/state.md tells how that is known."

DRIFT_DOC = "Looks only: no lock is taken and nothing is written. Exit code: 7 when anything drifted."

VERBS: tuple[Verb, ...] = (
    Verb(
        "up",
        "Launch a task file and follow it",
        "launch",
        (replace(ENTRY, unless="approved"),),
        (*LAUNCH_FLAGS, text("approved", "apply exactly what `preview --out` wrote, or refuse", "FILE")),
        ("launch",),
        LAUNCH_DOC,
        LATER,
    ),
    Verb(
        "exec",
        "Run a command or a task file on a living deployment, without setup",
        "exec",
        (Positional("deployment", "its name", unless="cluster_name"), ENTRY),
        (text("cluster-name", "the deployment", "NAME", "c", ("cluster",)), DETACH, *TASK, JSON),
        doc="Put `--` before a command that has flags of its own.",
        later=LATER,
    ),
    PREVIEW,
    Verb(
        "compile",
        "Write the reviewable folder: plan, program and stack configuration",
        "compile",
        (FILE,),
        (
            text("out", "the folder (default: the task's name, beside the file)", "DIR", "o"),
            text("cluster-name", "the deployment's name", "NAME", "c", ("cluster",)),
            MINIMIZE,
            *TASK,
            JSON,
        ),
        later=LATER,
    ),
    Verb(
        "explain",
        "Show why the plan is what it is: the funnel from offers to placements",
        "explain",
        (FILE,),
        (
            text("cluster-name", "the deployment's name", "NAME", "c", ("cluster",)),
            Flag("all-clouds", "among all clouds whose prices are known, also those that cannot run yet"),
            Flag("exact", "no machine larger than asked"),
            MINIMIZE,
            *TASK,
            JSON,
        ),
        later=LATER,
    ),
    Verb(
        "gpus",
        "Show accelerators with their prices, cheapest first",
        "gpus",
        (Positional("accelerator", "a name, or NAME:COUNT, or a memory such as 80GB+", optional=True),),
        (
            text("infra", "only there: CLOUD[/REGION[/ZONE]]", "INFRA"),
            Flag("spot", "sort by the spot price, leave out what has none", off="no-spot"),
            Flag("all", "every row", "a"),
            JSON,
        ),
        doc="Prices are of the catalog in use: whole machines per hour, and per accelerator.",
        aliases=("show-gpus",),
    ),
    Verb(
        "catalog",
        "Show which prices are known: date, rows, clouds; fetch newer ones; pin them",
        "catalog",
        (
            Positional("action", "ls | update | lock; without: what is in use", optional=True),
            Positional("of", "update: clouds (default: all); lock: a task file", many=True, optional=True),
        ),
        (JSON,),
        doc=CATALOG_DOC,
    ),
    Verb(
        "validate",
        "Check task files without touching anything",
        "validate",
        (Positional("files", "task files", many=True),),
        (JSON,),
    ),
    Verb(
        "migrate",
        "Rewrite old forms of task files; comments stay",
        "migrate",
        (Positional("files", "task files", many=True),),
        (Flag("dryrun", "only say what would change"), JSON),
    ),
    Verb(
        "config",
        "Show every setting that holds here, and the file it comes from",
        "config",
        (Positional("file", "a task file, whose folder decides", optional=True),),
        (JSON,),
    ),
    Verb(
        "status",
        "Show deployments: state, place, cost and last event",
        "status",
        (NAMES,),
        (
            Flag("refresh", "ask the clouds what exists", "r"),
            Flag("ip", "print the first node's address only"),
            VERBOSE,
            JSON,
        ),
        later=frozenset(("all-users", "endpoint", "endpoints", "output", "show-managed-jobs", *SHOWN_LATER)),
    ),
    Verb(
        "queue",
        "Show the runs of deployments",
        "status",
        (NAMES,),
        (Flag("skip-finished", "only runs that have not ended", "s"), JSON),
        later=frozenset({"all-users"}),
    ),
    Verb(
        "logs",
        "Show a run's output",
        "logs",
        (NAME, Positional("runs", "the run's number (default: the newest)", many=True, optional=True)),
        (
            Flag("follow", "follow a run that has not ended (the default)", "f", off="no-follow"),
            Flag(
                "status",
                "print only the status; exit 0 succeeded, 100 failed, 101 not ended, 102 none, 103 cancelled",
            ),
            Flag("sync-down", "write the logs into a folder here", "s"),
            Flag("tail", "only the last lines of each rank", kind=Kind.WHOLE, value="N"),
            JSON,
        ),
        later=frozenset(["provision", "hook", "worker"]),
    ),
    Verb(
        "cancel",
        "Stop runs; the nodes stay",
        "cancel",
        (NAME, Positional("runs", "numbers of runs (default: the newest)", many=True, optional=True)),
        (Flag("all", "every run of the deployment", "a"), YES, JSON),
        later=frozenset({"all-users"}),
    ),
    Verb(
        "autostop",
        "Set what happens when a deployment has been idle",
        "autostop",
        (NAMES,),
        (
            Flag("idle-minutes", "after so many idle minutes", "i", Kind.WHOLE, value="MINUTES"),
            Flag("down", "remove the nodes instead of stopping them"),
            Flag("cancel", "never stop by itself"),
            ALL,
            YES,
            JSON,
        ),
        later=frozenset({"wait-for", "all-users"}),
    ),
    Verb(
        "down",
        "Remove deployments",
        "down",
        (NAMES,),
        (
            ALL,
            Flag("purge", "delete kept checkpoints too, and forget what cannot be deleted", "p"),
            YES,
            Flag("detach", "return at once", "d", also=("async",), off="no-async"),
            JSON,
        ),
        aliases=("terminate",),
        later=frozenset(["graceful", "graceful-timeout", "all-users"]),
    ),
    *MONEY_VERBS,
    Verb(
        "bake",
        "Make a node image: a container image, or a machine image of a cloud",
        "bake",
        (),
        (
            Flag("container", "a Dockerfile with its context, built where a container engine is"),
            text("out", "the folder for them (default: skywright-image)", "DIR", "o"),
            text("tag", "what the container image is called", "NAME"),
            text("cloud", "the cloud that gets an image", "CLOUD"),
            text("region", "the region of that image", "REGION"),
            text("zone", "the zone of the machine that becomes it", "ZONE"),
            text("gpus", "the accelerator whose driver it has: H100", "NAME"),
            Flag("arch", "its kind of CPU", kind=Kind.TEXT, value="ARCH", choices=("x86_64", "arm64")),
            text("instance-type", "the machine that becomes it", "TYPE"),
            JSON,
        ),
        doc=BAKE_DOC,
    ),
    Verb(
        "check",
        "Check engine, state, control and clouds on this machine",
        "check",
        (Positional("clouds", "only these clouds", many=True, optional=True),),
        (VERBOSE, JSON),
        later=frozenset({"workspace", "output"}),
    ),
    Verb(
        "stop",
        "Stop the nodes of deployments; their disks stay",
        "stop",
        (NAMES,),
        (ALL, YES, Flag("detach", "return at once", "d", also=("async",), off="no-async"), JSON),
        doc="Unfinished runs are cancelled. Clouds that cannot stop nodes refuse; `down` removes them.",
        later=frozenset(["purge", "graceful", "graceful-timeout", "all-users"]),
    ),
    Verb(
        "start",
        "Start stopped nodes again",
        "stop",
        (NAMES,),
        (ALL, YES, Flag("detach", "return at once", "d", also=("async",), off="no-async"), JSON),
        later=frozenset(["retry-until-up", "idle-minutes-to-autostop", "down", "force", "wait-for"]),
    ),
    Verb(
        "move",
        "Move a living deployment to another place, with its checkpoint",
        "move",
        (NAME,),
        (
            text(
                "to", "CLOUD, CLOUD/REGION or CLOUD/REGION/ZONE (default: the next approved place)", "INFRA"
            ),
            YES,
            Flag("detach", "return at once", "d", also=("async",), off="no-async"),
            JSON,
        ),
        doc=MOVE_DOC,
    ),
    Verb(
        "ssh",
        "Open a shell on a node, or run a command there",
        "ssh",
        (
            Positional("name", "the deployment", optional=True),
            Positional("words", "the rank (default 0), then `--` and a command", many=True, optional=True),
        ),
        (Flag("config", "print entries for ~/.ssh/config, which editors read too"), JSON),
        doc="Nodes are reached as their cloud offers it: no port is open for it. Exit code: the command's own.",
    ),
    Verb(
        "forward",
        "Make ports of a node ports of this machine, until Ctrl-C",
        "ssh",
        (NAME, Positional("ports", "a port, or PORT:LOCAL", many=True)),
        (Flag("rank", "which node (default 0)", kind=Kind.WHOLE, value="N"), JSON),
    ),
    Verb(
        "endpoints",
        "Show where the ports are that a deployment opens",
        "ssh",
        (NAME, Positional("port", "only this one", optional=True)),
        (JSON,),
    ),
    Verb(
        "foundation",
        "Show the networks that deployments share (ls), or remove those that nothing uses (down)",
        "foundation",
        (
            Positional("action", "ls | down"),
            Positional("places", "only there: CLOUD/REGION", many=True, optional=True),
        ),
        (YES, JSON),
        doc="A network is made with the first deployment of a place and stays after the last one.",
    ),
    Verb(
        "login",
        "Renew the credentials that a deployment uses by those of this shell",
        "login",
        (NAMES,),
        (ALL, JSON),
    ),
    Verb(
        "engine",
        "Show which Pulumi engine is used and why; install it when there is none",
        "engine",
        (),
        (JSON,),
    ),
    Verb(
        "drift",
        "Show what is lost or changed in the clouds since the state was written",
        "drift",
        (NAMES,),
        (Flag("all", "every stack of the project (the default)", "a"), JSON),
        doc=DRIFT_DOC,
    ),
    Verb(
        "orphans",
        "Show what clouds have that no state knows, and what states know that no cloud has",
        "orphans",
        (),
        (Flag("delete", "remove what is ours and unused"), YES, JSON),
        doc=ORPHANS_DOC,
    ),
    Verb(
        "chaos",
        "Take things away on purpose, to see the recovery",
        "chaos",
        (
            Positional("kind", "preempt | kill | kill-agent | kill-control | kill-operation"),
            Positional("name", "the deployment", optional=True),
        ),
        (
            Flag("rank", "which node (default 0)", kind=Kind.WHOLE, value="N"),
            Flag("notice", "seconds between notice and loss (preempt)", kind=Kind.NUMBER, value="SECONDS"),
            JSON,
        ),
        doc=CHAOS_DOC,
    ),
    *REVIEW_VERBS,
    *JOB_VERBS,
    *STATE_VERBS,
)


def find(name: str, verbs: tuple[Verb, ...] = VERBS) -> Verb | None:
    """The verb of that name or alias."""
    return next((verb for verb in verbs if name == verb.name or name in verb.aliases), None)
