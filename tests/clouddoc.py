"""The policy in docs/clouds/aws.md, made from what is checked: `python -m tests.clouddoc`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from stacks.aws import rights

DOC = Path(__file__).resolve().parents[1] / "docs" / "clouds" / "aws.md"


def text() -> str:
    """The document with its policy made anew."""
    lines = ['{"Version": "2012-10-17", "Statement": [']
    statements = rights.policy()["Statement"]
    for number, one in enumerate(statements):
        rest = {name: value for name, value in one.items() if name != "Action"}
        actions = ",\n".join(f"   {line}" for line in _wrapped(one["Action"]))
        comma = "," if number < len(statements) - 1 else ""
        lines.append(f' {json.dumps(rest)[:-1]}, "Action": [\n{actions}]}}{comma}')
    policy = "\n".join([*lines, "]}"])
    found, times = re.subn(
        r"(?s)(<!-- policy -->\n```json\n).*?(\n```)",
        lambda match: f"{match[1]}{policy}{match[2]}",
        DOC.read_text(),
    )
    assert times == 1
    return found


def _wrapped(actions: list[str]) -> list[str]:
    """A few to a line."""
    return [", ".join(json.dumps(one) for one in actions[at : at + 3]) for at in range(0, len(actions), 3)]


if __name__ == "__main__":
    DOC.write_text(text())
