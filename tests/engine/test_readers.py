"""An example that readers paste, on each cloud through the real engine; `./invoke bench clouds` lives them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import clouds
from tests.conftest import need
from tests.standins import sites

pytestmark = pytest.mark.engine
SHARED = Path(__file__).parents[3] / "shared" / "acceptance"


def test_the_examples_are_those_that_readers_paste() -> None:
    need(SHARED.is_dir() or None, "the examples that readers paste")
    assert clouds.EXAMPLES == ("01_universal", "04_spot_recovery", "08_llm_training", "16_secure")
    for path in clouds.READERS.glob("*.yaml"):
        assert path.read_bytes() == (SHARED / path.name).read_bytes()


@pytest.mark.parametrize("cloud", sites.SITES)
def test_a_machine_in_the_networks_of_a_team(cloud: str, request: pytest.FixtureRequest) -> None:
    place = None
    if cloud == "kubernetes":
        cluster = request.getfixturevalue("cluster")
        place = lambda folder: sites.of_cluster(cluster)  # noqa: E731
    with clouds.at(cloud, place) as there:
        cell = clouds.live(there, "16_secure", ("plan", "compile", "up", "down"))
    assert cell.failed is None
    assert cell.chosen["larger"] == (cloud in ("aws", "azure")), "nobody sells four A100 there"
    assert list(cell.seconds) == ["plan", "compile", "up", "down"]
    assert cell.kept == ()
