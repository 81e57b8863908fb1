"""User data of a node: constants of its rank and a stub that fetches the agent, as a script of at most 4 KB."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems
from stacks.cloud import Probe

LIMIT, BAKING_LIMIT = 4096, 16384
"""Most bytes of user data: ours for nodes, and of a machine that becomes an image what every cloud takes."""
AGENTS, BLOBS = "down/agents", "down/blobs"
"""Where agents and archives lie below a store's prefix, by their hashes. Nodes only read below `down/`."""

_SCRIPT = """#!/bin/sh
for p in python3 /opt/skywright/bin/python3 /opt/conda/bin/python3 /usr/libexec/platform-python
do "$p" -c 'import sys;sys.exit(sys.version_info<(3,9))' 2>&- && exec "$p" -Ic 'import base64,sys,zlib
exec(zlib.decompress(base64.b85decode("{stub}")))' '{constants}'
done
echo "skywright: no Python 3.9 or newer in this image; nothing runs here" | tee /dev/console
exit 1
"""


@dataclass(frozen=True, slots=True)
class Store:
    """The part of a bucket that belongs to one deployment: its stack makes it, its nodes' identity reaches it alone.

    `kind` is s3, gcs or azblob; `bucket` the bucket or container; `prefix` ends without a slash. `account` is the
    storage account and `client` the id of the identity to use, both Azure's. `endpoint` is another address than the
    cloud's own. Stacks export it as `store`.

    On Kubernetes `kind` is pods: every node holds its own part, `bucket` is the namespace, `region` the context,
    `prefix` the Job.
    """

    kind: str
    bucket: str
    prefix: str
    region: str | None = None
    account: str | None = None
    client: str | None = None
    endpoint: str | None = None

    def to_data(self) -> dict[str, str]:
        """As it stands in the manifest and in a stack's outputs."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Store:
        return cls(**{one.name: data[one.name] for one in fields(cls) if one.name in data})


@dataclass(frozen=True, slots=True)
class Boot:
    """What a rank's user data says: nothing of an attempt and nothing secret, so that it never changes.

    The node itself adds its id, address, region and zone. Ids are what the metadata service gives and stacks export
    for their ranks: the instance id of EC2, the numeric id of Compute Engine, the vmId of Azure.
    `secrets` is how the names of the task's secrets begin where their values lie: `PREFIX` in Secrets Manager,
    `projects/PROJECT/secrets/PREFIX` in Secret Manager, `https://VAULT.vault.azure.net/secrets/PREFIX` in Key Vault,
    which has `-` for each `_` of a name. `control` is where nodes dial a control that listens for them (HTTPS); without
    it the two meet in the store. `recipe` is what a machine runs that becomes an image, instead of the agent.
    """

    cloud: str
    project: str
    deployment: str
    rank: int
    agent: str
    store: Store
    deadman_s: float
    probes: tuple[Probe, ...] = ()
    most_s: float | None = None
    secrets: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    recipe: str | None = None
    control: str | None = None

    def constants(self) -> dict[str, Any]:
        """The manifest (schemas/manifest.v1.json) without what only the node knows; and the agent's hash."""
        data: dict[str, Any] = {
            "agent": self.agent,
            "cloud": self.cloud,
            "project": self.project,
            "deployment": self.deployment,
            "rank": self.rank,
            "link": {
                "carrier": "http" if self.control else "bucket",
                "url": self.control,
                "store": self.store.to_data(),
                "secrets": None if self.control else self.secrets,
            },
            "probes": [probe.to_data() for probe in self.probes],
            "deadman_s": self.deadman_s,
            "most_s": self.most_s,
            "labels": dict(sorted(self.labels.items())),
            "recipe": self.recipe,
        }
        data["link"] = {name: value for name, value in data["link"].items() if value is not None}
        return {name: value for name, value in data.items() if value not in (None, [], {})}


def user_data(boot: Boot, limit: int = LIMIT) -> bytes:
    """A shell script that cloud-init runs once; the same bytes for the same `boot`, wherever they are made.

    Raises Problems cloud/user-data-too-long for names and labels that leave no room.
    """
    constants = json.dumps(boot.constants(), separators=(",", ":"))
    text = _SCRIPT.replace("{stub}", _stubs()[f"bake-{boot.store.kind}" if boot.recipe else boot.store.kind])
    content = text.replace("{constants}", constants.replace("'", "'\\''")).encode()
    limit = max(limit, BAKING_LIMIT) if boot.recipe else limit
    if len(content) > limit:
        raise Problems(
            Problem(
                "cloud/user-data-too-long",
                f"the user data of node-{boot.rank} has {len(content)} bytes, of which {limit} are allowed",
                hint="use fewer or shorter labels",
            )
        )
    return content


@cache
def _stubs() -> dict[str, str]:
    """The boot stub by kind of store, packed by `python -m tests.bootpack`."""
    found: dict[str, str] = json.loads((Path(__file__).parent / "boot.json").read_text())
    return found
