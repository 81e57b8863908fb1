"""What a node image must contain, as one list; and what of it is missing on this machine.

The list is a plain literal, so that stacks/image can read it from the file: it makes the recipe, the Dockerfile and
docs/clouds/images.md.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any, Callable, Mapping, Optional, Sequence

CONTENTS: dict[str, Any] = {
    "programs": [
        {"name": "bash", "package": "bash", "for": "setup and run"},
        {"name": "python3", "package": "python3", "for": "the agent", "least": "3.9"},
        {"name": "pip3", "package": "python3-pip", "for": "setup scripts that install with pip"},
        {"name": "sudo", "package": "sudo", "for": "setup scripts written for a user who is not root"},
        {"name": "git", "package": "git", "for": "workdirs from a repository"},
        {"name": "curl", "package": "curl", "for": "setup scripts that fetch something"},
        {"name": "gpg", "package": "gnupg", "for": "setup scripts that add a package source"},
        {"name": "rsync", "package": "rsync", "for": "copies of folders"},
        {"name": "fusermount3", "package": "fuse3", "for": "mounted buckets"},
        {"name": "rclone", "package": "rclone", "for": "buckets", "least": "1.53"},
        {"name": "prometheus", "package": "prometheus", "for": "tasks that gather their own metrics"},
        {
            "name": "prometheus-node-exporter",
            "package": "prometheus-node-exporter",
            "for": "metrics of the machine",
        },
        {
            "name": "podman",
            "also": "docker",
            "package": "podman",
            "for": "image_id: docker:...",
            "machine": True,
        },
    ],
    "packages": ["ca-certificates", "python3-venv", "openssh-client", "procps", "iproute2"],
    "users": [{"name": "skywright", "id": 1000, "home": "/home/skywright", "sudo": True}],
    "folders": [
        {"path": "/opt/skywright/agents", "mode": "0755", "owner": "root"},
        {"path": "/var/lib/skywright", "mode": "0700", "owner": "root"},
        {"path": "/data", "mode": "0775", "owner": "skywright"},
        {"path": "/home/skywright/sky_workdir", "mode": "0755", "owner": "skywright"},
    ],
}
"""`programs`: looked for by `name` (or `also`), installed as `package` of Debian and Ubuntu in version `least` or
later, `machine`: not inside a container. `packages` have no program to look for. Folders are made in their order."""


def missing(machine: bool = True, which: Callable[[str], Optional[str]] = shutil.which) -> list[str]:
    """`rclone (buckets)` for each program and folder that is not here; whatever does not need them works without.

    `machine`: this is one, not a container.
    """
    found = [
        f"{one['name']} ({one['for']})"
        for one in CONTENTS["programs"]
        if (machine or not one.get("machine"))
        and not any(which(name) for name in (one["name"], one.get("also")) if name)
    ]
    return found + [one["path"] for one in CONTENTS["folders"] if not os.path.isdir(one["path"])]


def get(packages: Sequence[str], exists: Callable[[str], bool] = os.path.exists) -> Optional[list[str]]:
    """The command that installs packages on a vendor's image; None where nobody knows how."""
    named = " ".join(packages)
    if exists("/usr/bin/apt-get"):
        quiet = "DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300"
        return ["/bin/sh", "-c", f"{quiet} update && {quiet} install -y --no-install-recommends {named}"]
    if exists("/usr/bin/dnf"):
        return ["/usr/bin/dnf", "install", "-y", "-q", *packages]
    return None


def tell(manifest: Mapping[str, Any]) -> None:
    """Into the agent's log, what this node's image lacks. A local node is the user's own machine: no image of ours."""
    lacking = [] if "isolation" in manifest else missing()
    if lacking:
        print("skywright: missing on this image: %s" % "; ".join(lacking), file=sys.stderr, flush=True)
