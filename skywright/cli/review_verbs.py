"""Verbs for pull requests: previews, and what a job on a code host types. Imports nothing of the product."""

from __future__ import annotations

from skywright.cli.flags import ENTRY, JSON, LATER, LAUNCH_FLAGS, Flag, Kind, Positional, Verb, text

COMMENT_DOC = """One comment per key: it is found again by a hidden line and its author, and replaced. Inside
GitHub Actions and GitLab CI the repository, the number and the API are known."""

CI_DOC = """Three workflows: preview on a pull request (read-only role, never a fork's), apply on a merge what an
approval file beside a task approved, drift and recovery by the clock or by a call. Without --write they are printed."""

PREVIEW_DOC = """Several task files, folders and patterns give one report of many stacks; one that cannot be previewed
is told in its row. Exit code: that of the worst (2 task, 3 no offer, 4 refused, 5 locked, 6 policy); changes are 0."""

PREVIEW = Verb(
    "preview",
    "Show what `up` would create, change and cost",
    "preview",
    (ENTRY,),
    (
        *LAUNCH_FLAGS,
        text("out", "write what is shown as an approval: NAME.approval.json", "FILE"),
        Flag(
            "format",
            "how it is printed: for a terminal (default), as the body of a pull request's comment, as data",
            kind=Kind.TEXT,
            value="FORMAT",
            choices=("terminal", "markdown", "json"),
        ),
        Flag("markdown", "the same as --format markdown"),
        text("planned", "write what is planned as JSON for other policy engines (`-`: stdout)", "FILE"),
    ),
    doc=PREVIEW_DOC,
    later=LATER,
)

REVIEW_VERBS: tuple[Verb, ...] = (
    Verb(
        "comment",
        "Post or update one comment on a pull request",
        "comment",
        (Positional("file", "its text in Markdown, `-` for stdin (the default)", optional=True),),
        (
            text("repo", "the repository", "OWNER/NAME"),
            Flag("pr", "the pull request", kind=Kind.WHOLE, value="N"),
            text("key", "which comment of ours (default: preview)", "KEY"),
            text("api", "the host's API", "URL"),
            Flag("host", "whose API it is", kind=Kind.TEXT, value="HOST", choices=("github", "gitlab")),
            Flag("summary", "add the text to the summary of the job too"),
            Flag("delete", "remove the comment"),
            JSON,
        ),
        doc=COMMENT_DOC + "\nThe token is GITHUB_TOKEN (GITLAB_TOKEN) of the environment.",
    ),
    Verb(
        "ci",
        "Write workflows for a code host: preview, apply, drift",
        "ci",
        (
            Positional("action", "github"),
            Positional(
                "tasks", "task files or patterns, from the root (default: all)", many=True, optional=True
            ),
        ),
        (
            Flag("write", "write them into .github/workflows"),
            Flag("force", "also over files that were edited by hand"),
            text(
                "release",
                "what pip installs in the jobs, pinned (default: a variable of the repository)",
                "REQUIREMENT",
            ),
            text("branch", "the branch whose merges are applied (default: main)", "NAME"),
            text(
                "runner",
                "a machine that stays, where jobs apply and recover (default: a hosted one)",
                "LABEL",
            ),
            JSON,
        ),
        doc=CI_DOC,
    ),
)
