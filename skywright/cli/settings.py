"""Who is asking: project, owner, and the settings of Pulumi and of clouds that an operation needs."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from compiler.problem import Problem, Problems

SECRETS_PROVIDER = "SKYWRIGHT_SECRETS_PROVIDER"
PULUMI = (
    "PULUMI_BACKEND_URL",
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_CONFIG_PASSPHRASE_FILE",
    "PULUMI_HOME",
    "PULUMI_ACCESS_TOKEN",
    SECRETS_PROVIDER,
)
CLOUDS = ("AWS_", "GOOGLE_", "AZURE_", "ARM_")
"""Where state may be kept, and keys that open it."""

DEFAULT_PROJECT = "skywright"

_PROJECT = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?\Z")


OWNER = "SKYWRIGHT_OWNER"


def owner() -> str:
    """SKYWRIGHT_OWNER, else the login name: whose nodes they are."""
    if named := os.environ.get(OWNER):
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def project(start: Path | None = None) -> str:
    """SKYWRIGHT_PROJECT, else `project` of the configuration (skywright/config.py), else skywright:
    what is compiled is the same for everybody."""
    from skywright import config

    if named := os.environ.get("SKYWRIGHT_PROJECT"):
        return _checked(named, "SKYWRIGHT_PROJECT")
    found = config.read(start).project
    return DEFAULT_PROJECT if found is None else _checked(found, "the configuration")


def _checked(name: str, where: str) -> str:
    if not _PROJECT.match(name):
        raise Problems(
            Problem(
                "usage/bad-project",
                f"`{name}` cannot be a project's name (from {where})",
                hint="small letters, digits and `-`, beginning with a letter, 40 at most",
            )
        )
    return name


def check_port() -> None:
    """Raises Problems usage/bad-port when SKYWRIGHT_CONTROL_PORT is not a port."""
    text = os.environ.get("SKYWRIGHT_CONTROL_PORT", "")
    if text and not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        says = f"SKYWRIGHT_CONTROL_PORT is `{text[:40]}`, and a port is a number from 1 to 65535"
        raise Problems(Problem("usage/bad-port", says, hint="unset it to take any free port"))


def engine_env(
    environ: Mapping[str, str] | None = None, *, clouds: Iterable[str] | None = None
) -> dict[str, str]:
    """What an operation gets of the caller's environment: Pulumi's settings, and the credentials that reach
    a backend of the user's own and `clouds` (None: none of them)."""
    given = os.environ if environ is None else environ
    env = {name: given[name] for name in PULUMI if name in given}
    if "PULUMI_BACKEND_URL" in env or SECRETS_PROVIDER in env:
        env.update({name: value for name, value in given.items() if name.startswith(CLOUDS)})
    return {**env, **cloud_env(given, clouds=() if clouds is None else clouds)}


def cloud_env(
    environ: Mapping[str, str] | None = None, *, clouds: Iterable[str] | None = None
) -> dict[str, str]:
    """The variables that hold the caller's credentials for `clouds` (None: every one that there is)."""
    from stacks import CLOUDS, cloud

    given = os.environ if environ is None else environ
    names = CLOUDS if clouds is None else set(clouds).intersection(CLOUDS)
    prefixes = tuple(prefix for name in names for prefix in cloud(name).ENV)
    return {name: value for name, value in given.items() if name.startswith(prefixes)}
