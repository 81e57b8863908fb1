"""The one recipe that makes a machine, or a container, into a node image: a shell script made from the list."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from stacks.image.contents import contents

_SCRIPT = r"""#!/bin/sh
# Makes this Debian or Ubuntu into a node image, as root: sh recipe.sh machine|container AGENT.tar (or its folder)
# Packages come from the distribution, which signs them; the agent is held against its hash.
set -eu
kind=$1 archive=$2
export DEBIAN_FRONTEND=noninteractive
get() { apt-get -q -o DPkg::Lock::Timeout=600 "$@"; }
least() { # package version
  found=$(dpkg-query -W -f '${Version}' "$1" | sed 's/^[0-9]*://')
  dpkg --compare-versions "$found" ge "$2" || { echo "skywright: $1 is $found, wanted $2 or later" >&2; exit 1; }
}
user() { # name id home
  id "$1" >/dev/null 2>&1 || {
    getent passwd "$2" >/dev/null || set -- "$1" "$2" "$3" --uid "$2"
    name=$1 home=$3; shift 3
    useradd --create-home --home-dir "$home" --shell /bin/bash "$@" "$name"
  }
}

get update
get install -y --no-install-recommends @PACKAGES@
if [ "$kind" = machine ]; then
@MACHINE@
  if command -v systemctl >/dev/null; then
    systemctl disable --now prometheus >/dev/null 2>&1 || true # tasks start their own, on its port
  fi
fi
@LEAST@

@USERS@
@FOLDERS@

folder=/opt/skywright/agents/@AGENT@
mkdir -p "$folder"
[ "$archive" = "$folder" ] || tar -xf "$archive" -C "$folder" --no-same-owner
python3 -I -S - "$folder" @AGENT@ "$kind" <<'E'
import hashlib, os, runpy, sys
folder, wanted, kind = sys.argv[1:]
total = hashlib.sha256()
for name in sorted(name for name in os.listdir(folder) if name.endswith(".py")):
    with open(os.path.join(folder, name), "rb") as file:
        content = file.read()
    total.update(b"%s\0%d\0" % (name.encode(), len(content)) + content)
if total.hexdigest() != wanted:
    sys.exit("skywright: the agent has another hash")
lacking = runpy.run_path(os.path.join(folder, "contents.py"))["missing"](kind == "machine")
if lacking:
    sys.exit("skywright: still missing: " + "; ".join(lacking))
E

dpkg-query -W -f '${Package} ${Version}\n' > /opt/skywright/packages.txt
echo @AGENT@ > /opt/skywright/agent.txt
get clean
rm -rf /var/lib/apt/lists/*
if [ "$kind" = machine ]; then # what is this machine's alone must not be its image's
  rm -rf /var/lib/skywright/* /etc/systemd/system/skywright.service
  rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed
  : > /etc/machine-id
  if command -v cloud-init >/dev/null; then cloud-init clean --logs; fi
  # On Azure, last of all, for it takes the names of servers with the login of whoever made this machine.
  if command -v waagent >/dev/null; then waagent -force -deprovision+user; fi
fi
echo "skywright: this is a node image now"
"""


def script(agent: str) -> bytes:
    """The recipe with the agent of that hash; equal lists and agents give equal bytes."""
    found = contents()
    everywhere = [one["package"] for one in found["programs"] if not one.get("machine")]
    parts = {
        "PACKAGES": " ".join(shlex.quote(one) for one in [*everywhere, *found["packages"]]),
        "MACHINE": _lines(map(_of_machine, (one for one in found["programs"] if one.get("machine")))),
        "LEAST": _lines(
            f"least {one['package']} {one['least']}" for one in found["programs"] if "least" in one
        ),
        "USERS": _lines(_user(one) for one in found["users"]),
        "FOLDERS": _lines(
            f"install -d -m {one['mode']} -o {one['owner']} -g {one['owner']} {shlex.quote(one['path'])}"
            for one in found["folders"]
        ),
        "AGENT": agent,
    }
    text = _SCRIPT
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text.encode()


def bakes(bake: Mapping[str, str] | None, agent: str) -> str | None:
    """What a machine of a stack that makes an image runs; None of any other stack."""
    return script(agent).decode() if bake else None


def digest(agent: str) -> str:
    """SHA-256 of the recipe, in hex."""
    return hashlib.sha256(script(agent)).hexdigest()


def _lines(found: Iterable[str]) -> str:
    return "\n".join(found)


def _of_machine(one: Mapping[str, Any]) -> str:
    """Vendors' images for accelerators have an engine already, set up for them."""
    there = " || ".join(f"command -v {name} >/dev/null" for name in (one.get("also"), one["name"]) if name)
    return f"  {there} || get install -y --no-install-recommends {shlex.quote(one['package'])}"


def _user(one: Mapping[str, Any]) -> str:
    made = f"user {one['name']} {one['id']} {shlex.quote(one['home'])}"
    if not one.get("sudo"):
        return made
    rights = f"/etc/sudoers.d/{one['name']}"
    return f"{made}\necho '{one['name']} ALL=(ALL) NOPASSWD:ALL' > {rights}\nchmod 0440 {rights}"
