"""Addresses of local nodes: one each in 127.0.0.0/8 where all of it answers, else one port each."""

from __future__ import annotations

import contextlib
import functools
import secrets
import socket
from collections.abc import Collection

from compiler.problem import Problem, Problems

PORT = 8169
"""Of the metadata endpoint; on a system with one loopback address the nodes count up from it."""

_TRIES = 200


@functools.lru_cache(maxsize=1)
def own_addresses() -> bool:
    """Can each node have an address of its own here? True on Linux; macOS answers on 127.0.0.1 alone."""
    return _can_bind("127.16.0.1", 0)


def free(taken: Collection[tuple[str, int]]) -> tuple[str, int]:
    """An address and a port that no node in `taken` and no other process has. Problems machine/no-address."""
    used = {address for address, _ in taken}
    if own_addresses():
        # At random, for the nodes of another home or user on this machine are not in `taken`.
        for _ in range(_TRIES):
            address = (
                f"127.{16 + secrets.randbelow(224)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
            )
            if address not in used and _can_bind(address, PORT):
                return address, PORT
    else:
        ports = {port for _, port in taken}
        for port in range(PORT, PORT + _TRIES):
            if port not in ports and _can_bind("127.0.0.1", port):
                return "127.0.0.1", port
    raise Problems(
        Problem(
            "machine/no-address",
            "no loopback address is free for another local node",
            hint="remove nodes that are not needed: `invoke down NAME`, `invoke orphans --delete`",
        )
    )


def _can_bind(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
        return True
    return False
