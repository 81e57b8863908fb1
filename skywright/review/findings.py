"""What the rules found in previews, as Findings of a report: from the results of preview operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skywright.review.report import Finding, Level


def findings(result: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Of a preview operation's result, those of its foundation first."""
    rows = (*(result.get("foundation") or {}).get("findings", ()), *result.get("findings", ()))
    return tuple(_finding(row) for row in rows)


def _finding(row: Mapping[str, Any]) -> Finding:
    excused = f"; allowed by an exception: {row['exception']}" if row["exception"] else ""
    return Finding(
        rule=row["rule"],
        stack=row["stack"],
        message=row["message"] + excused,
        level=Level.DENY if row["level"] == Level.DENY.value else Level.WARN,
        resource=row["resource"] or "",
        hint="" if excused else row["hint"] or "",
        exception=row["exception"] or "",
    )
