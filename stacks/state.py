"""What an exported Pulumi state says: resources, nodes, and what an interrupted engine left unfinished."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from compiler.spec import digest

BOOKKEEPING = ("pulumi:pulumi:Stack", "pulumi:providers:")
"""Types that Pulumi adds by itself and no person counts."""


def counted(kind: str) -> bool:
    """Is a resource of this type one that people mean?"""
    return not kind.startswith(BOOKKEEPING)


def name(urn: str) -> str:
    """The name at the end of an URN: `node-1`."""
    return urn.rpartition("::")[2]


def rank(urn: str) -> int | None:
    """The rank that a node resource is named after (`node-<rank>`), or None for another resource."""
    match = re.fullmatch(r"node-(\d+)", name(urn))
    return int(match[1]) if match else None


NODE_IDS = ("instanceId", "vmId")
"""Outputs that hold the id of a machine where that of its resource is a name, which its successor may have again."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a state. `node` is the id of the machine it stands for, its own id elsewhere. `deleting`: it was
    replaced and waits to be deleted."""

    urn: str
    kind: str
    id: str
    outputs: Mapping[str, Any]
    deleting: bool

    @property
    def node(self) -> str:
        found = next((self.outputs[name] for name in NODE_IDS if self.outputs.get(name)), self.id)
        return str(found)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Resource:
        return cls(
            urn=data["urn"],
            kind=data["type"],
            id=data.get("id", ""),
            outputs=data.get("outputs") or {},
            deleting=bool(data.get("delete", False)),
        )


@dataclass(frozen=True, slots=True)
class State:
    """A stack's state; `data` is the whole export, for giving it back."""

    resources: tuple[Resource, ...]
    pending: tuple[str, ...]
    data: Mapping[str, Any]

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> State:
        deployment = data.get("deployment") or {}
        return cls(
            resources=tuple(Resource.from_data(row) for row in deployment.get("resources") or ()),
            pending=tuple(row["type"] for row in deployment.get("pending_operations") or ()),
            data=data,
        )

    @property
    def counted(self) -> tuple[Resource, ...]:
        return tuple(resource for resource in self.resources if counted(resource.kind))

    @property
    def ids(self) -> frozenset[str]:
        """Every id the state knows, also of what waits to be deleted."""
        return frozenset(name for one in self.resources if one.id for name in (one.id, one.node))

    @property
    def outputs(self) -> Mapping[str, Any]:
        """What the stack exports."""
        found = (one.outputs for one in self.resources if one.kind == "pulumi:pulumi:Stack")
        return next(found, {})

    def urns(self, ids: Collection[str]) -> list[str]:
        """The nodes that have one of `ids`."""
        return [
            resource.urn
            for resource in self.resources
            if resource.node in ids and not resource.deleting and rank(resource.urn) is not None
        ]

    def nodes(self) -> list[dict[str, Any]]:
        """Rows `{rank, id, address}` in the order of ranks."""
        said = self._exported()
        rows = [
            {"rank": number, "id": resource.node, "address": said.get(resource.node)}
            for resource in self.resources
            if (number := rank(resource.urn)) is not None and resource.id and not resource.deleting
        ]
        return sorted(rows, key=lambda row: row["rank"])

    def _exported(self) -> dict[str, Any]:
        """Address by id: as the stack exports them, or of a resource that says it itself."""
        found = {one.id: one.outputs["address"] for one in self.resources if "address" in one.outputs}
        rows = self.outputs.get("nodes")
        if isinstance(rows, list):
            found |= {row["id"]: row.get("address") for row in rows if isinstance(row, dict) and "id" in row}
        return found

    @property
    def version(self) -> str:
        """A digest of what it knows: the same as long as nothing was made, changed, lost or moved. Not of times, and
        not of secrets, whose ciphertexts differ each time that they are written."""
        left = ("created", "modified", "sourcePosition", "stackTrace")
        deployment = self.data.get("deployment") or {}
        rows = [
            {name: one[name] for name in one if name not in left} for one in deployment.get("resources") or ()
        ]
        return digest(_without_secrets([rows, deployment.get("pending_operations") or []]))

    def encryption(self) -> dict[str, str]:
        """What a stack's configuration file says about how its secrets are encrypted."""
        provider = (self.data.get("deployment") or {}).get("secrets_providers") or {}
        kept = provider.get("state") or {}
        if provider.get("type") == "passphrase":
            return {"encryptionsalt": kept["salt"]}
        if provider.get("type") == "cloud":
            return {"secretsprovider": kept["url"], "encryptedkey": kept["encryptedkey"]}
        return {}

    def settled(self) -> dict[str, Any]:
        """The export without pending operations: for when it is known what became of them."""
        deployment = {
            key: value for key, value in self.data["deployment"].items() if key != "pending_operations"
        }
        return {**self.data, "deployment": deployment}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "ciphertext" in value:
            return None
        return {name: _without_secrets(one) for name, one in value.items()}
    return [_without_secrets(one) for one in value] if isinstance(value, list) else value
