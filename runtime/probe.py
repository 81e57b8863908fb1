"""Notices that spot capacity will be taken away, by the probe in the manifest; knows no cloud."""

from __future__ import annotations

import calendar
import json
import random
import threading
import time
import urllib.error
import urllib.request
from typing import Any, Callable, Optional

TIMEOUT_S = 2.0


class Probe(threading.Thread):
    """Polls until the answer says that the node goes, then calls `notice(seconds left, source)` once and ends."""

    def __init__(self, data: dict[str, Any], notice: Callable[[float, str], None]) -> None:
        super().__init__(daemon=True, name="probe")
        self.data, self.notice = data, notice
        self._token: Optional[str] = None
        # Proxies of the environment are for the internet, not for the machine's own metadata address.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def run(self) -> None:
        while True:
            left = self.look()
            if left is not None:
                self.notice(left, self.data["url"])
                return
            time.sleep(self.data["every_s"] * random.uniform(0.9, 1.0))

    def look(self) -> Optional[float]:
        """One poll: seconds left when the node is lost (0 without a deadline), else None."""
        try:
            found = json.loads(self._get())
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                self._token = None
            error.close()
            return None
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict) or found.get(self.data["member"]) not in self.data["values"]:
            return None
        return seconds_until(found.get(self.data.get("deadline", "")), time.time())

    def _get(self) -> bytes:
        headers = dict(self.data.get("headers", {}))
        token = self.data.get("token")
        if token:
            if self._token is None:
                self._token = (
                    self._call(token["url"], token["method"], token.get("headers", {})).decode().strip()
                )
            headers[token["header"]] = self._token
        return self._call(self.data["url"], "GET", headers)

    def _call(self, url: str, method: str, headers: dict[str, str]) -> bytes:
        request = urllib.request.Request(url, method=method, headers=headers)
        with self._opener.open(request, timeout=TIMEOUT_S) as answer:
            content: bytes = answer.read(64 * 1024)
            return content


def seconds_until(text: Any, wall: float) -> float:
    """Seconds from `wall` (Unix time) to an RFC 3339 time; 0 when there is none or it has passed."""
    if not isinstance(text, str):
        return 0.0
    try:
        moment, offset = text.strip().upper().replace(" ", "T"), 0
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
