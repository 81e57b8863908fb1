"""A slow, narrow and breaking network between node and control: everything arrives once, the agent stays small."""

from __future__ import annotations

import json

import pytest

from tests.faults.plugin import hit
from tests.faults.proxy import Proxy, Slowness

GROWS = 16 << 20


def peak(pid: int) -> int:
    """The most memory that a process ever held."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))


def through(control, proxy: Proxy) -> None:
    draft = control.address_file.with_suffix(".new")
    draft.write_text(json.dumps({"url": f"http://127.0.0.1:{proxy.port}"}))
    draft.replace(control.address_file)


@pytest.mark.fault("slow network")
@pytest.mark.parametrize(
    ("slow", "numbers"),
    [
        pytest.param(Slowness(delay_s=0.03), 100_000, id="late"),
        pytest.param(Slowness(delay_s=0.002, break_after=300_000), 300_000, id="breaking"),
        pytest.param(
            Slowness(bytes_per_s=50_000),
            300_000,
            id="narrow",
            marks=pytest.mark.fault("slow network", long=True),
        ),
    ],
)
@pytest.mark.timeout(300)
def test_a_slow_network_loses_and_doubles_nothing(control, node, kit, slow, numbers):
    with Proxy(control.server.server_port, slow) as proxy:
        through(control, proxy)
        control.want(kit.order(f"seq 1000; while [ ! -e ~/go ]; do sleep 0.02; done; seq {numbers}"))
        node.start()
        kit.until(lambda: control.log())
        before = peak(node.process.pid)
        (node.home / "go").touch()
        assert control.ended(patience_s=200)["phase"] == "succeeded"
        size = control.of()[-1]["log_bytes"]["run"]
        kit.until(lambda: len(control.log()) >= size, "the whole log", 200)
        expected = [*range(1, 1001), *range(1, numbers + 1)]
        assert control.log() == "".join(f"{n}\n" for n in expected).encode()
        assert peak(node.process.pid) - before <= GROWS
        assert proxy.carried >= size
        hit(max(1, proxy.broken))
    assert control.phases() == ["ready", "running", "succeeded"]
