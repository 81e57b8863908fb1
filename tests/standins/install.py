"""Puts stand-ins where the engine looks for the plugins of the SDKs that are installed here."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.standins import plugin, schema

ROOT = Path(__file__).resolve().parents[2]


def install(
    pulumi_home: Path, names: Iterable[str] = tuple(plugin.MODULES), cache: Path | None = None
) -> None:
    """Write `plugins/resource-NAME-vVERSION/pulumi-resource-NAME` for each of `names`.

    `cache` is skywright's, where what the SDKs' classes say is kept from one run to the next.
    """
    cache = cache or Path(os.environ["SKYWRIGHT_CACHE"])
    for name in names:
        cloud = importlib.import_module(plugin.MODULES[name]).CLOUD
        version = schema.version(name)
        file = schema.ensure(name, list(cloud.kinds), list(cloud.functions), cache / "standins")
        folder = pulumi_home / "plugins" / f"resource-{name}-v{version}"
        folder.mkdir(parents=True, exist_ok=True)
        start = (
            f"#!{sys.executable}\n"  # the process is then known by the plugin's name, as a real one is
            f"import sys\nsys.path[0] = {str(ROOT)!r}\nfrom tests.standins import plugin\n"
            f"plugin.main({name!r}, {str(file)!r}, {version!r})\n"
        )
        path = folder / f"pulumi-resource-{name}"
        draft = folder / f".{os.getpid()}"
        draft.write_text(start)
        draft.chmod(0o755)
        draft.replace(path)
