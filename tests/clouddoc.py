"""The table of docs/clouds/README.md, made from the clouds, and the policy of docs/clouds/aws.md, from the rights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from compiler.offer import Capability
from stacks import OURS, cloud
from stacks.aws import rights

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "clouds"
DOC, AWS = FOLDER / "README.md", FOLDER / "aws.md"


def text() -> str:
    """The document with its table made anew."""
    found, times = re.subn(
        r"(?s)(<!-- clouds: .*? -->\n).*?(\n<!-- end -->)",
        lambda match: f"{match[1]}{table(*OURS)}{match[2]}",
        DOC.read_text(),
    )
    assert times == 1
    return found


def table(*names: str) -> str:
    """A row for each of the clouds named."""
    return "\n".join(_lines(names))


def _lines(names: tuple[str, ...]) -> Iterator[str]:
    yield "| cloud | what nodes are | brought by | a network of ours | cannot |"
    yield "|---|---|---|---|---|"
    for name in names:
        module = cloud(name)
        says = re.sub(r"\s+", " ", (module.__doc__ or "").partition("\n\n")[0]).partition(": ")[2]
        page = f"[{name}]({name}.md)" if (FOLDER / f"{name}.md").exists() else name
        extra = f"`./invoke setup --extra {module.EXTRA}`" if module.EXTRA else "nothing more"
        lacking = ", ".join(one.value for one in Capability if one not in module.CAPABILITIES) or "-"
        network = "where none is given" if module.FOUNDATION else "-"
        what = re.split(r"[;,] (?:what its|by the) protocol", says)[0].rstrip(".")
        yield f"| {page} | {what} | {extra} | {network} | {lacking} |"


def policy() -> str:
    """The page of AWS with its policy made anew: a statement's rights in threes."""
    rows = []
    for one in rights.policy()["Statement"]:
        actions = [json.dumps(action) for action in one.pop("Action")]
        lines = [", ".join(actions[start : start + 3]) for start in range(0, len(actions), 3)]
        order = [name for name in ("Sid", "Effect", "Resource", "Condition") if name in one]
        head = json.dumps({name: one[name] for name in order})[:-1]
        rows.append(f' {head}, "Action": [\n   ' + ",\n   ".join(lines) + "]}")
    whole = '{"Version": "2012-10-17", "Statement": [\n' + ",\n".join(rows) + "\n]}"
    found, times = re.subn(
        r"(?s)(<!-- policy -->\n```json\n).*?(\n```)",
        lambda match: f"{match[1]}{whole}{match[2]}",
        AWS.read_text(),
    )
    assert times == 1
    return found


if __name__ == "__main__":
    DOC.write_text(text())
    AWS.write_text(policy())
