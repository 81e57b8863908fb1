"""What a node image must contain: one list, and what is made of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from stacks.image import container, contents, recipe

AGENT = "ab" * 32
FOUND = contents.contents()


def test_the_recipe_is_a_shell_script_made_of_the_list() -> None:
    text = recipe.script(AGENT).decode()
    subprocess.run(["sh", "-n"], input=text.encode(), check=True)
    assert "@" not in text.replace("$@", ""), "every part is filled in"
    for one in FOUND["programs"]:
        assert one["package"] in text
    for one in FOUND["folders"]:
        assert one["path"] in text
    assert text.count(AGENT) == 3
    assert recipe.script(AGENT) == recipe.script(AGENT)


def test_the_dockerfile_pins_its_base_and_runs_as_nobodys_root(tmp_path: Path) -> None:
    lines = container.dockerfile().splitlines()
    assert lines[0].startswith("FROM debian:bookworm-slim@sha256:")
    assert len(lines[0].partition("sha256:")[2]) == 64
    assert "USER skywright" in lines
    assert [one for one in lines if one.startswith("RUN")] == [
        "RUN sh /opt/skywright/bake/recipe.sh container /opt/skywright/bake/agent.tar && "
        "rm -rf /opt/skywright/bake"
    ]


def test_what_an_image_lacks_is_named_in_the_agents_log(capsys: pytest.CaptureFixture[str]) -> None:
    from runtime import contents as on_node

    everything = {one["name"] for one in FOUND["programs"]}
    lacking = on_node.missing(which=lambda name: name if name != "rclone" else None)
    assert [one for one in lacking if not one.startswith("/")] == ["rclone (buckets)"]
    engine = on_node.missing(
        which=lambda name: name if name in (everything - {"podman"}) | {"docker"} else None
    )
    assert [one for one in engine if not one.startswith("/")] == [], "either engine will do"
    inside = on_node.missing(False, which=lambda name: name if name != "podman" else None)
    assert [one for one in inside if not one.startswith("/")] == [], "no engine in a container"
    on_node.tell({"isolation": "namespaces"})
    assert capsys.readouterr().err == "", "the user's own machine is no image of ours"
    path = os.environ["PATH"]
    try:
        os.environ["PATH"] = "/nowhere"
        on_node.tell({})
    finally:
        os.environ["PATH"] = path
    assert "missing on this image: bash (setup and run); python3 (the agent)" in capsys.readouterr().err


def test_the_document_shows_the_list() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "clouds" / "images.md").read_text()
    words = [one["name"] for one in FOUND["programs"]] + FOUND["packages"]
    words += [one["path"] for one in FOUND["folders"]]
    assert [word for word in words if f"`{word}`" not in page] == []
