"""`ssh`, `forward` and `endpoints`: into nodes as their cloud allows it, without a public door."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen
from skywright.cli.arguments import Values
from skywright.cli.launch import connect
from skywright.cli.names import pick

if TYPE_CHECKING:
    from skywright.control.client import Client

SHELLS = ("sh", "bash", "zsh", "dash")


def run(values: Values) -> int:
    """All three verbs."""
    client = connect()
    if values.verb == "endpoints":
        return _endpoints(values, client)
    if values.verb == "forward":
        return _forward(values, client)
    if values.config:
        return _config(values, client)
    if not values.name:
        hint = "ssh NAME [RANK] [-- COMMAND]"
        raise Problems(Problem("usage/missing-word", "`ssh` needs the name of a deployment", hint=hint))
    words = list(values.words)
    rank = int(words.pop(0)) if words and words[0].isdigit() else 0
    [row] = client.access(values.name, [rank])
    if values.json:
        screen.data(row)
        return int(Exit.FINE)
    return call(command(row, " ".join(words)))


def command(row: dict[str, Any], said: str) -> list[str]:
    """What opens a shell on the node, or runs `said` there. Problems cloud/no-access."""
    access = row["access"]
    shell = list(access["shell"])
    if not said:
        return shell
    if access.get("run"):
        return [said if word == "{command}" else word for word in access["run"]]
    if access.get("proxy"):
        user = access.get("user") or "skywright"
        options = ["-o", f"ProxyCommand={access['proxy']}", "-o", "StrictHostKeyChecking=accept-new"]
        return ["ssh", *options, f"{user}@{row['node']}", said]
    if os.path.basename(shell[-1]) in SHELLS:
        return [*shell, "-c", said]
    says = f"the cloud of node {row['node']} opens shells, and runs no single command"
    raise Problems(Problem("cloud/no-access", says, hint="`invoke exec NAME -- COMMAND` runs it as a run"))


def call(words: Sequence[str]) -> int:
    """Run a program in the place of ours; its exit code. Problems machine/no-such-program."""
    try:
        return subprocess.run(words, check=False).returncode
    except FileNotFoundError:
        raise Problems(absent(words[0])) from None
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)


def absent(program: str) -> Problem:
    return Problem(
        "machine/no-such-program",
        f"`{program}` is not installed here, and the cloud is reached through it",
        hint="install it and put it on PATH; docs/clouds says where it comes from",
    )


def _config(values: Values, client: Client) -> int:
    """Entries for ~/.ssh/config: rank 0 by the deployment's name, each rank as NAME-RANK."""
    living = client.deployments()
    found = pick(living, [values.name]) if values.name else living
    entries, refused = [], list[Problem]()
    for one in found:
        try:
            rows = client.access(one["name"])
        except Problems as problems:
            refused += problems.problems
            continue
        entries += [entry(one["name"], row) for row in rows if row["access"].get("proxy")]
    if values.json:
        screen.data({"entries": entries})
    elif entries:
        screen.out("\n\n".join(entries))
        screen.say(f"put it there: {screen.PROGRAM} ssh --config >> ~/.ssh/config")
    if not entries and (refused or values.name):
        says = f"no node of `{values.name or 'yours'}` can be reached by ssh"
        raise Problems(refused or [Problem("cloud/no-access", says, hint=f"{screen.PROGRAM} ssh NAME")])
    return int(Exit.FINE)


def entry(name: str, row: dict[str, Any]) -> str:
    """One `Host` of an ssh configuration; editors read it too."""
    names = ([name] if row["rank"] == 0 else []) + [f"{name}-{row['rank']}"]
    access = row["access"]
    user = access.get("user")
    lines = [
        f"Host {' '.join(names)}",
        f"  HostName {row['node']}",
        # Without one it is for whoever pastes it: no name of ours could log in.
        f"  User {user}" if user else "  # User: as the cloud's own login calls you (docs/clouds)",
        f"  ProxyCommand {access['proxy']}",
        "  StrictHostKeyChecking accept-new",
        f"  HostKeyAlias {row['node']}",
    ]
    return "\n".join(lines)


def _forward(values: Values, client: Client) -> int:
    """Ports of one node on this machine until Ctrl-C."""
    ports = [_ports(text) for text in values.ports]
    [row] = client.access(values.name, [values.rank or 0])
    commands = [
        [
            word.replace("{port}", str(port)).replace("{local}", str(local))
            for word in row["access"]["forward"]
        ]
        for port, local in ports
    ]
    if values.json:
        screen.data({**row, "commands": commands})
        return int(Exit.FINE)
    children: list[subprocess.Popen[bytes]] = []
    try:
        for words, (port, local) in zip(commands, ports, strict=True):
            children.append(subprocess.Popen(words))
            screen.say(f"{values.name} port {port} → http://localhost:{local}   (Ctrl-C ends it)")
        return max(child.wait() for child in children)
    except FileNotFoundError:
        raise Problems(absent(commands[0][0])) from None
    except KeyboardInterrupt:
        return int(Exit.FINE)
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            child.wait()


def _ports(text: str) -> tuple[int, int]:
    """`8080` or `8080:9000`: the node's port, and ours. Problems usage/bad-port."""
    port, _, local = text.partition(":")
    numbers = (port, local or port)
    if not all(one.isascii() and one.isdigit() and 0 < int(one[:6]) < 65536 for one in numbers):
        hint = "forward NAME PORT, or PORT:LOCAL"
        raise Problems(Problem("usage/bad-port", f"`{text[:40]}` names no ports", hint=hint))
    return int(numbers[0]), int(numbers[1])


def _endpoints(values: Values, client: Client) -> int:
    """Where the ports that the task opened are."""
    rows = client.endpoints(values.name)
    if values.port is not None:
        number = _ports(values.port)[0]
        rows = [row for row in rows if number in covered(row["port"])]
        if not rows:
            says = f"`{values.name}` does not open port {values.port}"
            hint = f"`ports:` of the task opens it; {screen.PROGRAM} forward {values.name} {values.port}"
            raise Problems(Problem("control/no-such-port", says, hint=hint))
    if values.json:
        screen.data({"name": values.name, "endpoints": rows})
        return int(Exit.FINE)
    if not rows:
        screen.out(f"{values.name} opens no ports")
        screen.say(f"one of its own: {screen.PROGRAM} forward {values.name} PORT")
        return int(Exit.FINE)
    table = [
        [str(row["rank"]), row["port"], row["address"], "everybody" if row["public"] else "its network"]
        for row in rows
    ]
    screen.show_table(["RANK", "PORT", "ADDRESS", "REACHED FROM"], table, right=(0,))
    if not all(row["public"] for row in rows):
        screen.say(f"from here: {screen.PROGRAM} forward {values.name} PORT")
    return int(Exit.FINE)


def covered(port: str) -> range:
    """The numbers of `8080` or `8000-8010`."""
    first, _, last = port.partition("-")
    return range(int(first), int(last or first) + 1)
