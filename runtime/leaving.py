"""What a machine does after its agent has ended and before it powers off: on Azure one that is only off is billed.

A script of its own, told the manifest. The identity's right to deallocate is the stack's to give.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from typing import Any, Mapping

META, MANAGEMENT = "http://169.254.169.254/metadata/", "https://management.azure.com"
TRIES, PAUSE_S = 3, 5.0


def leave(store: Mapping[str, Any], pause_s: float = PAUSE_S) -> bool:
    """Ask to be deallocated where the store says that this is Azure, again when that fails; was it asked?"""
    if store.get("kind") != "azblob":
        return False
    for left in reversed(range(TRIES)):
        try:
            _deallocate(store.get("client", ""))
            return True
        except (OSError, ValueError, KeyError) as error:
            print("skywright: not deallocated: %r" % error, file=sys.stderr, flush=True)
            if left:
                time.sleep(pause_s)
    return False


def _deallocate(client: str) -> None:
    me = _meta("instance/compute?api-version=2021-02-01")["resourceId"]
    query = "api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F"
    if client:
        query += "&client_id=" + client
    key = {"Authorization": "Bearer " + _meta("identity/oauth2/token?" + query)["access_token"]}
    url = MANAGEMENT + me + "/deallocate?api-version=2024-07-01"
    urllib.request.urlopen(urllib.request.Request(url, b"", key), timeout=60).close()  # noqa: S310


def _meta(path: str) -> Any:
    past = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(META + path, headers={"Metadata": "true"})  # noqa: S310
    with past.open(asked, timeout=30) as answer:
        return json.load(answer)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        leave(json.load(file)["link"]["store"])
