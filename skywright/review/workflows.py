"""Workflows of GitHub Actions that preview, apply and watch over stacks: text made of a few facts, always the same."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

FOLDER = ".github/workflows"
NAMES = ("preview", "apply", "drift")
WORD = re.compile(r"[A-Za-z0-9_.*][A-Za-z0-9_./*@=,-]*\Z")
"""Names and patterns that mean the same to git, to GitHub's filters and to a shell."""
RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:/=+#&,\[\]<>~!-]*\Z")

PINNED = re.compile(r"==[0-9]|@[0-9a-f]{40}\b|#sha256=[0-9a-f]{64}\b")
"""A version, a commit or a hash: what is installed does not change while nobody looks."""

ACTIONS = {
    "actions/checkout": ("11bd71901bbe5b1630ceea73d27597364c9af683", "v4.2.2"),
    "actions/setup-python": ("a26af69be951a213d495a4c3e4e4022e16d87065", "v5.6.0"),
    "aws-actions/configure-aws-credentials": ("e3dd6a429d7300a6a4c196c26e071d42e0343502", "v4.0.2"),
    "google-github-actions/auth": ("ba79af03959ebeac9769e648f473a284504d9193", "v2.1.10"),
    "azure/login": ("a457da9ea143d694b1b9c7c869ebb04ebe844ef5", "v2.3.0"),
}
"""Every action that is used, by commit, and the release that the commit is."""

HEAD = "# Made by `skywright ci github`, which writes it anew; sha256 of the rest: "


class Role(str, Enum):
    """What a job may do in the clouds: read, or also write."""

    PREVIEW = "PREVIEW"
    APPLY = "APPLY"


@dataclass(frozen=True, slots=True)
class Facts:
    """What workflows depend on. `tasks` are names or patterns of task files, `watched` what else a preview is made of
    (folders end with `/**`), `clouds` those that need credentials, `release` what pip installs (None: a variable of
    the repository says it), `runner` where jobs
    that write run, `branch` the one that is applied. `region` and `account` are what the settings name."""

    tasks: tuple[str, ...]
    clouds: tuple[str, ...]
    release: str | None
    branch: str = "main"
    watched: tuple[str, ...] = ()
    runner: str = "ubuntu-24.04"
    region: str | None = None
    account: str | None = None


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
{_DEFAULTS}
jobs:
  preview:
    # A fork's pull request gets no identity in our clouds and no right to comment.
    if: github.event.pull_request.head.repo.full_name == github.repository
    runs-on: ubuntu-24.04
    timeout-minutes: 30
    permissions:
      contents: read
      pull-requests: write
{_identity(facts)}{_environment(facts)}
    steps:
{_install(facts)}
{_checkout()}
{_login(facts, Role.PREVIEW)}
      - name: Preview
        id: preview
        working-directory: {PLACE}
        env:
          SKYWRIGHT_COMMIT: ${{{{ github.event.pull_request.head.sha }}}}
        run: |
          mapfile -d '' -t tasks < <(git ls-files -z -- {_pathspecs(facts)})
          if [ "${{#tasks[@]}}" -eq 0 ]; then
            echo '### Skywright: no task files' >"$RUNNER_TEMP/preview.md"
            exit 0
          fi
          code=0 text=$RUNNER_TEMP/preview.md said=$RUNNER_TEMP/preview.txt
          skywright preview "${{tasks[@]}}" --format markdown >"$text" 2>"$said" || code=$?
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
{_DEFAULTS}
jobs:
  apply:
    runs-on: {facts.runner}
    # Who may approve this environment, and which branches reach it, is set in the repository.
    environment: skywright
    timeout-minutes: 360
    permissions:
      contents: read
{_identity(facts)}{_environment(facts)}
    steps:
{_install(facts)}
{_checkout(depth=0)}
{_login(facts, Role.APPLY)}
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
            skywright up --approved "$approval" --yes </dev/null || code=$?
          done <"$RUNNER_TEMP/approvals"
          exit "$code"
"""


def _drift(facts: Facts) -> str:
    return f"""\
# Every hour, by hand, or when something calls: what was lost or changed is told by a failed run, read-only. Recovery
# is asked for by hand or by a call (repository_dispatch of the type skywright-recover), inside what was approved.
name: skywright drift
on:
  schedule:
    - cron: "17 * * * *"
  workflow_dispatch:
    inputs:
      recover:
        description: Bring back what is lost, inside what was approved
        type: boolean
        default: false
  repository_dispatch:
    types: [skywright-drift, skywright-recover]
permissions: {{}}
concurrency:
  group: skywright-drift
  cancel-in-progress: false
{_DEFAULTS}
jobs:
  drift:
    runs-on: ubuntu-24.04
    timeout-minutes: 60
    permissions:
      contents: read
{_identity(facts)}{_environment(facts)}
    outputs:
      code: ${{{{ steps.drift.outputs.code }}}}
    steps:
{_install(facts)}
{_checkout()}
{_login(facts, Role.PREVIEW)}
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
{_told()}
{_recover(facts)}"""


def _told() -> str:
    return f"""\
  told:
    needs: drift
    if: needs.drift.outputs.code == '7' && {_NOT_WANTED}
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions: {{}}
    steps:
      - run: echo '::error::there is drift, see the summary' && exit 7"""


def _recover(facts: Facts) -> str:
    return f"""\
  recover:
    needs: drift
    if: needs.drift.outputs.code == '7' && {_WANTED}
    runs-on: {facts.runner}
    environment: skywright
    timeout-minutes: 360
    permissions:
      contents: read
{_identity(facts)}{_environment(facts)}
    steps:
{_install(facts)}
{_checkout()}
{_login(facts, Role.APPLY)}
      - name: Recover
        working-directory: {PLACE}
        run: |
          git ls-files -z -- '*.approval.json' >"$RUNNER_TEMP/approvals"
          code=0
          while IFS= read -r -d '' approval; do
            skywright up --approved "$approval" --yes </dev/null || code=$?
          done <"$RUNNER_TEMP/approvals"
          exit "$code"
"""


_WANTED = "(inputs.recover || github.event.action == 'skywright-recover')"
_NOT_WANTED = f"!{_WANTED}"

PLACE = "repository"
"""Where the repository lies below the workspace: logins leave files beside it, which are in nobody's workdir so."""

_DEFAULTS = """\
defaults:
  run:
    shell: bash"""


def _identity(facts: Facts) -> str:
    """The right to say to a cloud who the job is, where a cloud is asked."""
    return "      id-token: write\n" if facts.clouds else ""


def _environment(facts: Facts) -> str:
    lines = [
        "    env:",
        "      # Where the state lies, and what its secrets are encrypted with (a key of the cloud's KMS): variables",
        "      # of the repository, as everything below that begins with vars. Nothing here is a stored key.",
        "      PULUMI_BACKEND_URL: ${{ vars.SKYWRIGHT_STATE }}",
        "      SKYWRIGHT_SECRETS_PROVIDER: ${{ vars.SKYWRIGHT_SECRETS }}",
        "      # Python takes no module out of the folder that is checked out.",
        '      PYTHONSAFEPATH: "1"',
    ]
    if "azure" in facts.clouds:
        lines += [
            "      ARM_SUBSCRIPTION_ID: ${{ vars.SKYWRIGHT_AZURE_SUBSCRIPTION }}",
            "      ARM_TENANT_ID: ${{ vars.SKYWRIGHT_AZURE_TENANT }}",
        ]
    return "\n".join(lines)


def _install(facts: Facts) -> str:
    """Before anything is checked out: nothing of the repository can take part in it."""
    return f"""\
      - uses: {_action("actions/setup-python")}
        with:
          python-version: "3.12"
      - name: Install skywright
        env:
          RELEASE: {json.dumps(facts.release or "${{ vars.SKYWRIGHT_RELEASE }}")}
        run: |
          if [ -z "$PULUMI_BACKEND_URL" ] || [ -z "$RELEASE" ]; then
            echo '::error::set the variables of the repository: SKYWRIGHT_STATE, and SKYWRIGHT_RELEASE if it is read'
            exit 1
          fi
          python -m venv "$RUNNER_TEMP/skywright"
          "$RUNNER_TEMP/skywright/bin/pip" install --quiet --disable-pip-version-check "$RELEASE"
          echo "$RUNNER_TEMP/skywright/bin" >>"$GITHUB_PATH\""""


def _checkout(depth: int | None = None) -> str:
    deep = "" if depth is None else f"\n          fetch-depth: {depth}"
    return f"""\
      - uses: {_action("actions/checkout")}
        with:
          path: {PLACE}
          persist-credentials: false{deep}"""


def _login(facts: Facts, role: Role) -> str:
    """Short-lived credentials of each cloud, in exchange for the job's own identity."""
    steps = []
    if "aws" in facts.clouds:
        region = facts.region or "${{ vars.SKYWRIGHT_AWS_REGION }}"
        steps.append(f"""\
      - uses: {_action("aws-actions/configure-aws-credentials")}
        with:
          role-to-assume: ${{{{ vars.SKYWRIGHT_AWS_{role.value}_ROLE }}}}
          aws-region: {region}""")
    if "gcp" in facts.clouds:
        steps.append(f"""\
      - uses: {_action("google-github-actions/auth")}
        with:
          workload_identity_provider: ${{{{ vars.SKYWRIGHT_GCP_PROVIDER }}}}
          service_account: ${{{{ vars.SKYWRIGHT_GCP_{role.value}_ACCOUNT }}}}
          project_id: {facts.account or "${{ vars.SKYWRIGHT_GCP_PROJECT }}"}""")
    if "azure" in facts.clouds:
        steps.append(f"""\
      - uses: {_action("azure/login")}
        with:
          client-id: ${{{{ vars.SKYWRIGHT_AZURE_{role.value}_CLIENT }}}}
          tenant-id: ${{{{ vars.SKYWRIGHT_AZURE_TENANT }}}}
          subscription-id: ${{{{ vars.SKYWRIGHT_AZURE_SUBSCRIPTION }}}}""")
    return "\n".join(steps) or "      # No cloud is named in settings or tasks: nothing to log in to."


def variables(facts: Facts) -> tuple[str, ...]:
    """The repository's variables that the workflows read, in order of their names."""
    return tuple(sorted(set(re.findall(r"\bvars\.(\w+)", "".join(render(facts).values())))))


def _watched(facts: Facts) -> Sequence[str]:
    return tuple(dict.fromkeys((*facts.tasks, ".skywright.yaml", "**/catalog.lock", *facts.watched)))


def _listed(words: Sequence[str], indent: int) -> str:
    return "\n".join(f"{' ' * indent}- {json.dumps(word)}" for word in words)


def _pathspecs(facts: Facts) -> str:
    return " ".join(shlex.quote(f":(glob){word}") for word in facts.tasks)


def _action(name: str) -> str:
    commit, release = ACTIONS[name]
    return f"{name}@{commit} # {release}"
