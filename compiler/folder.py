"""The reviewable folder: what `compile` writes, `pulumi preview` reads and a pull request shows.

Pure: no clock, no path of a machine, nothing of what recovery does: equal tasks and offers give equal bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from compiler.plan import Plan
from compiler.spec import StackSpec

PLAN_VERSION = 1

PROGRAM = '''"""The Pulumi program of every stack in this folder: declares what the stack's `spec` says."""

from stacks.program import main

main()
'''


def files(plan: Plan, specs: Sequence[StackSpec], *, project: str) -> dict[str, bytes]:
    """Relative path -> bytes: plan.json, Pulumi.yaml, __main__.py and a Pulumi.<stack>.yaml for each spec."""
    written = {
        "Pulumi.yaml": _yaml(
            {
                "name": project,
                "description": f"Stacks of {plan.name}, compiled by skywright",
                "runtime": "python",
                "main": ".",
            }
        ),
        "__main__.py": PROGRAM.encode(),
        "plan.json": _json({"version": PLAN_VERSION, "project": project, **plan.to_data()}),
    }
    for spec in specs:
        config = {f"{project}:spec": spec.to_data()}
        written[f"Pulumi.{spec.stack}.yaml"] = _yaml({"config": config})
    return dict(sorted(written.items()))


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode()


def _yaml(data: Any) -> bytes:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes each text that some reader of YAML might take for a number, a date or a word of its own."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_./:-]*(?: [A-Za-z0-9_./-]+)*", value)
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')

    Dumper.add_representer(str, text)
    written: str = yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return written.encode()
