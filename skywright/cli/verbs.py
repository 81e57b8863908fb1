"""The verbs of the command line as one table: names, flags and help. Imports nothing of the product."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a flag's value is."""

    SWITCH = "switch"
    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `also`: other spellings; `off`: the spelling that says no; `value`: its value in help."""

    name: str
    help: str
    short: str = ""
    kind: Kind = Kind.SWITCH
    also: tuple[str, ...] = ()
    off: str = ""
    value: str = "TEXT"

    @property
    def dest(self) -> str:
        return self.name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Positional:
    """Words without a dash: one, or with `many` all that are left. `unless` names a flag in its place."""

    name: str
    help: str
    many: bool = False
    optional: bool = False
    unless: str = ""


@dataclass(frozen=True, slots=True)
class Verb:
    """One command. `module` is imported when it runs and has `run(values) -> exit code`.

    `later` are flags SkyPilot has and we do not have yet (named so that they are refused as such).
    """

    name: str
    help: str
    module: str
    words: tuple[Positional, ...] = ()
    flags: tuple[Flag, ...] = ()
    aliases: tuple[str, ...] = ()
    doc: str = ""
    later: frozenset[str] = frozenset()


def _text(name: str, help: str, value: str = "TEXT", short: str = "", also: tuple[str, ...] = ()) -> Flag:
    return Flag(name, help, short, Kind.TEXT, also, value=value)


def _many(name: str, help: str, value: str) -> Flag:
    return Flag(name, help, kind=Kind.MANY, value=value)


JSON = Flag("json", "print the result as data")
YES = Flag("yes", "do not ask", "y")
ALL = Flag("all", "every deployment of the project", "a")
VERBOSE = Flag("verbose", "say more", "v")

VALUES = (
    _many("env", "a variable of the task; KEY alone takes its value from your environment", "KEY[=VALUE]"),
    _many("env-file", "a file of KEY=VALUE lines", "FILE"),
    _many("secret", "as --env, never shown or stored in clear", "KEY[=VALUE]"),
    _many("secret-file", "as --env-file, for secrets", "FILE"),
)

TASK = (
    _text("name", "the task's name", "NAME", "n"),
    _text("workdir", "folder that becomes the node's ~/sky_workdir", "DIR"),
    _text("infra", "where to run: CLOUD[/REGION[/ZONE]]", "INFRA"),
    _text("cloud", "the cloud to use", "CLOUD"),
    _text("region", "the region to use", "REGION"),
    _text("zone", "the zone to use", "ZONE"),
    Flag("num-nodes", "how many nodes", kind=Kind.WHOLE, value="N"),
    _text("cpus", "vCPUs per node: 8, or 8+ for at least 8", "N[+]"),
    _text("memory", "memory per node in GB: 32 or 32+", "GB[+]"),
    _text("gpus", "accelerators per node: H100:8", "NAME:N"),
    _text("disk-size", "disk per node: 256 or 256GB", "SIZE"),
    Flag("use-spot", "spot capacity, or with --no-use-spot none", off="no-use-spot"),
    _text("instance-type", "a machine type by its cloud's name", "TYPE"),
    _text("image-id", "a machine image, or docker:IMAGE", "IMAGE"),
    _many("ports", "TCP ports to open: 8080 or 9000-9010", "PORTS"),
    _text("disk-tier", "speed of the disk: low, medium, high, ultra or best", "TIER"),
    _text("network-tier", "speed of the network: standard or best", "TIER"),
    _text("local-disk", "a disk inside the machine: nvme:500+", "DISK"),
    _text("job-recovery", "what happens after a loss: eager_next_region, failover or none", "STRATEGY"),
    Flag("priority", "order in the queue, -1000 to 1000", kind=Kind.WHOLE, value="N"),
    _text("git-url", "a repository that becomes the workdir", "URL"),
    _text("git-ref", "its branch, tag or commit", "REF"),
    *VALUES,
)

LATER = frozenset(
    [
        "ephemeral-storage",
        "config",
        "clone",
        "clone-disk-from",
        "fast",
        "resize",
        "workspace",
        "wait-for",
        "docker",
        "gpus-per-node",
    ]
)

DETACH = Flag("detach", "return when the task is accepted", "d", also=("detach-run", "async"), off="no-async")

LAUNCH_FLAGS = (
    _text("cluster-name", "the deployment's name", "NAME", "c", ("cluster",)),
    YES,
    DETACH,
    Flag("dryrun", "show the plan and the preview, create nothing"),
    Flag("no-setup", "skip setup"),
    Flag("keep", "keep the nodes when the task is done, until `down`"),
    Flag(
        "idle-minutes-to-autostop",
        "stop or remove the nodes after so many idle minutes",
        "i",
        Kind.WHOLE,
        value="MINUTES",
    ),
    Flag("down", "remove the nodes when the task is done"),
    Flag("retry-until-up", "go on trying while there is no capacity", "r"),
    *TASK,
    JSON,
)

FILE = Positional("file", "the task file")
NAME = Positional("name", "the deployment")
NAMES = Positional("names", "deployments; `*` and `?` match", many=True, optional=True)
ENTRY = Positional("entry", "a task file (.yaml), or a command", many=True)

LAUNCH_DOC = """The task file is compiled, the plan is shown, Pulumi makes the nodes, and its output is
followed. On a living name its nodes are used again. Ctrl-C asks: stop the task, or leave it running."""

CHAOS_DOC = """KIND is one of
  preempt         announce that the node's spot capacity is taken away, then take it (--notice SECONDS)
  kill            take the node away without a notice
  kill-agent      kill -9 the agent of a node; its task runs on
  kill-control    kill -9 control; the next command starts it again
  kill-operation  kill -9 the engine operation that is running"""

VERBS: tuple[Verb, ...] = (
    Verb(
        "up",
        "Launch a task file and follow it",
        "launch",
        (ENTRY,),
        LAUNCH_FLAGS,
        ("launch",),
        LAUNCH_DOC,
        LATER,
    ),
    Verb(
        "exec",
        "Run a command or a task file on a living deployment, without setup",
        "exec",
        (Positional("deployment", "its name", unless="cluster_name"), ENTRY),
        (_text("cluster-name", "the deployment", "NAME", "c", ("cluster",)), DETACH, *TASK, JSON),
        doc="Put `--` before a command that has flags of its own.",
        later=LATER,
    ),
    Verb(
        "preview",
        "Show what `up` would create, change and cost",
        "preview",
        (ENTRY,),
        (*LAUNCH_FLAGS, Flag("markdown", "print it as a section of a pull request")),
        later=LATER,
    ),
    Verb(
        "compile",
        "Write the reviewable folder: plan, program and stack configuration",
        "compile",
        (FILE,),
        (
            _text("out", "the folder (default: the task's name, beside the file)", "DIR", "o"),
            _text("cluster-name", "the deployment's name", "NAME", "c", ("cluster",)),
            *TASK,
            JSON,
        ),
        later=LATER,
    ),
    Verb(
        "explain",
        "Show why the plan is what it is: the funnel from offers to placements",
        "compile",
        (FILE,),
        (
            _text("cluster-name", "the deployment's name", "NAME", "c", ("cluster",)),
            Flag("all-clouds", "among all clouds whose prices are known, also those that cannot run yet"),
            Flag("exact", "no machine larger than asked"),
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
            _text("infra", "only there: CLOUD[/REGION[/ZONE]]", "INFRA"),
            Flag("spot", "sort by the spot price, leave out what has none", off="no-spot"),
            Flag("all", "every row", "a"),
            JSON,
        ),
        doc="Prices are of the catalog of this version: whole machines per hour, and per accelerator.",
        aliases=("show-gpus",),
    ),
    Verb(
        "catalog",
        "Show which prices this version knows: date, rows, clouds",
        "catalog",
        (),
        (JSON,),
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
        later=frozenset(
            [
                "endpoints",
                "endpoint",
                "show-managed-jobs",
                "show-services",
                "show-pools",
                "all-users",
                "output",
            ]
        ),
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
    Verb(
        "cost-report",
        "Show what deployments cost, also removed ones",
        "cost",
        (),
        (
            Flag("all", "also what was free", "a"),
            Flag("days", "only the last days", kind=Kind.WHOLE, value="N"),
            JSON,
        ),
        later=frozenset({"output"}),
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
        "engine",
        "Show which Pulumi engine is used and why; install it when there is none",
        "engine",
        (),
        (JSON,),
    ),
    Verb(
        "orphans",
        "Show nodes and folders that no deployment owns",
        "orphans",
        (),
        (Flag("delete", "remove them"), YES, JSON),
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
)


def find(name: str, verbs: tuple[Verb, ...] = VERBS) -> Verb | None:
    """The verb of that name or alias."""
    return next((verb for verb in verbs if name == verb.name or name in verb.aliases), None)
