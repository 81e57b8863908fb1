"""Verbs of managed jobs, typed as two words: `jobs launch`. Imports nothing of the product."""

from __future__ import annotations

from dataclasses import replace

from skywright.cli.flags import ENTRY, JSON, LATER, TASK, YES, Flag, Kind, Positional, Verb, text

LAUNCH_DOC = """Every task of the file gets nodes of its own, which are removed when it is over; lost ones are replaced.
Several documents are a pipeline, one task after the other, or with `execution: parallel` a group. Exit code: that of
`jobs logs`."""

LOGS_DOC = """Without a number: the newest job. Exit code: 0 succeeded, 100 failed, 101 not ended, 102 no such job,
103 cancelled."""

ONLY = text("name", "the newest job of that name", "NAME", "n")
POOLS = frozenset({"pool", "all-users", "refresh", "output"})

JOB_VERBS: tuple[Verb, ...] = (
    Verb(
        "jobs-launch",
        "Queue a task file as a managed job and follow it",
        "jobs",
        (ENTRY,),
        (
            YES,
            Flag(
                "detach", "return when the job is queued", "d", also=("detach-run", "async"), off="no-async"
            ),
            Flag("dryrun", "show the plan, queue nothing"),
            Flag("num-jobs", "so many jobs, each told its rank", kind=Kind.WHOLE, value="N"),
            text("max-duration", "how long each task may run: 90m, 10h", "TIME"),
            *TASK,
            JSON,
        ),
        doc=LAUNCH_DOC,
        later=LATER | {"pool", "job-group", "retry-until-up", "no-retry-until-up"},
    ),
    Verb(
        "jobs-queue",
        "Show managed jobs, newest first",
        "jobs_shown",
        (),
        (
            Flag("all", "also those that ended long ago", "a"),
            Flag("skip-finished", "only those that have not ended", "s"),
            JSON,
        ),
        later=POOLS | {"limit", "verbose"},
    ),
    Verb(
        "jobs-status",
        "Show one managed job: its tasks, where they run, how they ended",
        "jobs_shown",
        (Positional("id", "the job's number"),),
        (JSON,),
    ),
    Verb(
        "jobs-cancel",
        "Cancel managed jobs; their nodes are removed",
        "jobs_shown",
        (Positional("ids", "numbers of jobs", many=True, optional=True),),
        (
            replace(ONLY, help="every job of that name"),
            Flag("all", "every job that has not ended", "a"),
            YES,
            JSON,
        ),
        later=POOLS | {"graceful", "graceful-timeout"},
    ),
    Verb(
        "jobs-logs",
        "Show the output of a managed job, task after task",
        "joblogs",
        (
            Positional("id", "the job's number", optional=True),
            Positional("task", "only this task: its name or its place, from 0", optional=True),
        ),
        (
            ONLY,
            Flag("follow", "follow a job that has not ended (the default)", "f", off="no-follow"),
            Flag("controller", "what became of the job instead of its output"),
            Flag("controller-less", "its output alone, without what became of it"),
            JSON,
        ),
        doc=LOGS_DOC,
        later=POOLS | {"sync-down", "tail"},
    ),
)
