"""Kills what asked for it before or after the N-th call that the engine makes to our provider.

`Killer.env` goes into an operation's environment: a `pulumi-resource-skywright` first on PATH is then
started in place of the one in the plugin cache. It serves the same provider, writes every call into a file,
and at the wanted one ends with SIGKILL whom `targets` names (provider, engine, operation, control: each the
parent of the one before); with `pause` among them that call never ends. The test need not be the parent: control's
operations are hit alike.
"""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHAIN = ("provider", "engine", "operation", "control")
PLAN, CALLS = "KILLPOINTS_PLAN", "KILLPOINTS_CALLS"


@dataclass(frozen=True)
class Point:
    """One place to kill at: `call` counts from 1; 0 never comes."""

    call: int
    when: str = "before"
    targets: tuple[str, ...] = ("operation", "engine", "provider")

    def __str__(self) -> str:
        return f"{self.when}-{self.call}-{'+'.join(self.targets)}"


NEVER = Point(0)


class Killer:
    """Puts the provider that kills into `folder`; a new one counts from 1."""

    def __init__(self, folder: Path, point: Point = NEVER) -> None:
        folder.mkdir(parents=True)
        self.folder, self.point = folder, point
        executable = folder / "pulumi-resource-skywright"
        roots = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
        start = f"import sys; sys.path[:0] = {roots!r}; import killpoints; killpoints.serve()"
        command = f"{shlex.quote(sys.executable)} -I -c {shlex.quote(start)} stacks.provider.server"
        executable.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        executable.chmod(0o755)

    @property
    def env(self) -> dict[str, str]:
        point = self.point
        return {
            "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
            PLAN: f"{point.call} {point.when} {','.join(point.targets)}",
            CALLS: str(self.folder / "calls"),
        }

    def calls(self) -> list[str]:
        """Names of the calls that were begun, in order; concurrent ones in any."""
        path = self.folder / "calls"
        return path.read_text().split() if path.exists() else []


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def strike(targets: list[str]) -> None:
    """SIGKILL to the targets, the provider itself last; once, though the same environment may start it again."""
    try:
        os.close(os.open(os.environ[CALLS] + ".struck", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    found = {"provider": os.getpid()}
    for below, name in itertools.pairwise(CHAIN):
        found[name] = parent(found[below])
    for name in reversed(CHAIN):
        if name in targets:
            os.kill(found[name], signal.SIGKILL)
    if "provider" in targets:
        signal.pause()
    if "pause" in targets:
        threading.Event().wait()


def serve() -> None:
    """Our provider, watched: what `pulumi-resource-skywright` runs."""
    import functools

    import grpc

    from stacks.provider import server

    number, when, targets = os.environ[PLAN].split(" ")
    counter = itertools.count(1)
    log = os.open(os.environ[CALLS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    class Watch(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = continuation(details)
            if handler is None:
                return None

            def answer(request: Any, context: Any) -> Any:
                mine = next(counter) == int(number)
                os.write(log, f"{details.method.rpartition('/')[2]}\n".encode())
                if mine and when == "before":
                    strike(targets.split(","))
                said = handler.unary_unary(request, context)
                if mine and when == "after":
                    strike(targets.split(","))
                return said

            return grpc.unary_unary_rpc_method_handler(
                answer,
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )

    grpc.server = functools.partial(grpc.server, interceptors=[Watch()])
    server.main()
