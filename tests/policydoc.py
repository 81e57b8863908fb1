"""Writes the table of rules in docs/policy.md from RULES and the schema. `python -m tests.policydoc`"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import schemas
from stacks.rules import RULES
from stacks.rules.rule import Rule

DOC = Path(__file__).parents[1] / "docs" / "policy.md"
BEGIN, END = "<!-- rules: python -m tests.policydoc -->\n", "<!-- end of rules -->\n"


def table() -> str:
    """A row per rule, then its parameters."""
    known = schemas.load("policy.v1.json")["properties"]["rules"]["properties"]
    rows = ["| rule | refuses | judged over | example |", "|---|---|---|---|"]
    rows += [_row(rule, known[name]) for name, rule in RULES.items()]
    rows += ["", "Parameters beside `level` and `except`, which every rule has:", ""]
    for name in RULES:
        rows += _parameters(name, known[name])
    return "\n".join(rows) + "\n"


def _row(rule: Rule, known: dict[str, Any]) -> str:
    over = [word for word, has in (("order", rule.of_order), ("resources", rule.of_facts)) if has]
    says = f"{rule.says} (`{rule.code}`)"
    return f"| `{rule.name}` | {says} | {' and '.join(over)} | `{_yaml({rule.name: known['examples'][0]})}` |"


def _parameters(name: str, known: dict[str, Any]) -> Iterator[str]:
    for parameter, one in known["properties"].items():
        if parameter in ("level", "except"):
            continue
        needed = " Needed." if parameter in known.get("required", ()) else ""
        example = _yaml({parameter: one["examples"][0]})
        yield f"- `{name}`: `{parameter}`. {one['description']}{needed} `{example}`"


def _yaml(value: Any) -> str:
    """In YAML's flow style, without the outer braces."""
    text = json.dumps(value)[1:-1]
    name, _, rest = text.partition(": ")
    return f"{name.strip(chr(34))}: {rest}"


def text(now: str) -> str:
    """The document with the table as it should be."""
    head, _, rest = now.partition(BEGIN)
    return head + BEGIN + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    DOC.write_text(text(DOC.read_text()))
