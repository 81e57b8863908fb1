"""The node image as a container image: Dockerfile and context, and the engine that builds it where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from compiler.problem import Problem, Problems
from stacks import home
from stacks.image import recipe
from stacks.image.contents import contents
from stacks.provider import agents

BASE = "debian:bookworm-slim@sha256:96e378d7e6531ac9a15ad505478fcc2e69f371b10f5cdf87857c4b8188404716"
ENGINES = ("docker", "podman", "buildah")


def dockerfile() -> str:
    """Runs the recipe on a pinned base; who runs it is the list's first user, who may become root."""
    user = contents()["users"][0]
    return f"""FROM {BASE}
COPY recipe.sh agent.tar /opt/skywright/bake/
RUN sh /opt/skywright/bake/recipe.sh container /opt/skywright/bake/agent.tar && rm -rf /opt/skywright/bake
ENV HOME={user["home"]} USER={user["name"]}
USER {user["name"]}
WORKDIR {user["home"]}/sky_workdir
"""


def write(folder: Path, agent: str) -> None:
    """Dockerfile, recipe and agent into `folder`. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    home.write(folder / "Dockerfile", dockerfile().encode())
    home.write(folder / "recipe.sh", recipe.script(agent))
    home.write(folder / "agent.tar", agents.archive(agent).read_bytes())


def command(folder: Path, tag: str) -> tuple[str, ...] | None:
    """What builds the image here; None where no engine answers."""
    for name in ENGINES:
        path = shutil.which(name)
        ask = [path, "info"] if path else []
        if path and subprocess.run(ask, capture_output=True).returncode == 0:
            return (path, "build", "--tag", tag, str(folder))
    return None


def words(folder: Path, tag: str) -> str:
    """The command for a machine that has an engine."""
    return f"docker build --tag {tag} {folder}"


def build(found: tuple[str, ...]) -> None:
    """Run the engine's build, whose words go to the terminal. Raises Problems machine/build-failed."""
    done = subprocess.run(found)
    if done.returncode:
        says = f"{Path(found[0]).name} could not build the image: exit code {done.returncode}"
        raise Problems(Problem("machine/build-failed", says, hint="its last words are above"))
