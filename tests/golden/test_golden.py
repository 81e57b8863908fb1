"""What compiling gives, as files to review: SKYWRIGHT_UPDATE_GOLDEN=1 writes them anew, git shows what changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

import schemas
from compiler import explain
from compiler.folder import files
from compiler.load import load
from compiler.lower import lower
from compiler.offer import Accelerator, Market, Offer
from compiler.search import plan
from compiler.unfit import no_offer

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/task.yaml"))
CLOUDS = ("local", "aws", "gcp")
AGENT = "a1" * 32
UPDATE = bool(os.environ.get("SKYWRIGHT_UPDATE_GOLDEN"))


def offers() -> list[Offer]:
    """The little market of tests/golden/offers.json: each row in both markets."""
    found = []
    for row in json.loads((HERE / "offers.json").read_text()):
        prices = row.pop("price"), row.pop("spot_price")
        card = row.pop("accelerator", None)
        for market, price in zip((Market.ON_DEMAND, Market.SPOT), prices, strict=True):
            if price is not None:
                accelerator = Accelerator(*card) if card else None
                found.append(Offer(market=market, price=price, accelerator=accelerator, **row))
    return found


def compiled(case: str) -> dict[str, bytes]:
    """Relative path -> bytes of everything a case makes."""
    task = load((HERE / case / "task.yaml").read_bytes(), "task.yaml", clouds=CLOUDS)
    made = plan(task, offers(), name=task.deployment, enabled=CLOUDS)
    text = "\n".join(line.text for line in explain.lines(task, made)) + "\n"
    if not made.placements:
        return {"explain.txt": (text + str(no_offer(task, made)) + "\n").encode()}
    spec = lower(task, made.chosen, name=task.deployment, project="golden", agent=AGENT)
    shown = {**spec.to_data(), "digest": spec.digest}
    result = {
        "explain.txt": text.encode(),
        "task.json": (json.dumps(task.to_data(redact=True), indent=2, ensure_ascii=False) + "\n").encode(),
        "spec.json": (json.dumps(shown, indent=2, ensure_ascii=False) + "\n").encode(),
    }
    for name, content in files(made, [spec], project="golden").items():
        result[f"folder/{name}"] = content
    return result


@pytest.mark.parametrize("case", CASES)
def test_compiling_gives_what_was_reviewed(case: str) -> None:
    made = compiled(case)
    folder = HERE / case
    if UPDATE:
        for name, content in made.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"task.yaml"}
    assert there == set(made)
    for name, content in made.items():
        assert content.decode() == (folder / name).read_text(), f"{case}/{name}"


@pytest.mark.parametrize("case", CASES)
def test_compiling_twice_gives_equal_bytes(case: str) -> None:
    assert compiled(case) == compiled(case)


@pytest.mark.parametrize("case", CASES)
def test_specs_keep_their_contract_and_no_secret_is_written(case: str) -> None:
    made = compiled(case)
    for content in made.values():
        assert b"canary" not in content
        assert str(HERE).encode() not in content
    if "spec.json" in made:
        data = json.loads(made["spec.json"])
        del data["digest"]
        jsonschema.Draft202012Validator(schemas.load("spec.v1.json")).validate(data)
