"""EC2 instances of ours outside Pulumi: found by tags, removed, stopped, started, taken away, reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from compiler.problem import Problem, Problems
from stacks.aws import names, session
from stacks.cloud import Access, NodeFacts, Scope

ALIVE = frozenset({"pending", "running"})
STOPPED = frozenset({"stopping", "stopped"})
USER = "ubuntu"
"""Who logs in on the images of the catalog."""

KILL = "systemctl show -p MainPID --value skywright && systemctl kill -s KILL --kill-whom=main skywright"
"""Prints the agent's pid, then kills it; systemd starts it again."""


def inventory(project: str | None, scope: Scope) -> tuple[NodeFacts, ...]:
    """Of one region, or of all that the account has enabled."""
    if scope.region:
        return tuple(_in(scope.region, project))
    regions = enabled(scope)
    with ThreadPoolExecutor(max_workers=16) as pool:
        found = list(pool.map(lambda region: tuple(_in(region, project)), regions))
    return tuple(facts for each in found for facts in each)


def enabled(scope: Scope) -> list[str]:
    """Regions that the account can use."""
    with session.asking("listing regions"):
        return sorted(one["RegionName"] for one in _ec2(scope).describe_regions()["Regions"])


def _in(region: str, project: str | None) -> Iterator[NodeFacts]:
    wanted = [{"Name": "instance-state-name", "Values": sorted(ALIVE | STOPPED)}]
    if project is None:
        wanted.append({"Name": "tag-key", "Values": [names.RANK]})
    else:
        wanted.append({"Name": f"tag:{names.PROJECT}", "Values": [project]})
    with session.asking(f"listing instances in {region}"):
        ec2 = session.client("ec2", region)
        pages = ec2.get_paginator("describe_instances").paginate(Filters=wanted)
        rows = [one for page in pages for each in page["Reservations"] for one in each["Instances"]]
    for one in rows:
        if facts := _facts(one, region):
            yield facts


def _facts(one: dict[str, Any], region: str) -> NodeFacts | None:
    tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags") or ()}
    try:
        rank = int(tags[names.RANK])
        project, deployment = tags[names.PROJECT], tags[names.DEPLOYMENT]
    except (KeyError, ValueError):  # somebody else's, with a tag that only looks like ours
        return None
    state = one["State"]["Name"]
    return NodeFacts(
        node=one["InstanceId"],
        project=project,
        deployment=deployment,
        rank=rank,
        address=one.get("PrivateIpAddress") or "",
        alive=state in ALIVE,
        created=one["LaunchTime"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        stack=tags.get(names.STACK),
        region=region,
        stopped=state in STOPPED,
        public=one.get("PublicIpAddress"),
    )


def remove(node: str, scope: Scope) -> None:
    """Terminate one instance; one that is gone, or never was, is no trouble."""
    if not node.startswith("i-"):
        return
    with session.asking(f"terminating {node}"):
        from botocore.exceptions import ClientError

        try:
            _ec2(scope).terminate_instances(InstanceIds=[node])
        except ClientError as error:
            if not session.missing(error) and session.code(error) != "InvalidInstanceID.Malformed":
                raise


def stop(nodes: tuple[str, ...], scope: Scope) -> None:
    """Stop on-demand instances. Raises Problems cloud/cannot-stop when one of them is spot."""
    spot = [one["InstanceId"] for one in described(nodes, scope) if one.get("InstanceLifecycle") == "spot"]
    if spot:
        raise Problems(
            Problem(
                "cloud/cannot-stop",
                f"EC2 cannot stop spot instances when we ask for it: {', '.join(spot)}",
                hint="`invoke down` removes them; a checkpoint is kept",
            )
        )
    if nodes:
        with session.asking(f"stopping {', '.join(nodes)}"):
            _ec2(scope).stop_instances(InstanceIds=list(nodes))


def start(nodes: tuple[str, ...], scope: Scope) -> None:
    if nodes:
        with session.asking(f"starting {', '.join(nodes)}"):
            _ec2(scope).start_instances(InstanceIds=list(nodes))


def preempt(node: str, notice_s: float | None, scope: Scope) -> None:
    """Terminate one instance now. EC2 has no call that gives a notice; its Fault Injection Service has."""
    found = described((node,), scope)
    if not found or found[0]["State"]["Name"] not in ALIVE:
        says = f"no instance {node} is running"
        raise Problems(Problem("cloud/no-such-node", says, hint="`invoke status` lists nodes"))
    if notice_s is not None:
        if found[0].get("InstanceLifecycle") != "spot":
            says = f"{node} is on-demand: only spot capacity is taken away with a notice"
            raise Problems(Problem("cloud/not-spot", says, hint="`invoke chaos kill` takes any node away"))
        raise Problems(
            Problem(
                "cloud/no-notice",
                f"AWS gives {node} a notice only through its Fault Injection Service",
                hint="run an experiment with `aws:ec2:send-spot-instance-interruptions`, "
                "or `invoke chaos kill` for a loss without notice",
            )
        )
    remove(node, scope)


def access(node: str, scope: Scope) -> Access:
    """Session Manager's command lines; the AWS CLI and its plugin have to be installed."""
    start = ("aws", "ssm", "start-session", "--region", session.region(scope), "--target")
    forward = "AWS-StartPortForwardingSession"
    proxy = " ".join(
        (*start, "%h", "--document-name", "AWS-StartSSHSession", "--parameters", "portNumber=%p")
    )
    return Access(  # noqa: S604 (`shell` is a name of ours)
        shell=(*start, node),
        forward=(
            *start, node, "--document-name", forward,
            "--parameters", "portNumber={port},localPortNumber={local}",
        ),
        proxy=proxy,
        user=USER,
    )  # fmt: skip


def kill_agent(node: str, scope: Scope) -> int:
    """Kill the agent's process; its pid. Raises Problems cloud/no-agent, cloud/no-answer."""
    import time

    ssm = session.client("ssm", session.region(scope))
    with session.asking(f"sending a command to {node}"):
        sent = ssm.send_command(
            InstanceIds=[node], DocumentName="AWS-RunShellScript", Parameters={"commands": [KILL]}
        )["Command"]["CommandId"]
        until = time.monotonic() + 30
        while True:
            said = ssm.get_command_invocation(CommandId=sent, InstanceId=node)
            if said["Status"] not in ("Pending", "InProgress", "Delayed"):
                break
            if time.monotonic() > until:
                says = f"Systems Manager does not reach {node}"
                raise Problems(Problem("cloud/no-answer", says, hint="try again; is it up?"))
            time.sleep(0.5)
    text = said.get("StandardOutputContent", "").strip()
    if said["Status"] != "Success" or not text.isdigit() or text == "0":
        says = f"no agent runs on {node} now"
        raise Problems(Problem("cloud/no-agent", says, hint="it is starting; try again"))
    return int(text)


def _ec2(scope: Scope) -> Any:
    return session.client("ec2", session.region(scope))


def described(nodes: Iterable[str], scope: Scope) -> list[dict[str, Any]]:
    """What EC2 says of those that it knows."""
    wanted = [{"Name": "instance-id", "Values": list(nodes)}]
    if not wanted[0]["Values"]:
        return []
    with session.asking("looking at instances"):
        pages = _ec2(scope).get_paginator("describe_instances").paginate(Filters=wanted)
        return [one for page in pages for each in page["Reservations"] for one in each["Instances"]]
