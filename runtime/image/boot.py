"""The boot stub: fetches the agent as the node's own identity, checks its hash, starts it under a supervisor.

Packed into user data together with one of `boot_s3`, `boot_gcs`, `boot_azblob` (`python -m tests.bootpack`), which
gives `whoami` and `fetch`. Standard library only, Python 3.9; `B` holds the constants of the rank (stacks/boot.py).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from typing import Any, Callable

ROOT = "/opt/skywright/agents"
STATE = "/var/lib/skywright"
UNIT = "/etc/systemd/system/skywright.service"


def say(text: str) -> None:
    """To the console log, which the cloud shows without a way into the machine."""
    for name in ("/dev/console", "/dev/stderr"):
        try:
            with open(name, "a") as file:
                file.write("skywright: %s\n" % text)
        except OSError:
            pass


def sound(folder: str, wanted: str) -> bool:
    """Is this the agent of that hash? Names and contents of its files, as stacks/provider/agents.py counts them."""
    total = hashlib.sha256()
    names = [name for name in os.listdir(folder) if name.endswith(".py")] if os.path.isdir(folder) else []
    for name in sorted(names):
        with open(os.path.join(folder, name), "rb") as file:
            content = file.read()
        total.update(b"%s\0%d\0" % (name.encode(), len(content)) + content)
    return total.hexdigest() == wanted


def agent(wanted: str, fetch: Callable[[str], bytes]) -> str:
    """The agent's folder: of the image, or fetched again and again until it is there and whole."""
    folder = os.path.join(ROOT, wanted)
    pause = 1.0
    while not sound(folder, wanted):
        try:
            content = fetch("down/agents/" + wanted)
            os.makedirs(folder, 0o755, True)
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                for member in tar:
                    if member.isreg() and "/" not in member.name:
                        with open(os.path.join(folder, member.name), "wb") as file:
                            file.write(tar.extractfile(member).read())  # type: ignore[union-attr]
            if sound(folder, wanted):
                break
            say("the agent arrived with another hash")
        except Exception as error:
            say("no agent yet: %r" % error)
        time.sleep(pause)
        pause = min(30.0, pause * 1.5)
    return os.path.join(folder, "agent.py")


def start(given: dict[str, Any], whoami: Callable[[], dict[str, Any]], fetch: Callable[[str], bytes]) -> None:
    """Bring the agent up and keep it up; when it ends by its own decision the machine goes down."""
    os.makedirs(STATE + "/agent", 0o700, True)
    command = [sys.executable, "-I", "-S", "-E", agent(given.pop("agent"), fetch), STATE + "/manifest.json"]
    while True:
        try:
            who = whoami()
            break
        except Exception as error:
            say("the metadata service does not answer: %r" % error)
            time.sleep(2)
    # What is left to do with the machine, then off: where this fails, off all the same.
    off = "%s -I %s/leaving.py %s; poweroff" % (sys.executable, os.path.dirname(command[4]), command[5])
    manifest = {"version": 1, "home": "/root", "state": STATE + "/agent", **given, **who}
    with open(command[-1], "w") as file:
        json.dump(manifest, file)
    if os.path.isdir("/run/systemd/system"):
        with open(UNIT, "w") as file:
            file.write(
                "[Unit]\nAfter=network-online.target\n[Service]\nExecStart=%s\nRestart=on-failure\nRestartSec=1\n"
                "KillMode=process\nTimeoutStopSec=300\nExecStopPost=/bin/sh -c '[ \"$EXIT_STATUS\" != 0 ] || { %s; }'\n"
                "[Install]\nWantedBy=multi-user.target\n" % (" ".join(command), off)
            )
        subprocess.call(["systemctl", "daemon-reload"])
        subprocess.call(["systemctl", "enable", "--now", "skywright"])
        return
    while subprocess.call(command):
        time.sleep(1)
    subprocess.call(["sh", "-c", off])
