"""How reports put amounts, counts and their first and last sentence into words."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from compiler.words import span

if TYPE_CHECKING:
    from compiler.change import Change as FieldChange
    from skywright.review.report import Change, Part, Report, Row

MINUS = "−"


def money(usd: float) -> str:
    """`$0`, `$0.0042`, `$9.83`, `$1,481`; without a sign."""
    amount = abs(usd)
    if amount < 0.00005:
        return "$0"
    if amount < 0.01:
        return f"${amount:.4f}"
    return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"


def signed(usd: float) -> str:
    """A difference: `+$39.32`, `−$0.40`, `$0`."""
    text = money(usd)
    return text if text == "$0" else f"{MINUS if usd < 0 else '+'}{text}"


def plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def headline(report: Report) -> str:
    """The answer in one line: `3 stacks change, +$39.32/h ($1,481 for the run)`."""
    changed, failed = len(report.of("changed")), len(report.of("failed"))
    text = f"{plural(changed, 'stack')} change{'s' if changed == 1 else ''}" if changed else "no changes"
    if changed:
        text += f", {signed(report.cost.hourly)}/h"
        if report.cost.run is not None:
            text += f" ({money(report.cost.run)} for {runs(report)})"
    if failed:
        text += f", {plural(failed, 'stack')} cannot be previewed"
    if report.denied:
        text += ", refused by policy"
    return text


def closing(report: Report) -> str:
    """The last sentence: the difference, what the run costs, what stays, and what nobody can price."""
    cost = report.cost
    if report.of("changed"):
        text = f"cost {signed(cost.hourly)}/h"
        if cost.before > 0:
            text += f" ({money(cost.before)} now, {money(cost.after)} then)"
        if cost.run is not None:
            text += f", {money(cost.run)} for {runs(report)}"
    else:
        text = f"nothing changes: {money(cost.after)}/h as now"
    if kept := stays(report):
        text += f", {kept} for what stays"
    if report.not_priced:
        text += f"; not priced: {', '.join(report.not_priced)}"
    return text


def stays(report: Report) -> str:
    """What is paid for what outlives the runs: `$1.20 a month (+$0.40), objects $0.023 per GB and month`."""
    cost, parts = report.cost, list[str]()
    if cost.stays or cost.stays_before:
        change = f" ({signed(cost.monthly)})" if cost.monthly and cost.stays_before else ""
        parts.append(f"{money(cost.stays)} a month{change}")
    return ", ".join((*parts, *report.rates))


def runs(report: Report) -> str:
    """`the run`, `the runs`, with how long it is taken to last where that is one number that nobody said."""
    found = [row for row in report.of("changed") if row.cost.run is not None]
    if len(found) != 1:
        return "the runs"
    return f"the run of {length(found[0])}"


def length(row: Row) -> str:
    """`36 h`; `1 h (assumed)` when nobody says how long the task takes."""
    return span((row.hours or 0.0) * 3600) + (" (assumed)" if row.assumed else "")


def why(change: Change) -> str:
    """What makes it change, in backticks-free words: `machineType forces it`, `labels`."""
    forces = ", ".join(change.forces)
    others = ", ".join(one for one in change.reasons if one not in change.forces)
    return "; ".join(part for part in (f"{forces} forces it" if forces else "", others) if part)


def price(change: Change) -> str:
    """What a resource costs: `+$9.83/h`, `free`, `by use: $0.023 per GB and month`, `not priced`."""
    from skywright.review.report import Kind

    found = change.priced
    if found is None or found.kind is Kind.FREE:
        return "free"
    if found.kind is Kind.UNPRICED:
        return f"not priced{f' ({found.why})' if found.why else ''}"
    rates = ", ".join(part.rate for part in found.parts if part.rate)
    if found.kind is Kind.USE and not found.hourly:
        return f"by use: {rates}"
    if change.before and change.after:
        text = f"{signed(change.hourly)}/h ({money(change.before.hourly)} → {money(change.after.hourly)})"
        if change.hourly == 0:
            text = f"{money(change.after.hourly)}/h as now"
    else:
        text = f"{signed(change.hourly)}/h"
    return f"{text}, {rates}" if rates else text


def part(one: Part) -> str:
    """`machine $9.83/h`, `disk 500 GB $0.0548/h`."""
    return f"{one.what} {one.rate or f'{money(one.hourly)}/h'}"


_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]+"
)
"""Characters that steer a terminal or a reader's eye: controls, line ends, marks of direction, invisible ones."""

SHOWN = 40
"""Characters of a value that is shown beside its change."""


def safe(text: str, *, isolate: bool = True) -> str:
    """`text` on one line, without what steers terminals; `isolate` keeps letters from right to left in their place."""
    shown = _STEERING.sub(" ", text.encode("utf-8", "replace").decode()).strip()
    if isolate and any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in shown):
        return f"\u2068{shown}\u2069"
    return shown


def cut(text: str, most: int) -> str:
    """At most so many characters; a mark of direction that was opened is closed again."""
    if len(text) <= most:
        return text
    kept = text[: most - 1] + "…"
    return kept + "\u2069" if kept.count("\u2068") > kept.count("\u2069") else kept


def grouped(changes: Sequence[Change]) -> list[tuple[str, Change, int]]:
    """Neighbours that differ by their number alone, together: `node-0 … node-3`, one of them, how many."""
    found: list[tuple[str, Change, int]] = []
    for _, same in itertools.groupby(changes, _alike):
        ones = list(same)
        if len(ones) > 2:
            found.append((f"{ones[0].resource} … {ones[-1].resource}", ones[0], len(ones)))
        else:
            found += [(one.resource, one, 1) for one in ones]
    return found


def _alike(one: Change) -> tuple[object, ...]:
    head, _, number = one.resource.rpartition("-")
    name = head if number.isdigit() else one.resource
    parts = tuple(part.what for part in one.priced.parts) if one.priced else ()
    return name, one.op, one.kind, price(one), why(one), parts


def columns(text: str) -> int:
    """How wide a terminal shows it."""
    return sum(
        0
        if unicodedata.combining(char) or unicodedata.category(char) == "Cf"
        else 2
        if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )


def values(change: FieldChange) -> tuple[str, str]:
    """Old and new value of a field for people; empty where they are long, or nobody's business."""
    found = (change.old, change.new)
    if change.hidden or any(isinstance(one, (dict, list, tuple)) for one in found):
        return "", ""
    texts = [_value(one) for one in found]
    if any(len(one) > SHOWN or "\n" in one for one in texts):
        return "", ""
    return safe(texts[0]), safe(texts[1])


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "nothing" if value is None else str(value)
