"""An image is baked on Azure, through the real engine on stand-ins: machine, recipe, image, machine gone."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import wait

from compiler.catalog import contents
from compiler.catalog.images import Image, image_for
from compiler.spec import Given
from skywright import baking, snapshots
from stacks import home
from stacks import install as engine_install
from stacks.image import recipe
from stacks.provider import agents
from tests.standins import rest, rest_env
from tests.standins.install import install
from tests.standins.store import Store

pytestmark = pytest.mark.engine
REGION = "eastus"
URN = "Canonical:ubuntu-24_04-lts:server:latest"
BASE = Image("ubuntu-24.04", "azure", None, URN, "urn", None, None, None, "x86_64", "2026-01-01", "a test")
PASSED = ("ARM_", "SKYWRIGHT_STANDINS")


@pytest.fixture
def env(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    for name in list(os.environ):
        if name.startswith("PULUMI_"):
            monkeypatch.delenv(name)
    assert engine_install.find() is not None, "these tests need the engine: `./invoke engine` gets it"
    monkeypatch.setattr(baking, "POLL_S", 0.05)
    with rest.serving(store) as url:
        for name, value in rest_env.of("azure", url).items():
            monkeypatch.setenv(name, value)
        install(home.home() / "pulumi", ("azure-native",))
        passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED)}
        yield {**passed, "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}


def machines(store: Store) -> dict[str, dict[str, Any]]:
    return store.all("azure-native", "VirtualMachine")


@pytest.mark.soak
def test_an_image_is_made_and_only_its_group_is_left(
    env: dict[str, str], store: Store, tmp_path: Path
) -> None:
    order = baking.Order("azure", REGION, None, BASE, "proj", "ann", Given())
    wanted = baking.spec(order, agents.digest())
    found: dict[str, Any] = {}

    def machine() -> None:
        """Runs the recipe and stops, as far as a stand-in is a machine."""
        ((path, one),) = wait(lambda: machines(store).items(), 120, "the machine")
        found.update(one["inputs"]["osProfile"])
        one["outputs"]["power"] = "stopped"
        store.put("azure-native", "VirtualMachine", path, one)

    thread = threading.Thread(target=machine)
    thread.start()
    carry_out, told = baking.operate, [0]

    def cut_off(*words: Any) -> dict[str, Any]:
        """Between the image's making and the machine's end."""
        told[0] += 1
        if told[0] == 2:
            carry_out(*words)
            raise KeyboardInterrupt
        return carry_out(*words)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(baking, "operate", cut_off)
        with pytest.raises(KeyboardInterrupt):
            baking.bake(wanted, BASE, env, lambda text: None)
    thread.join()
    (one,) = machines(store).values()
    assert one["generalized"]
    assert one["outputs"]["power"] == "deallocated", "a machine that only stopped is billed"
    made = baking.bake(wanted, BASE, env, lambda text: None)  # goes on

    text = base64.b64decode(found["customData"]).decode()
    assert "waagent -force -deprovision+user" in text
    assert recipe.script(agents.digest()).decode().splitlines()[0] in text
    assert found["adminUsername"] != "skywright", (
        "deprovisioning removes the login, and the image needs that user"
    )

    left = {kind: name for kind, name in store.left() if "/skywright-proj-foundation" not in name}
    assert set(left) == {"ResourceGroup", "Image"}
    assert made.id == left["Image"]
    assert made.id.startswith(left["ResourceGroup"])
    assert list((home.home() / "bakes").iterdir()) == []
    known = contents.images(snapshots.opened(snapshots.current()))
    assert image_for("azure", REGION, None, "x86_64", images=known) == made
