"""What jobs of generated workflows share: the facts they are made of, their steps and rights, the actions they use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

HOSTED = "ubuntu-24.04"

ACTIONS = {
    "actions/checkout": ("11bd71901bbe5b1630ceea73d27597364c9af683", "v4.2.2"),
    "actions/setup-python": ("a26af69be951a213d495a4c3e4e4022e16d87065", "v5.6.0"),
    "aws-actions/configure-aws-credentials": ("e3dd6a429d7300a6a4c196c26e071d42e0343502", "v4.0.2"),
    "google-github-actions/auth": ("ba79af03959ebeac9769e648f473a284504d9193", "v2.1.10"),
    "azure/login": ("a457da9ea143d694b1b9c7c869ebb04ebe844ef5", "v2.3.0"),
}
"""Every action that is used, by commit, and the release that the commit is."""


class Role(str, Enum):
    """What a job may do in the clouds: read, or also write."""

    PREVIEW = "PREVIEW"
    APPLY = "APPLY"


@dataclass(frozen=True, slots=True)
class Facts:
    """What workflows depend on. `tasks` are names or patterns of task files, `watched` what else a preview is made of
    (folders end with `/**`), `clouds` those that need credentials, `release` what pip installs (None: a variable of
    the repository says it), `branch` the one that is applied, `runner` the label of a machine that stays, on which jobs
    that write run (None: a hosted one). `region` and `account` are what the settings name."""

    tasks: tuple[str, ...]
    clouds: tuple[str, ...]
    release: str | None
    branch: str = "main"
    watched: tuple[str, ...] = ()
    runner: str | None = None
    region: str | None = None
    account: str | None = None


PLACE = "repository"
"""Where the repository lies below the workspace: logins leave files beside it, which are in nobody's workdir so."""

DEFAULTS = """\
defaults:
  run:
    shell: bash"""


def identity(facts: Facts) -> str:
    """The right to say to a cloud who the job is, where a cloud is asked."""
    return "      id-token: write\n" if facts.clouds else ""


def environment(facts: Facts, role: Role = Role.PREVIEW) -> str:
    lines = [
        "    env:",
        "      # Where the state lies, and what its secrets are encrypted with (a key of the cloud's KMS): variables",
        "      # of the repository, as everything below that begins with vars. Nothing here is a stored key.",
        "      PULUMI_BACKEND_URL: ${{ vars.SKYWRIGHT_STATE }}",
        "      SKYWRIGHT_SECRETS_PROVIDER: ${{ vars.SKYWRIGHT_SECRETS }}",
        "      # Python takes no module out of the folder that is checked out.",
        '      PYTHONSAFEPATH: "1"',
    ]
    if role is Role.APPLY and facts.runner:
        lines += [
            "      # Control goes on when the job is over: the runner ends what carries its mark.",
            '      RUNNER_TRACKING_ID: ""',
        ]
    if "azure" in facts.clouds:
        lines += [
            "      ARM_SUBSCRIPTION_ID: ${{ vars.SKYWRIGHT_AZURE_SUBSCRIPTION }}",
            "      ARM_TENANT_ID: ${{ vars.SKYWRIGHT_AZURE_TENANT }}",
        ]
    return "\n".join(lines)


def install(facts: Facts, role: Role = Role.PREVIEW) -> str:
    """Before anything is checked out: nothing of the repository can take part in it. What stays on a machine when the
    job is over runs from a folder that stays too."""
    stays = role is Role.APPLY and facts.runner
    mark = '$(printf %s "$RELEASE" | sha256sum | cut -c 1-16)'
    place = f"$HOME/.cache/skywright-jobs/{mark}" if stays else "$RUNNER_TEMP/skywright"
    return (
        f"""\
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
          place="{place}"
          if [ ! -e "$place/installed" ]; then
            python -m venv --clear "$place"
            "$place/bin/pip" install --quiet --disable-pip-version-check "$RELEASE"
            touch "$place/installed"
          fi
          echo "$place/bin" >>"$GITHUB_PATH\""""
        ""
    )


def checkout(depth: int | None = None) -> str:
    deep = "" if depth is None else f"\n          fetch-depth: {depth}"
    return f"""\
      - uses: {_action("actions/checkout")}
        with:
          path: {PLACE}
          persist-credentials: false{deep}"""


def login(facts: Facts, role: Role) -> str:
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
          workloadidentity_provider: ${{{{ vars.SKYWRIGHT_GCP_PROVIDER }}}}
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


def _action(name: str) -> str:
    commit, release = ACTIONS[name]
    return f"{name}@{commit} # {release}"
