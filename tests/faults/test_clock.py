"""The wall clock of a node jumps by hours, both ways, while a job runs: nothing ends, and order is by number."""

from __future__ import annotations

import json
import sys
import textwrap

import pytest

from tests.faults.plugin import hit

HOURS = (36.0, -20.0, 0.5)

SEAM = """
    import json, os, runpy, sys, time
    real, where = time.time, os.environ["CLOCK_AHEAD"]
    def moved():
        with open(where) as file:
            return real() + json.load(file)
    time.time = moved
    script = next(place for place, word in enumerate(sys.argv) if word.endswith("agent.py"))
    sys.argv = sys.argv[script:]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.fault("clock jump")
def test_a_node_whose_clock_jumps_goes_on(control, node, kit, tmp_path):
    (tmp_path / "seam.py").write_text(textwrap.dedent(SEAM))
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    node.prefix = [sys.executable, str(tmp_path / "seam.py")]
    node.environment["CLOCK_AHEAD"] = str(ahead)
    control.want(
        kit.order("echo started >> ~/starts; while [ ! -e ~/go ]; do echo $((++n)); sleep 0.01; done")
    )
    node.start(deadman_s=600)
    kit.until(lambda: control.log())
    for hours in HOURS:
        draft = tmp_path / "draft"
        draft.write_text(json.dumps(hours * 3600))
        draft.replace(ahead)
        hit()
        seen, calls = len(control.log()), control.syncs
        control.want({**kit.order(), **control.desired["run"]})
        kit.until(lambda calls=calls: control.syncs > calls)
        kit.until(lambda seen=seen: len(control.log()) > seen)
        assert node.process.poll() is None
    node.kill()
    node.start()  # and one that starts in another time than it ended in
    (node.home / "go").touch()
    assert control.ended()["phase"] == "succeeded"
    assert control.phases() == ["ready", "running", "succeeded"]
    assert [event["seq"] for event in control.events] == list(range(1, len(control.events) + 1))
    count = control.whole_log().split()
    assert count == [b"%d" % n for n in range(1, len(count) + 1)]
    assert (node.home / "starts").read_text() == "started\n"
