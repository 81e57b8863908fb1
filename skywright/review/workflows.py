"""Workflows of GitHub Actions that preview, apply and watch over stacks: text made of a few facts, always the same."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from enum import Enum

from skywright.review.workflow_steps import (
    DEFAULTS,
    HOSTED,
    PLACE,
    Facts,
    Role,
    checkout,
    environment,
    identity,
    install,
    login,
)

FOLDER = ".github/workflows"
NAMES = ("preview", "apply", "drift")
WORD = re.compile(r"[A-Za-z0-9_.*][A-Za-z0-9_./*@=,-]*\Z")
"""Names and patterns that mean the same to git, to GitHub's filters and to a shell."""
RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:/=+#&,\[\]<>~!-]*\Z")

PINNED = re.compile(r"==[0-9]|@[0-9a-f]{40}\b|#sha256=[0-9a-f]{64}\b")
"""A version, a commit or a hash: what is installed does not change while nobody looks."""

HEAD = "# Made by `skywright ci github`, which writes it anew; sha256 of the rest: "


class State(str, Enum):
    """A file beside what would be written."""

    ABSENT = "absent"
    SAME = "same"
    OLDER = "older"
    EDITED = "edited"


def render(facts: Facts) -> dict[str, str]:
    """Name below the repository -> text."""
    made = {"preview": _preview(facts), "apply": _apply(facts), "drift": _drift(facts)}
    return {f"{FOLDER}/skywright-{name}.yml": _signed(made[name]) for name in NAMES}


def state(found: str | None, wanted: str) -> State:
    """Whether a file may be replaced: one that was edited by hand does not fit its own first line."""
    if found is None:
        return State.ABSENT
    if found == wanted:
        return State.SAME
    head, _, rest = found.partition("\n")
    return State.OLDER if head == HEAD + _digest(rest) else State.EDITED


def _signed(text: str) -> str:
    return f"{HEAD}{_digest(text)}\n{text}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _preview(facts: Facts) -> str:
    return f"""\
# On a pull request: what would change and what it costs, as one comment that each push replaces. A read-only role, a
# release of skywright that is pinned here, and of the pull request only its task files and folders, as data.
name: skywright preview
on:
  pull_request:
    branches: [{facts.branch}]
    paths:
{_listed(_watched(facts), 6)}
permissions: {{}}
concurrency:
  group: skywright-preview-${{{{ github.event.pull_request.number }}}}
  cancel-in-progress: true
{DEFAULTS}
jobs:
  preview:
    # A fork's pull request gets no identity in our clouds and no right to comment.
    if: github.event.pull_request.head.repo.full_name == github.repository
    runs-on: {HOSTED}
    timeout-minutes: 30
    permissions:
      contents: read
      pull-requests: write
{identity(facts)}{environment(facts)}
    steps:
{install(facts)}
{checkout()}
{login(facts, Role.PREVIEW)}
      - name: Preview
        id: preview
        working-directory: {PLACE}
        env:
          # Settings can name a program that judges (policy.command): that of a pull request is not run.
          SKYWRIGHT_FOREIGN: "1"
          SKYWRIGHT_COMMIT: ${{{{ github.event.pull_request.head.sha }}}}
        run: |
          mapfile -d '' -t tasks < <(git ls-files -z -- {_pathspecs(facts)})
          if [ "${{#tasks[@]}}" -eq 0 ]; then
            echo '### Skywright: no task files' >"$RUNNER_TEMP/preview.md"
            exit 0
          fi
          code=0 text=$RUNNER_TEMP/preview.md said=$RUNNER_TEMP/preview.txt
          skywright preview --format markdown -- "${{tasks[@]}}" >"$text" 2>"$said" || code=$?
          cat "$said" >&2
          if [ ! -s "$text" ]; then
            {{ echo '### Skywright: no preview'; echo; head -c 20000 "$said" | sed 's/^/    /'; }} >"$text"
          fi
          echo "code=$code" >>"$GITHUB_OUTPUT"
      - name: Comment
        env:
          GITHUB_TOKEN: ${{{{ github.token }}}}
        run: skywright comment "$RUNNER_TEMP/preview.md" --summary
      - name: Outcome
        env:
          CODE: ${{{{ steps.preview.outputs.code }}}}
        run: exit "${{CODE:-0}}"
"""


def _apply(facts: Facts) -> str:
    return f"""\
# On a merge: what was approved is previewed again and applied when nothing moved; the approval stands beside its task.
name: skywright apply
on:
  push:
    branches: [{facts.branch}]
    paths:
      - "**.approval.json"
permissions: {{}}
# A group per commit: runs that wait in one group push each other out, and each applies what its own merge approved.
# Two that touch one stack are kept apart by its lease.
concurrency:
  group: skywright-apply-${{{{ github.sha }}}}
  cancel-in-progress: false
{DEFAULTS}
jobs:
  apply:
    runs-on: {facts.runner or HOSTED}
    # Who may approve this environment, and which branches reach it, is set in the repository.
    environment: skywright
    timeout-minutes: 360
    permissions:
      contents: read
{identity(facts)}{environment(facts, Role.APPLY)}
    steps:
{install(facts, Role.APPLY)}
{checkout(depth=0)}
{login(facts, Role.APPLY)}
      - name: Apply
        working-directory: {PLACE}
        env:
          BEFORE: ${{{{ github.event.before }}}}
          AFTER: ${{{{ github.sha }}}}
        run: |
          git diff -z --name-only --no-renames --diff-filter=AM "$BEFORE" "$AFTER" -- \\
            '*.approval.json' >"$RUNNER_TEMP/approvals"
          code=0
          while IFS= read -r -d '' approval; do
            skywright up --approved="$approval" --yes{" --detach" if facts.runner else ""} </dev/null || code=$?
          done <"$RUNNER_TEMP/approvals"
          exit "$code"
"""


def _drift(facts: Facts) -> str:
    return f"""\
# Every hour, by hand, or when something calls: what was lost or changed is told by a failed run, read-only.
{_ASKED if facts.runner else ""}name: skywright drift
on:
  schedule:
    - cron: "17 * * * *"
  workflow_dispatch:{_INPUT if facts.runner else ""}
  repository_dispatch:
    types: [skywright-drift{", skywright-recover" if facts.runner else ""}]
permissions: {{}}
concurrency:
  group: skywright-drift
  cancel-in-progress: false
{DEFAULTS}
jobs:
  drift:
    runs-on: {HOSTED}
    timeout-minutes: 60
    permissions:
      contents: read
{identity(facts)}{environment(facts)}
    outputs:
      code: ${{{{ steps.drift.outputs.code }}}}
    steps:
{install(facts)}
{checkout()}
{login(facts, Role.PREVIEW)}
      - name: Drift
        id: drift
        working-directory: {PLACE}
        run: |
          code=0
          skywright drift --all >"$RUNNER_TEMP/drift.txt" || code=$?
          cat "$RUNNER_TEMP/drift.txt"
          sed 's/^/    /' "$RUNNER_TEMP/drift.txt" >>"$GITHUB_STEP_SUMMARY"
          echo "code=$code" >>"$GITHUB_OUTPUT"
          # 7: there is drift, which the last job tells, or the recovery ends.
          if [ "$code" -ne 7 ]; then exit "$code"; fi
{_told(facts)}
{_recover(facts) if facts.runner else ""}"""


def _told(facts: Facts) -> str:
    return f"""\
  told:
    needs: drift
    if: needs.drift.outputs.code == '7'{f" && {_NOT_WANTED}" if facts.runner else ""}
    runs-on: {HOSTED}
    timeout-minutes: 5
    permissions: {{}}
    steps:
      - run: echo '::error::there is drift, see the summary' && exit 7"""


def _recover(facts: Facts) -> str:
    return f"""\
  recover:
    needs: drift
    if: needs.drift.outputs.code == '7' && {_WANTED}
    runs-on: {facts.runner or HOSTED}
    environment: skywright
    timeout-minutes: 360
    permissions:
      contents: read
{identity(facts)}{environment(facts, Role.APPLY)}
    steps:
{install(facts, Role.APPLY)}
{checkout()}
{login(facts, Role.APPLY)}
      - name: Recover
        working-directory: {PLACE}
        run: |
          # Control, which this starts, brings back what is lost by itself, inside what was approved.
          if ! skywright status --refresh --json | grep -q '"name"'; then
            echo '::error::no deployment is known on this machine: was it this one that applied them?'
            exit 4
          fi
          end=$((SECONDS + 3600)) code=0
          skywright drift --all || code=$?
          while [ "$code" -eq 7 ] && [ "$SECONDS" -lt "$end" ]; do
            sleep 20
            code=0
            skywright drift --all || code=$?
          done
          exit "$code"
"""


_WANTED = "(inputs.recover || github.event.action == 'skywright-recover')"
_NOT_WANTED = f"!{_WANTED}"
_ASKED = """\
# Recovery is asked for by hand or by a call (repository_dispatch of the type skywright-recover): on the machine that
# applied, control brings back what is lost, inside what was approved.
"""
_INPUT = """
    inputs:
      recover:
        description: Bring back what is lost, inside what was approved
        type: boolean
        default: false"""


def variables(facts: Facts) -> tuple[str, ...]:
    """The repository's variables that the workflows read, in order of their names."""
    return tuple(sorted(set(re.findall(r"\bvars\.(\w+)", "".join(render(facts).values())))))


def _watched(facts: Facts) -> Sequence[str]:
    return tuple(dict.fromkeys((*facts.tasks, ".skywright.yaml", "**/catalog.lock", *facts.watched)))


def _listed(words: Sequence[str], indent: int) -> str:
    return "\n".join(f"{' ' * indent}- {json.dumps(word)}" for word in words)


def _pathspecs(facts: Facts) -> str:
    return " ".join(shlex.quote(f":(glob){word}") for word in facts.tasks)
