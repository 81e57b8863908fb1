"""What a stack on Kubernetes is made of, as a file to review: SKYWRIGHT_UPDATE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from compiler.offer import Accelerator, Market
from compiler.spec import Given, StackSpec

HERE = Path(__file__).parent
REVIEWED = HERE / "kubernetes-objects.json"
BUILDING = HERE.parent / "contract" / "building.py"
UPDATE = bool(os.environ.get("SKYWRIGHT_UPDATE_GOLDEN"))


def spec() -> StackSpec:
    return StackSpec(
        project="golden",
        stack="train-kubernetes-ml",
        deployment="train",
        cloud="kubernetes",
        region="ml",
        instance_type="nvidia.com/gpu.product=NVIDIA-A100-SXM4-80GB",
        market=Market.SPOT,
        nodes=4,
        agent="a1" * 32,
        accelerator=Accelerator("A100-80GB", 8),
        cpus=96.0,
        memory_gb=1000.0,
        disk_gb=500.0,
        labels={"team": "nlp"},
        secrets=("HF_TOKEN", "SKYPILOT_DOCKER_PASSWORD"),
        task="train",
        owner="ann",
        container="registry.example/team/train:1",
        ports=("8080", "9000-9001"),
        priority_class="research",
        checkpoint="~/checkpoints",
        given=Given(
            namespace="team", role="trainer", queue="research", storage_class="shared", checkpoint_gb=500.0
        ),
    )


def test_the_objects_are_what_was_reviewed() -> None:
    asked = json.dumps({"spec": spec().to_data(), "answers": {}, "outputs": {}})
    done = subprocess.run(
        [sys.executable, str(BUILDING)], input=asked + "\n", capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert "problem" not in found, found
    for one in found["made"]:
        if one["type"].endswith(
            ":ConfigMap"
        ):  # the agent of today: its bytes and their mark are no matter of review
            one["inputs"]["binaryData"] = one["inputs"]["data"]["pod.py"] = "(left out)"
            mark = one["inputs"]["metadata"]["name"].rpartition("-")[2]
    text = json.dumps(found, indent=1, sort_keys=True).replace(mark, "MARK") + "\n"
    if UPDATE:
        REVIEWED.write_text(text)
    assert text == REVIEWED.read_text()
