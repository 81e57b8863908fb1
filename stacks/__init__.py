"""Everything that knows Pulumi. CLOUDS names the clouds; `cloud(name)` imports one."""

from __future__ import annotations

import importlib
from typing import cast

from stacks.cloud import Cloud

CLOUDS: dict[str, str] = {
    "local": "stacks.local",
}
"""Cloud name -> module that keeps the protocol of stacks/cloud.py: a new cloud is one file and one line here."""


def cloud(name: str) -> Cloud:
    """The module of one cloud. Raises KeyError for a name that is not in CLOUDS."""
    return cast(Cloud, importlib.import_module(CLOUDS[name]))
