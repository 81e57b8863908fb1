"""COMPONENTS: name -> what makes the component. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from tests.components import azurite, fakegcs, kine, kubernetes, kwok, rclone
from tests.components.building import Component

COMPONENTS: dict[str, Callable[[], Component]] = {
    "kubernetes": kubernetes.component,  # the longest first
    "kwok": kwok.component,
    "kine": kine.component,
    "fakegcs": fakegcs.component,
    "azurite": azurite.component,
    "rclone": rclone.component,
}
