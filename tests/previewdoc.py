"""Makes docs/preview.svg, and the page that docs/comment.png shows, from the report of the golden files."""

from __future__ import annotations

import dataclasses
import html
import io
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "golden")]

STYLES = {
    "bold": "bold",
    "grey": "grey50",
    "create": "green",
    "update": "yellow",
    "replace": "bold magenta",
    "delete": "red",
    "bad": "bold red",
    "warn": "yellow",
    "": "",
}
CSS = (
    "body{font:15px sans-serif;color:#1f2328;background:#fff;width:940px;padding:20px}"
    "h3{font-size:20px;margin:0 0 12px}"
    "table{border-collapse:collapse;margin:8px 0}td,th{border:1px solid #d1d9e0;padding:5px 10px}"
    "code{font:13px monospace;background:#eff1f3;border-radius:4px;padding:2px 4px}details{margin:6px 0}"
)


def terminal() -> str:
    """The report as an image of a terminal."""
    from rich.console import Console
    from rich.text import Text

    from skywright.review import terminal

    console = Console(
        record=True, width=118, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text("$ invoke preview tasks/", style="bold"))
    for text, style in terminal.lines(report()):
        console.print(Text(text, style=STYLES[style]))
    drawn = console.export_svg(title="invoke preview", unique_id="preview")
    drawn = re.sub(r"@font-face \{.*?\}\n", "", drawn, flags=re.DOTALL)  # no fonts of other hosts
    drawn = drawn.replace("Fira Code, monospace", "monospace")
    return drawn.replace("<svg ", '<svg xml:space="preserve" ', 1)


def comment(*, opened: bool = False) -> str:
    """The comment as a page; a host shows it with its own style. `opened`: with its details unfolded."""
    from markdown_it import MarkdownIt

    from skywright.review.markdown import markdown

    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown(report()))
    body = body.replace("<details>", "<details open>") if opened else body
    title = html.escape("A comment of `invoke preview`")
    return f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{CSS}</style>{body}"


def report() -> object:
    """That of the golden files without its nasty names; prices are made up."""
    import previewed  # type: ignore[import-not-found]

    from skywright.review import rows
    from skywright.review.report import Finding, Level, Report

    several = [previewed.coming(), previewed.replacing(), *(previewed.quiet(one) for one in range(3))]
    made = rows.report(several, commit="1a2b3c4d5e6f")
    shown = tuple(dataclasses.replace(row, fields=row.fields[:1]) for row in made.rows)
    finding = Finding("required-tags", "serve-aws-us-west-2", "lacks the tag `team`", Level.WARN)
    return Report(shown, (finding,), made.commit, made.catalog, made.traffic, made.program)


if __name__ == "__main__":
    (ROOT / "docs" / "preview.svg").write_text(terminal())
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(comment(opened=len(sys.argv) > 2))
