"""moto as a process of its own on a free port: `with serving() as url`; it ends with the test session."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

ACCOUNT = "123456789012"


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The address of a moto server with nothing in it."""
    server = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.stdin.close()
        server.stdout.close()
        server.kill()
        server.wait()


def reset(url: str) -> None:
    """Forget everything that was made."""
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")).close()


KNOWN, UNLISTED = "p3dn.24xlarge", ("p3.2xlarge", "p3.8xlarge", "p3.16xlarge")
"""Machines that AWS's price list sells and moto's list lacks."""


def list_machines() -> None:
    """Offer UNLISTED wherever there is the one of their family that moto knows."""
    from moto.ec2.models import instance_types as known

    for offered in known.INSTANCE_TYPE_OFFERINGS.values():
        for rows in offered.values():
            rows += [
                {**row, "InstanceType": name}
                for row in tuple(rows)
                if row["InstanceType"] == KNOWN
                for name in UNLISTED
            ]
    for name in UNLISTED:
        known.INSTANCE_TYPES[name] = {**known.INSTANCE_TYPES[KNOWN], "InstanceType": name}
        known.InstanceTypeBackend.instance_types.append(known.InstanceType(name))


def main() -> None:
    """Print the port, serve until stdin ends."""
    from moto.server import ThreadedMotoServer

    list_machines()
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    # Run by its path, this file's folder would come before packages of the same names.
    sys.path.pop(0)
    main()
