"""What the engine's refusals mean: its error texts become Problems here, once."""

from __future__ import annotations

import re
from collections.abc import Sequence

from compiler.problem import STAGE_EXIT, Problem, Problems
from stacks import home, state
from stacks.cloud import Cloud, Failure


class Refused(Exception):
    """The engine's CLI failed: what it printed, and which of its commands it was."""

    def __init__(self, verb: str, text: str) -> None:
        super().__init__(f"pulumi {verb}: {text}")
        self.verb, self.text = verb, text


class Died(Refused):
    """The CLI did not end by itself: its lock and its pending operations are still in the state."""


NO_STACK = re.compile(r"no stack named .* found|no previous deployment|failed to load checkpoint.*not exist")

FULL = re.compile(r"no space left on device|disk quota exceeded", re.I)
CODED = re.compile(rf"\[((?:{'|'.join(STAGE_EXIT)})/[a-z]+(?:-[a-z]+)*)\]:? ([^\n]+)(?:\n\s*hint: ([^\n]+))?")
"""How our own provider says a Problem, and a program that raises one while its resources are made."""

ASKED = re.compile(r"invoke of (\S+) failed: invocation of \S+ returned an error: (.+)")
"""How a provider refuses a look-up."""

KNOWN: tuple[tuple[re.Pattern[str], str, str, str | None], ...] = (
    (
        re.compile(r"incorrect passphrase|passphrase must be set|get passphrase|could not decrypt", re.I),
        "engine/wrong-passphrase",
        "the passphrase does not open this stack's state",
        "set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE to the one the stack was made with",
    ),
    (
        re.compile(r"secrets manager:[\s\S]*(?:kms|vault|\(code=)", re.I),
        "engine/no-key",
        "the key that opens this stack's state could not be used",
        "the state names the key; may the credentials of this shell use it, and is it enabled?",
    ),
    (
        re.compile(r"the stack is currently locked by|Another update is currently in progress"),
        "lock/engine-lock",
        "another Pulumi command is writing this stack",
        "wait for it to end; if it was killed: `pulumi cancel` removes its lock",
    ),
    (
        re.compile(
            r"no resource plugin|could not (load|read) plugin|failed to load plugin|Missing required plugin|"
            r"install resource plugin",
            re.I,
        ),
        "engine/plugin-missing",
        "a Pulumi provider could not be started",
        "`invoke engine` puts ours in place; the message above names the one that is missing",
    ),
    (
        re.compile(
            r"unable to (open|check|list)|could not (read|list|connect)|connection refused|no such host|"
            r"problem logging in|permission denied|read-only file system|unauthori[sz]ed|listing stacks|"
            r"failed to (read|load|access|open) .*(meta|bucket|stack)|invalid .*URL",
            re.I,
        ),
        "engine/backend-unreachable",
        "the state backend refused",
        "PULUMI_BACKEND_URL names it; without it the state is kept in your skywright home",
    ),
)


def problem(
    refused: Refused, errors: Sequence[tuple[str, str]], cloud: Cloud
) -> tuple[Problem, Failure | None]:
    """The Problem of a failed command, and the kind of failure when a cloud refused a resource.

    `errors` are the (URN, text) pairs of the engine's error diagnostics.
    """
    failed = [(urn, text) for urn, text in errors if urn and "pulumi:pulumi:Stack" not in urn]
    if isinstance(refused, Died):
        text = f"the engine was killed in `{refused.verb}`: {brief(refused.text)}"
        return Problem(
            "engine/killed", text, hint="repeat the command: it goes on where this one stopped"
        ), None
    if any(CODED.search(text) for _, text in failed):
        return _said_by_us(failed, cloud)
    texts = [text for _, text in errors] + [refused.text]
    if found := next((found for text in texts if (found := CODED.search(text))), None):
        code, message, hint = found.groups()
        kinds = (one for one in Failure if code == f"cloud/{one.value}")
        return Problem(code, message, hint=hint), next(kinds, None)
    if any(FULL.search(text) for text in texts):
        return home.disk_full(home.home()), None
    for pattern, code, message, hint in KNOWN[:-1]:
        if found := next((text for text in texts if pattern.search(text)), None):
            return Problem(code, f"{message}: {brief(found)}", hint=hint), None
    if failed:
        return _resource(failed, cloud)
    pattern, code, message, hint = KNOWN[-1]
    if pattern.search(refused.text):
        return Problem(code, f"{message}: {brief(refused.text)}", hint=hint), None
    asked = next((found for text in texts if (found := ASKED.search(text))), None)
    if asked:
        failure = cloud.sort(asked[2])
        code = "engine/resource-failed" if failure is Failure.OTHER else f"cloud/{failure.value}"
        return Problem(code, f"{asked[1].rpartition(':')[2]}: {brief(asked[2])}"), failure
    said = brief(next(iter(texts), ""))
    return Problem("engine/failed", f"the engine's `{refused.verb}` failed: {said}"), None


def _said_by_us(failed: Sequence[tuple[str, str]], cloud: Cloud) -> tuple[Problem, Failure]:
    """The first Problem that our provider named, once."""
    urn, text, found = next(
        (urn, text, found) for urn, text in sorted(failed) if (found := CODED.search(text))
    )
    code, message, hint = found.groups()
    return Problem(code, f"{state.name(urn)}: {message}{_others(failed, urn)}", hint=hint), cloud.sort(text)


def _others(failed: Sequence[tuple[str, str]], urn: str) -> str:
    others = len({other for other, _ in failed} - {urn})
    return f" (and {others} more)" if others else ""


def _resource(failed: Sequence[tuple[str, str]], cloud: Cloud) -> tuple[Problem, Failure]:
    urn, text = failed[0]
    failure = cloud.sort(text)
    said = f"{state.name(urn)}: {brief(text)}{_others(failed, urn)}"
    if failure is Failure.OTHER:
        return Problem("engine/resource-failed", said), failure
    return Problem(f"cloud/{failure.value}", said), failure


def program(error: BaseException) -> Problems:
    """What a stack's program raised while the engine ran it."""
    if isinstance(error, Problems):
        return error
    return Problems(
        Problem("engine/program-failed", f"the stack's program failed: {type(error).__name__}: {error}")
    )


def plain(text: str) -> str:
    """An error of the engine as people should read it: what our provider said, without its code."""
    if FULL.search(text):
        return "no space left on the disk"
    found = CODED.search(text)
    return found[2] if found else text


def brief(text: str) -> str:
    """The lines that say something, without the engine's lead-in; at most 600 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kept = [
        line.removeprefix("error: ")
        for line in lines
        if not line.startswith(("warning:", "Traceback", "File "))
    ]
    return "; ".join(dict.fromkeys(kept))[:600]
