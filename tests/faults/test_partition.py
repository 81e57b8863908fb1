"""The wire between node and control is cut, one way, both ways and flapping: the job goes on, and all is told after."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.faults.plugin import hit
from tests.faults.wire import BACK, OUT

LINE = 500
COUNT = f"""
echo started >> ~/starts
pad=$(printf '%0{LINE}d' 0)
while [ ! -e ~/go ]; do echo "$((++n)) $pad"; sleep 0.005; done
echo $n > ~/count
exit 5
"""
GIVES_UP_S = 13.0
"""No call of the agent waits longer than this for log bytes to be taken."""
WAYS = ((OUT,), (BACK,), (OUT, BACK))


def written(node) -> int:
    return (node.state / "runs/1.1/run/log").stat().st_size


def begin(control, node, wire, kit, **more) -> None:
    """A node at the far end of the wire, with a job that counts."""
    control.stop()
    control.host = wire.control
    control.start()
    node.prefix = wire.inside
    control.want(kit.order(COUNT, **more))
    node.start()
    kit.until(lambda: control.log())


def cut(control, node, wire, kit, ways, ahead: int, least_s: float = 0.0) -> None:
    """Until the job has written `ahead` bytes more than control has; then until control has them too."""
    wire.cut(ways)
    hit()
    until = time.monotonic() + least_s
    kit.until(
        lambda: written(node) - len(control.log()) > ahead and time.monotonic() > until,
        f"the job goes on while {ways} is cut",
    )
    missing = written(node)
    wire.mend()
    kit.until(lambda: len(control.log()) >= missing, f"control catches up after {ways} was cut")


def finish(control, node) -> None:
    (node.home / "go").touch()
    last = control.ended()
    assert (last["phase"], last["exit_code"]) == ("failed", 5)
    count = int((node.home / "count").read_text())
    pad = "0" * LINE
    assert control.whole_log().decode() == "".join(f"{n} {pad}\n" for n in range(1, count + 1))
    assert (node.home / "starts").read_text() == "started\n"
    assert control.phases() == ["ready", "running", "failed"]


@pytest.mark.fault("partition")
def test_a_cut_wire_costs_nothing_and_a_flapping_one_neither(control, node, kit, wire):
    begin(control, node, wire, kit)
    for ways in WAYS:
        cut(control, node, wire, kit, ways, 60_000)
    for ways in itertools.islice(itertools.cycle(WAYS), 6):
        cut(control, node, wire, kit, ways, 20_000)
    finish(control, node)


@pytest.mark.fault("partition", long=True)
@pytest.mark.parametrize("ways", WAYS, ids="+".join)
def test_a_wire_cut_until_every_call_has_given_up(control, node, kit, wire, ways):
    """Longer than any call waits for its answer: what was under way is done again, and counts once."""
    begin(control, node, wire, kit)
    cut(control, node, wire, kit, ways, 60_000, GIVES_UP_S)
    finish(control, node)


@pytest.mark.fault("partition")
def test_a_node_that_was_replaced_while_cut_off_is_stopped_when_it_is_heard(control, node, kit, wire):
    begin(control, node, wire, kit, grace_s=0.5)
    wire.cut((OUT, BACK))
    hit()
    control.fenced = True
    control.wake()
    kit.until(lambda: written(node) - len(control.log()) > 20_000)
    assert node.process.poll() is None, "nobody could tell it"
    wire.mend()
    assert node.process.wait(60) == 0
    kit.until(lambda: node.processes() == [])
    assert (node.home / "starts").read_text() == "started\n"
