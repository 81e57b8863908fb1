"""The table of docs/clouds/README.md, made from the clouds: what each is, needs and can."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from compiler.offer import Capability
from stacks import OURS, cloud

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "clouds"
DOC = FOLDER / "README.md"


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


if __name__ == "__main__":
    DOC.write_text(text())
