"""Runs inside the environment of SkyPilot 0.14.1: reads task files as JSON lines, writes what it makes of each.

In: {"name", "text"}. Out: {"name", "ok", "error", "tasks"}; a task is what it would write as YAML, its resources
one by one. Its catalog is a few rows written by hand, so nothing is fetched. Only standard library and SkyPilot.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

CARDS = {
    "A100": (40, "NVIDIA"), "A100-80GB": (80, "NVIDIA"), "H100": (80, "NVIDIA"), "L4": (24, "NVIDIA"),
    "T4": (16, "NVIDIA"), "V100": (16, "NVIDIA"), "A10": (24, "NVIDIA"), "A10G": (24, "NVIDIA"),
    "Jetson": (8, "NVIDIA"), "MI300X": (192, "AMD"),
}  # fmt: skip


def fill_catalog(home: Path) -> None:
    """Tables that SkyPilot takes for edited by the user: it does not refresh them."""
    folder = home / ".sky" / "catalogs" / "v8" / "common"
    folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(f"{name},\"['AWS']\"\n" for name in CARDS)
    (folder / "accelerators.csv").write_text(f"AcceleratorName,Clouds\n{rows}")
    rows = "".join(f"{name},{memory}.0,{maker}\n" for name, (memory, maker) in CARDS.items())
    (folder / "metadata.csv").write_text(f"GPU,MemoryGB,Manufacturer\n{rows}")


def judge(text: str) -> dict[str, object]:
    """Parse one file as `sky launch` does, names included, up to what needs clouds."""
    from sky.utils import dag_utils, yaml_utils

    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        try:
            read = yaml_utils.read_yaml_all(file.name)
            given = [
                (name, "dummy")
                for one in read
                if isinstance(one, dict) and isinstance(one.get("envs"), dict)
                for name, value in one["envs"].items()
                if value is None
            ]
            dag = dag_utils.load_dag_from_yaml(file.name, env_overrides=given)
            for task in dag.tasks:
                task.validate_name()
                task.validate_run()
            return {"ok": True, "error": None, "tasks": [_told(task) for task in dag.tasks]}
        except BaseException as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}"[:300], "tasks": []}


def _told(task) -> dict[str, object]:
    service = task.service
    return {
        "name": task.name,
        "num_nodes": task.num_nodes,
        "setup": task.setup,
        "run": task.run,
        "envs": dict(task.envs),
        "ordered": isinstance(task.resources, list),
        "resources": sorted(
            (one.to_yaml_config() for one in task.resources),
            key=lambda one: json.dumps(one, sort_keys=True, default=str),
        )
        if not isinstance(task.resources, list)
        else [one.to_yaml_config() for one in task.resources],
        "replicas": [service.min_replicas, service.max_replicas] if service else None,
        "probe": service.readiness_path if service else None,
    }


def main() -> None:
    home = Path(os.environ["HOME"])
    fill_catalog(home)
    for line in sys.stdin:
        case = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            verdict = judge(case["text"])
        sys.stdout.write(json.dumps({"name": case["name"], **verdict}, default=str) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
