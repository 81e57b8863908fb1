"""Is the caller the instance it says: a request to STS, signed on the node, that we send on.

EC2 names the session of an instance's role after the instance, so STS itself answers which instance signed. The
signature covers a header with the node's id, which keeps a request that was signed for another purpose from passing.
STS refuses it after 15 minutes. Identity documents would need no call, but never end, and everything that ever ran on
the node can keep one. The address is ours: of the caller's words only headers go out.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from typing import Any

from stacks.aws import session
from stacks.cloud import Scope

HEADER = "x-skywright-node"
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
"""What is posted; the signature covers it."""
SENT = ("authorization", "x-amz-date", "x-amz-security-token", "content-type", HEADER)
TIMEOUT_S = 10.0
CALLER = re.compile(r"arn:[a-z-]+:sts::(\d+):assumed-role/([^/]+)/([^/<\"]+)")


def holds(node: str, proof: str, scope: Scope) -> bool:
    """`proof` is a JSON object with the headers (SENT) of the signed request. Raises Problems cloud/no-answer."""
    headers = _headers(node, proof)
    if headers is None:
        return False
    caller = _caller(headers, node, scope)
    return caller is not None and caller[2] == node and caller[:2] == _role(node, scope)


def _headers(node: str, proof: str) -> dict[str, str] | None:
    """Those that are sent on, when they are signed for this node."""
    try:
        given = json.loads(proof)
        found = {str(name).lower(): str(value) for name, value in given.items()}
    except (ValueError, AttributeError):
        return None
    if any("\n" in value or "\r" in value for value in found.values()):
        return None
    signed = re.search(r"SignedHeaders=([^, ]+)", found.get("authorization", ""))
    covered = signed is not None and {"host", HEADER} <= set(signed[1].split(";"))
    if not covered or not node.startswith("i-") or found.get(HEADER) != node:
        return None
    return {name: value for name, value in found.items() if name in SENT}


def address(region: str) -> str:
    """Where STS is asked: that of the region, or of tests."""
    named = os.environ.get("AWS_ENDPOINT_URL_STS") or os.environ.get("AWS_ENDPOINT_URL")
    end = ".cn" if session.partition(region) == "aws-cn" else ""
    return named or f"https://sts.{region}.amazonaws.com{end}"


def _caller(headers: dict[str, str], node: str, scope: Scope) -> tuple[str, str, str] | None:
    """Account, role and session that STS names; None when it refuses."""
    url = f"{address(session.region(scope)).rstrip('/')}/"
    asked = urllib.request.Request(url, BODY, headers, method="POST")  # noqa: S310 (the address is ours)
    try:
        with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:  # noqa: S310
            text = answer.read(64 * 1024).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except OSError as error:
        from compiler.problem import Problem, Problems

        says = f"STS did not answer for {node}: {error}"
        raise Problems(Problem("cloud/no-answer", says, hint="try again; is the network up?")) from None
    found = CALLER.search(text)
    return (found[1], found[2], found[3]) if found else None


def _role(node: str, scope: Scope) -> tuple[str, str] | None:
    """Account and role of an instance, as EC2 and IAM have them."""
    from stacks.aws import instances

    described: list[dict[str, Any]] = instances.described((node,), scope)
    profile = str((described[0].get("IamInstanceProfile") or {}).get("Arn", "")) if described else ""
    if not profile:
        return None
    iam = session.client("iam", session.region(scope))
    with session.asking("asking for the role of the instance"):
        answer = iam.get_instance_profile(InstanceProfileName=profile.rpartition("/")[2])
    roles = answer["InstanceProfile"]["Roles"]
    return (profile.split(":")[4], str(roles[0]["RoleName"])) if roles else None
