"""Notices that spot capacity will be taken away, by the probe in the manifest; knows no cloud."""

from __future__ import annotations

import calendar
import http.client
import json
import random
import threading
import time
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

TIMEOUT_S = 2.0
LEAST_S = 30.0
"""Time left when a cloud names no deadline: the shortest notice that clouds give."""


class Probe(threading.Thread):
    """Polls until the answer says that the node goes, then calls `notice(seconds left, source)` once and ends."""

    def __init__(self, data: dict[str, Any], notice: Callable[[float, str], None]) -> None:
        super().__init__(daemon=True, name="probe")
        self.data, self.notice = data, notice
        self._token: Optional[str] = None

    def run(self) -> None:
        while True:
            left = self.look()
            if left is not None:
                self.notice(left, self.data["url"])
                return
            time.sleep(self.data["every_s"] * random.uniform(0.9, 1.0))

    def look(self) -> Optional[float]:
        """One poll: seconds left when the node is lost, else None."""
        try:
            status, body = self._get()
            found = self._read(body) if status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            return None
        if status in (401, 403):
            self._token = None
        if found is None:
            return None
        self._acknowledge(found)
        deadline = found.get(self.data.get("deadline", ""))
        return LEAST_S if not deadline else seconds_until(deadline, time.time())

    def _read(self, body: str) -> Optional[dict[str, Any]]:
        """What says that the node goes: the whole answer, or the row of a list that does; None when nothing does."""
        member, values = self.data["member"], self.data["values"]
        if not member:
            return {} if body.strip() in values else None
        found = json.loads(body)
        if not isinstance(found, dict):
            return None
        rows = found.get(self.data["rows"]) if "rows" in self.data else [found]
        for row in rows if isinstance(rows, list) else []:
            if isinstance(row, dict) and row.get(member) in values and self._mine(row):
                return row
        return None

    def _mine(self, row: dict[str, Any]) -> bool:
        """Lists may name machines: then the row is only ours when it names this one."""
        named = row.get(self.data.get("names", ""))
        return not isinstance(named, list) or self.data.get("name") in (None, *named)

    def _acknowledge(self, row: dict[str, Any]) -> None:
        """Tell the cloud that it need not wait, where it wants to know; whether it heard makes no difference."""
        wanted = self.data.get("acknowledge")
        if not wanted:
            return
        body = json.dumps(wanted["body"]).replace("{id}", str(row.get(wanted["member"], "")))
        headers = {**self.data.get("headers", {}), "Content-Type": "application/json"}
        try:
            self._call(wanted["url"], "POST", headers, body)
        except (OSError, http.client.HTTPException):
            return

    def _get(self) -> tuple[int, str]:
        headers = dict(self.data.get("headers", {}))
        token = self.data.get("token")
        if token:
            if self._token is None:
                status, text = self._call(token["url"], token["method"], token.get("headers", {}))
                self._token = text.strip() if status == 200 else None
            headers[token["header"]] = self._token or ""
        return self._call(self.data["url"], "GET", headers)

    def _call(self, url: str, method: str, headers: dict[str, str], body: str = "") -> tuple[int, str]:
        """Straight to the machine's own metadata address, past any proxy of the environment."""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            connection.request(
                method,
                parts.path + ("?" + parts.query if parts.query else ""),
                body.encode() or None,
                headers,
            )
            response = connection.getresponse()
            return response.status, response.read(64 * 1024).decode("utf-8", "replace")
        finally:
            connection.close()


def seconds_until(text: Any, wall: float) -> float:
    """Seconds from `wall` (Unix time) to an RFC 3339 time; 0 when it has passed or cannot be read."""
    try:
        moment, offset = str(text).strip().upper().replace(" ", "T"), 0
        if moment.endswith("Z"):
            moment = moment[:-1]
        elif moment[-6] in "+-" and moment[-3] == ":":
            offset = (int(moment[-5:-3]) * 60 + int(moment[-2:])) * (60 if moment[-6] == "+" else -60)
            moment = moment[:-6]
        whole, _, fraction = moment.partition(".")
        at = (
            calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
            - offset
            + float("0." + (fraction or "0"))
        )
    except (ValueError, IndexError):
        return 0.0
    return max(0.0, at - wall)
