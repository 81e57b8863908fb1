"""The link over a real store: what is refused, lost, late or from yesterday, and what is left behind."""

from __future__ import annotations

import json

import pytest

from tests.agent.stores import DONE_AND_DROPPED, DROPPED

BUCKETS = ("s3", "gcs", "azblob")
LINES = "".join(f"{n}\n" for n in range(1, 1001)).encode()


@pytest.mark.fault("refused calls")
@pytest.mark.carried(*BUCKETS)
def test_refused_dropped_and_unanswered_requests_are_repeated(control, node, kit):
    control.refuse += [
        ("desired", 503, {"Retry-After": "1"}),
        ("beat", DROPPED, {}),
        ("events", 429, {}),
        ("events", DONE_AND_DROPPED, {}),
        ("logs", DONE_AND_DROPPED, {}),
        ("logs", 500, {}),
        ("beat", DONE_AND_DROPPED, {}),
        ("desired", DROPPED, {}),
    ]
    control.want(kit.order("seq 500; sleep 0.3; seq 501 1000"))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == LINES
    assert control.refuse == []


@pytest.mark.carried(*BUCKETS)
def test_nothing_of_a_run_stays_in_the_bucket(control, node, kit):
    digest = control.blob(kit.packed({"a": b"1"}))
    files = [{"digest": digest, "target": "~/sky_workdir", "kind": "dir"}]
    control.want(kit.order("seq 1000", setup="echo set", files=files))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == LINES
    name = node.manifest["node"]
    left = sorted([f"down/blobs/{digest}", f"down/{name}/desired", f"up/{name}/beat"])
    kit.until(lambda: control.carrying.left() == left)


@pytest.mark.fault("clock jump")
@pytest.mark.carried("s3")
def test_the_clock_that_counts_is_the_stores(control, node, kit):
    """The node's clock is two hours late: signatures are judged by another one, and ages too."""
    control.carrying.relay.clock_ahead_s = 7200.0
    control.want(kit.order("seq 1000; while [ ! -e ~/go ]; do sleep 0.02; done"))
    node.start(deadman_s=600)
    kit.until(lambda: control.log() == LINES)
    assert max(control.ages) < 600
    (node.home / "go").touch()
    assert control.ended()["phase"] == "succeeded"


def polls(control) -> int:
    """How often the node has asked for its document."""
    return sum(n for name, n in control.carrying.relay.counts.items() if name.endswith("desired"))


@pytest.mark.fault("refused calls")
@pytest.mark.carried("s3", "gcs")
def test_nonsense_in_the_document_is_survived(control, node, kit):
    control.want(kit.order("echo one; while [ ! -e ~/go ]; do sleep 0.02; done; echo two"))
    node.start()
    kit.until(lambda: control.log() == b"one\n")
    control.stop()
    key = f"down/{node.manifest['node']}/desired"
    for nonsense in (b"", b"[]", b'{"acked": 0}', b"\xff" * 1000):
        control.carrying.put(key, nonsense)
        before = polls(control)
        kit.until(lambda before=before: polls(control) > before)
    control.start()
    (node.home / "go").touch()
    assert control.whole_log() == b"one\ntwo\n"


@pytest.mark.fault("repeated and reordered messages")
@pytest.mark.carried("s3")
def test_an_old_document_changes_nothing(control, node, kit):
    control.want(kit.order("echo old; sleep 600"))
    node.start()
    kit.until(lambda: control.log())
    old = control.carrying.document()
    control.want(kit.order("echo new; while [ ! -e ~/go ]; do sleep 0.02; done", id=2))
    kit.until(lambda: control.log(run=2))
    control.stop()
    control.carrying.put(f"down/{node.manifest['node']}/desired", json.dumps({**old, "at": 0}).encode())
    before = control.carrying.relay.counts.total()
    kit.until(lambda: control.carrying.relay.counts.total() > before + 10)
    control.start()
    (node.home / "go").touch()
    assert control.ended(run=2)["phase"] == "succeeded"
    assert control.phases(run=1)[-1] == "cancelled"


@pytest.mark.fault("partition")
@pytest.mark.carried("s3")
def test_a_node_cut_off_goes_on_and_catches_up(control, node, kit):
    control.want(kit.order("echo up; while [ ! -e ~/go ]; do sleep 0.02; done; seq 1000"))
    node.start()
    kit.until(lambda: control.log())
    control.carrying.relay.cut = True
    (node.home / "go").touch()
    kit.until(lambda: (node.state / "runs/1.1/run/record").exists() or not node.processes())
    node.kill()
    node.start()
    control.carrying.relay.cut = False
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == b"up\n" + LINES
