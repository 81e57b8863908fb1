"""A run from beginning to end on one node: parts, environment, files, exit codes."""

from __future__ import annotations


def test_hello(control, node, kit):
    control.want(kit.order("echo hello; pwd; exit 0"))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.phases() == ["ready", "running", "succeeded"]
    assert control.whole_log() == f"hello\n{node.home}/sky_workdir\n".encode()


def test_setup_then_barrier_then_run(control, node, kit):
    run = kit.order("echo run", setup="echo set up", go="setup")
    control.want(run)
    node.start()
    kit.until(lambda: "ready" in control.phases())
    assert control.log(phase="run") == b""
    control.want({**run, "go": "run"})
    assert control.ended()["phase"] == "succeeded"
    assert control.phases() == ["setup", "ready", "running", "succeeded"]
    assert control.whole_log(phase="setup") == b"set up\n"
    assert control.whole_log() == b"run\n"
