"""Which foundations stand, what lives on them and what they cost: asked of the state backend, which alone knows."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from compiler.problem import Problem, Problems
from compiler.spec import Foundation, Given
from stacks import CLOUDS, backend, cloud, install
from stacks.cloud import Idle

PREFIX = "foundation-"
ASK_S = 60.0


@dataclass(frozen=True, slots=True)
class Standing:
    """A foundation that stands, the stacks of its place that use it, and what it costs while none does."""

    foundation: Foundation
    users: tuple[str, ...]
    idle: tuple[Idle, ...]

    @property
    def where(self) -> str:
        """`aws/us-east-1`: how commands name it."""
        return "/".join(part for part in (self.foundation.cloud, self.foundation.region) if part)

    @property
    def monthly(self) -> float:
        """USD."""
        return sum(one.monthly for one in self.idle)

    def to_data(self) -> dict[str, Any]:
        return {
            "where": self.where,
            "stack": self.foundation.stack,
            "network": self.foundation.name,
            "users": list(self.users),
            "monthly": self.monthly,
            "stands": [{"what": one.what, "monthly": one.monthly, "says": one.says} for one in self.idle],
        }


def foundations(
    env: Mapping[str, str], project: str, given: Mapping[str, Given], *, ask: bool = True
) -> tuple[Standing, ...]:
    """Those of a project, by place. With `ask` False only what a folder tells at once.

    Raises Problems engine/backend-unreachable and others of a backend that refuses.
    """
    found = stacks(env, project, ask=ask)
    return tuple(
        standing(one, found)
        for name in found
        if (one := _named(name, project, given)) is not None and one.stack == name
    )


def standing(foundation: Foundation, found: tuple[str, ...] = ()) -> Standing:
    """A foundation beside the stacks of its project."""
    place = foundation.stack.removeprefix(PREFIX)
    users = tuple(one for one in found if one.endswith(f"-{place}") and not one.startswith(PREFIX))
    return Standing(foundation, users, cloud(foundation.cloud).idle(foundation))


def _named(name: str, project: str, given: Mapping[str, Given]) -> Foundation | None:
    """The foundation whose stack is called so."""
    if not name.startswith(PREFIX):
        return None
    rest = name.removeprefix(PREFIX)
    for one in sorted(CLOUDS, key=len, reverse=True):
        if rest == one or rest.startswith(f"{one}-"):
            owned = Given(account=given[one].account if one in given else None)
            made = Foundation.of(project, one, rest.removeprefix(one).removeprefix("-") or None)
            return replace(made, given=owned)
    return None


def stacks(env: Mapping[str, str], project: str, *, ask: bool = True) -> tuple[str, ...]:
    """Names of all stacks of a project, sorted."""
    settled = backend.settle(env)
    if settled.folder:
        folder = settled.folder / ".pulumi" / "stacks" / project
        kept = (file.name for file in folder.glob("*.json*") if file.name.endswith((".json", ".json.gz")))
        return tuple(sorted({name.partition(".json")[0] for name in kept}))
    return _asked(settled, project) if ask else ()


def _asked(settled: backend.Backend, project: str) -> tuple[str, ...]:
    cli = install.find()
    if cli is None:
        return ()
    command = [str(cli.path), "--non-interactive", "stack", "ls", "--all", "--project", project, "--json"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=dict(settled.env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=ASK_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Problems(_unreachable(f"nothing in {ASK_S:.0f} seconds")) from None
    if done.returncode != 0:
        raise Problems(_unreachable(done.stderr.strip()[:300]))
    return tuple(sorted(row["name"].rpartition("/")[2] for row in json.loads(done.stdout or "[]")))


def _unreachable(why: str) -> Problem:
    hint = "PULUMI_BACKEND_URL names it; without it the state is kept in your skywright home"
    return Problem("engine/backend-unreachable", f"the state backend refused: {why}", hint=hint)
