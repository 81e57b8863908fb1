"""Is the caller the instance it says: a request to STS, signed on the node, that we send on.

EC2 names the session of an instance's role after the instance, so STS itself answers which instance signed. The
signature covers a header with the node's id, which keeps a request that was signed for another purpose from passing.
Sent on after 15 minutes at the latest, then STS refuses it. Identity documents would need no call, but never end, and
everything that ever ran on the node can keep one.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import parse_qs, urlsplit

from stacks.aws import session
from stacks.cloud import Scope

HEADER = "x-skywright-node"
HOSTS = re.compile(r"sts(\.[a-z0-9-]+)?\.amazonaws\.com(\.cn)?")
TIMEOUT_S = 10.0
CALLER = re.compile(r"arn:[a-z-]+:sts::(\d+):assumed-role/([^/]+)/([^/]+)")


def holds(node: str, proof: str, scope: Scope) -> bool:
    """`proof` is the presigned URL of GetCallerIdentity, with HEADER: node signed. Raises Problems cloud/no-answer."""
    if not node.startswith("i-") or not _sound(proof):
        return False
    caller = _caller(proof, node)
    if caller is None or caller[2] != node:
        return False
    return caller[:2] == _role(node, scope)


def _sound(url: str) -> bool:
    """Does it go to STS, ask who the caller is, and cover our header?"""
    try:
        parts, asked = urlsplit(url), parse_qs(urlsplit(url).query)
    except ValueError:
        return False
    endpoint = os.environ.get("AWS_ENDPOINT_URL_STS") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        there = (parts.scheme, parts.netloc) == tuple(urlsplit(endpoint)[:2])
    else:
        there = parts.scheme == "https" and HOSTS.fullmatch(parts.netloc) is not None
    signed = asked.get("X-Amz-SignedHeaders", [""])[0].split(";")
    return there and asked.get("Action") == ["GetCallerIdentity"] and HEADER in signed


def _caller(url: str, node: str) -> tuple[str, str, str] | None:
    """Account, role and session that STS names; None when it refuses."""
    asked = urllib.request.Request(  # noqa: S310 (the address was judged)
        url, headers={HEADER: node, "Accept": "application/json"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:  # noqa: S310
            text = answer.read(64 * 1024).decode("utf-8", "replace")
    except urllib.error.HTTPError:
        return None
    except OSError as error:
        from compiler.problem import Problem, Problems

        says = f"STS did not answer for {node}: {error}"
        raise Problems(Problem("cloud/no-answer", says, hint="try again; is the network up?")) from None
    found = CALLER.search(_arn(text))
    return (found[1], found[2], found[3]) if found else None


def _arn(text: str) -> str:
    try:
        data: Any = json.loads(text)
        return str(data["GetCallerIdentityResponse"]["GetCallerIdentityResult"]["Arn"])
    except (ValueError, KeyError, TypeError):
        found = re.search(r"<Arn>([^<]+)</Arn>", text)
        return found[1] if found else ""


def _role(node: str, scope: Scope) -> tuple[str, str] | None:
    """Account and role of an instance of ours, as EC2 and IAM have them."""
    from stacks.aws import instances

    found = instances.described((node,), scope)
    profile = str((found[0].get("IamInstanceProfile") or {}).get("Arn", "")) if found else ""
    if not profile:
        return None
    iam = session.client("iam", session.region(scope))
    with session.asking("asking for the role of the instance"):
        answer = iam.get_instance_profile(InstanceProfileName=profile.rpartition("/")[2])
    roles = answer["InstanceProfile"]["Roles"]
    return (profile.split(":")[4], str(roles[0]["RoleName"])) if roles else None
