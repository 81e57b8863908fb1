"""What verbs of the command line are made of: words and flags, many of them shared. Imports nothing of the product."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

GROUPS = ("jobs",)
"""First words of verbs of two words; the table has them as one, `jobs-launch`."""


class Kind(Enum):
    """What a flag's value is."""

    SWITCH = "switch"
    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `also`: other spellings; `off`: the spelling that says no; `value`: its value in help;
    `choices`: the values there are, when there are few."""

    name: str
    help: str
    short: str = ""
    kind: Kind = Kind.SWITCH
    also: tuple[str, ...] = ()
    off: str = ""
    value: str = "TEXT"
    choices: tuple[str, ...] = ()

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

    @property
    def spoken(self) -> str:
        """As it is typed: `jobs launch` is two words."""
        group, _, rest = self.name.partition("-")
        return f"{group} {rest}" if group in GROUPS else self.name


def text(name: str, help: str, value: str = "TEXT", short: str = "", also: tuple[str, ...] = ()) -> Flag:
    return Flag(name, help, short, Kind.TEXT, also, value=value)


def many(name: str, help: str, value: str) -> Flag:
    return Flag(name, help, kind=Kind.MANY, value=value)


JSON = Flag("json", "print the result as data")
YES = Flag("yes", "do not ask", "y")
ALL = Flag("all", "every deployment of the project", "a")
VERBOSE = Flag("verbose", "say more", "v")

VALUES = (
    many("env", "a variable of the task; KEY alone takes its value from your environment", "KEY[=VALUE]"),
    many("env-file", "a file of KEY=VALUE lines", "FILE"),
    many("secret", "as --env, never shown or stored in clear", "KEY[=VALUE]"),
    many("secret-file", "as --env-file, for secrets", "FILE"),
)

TASK = (
    text("name", "the task's name", "NAME", "n"),
    text("workdir", "folder that becomes the node's ~/sky_workdir", "DIR"),
    text("infra", "where to run: CLOUD[/REGION[/ZONE]]", "INFRA"),
    text("cloud", "the cloud to use", "CLOUD"),
    text("region", "the region to use", "REGION"),
    text("zone", "the zone to use", "ZONE"),
    Flag("num-nodes", "how many nodes", kind=Kind.WHOLE, value="N"),
    text("cpus", "vCPUs per node: 8, or 8+ for at least 8", "N[+]"),
    text("memory", "memory per node in GB: 32 or 32+", "GB[+]"),
    text("gpus", "accelerators per node: H100:8", "NAME:N"),
    text("disk-size", "disk per node: 256 or 256GB", "SIZE"),
    Flag("use-spot", "spot capacity, or with --no-use-spot none", off="no-use-spot"),
    text("instance-type", "a machine type by its cloud's name", "TYPE"),
    text("image-id", "a machine image, or docker:IMAGE", "IMAGE"),
    many("ports", "TCP ports to open: 8080 or 9000-9010", "PORTS"),
    text("disk-tier", "speed of the disk: low, medium, high, ultra or best", "TIER"),
    text("network-tier", "speed of the network: standard or best", "TIER"),
    text("local-disk", "a disk inside the machine: nvme:500+", "DISK"),
    text("job-recovery", "what happens after a loss: eager_next_region, failover or none", "STRATEGY"),
    Flag("priority", "order in the queue, -1000 to 1000", kind=Kind.WHOLE, value="N"),
    text("git-url", "a repository that becomes the workdir", "URL"),
    text("git-ref", "its branch, tag or commit", "REF"),
    *VALUES,
)

MINIMIZE = Flag(
    "minimize",
    "what the best is: the least cost (default), or the shortest time",
    kind=Kind.TEXT,
    value="cost|time",
    choices=("cost", "time"),
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
    text("cluster-name", "the deployment's name", "NAME", "c", ("cluster",)),
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
    MINIMIZE,
    *TASK,
    JSON,
)

FILE = Positional("file", "the task file")
NAME = Positional("name", "the deployment")
NAMES = Positional("names", "deployments; `*` and `?` match", many=True, optional=True)
ENTRY = Positional("entry", "a task file (.yaml), or a command", many=True)
