"""Brings the agent into a deployment's container on Azure beside Pulumi, whose provider has but shared keys for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from compiler.problem import Problems
from stacks import answers
from stacks.azure import session
from stacks.boot import AGENTS

if TYPE_CHECKING:
    import pulumi

RESOURCE, VERSION = "https://storage.azure.com", "2023-11-03"
TIMEOUT_S = 120
THERE = (409, 412)
"""What Azure answers where the blob is already, so that nothing is written."""

RIGHTS = "docs/clouds/azure.md has a role with rights to blobs: owning a subscription gives none"


def bring(agent: str, account: Any, container: Any, prefix: str) -> pulumi.Output[bool]:
    """The agent's archive under its hash, as soon as the container is there and whoever else brought it before.

    True at the end, False in a preview. Raises Problems where the archive is not here; the output fails with those of
    the cloud.
    """
    import pulumi

    from stacks.provider import agents

    archive = agents.archive(agent)

    async def go(found: list[Any]) -> bool:
        address, name, _ = found
        if address is None or pulumi.runtime.is_dry_run():
            return False
        url = f"{address.rstrip('/')}/{name}/{prefix}/{AGENTS}/{agent}"
        await asyncio.to_thread(lambda: put(url, archive.read_bytes()))
        return True

    address = account.primary_endpoints.apply(lambda found: found and found.blob)
    return pulumi.Output.all(address, container.name, container.id).apply(go)


def put(url: str, content: bytes) -> None:
    """Make a blob in one piece; one that is there stays as it is. Raises Problems `cloud/...`."""
    what = "bringing the agent into the container"
    with session.asking(what):
        import requests

        headers = {
            "Authorization": f"Bearer {session.token(RESOURCE)}",
            "x-ms-version": VERSION,
            "x-ms-blob-type": "BlockBlob",
            "If-None-Match": "*",
        }
        with answers.patient(requests.Session()) as http:
            answer = http.put(url, data=content, headers=headers, timeout=TIMEOUT_S)
    if answer.status_code < 400 or answer.status_code in THERE:
        return
    if answer.status_code in answers.LATER:
        raise Problems(answers.later(answer, what))
    problem = session.refused(what, answer.status_code, answer.text)
    raise Problems(replace(problem, hint=RIGHTS) if answer.status_code == 403 else problem)
