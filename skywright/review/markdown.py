"""A report as the body of one pull-request comment: `markdown(report, limit=...)`, summary first, details folded.

Whatever stands in names and messages of others is shown as it is and does nothing: no markup, no mention, no link.
Details give way when the host's limit is near; the summary does not.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from skywright.review import words
from skywright.review.report import OPS, Level
from skywright.review.terminal import ALTERNATIVES, MARKS, offered

if TYPE_CHECKING:
    from compiler.change import Change as FieldChange
    from skywright.review.report import Change, Finding, Report, Row

LIMIT = 65_000
"""Characters: GitHub takes 65,536, and the comment's own mark needs some. An emoji counts as two."""

NAME = 80
"""Characters of a name, MESSAGE of a sentence, that are shown at all."""
MESSAGE = 400
REASONS = 3
"""Replacements that are named in the summary's cell, the others are counted."""

_PLAIN = re.compile(r"[A-Za-z0-9 ./:=+,()$%→_−-]*\Z")
_MARKUP = re.compile(r"(?!\$\d)[^A-Za-z0-9 .,;()/'%+=\u0080-\U0010ffff-]")


def markdown(report: Report, limit: int = LIMIT) -> str:
    """The comment's body, never longer than `limit`: details are left out first, with a note that says so."""
    body = _Body(report, limit)
    return body.text()


def length(text: str) -> int:
    """Characters as the host counts them."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


class _Body:
    def __init__(self, report: Report, limit: int) -> None:
        self.report, self.limit = report, limit
        self.changed = [row for row in report.rows if row.status == "changed"]

    def text(self) -> str:
        head, foot = self._head(), self._foot()
        room = self.limit - length(head) - length(foot) - 2
        if room < len(self.changed) * 40:
            foot = self._foot(brief=True)
            room = self.limit - length(head) - length(foot) - 2
        details = self._details(room)
        if room < 0:  # more stacks than any comment holds: what was denied and the sums stay
            head = self._shorter(head, self.limit - length(foot) - 200)
        return f"{head}\n{details}{foot}"

    def _head(self) -> str:
        report = self.report
        text = [f"### Skywright: {_bold_money(words.headline(report))}", ""]
        text += _table(report)
        unchanged = len(report.of("unchanged"))
        if unchanged:
            more = "more " if self.changed or report.of("failed") else ""
            text += [f"{unchanged} {more}stack{'' if unchanged == 1 else 's'}: no changes", ""]
        text += _problems(report)
        text += _policy(report.findings)
        return "\n".join(text)

    def _foot(self, *, brief: bool = False) -> str:
        report, text = self.report, [""]
        stays = [part for part in (_stays(report), _not_priced(report)) if part]
        text += [*stays, ""] if stays else []
        text += _commands(report, self.changed, brief=brief)
        facts = [f"commit {code(report.commit)}" if report.commit else ""]
        facts.append(f"prices of {code(report.catalog)}" if report.catalog else "")
        known = [one for one in facts if one]
        return "\n".join([*text, *(["", f"<sub>{' · '.join(known)}</sub>"] if known else []), ""])

    def _details(self, room: int) -> str:
        """All of them, else short ones, else as many short ones as there is room for."""
        for brief in (False, True):
            blocks = [_block(row, brief=brief) for row in self.changed]
            note = (
                _note("What is small is left out of the details: the host takes no longer comment.")
                if brief
                else ""
            )
            whole = "".join(blocks) + note
            if length(whole) <= room:
                return whole
        note = "Details of {} stacks are left out: the host takes no longer comment."
        room -= length(_note(note)) + 8
        kept, used = [], 0
        for block in blocks:
            used += length(block)
            if used > room:
                break
            kept.append(block)
        return "".join(kept) + (_note(note.format(len(blocks) - len(kept))) if room > 0 else "")

    def _shorter(self, head: str, room: int) -> str:
        lines, used, kept = head.split("\n"), 0, []
        for line in lines:
            used += length(line) + 1
            if used > room:
                break
            kept.append(line)
        left = len(lines) - len(kept)
        return "\n".join(
            [*kept, "", f"… and {left} more lines: `{self.report.program} preview` shows them", ""]
        )


def _table(report: Report) -> Iterator[str]:
    shown = [row for row in report.rows if row.status != "unchanged"]
    if not shown:
        return
    yield f"| stack | | {' | '.join(OPS)} | cost |"
    yield f"|---|---|{'--:|' * len(OPS)}--:|"
    for row in shown:
        denied = any(one.level is Level.DENY and one.stack == row.stack for one in report.findings)
        state = "policy ✗" if denied else "foundation" if row.is_foundation else "changed"
        if row.problem:
            yield f"| {code(row.stack or row.file)} | failed ✗ | {'| ' * len(OPS)}– |"
            continue
        cells = " | ".join(_count(row, op) for op in OPS)
        yield f"| {code(row.stack)} | {state} | {cells} | {words.signed(row.cost.hourly)}/h |"
    yield ""


def _count(row: Row, op: str) -> str:
    count = row.count(op)
    if not count or op not in ("replace", "delete"):
        return str(count)
    if op == "delete":
        return f"**{count}**"
    # What destroys something is worth its reason in the first lines that are read.
    found = [one for one in row.changing if one.op == op]
    forced = [" ".join((code(one.resource), *(code(name) for name in one.forces[:2]))) for one in found]
    more = f", {len(found) - REASONS} more" if len(found) > REASONS else ""
    return f"**{count}** {', '.join(forced[:REASONS])}{more}"


def _problems(report: Report) -> Iterator[str]:
    failed = report.of("failed")
    for row in failed:
        problem = row.problem
        assert problem is not None
        where = f" at {code(str(problem.place))}" if problem.place else ""
        yield f"- {code(row.stack or row.file)}: **{prose(problem.code)}** {prose(problem.message)}{where}"
        if problem.hint:
            yield f"  hint: {prose(problem.hint)}"
    if failed:
        yield ""


def _policy(findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        return
    yield "**Policy**"
    yield ""
    for one in sorted(findings, key=lambda one: one.level is not Level.DENY):
        sign = "✗" if one.level is Level.DENY else "⚠"
        where = " ".join(code(part) for part in (one.stack, one.resource) if part)
        hint = f" Hint: {prose(one.hint)}" if one.hint else ""
        yield f"- {sign} {where} {prose(one.message)} ({prose(one.rule)}){hint}"
    yield ""


def _block(row: Row, *, brief: bool) -> str:
    counts = ", ".join(f"{MARKS[op]}{row.count(op)}" for op in OPS if row.count(op)) or "fields only"
    head = f"{_html(row.stack)}: {counts}, {words.signed(row.cost.hourly)}/h"
    text = [f"<details><summary>{head}</summary>", ""]
    text += _where(row)
    text += _fields(row.fields)
    shown = [one for one in row.changing if not brief or _matters(one)]
    if shown:
        text += ["| | resource | type | cost | why |", "|---|---|---|--:|---|"]
        text += [_resource(label, one, count) for label, one, count in words.grouped(shown)]
        text.append("")
    left = len(row.changing) - len(shown)
    if left:
        text += [f"… {left} more", ""]
    return "\n".join([*text, "</details>", "", ""])


def _matters(one: Change) -> bool:
    return one.op in ("replace", "delete") or abs(one.hourly) >= 0.01


def _resource(label: str, one: Change, count: int) -> str:
    price = words.price(one) + (" each" if count > 1 and one.hourly else "")
    cells = (MARKS[one.op], code(label), code(one.kind), prose(price), _why(one))
    return f"| {' | '.join(cells)} |"


def _why(one: Change) -> str:
    forces = ", ".join(code(name) for name in one.forces)
    others = ", ".join(code(name) for name in one.reasons if name not in one.forces)
    return "; ".join(part for part in (f"{forces} forces it" if forces else "", others) if part)


def _where(row: Row) -> Iterator[str]:
    """The chosen offer, what there is beside it, what the run costs, and the network."""
    if row.plan:
        first, *others = row.plan.placements[: 1 + ALTERNATIVES]
        nodes = words.plural(first.nodes, "node")
        cost = f", {words.money(row.cost.run)} for the run of {words.length(row)}" if row.cost.run else ""
        yield f"{nodes} on **{prose(offered(first))}**{cost}  "
        if others:
            yield f"else {'; '.join(prose(offered(one)) for one in others)}  "
    if row.foundation:
        yield f"network: {code(row.foundation)}"
    if row.plan or row.foundation:
        yield ""


def _fields(changes: Sequence[FieldChange]) -> Iterator[str]:
    if not changes:
        return
    yield "| field | old | new | what it means |"
    yield "|---|---|---|---|"
    for one in changes:
        old, new = (code(value) if value else "" for value in words.values(one))
        yield f"| {code(one.field)} | {old} | {new} | {prose(one.says)} |"
    yield ""


def _stays(report: Report) -> str:
    kept = words.stays(report)
    return f"What stays when the runs have ended: {prose(kept)}.  " if kept else ""


def _not_priced(report: Report) -> str:
    if not report.not_priced:
        return ""
    shown = [prose(one) if one == "traffic" else code(one) for one in report.not_priced[:12]]
    more = f", {len(report.not_priced) - 12} more" if len(report.not_priced) > 12 else ""
    return f"Not priced: {', '.join(shown)}{more}"


def _commands(report: Report, changed: Sequence[Row], *, brief: bool) -> Iterator[str]:
    """What brings it up, and what drops it; many of them folded, or only how they go where there is no room."""
    commands = list(dict.fromkeys(one.apply for one in changed if one.apply))
    if not commands:
        return
    if brief or len(commands) == 1:
        one = "up FILE" if brief and len(commands) > 1 else commands[0]
        yield f"Apply: {command(f'{report.program} {one}')} · Drop: {prose(report.drop)}"
        return
    yield f"<details><summary>Apply with {len(commands)} commands</summary>"
    yield ""
    for one in commands[:60]:
        yield f"- {command(f'{report.program} {one}')}"
    if len(commands) > 60:
        yield f"- … {len(commands) - 60} more"
    yield ""
    yield "</details>"
    yield ""
    yield f"Drop: {prose(report.drop)}"


def _note(text: str) -> str:
    return f"*{text}*\n\n"


def _bold_money(text: str) -> str:
    """The sentence with its first amount in bold."""
    return re.sub(r"([+−]?\$[\d.,]*\d(?:/h)?)", r"**\1**", text, count=1)


def code(text: str) -> str:
    """`text` as code, in a table or outside, whatever is in it; mentions and references in code are none."""
    return _code(words.cut(words.safe(text), NAME))


def command(text: str) -> str:
    """A command as code, whole, and without marks that would be copied with it."""
    return _code(words.safe(text, isolate=False))


def _code(shown: str) -> str:
    if not shown:
        return ""
    if _PLAIN.match(shown):
        return f"`{shown}`"
    return f"<code>{_entities(shown)}</code>"


def prose(text: str) -> str:
    """A sentence of others: its `code` stays code, everything else is mere text."""
    parts = words.cut(words.safe(text), MESSAGE).split("`")
    if len(parts) % 2 == 0:  # one that nobody closed
        parts[-2:] = ["'".join(parts[-2:])]
    return "".join(code(part) if number % 2 else _words(part) for number, part in enumerate(parts))


def _words(text: str) -> str:
    """Mere text: nothing in it is markup, and nobody is called by it."""
    apart = re.sub(r"([@#])(?=\w)", "\\1\u2060", text)
    apart = re.sub(r"(?i)\b(https?|www)(?=[:.])", "\\1\u2060", apart)
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", apart)


def _entities(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9 \u0080-\U0010ffff-]", lambda found: f"&#{ord(found[0])};", text)


def _html(text: str) -> str:
    """As code inside a line of HTML."""
    return f"<code>{html.escape(words.cut(words.safe(text), NAME))}</code>"
