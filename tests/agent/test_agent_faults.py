"""What can be killed, cut, refused or repeated: the job runs once, no byte is lost, the node does what is wanted."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import threading
import time
import zlib
from datetime import datetime, timedelta, timezone

import pytest

from tests.faults.plugin import hit

COUNT = """
echo started >> ~/starts
while [ ! -e ~/go ]; do echo "line $((++n)) of a job that goes on while its agent is killed"; sleep 0.005; done
echo $n > ~/count
exit 5
"""


@pytest.mark.fault("agent killed")
@pytest.mark.carried(reached=True)
def test_the_agent_is_killed_ten_times(control, node, kit):
    control.want(kit.order(COUNT))
    node.start()
    shim = node.claim()
    for _ in range(10):
        seen = len(control.log())
        kit.until(lambda seen=seen: len(control.log()) > seen)
        node.kill()
        hit()
        node.start()
        assert node.claim() == shim
    (node.home / "go").touch()
    last = control.ended()
    assert (last["phase"], last["exit_code"]) == ("failed", 5)
    count = int((node.home / "count").read_text())
    lines = [f"line {n} of a job that goes on while its agent is killed\n" for n in range(1, count + 1)]
    assert control.whole_log().decode() == "".join(lines)
    assert (node.home / "starts").read_text() == "started\n"


@pytest.mark.fault("agent killed")
@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.08, 0.12])
def test_an_agent_killed_while_it_starts_a_job_starts_it_once(control, node, kit, delay):
    control.want(kit.order("echo started >> ~/starts", setup="echo set >> ~/starts"))
    node.start()
    kit.until(lambda: control.joins)
    time.sleep(delay)  # any moment of the start must do
    node.kill()
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert (node.home / "starts").read_text() == "set\nstarted\n"


@pytest.mark.fault("agent killed")
@pytest.mark.carried
def test_a_job_that_ends_while_no_agent_runs(control, node, kit):
    control.want(kit.order("while [ ! -e ~/go ]; do sleep 0.02; done; echo over; exit 4"))
    node.start()
    kit.until(lambda: "running" in control.phases())
    node.claim()
    node.kill()
    (node.home / "go").touch()
    kit.until(lambda: (node.state / "runs/1.1/run/exit").exists())
    node.start()
    assert control.ended()["exit_code"] == 4
    assert control.whole_log() == b"over\n"


@pytest.mark.fault("agent killed")
def test_sigterm_to_the_agent_leaves_the_job(control, node, kit):
    control.want(kit.order("while [ ! -e ~/go ]; do sleep 0.02; done"))
    node.start()
    shim = node.claim()
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(10) == 143
    os.kill(shim, 0)
    node.start()
    (node.home / "go").touch()
    assert control.ended()["phase"] == "succeeded"


@pytest.mark.fault("shim killed")
def test_a_killed_shim_fails_the_run(control, node, kit):
    control.want(kit.order("setsid sleep 600 & echo here; sleep 600"))
    node.start()
    kit.until(lambda: control.log())
    os.kill(node.claim(), signal.SIGKILL)
    last = control.ended()
    assert last["phase"] == "failed"
    assert last["message"].startswith("lost its shim: ")
    assert "killed from outside, SIGKILL" in last["message"]
    assert control.whole_log() == b"here\n"
    kit.until(lambda: node.processes() == [])
    assert node.groups() == []


@pytest.mark.fault("shim killed")
def test_a_lost_record_is_unknown_and_never_run_again(control, node, kit):
    control.want(kit.order("echo started >> ~/starts; sleep 600"))
    node.start()
    shim = node.claim()
    kit.until(lambda: (node.home / "starts").exists())
    node.kill()
    os.kill(shim, signal.SIGKILL)
    node.start()
    assert control.ended()["phase"] == "unknown"
    kit.until(lambda: node.processes() == [])
    assert (node.home / "starts").read_text() == "started\n"


@pytest.mark.fault("reboot")
def test_a_reboot_is_unknown(control, node, kit):
    control.want(kit.order("sleep 600"))
    node.start()
    shim = node.claim()
    kit.until(lambda: "running" in control.phases())
    node.kill()
    os.kill(shim, signal.SIGKILL)
    # The journal is what tells of the boot: make it one of another boot.
    path = node.state / "journal"
    lines = path.read_bytes().splitlines(keepends=True)
    record = json.loads(lines[-1].partition(b" ")[2])
    text = json.dumps({**record, "boot_id": "another", "events": []}).encode()
    path.write_bytes(b"".join(lines) + b"%08x %s\n" % (zlib.crc32(text), text))
    node.start()
    assert control.ended()["phase"] == "unknown"
    assert control.kinds("boot")[-1]["reboot"] is True


def test_cancel_gives_time_to_save(control, node, kit):
    script = """python3 -c '
import signal, sys, time
signal.signal(15, lambda *_: (print("saved"), sys.exit(0)))
print("up", flush=True)
time.sleep(600)'
echo must not come"""
    run = kit.order(script)
    control.want(run)
    node.start()
    kit.until(lambda: control.log())
    control.want({**run, "cancel": True})
    last = control.ended()
    assert (last["phase"], last["exit_code"]) == ("cancelled", 143)
    assert control.whole_log() == b"up\nsaved\n"


@pytest.mark.fault("processes left behind")
def test_cancel_of_a_job_that_does_not_listen(control, node, kit):
    run = kit.order(
        "trap '' TERM; (trap '' TERM; sleep 600) & echo up; while true; do sleep 1; done", grace_s=0.2
    )
    control.want(run)
    node.start()
    kit.until(lambda: control.log())
    control.want({**run, "cancel": True})
    last = control.ended()
    assert (last["phase"], last["signal"]) == ("cancelled", 9)
    kit.until(lambda: node.processes() == [])


@pytest.mark.carried
def test_a_newer_attempt_takes_over(control, node, kit):
    control.want(kit.order("echo one; sleep 600", grace_s=1))
    node.start()
    kit.until(lambda: control.log())
    control.want(kit.order("echo two", attempt=2))
    assert control.ended(attempt=2)["phase"] == "succeeded"
    assert control.ended(attempt=1)["phase"] == "cancelled"
    assert control.whole_log(attempt=2) == b"two\n"


@pytest.mark.fault("repeated and reordered messages")
def test_replayed_wishes_start_nothing_twice(control, node, kit):
    control.replay = True
    control.want(kit.order("echo started >> ~/starts; sleep 0.5"))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    before = control.syncs
    kit.until(lambda: control.syncs > before + 3)
    assert (node.home / "starts").read_text() == "started\n"
    assert control.phases() == ["ready", "running", "succeeded"]


@pytest.mark.fault("refused calls")
@pytest.mark.carried
def test_control_comes_back_on_another_port(control, node, kit):
    control.want(kit.order("for n in $(seq 200); do echo $n; sleep 0.01; done"))
    node.start()
    kit.until(lambda: control.log())
    control.stop()
    control.token = "t-1"
    control.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == "".join(f"{n}\n" for n in range(1, 201)).encode()
    assert len(control.joins) == 2


@pytest.mark.fault("refused calls")
def test_refusals_and_dropped_calls_are_repeated(control, node, kit):
    control.refuse = [
        ("/join", 503, {"Retry-After": "1"}),
        ("/sync", 429, {}),
        ("/sync", 0, {}),
        ("/logs/", 0, {}),
        ("/logs/", 500, {}),
        ("/logs/", 503, {}),
    ]
    control.want(kit.order("seq 1000"))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == "".join(f"{n}\n" for n in range(1, 1001)).encode()
    assert control.refuse == []


@pytest.mark.fault("refused calls")
@pytest.mark.carried
def test_a_gap_is_gone_back_to(control, node, kit):
    control.want(kit.order("echo one; while [ ! -e ~/go ]; do sleep 0.02; done; echo two"))
    node.start()
    kit.until(lambda: control.log())
    control.logs[(1, 1, "run")].clear()
    (node.home / "go").touch()
    assert control.whole_log() == b"one\ntwo\n"


@pytest.mark.carried(reached=True)
def test_a_fenced_node_kills_its_job_and_ends(control, node, kit):
    control.want(kit.order("trap '' TERM; echo up; sleep 600"))
    node.start()
    kit.until(lambda: control.log())
    control.fenced = True
    control.wake()
    assert node.process.wait(15) == 0
    kit.until(lambda: node.processes() == [])
    assert node.groups() == []


@pytest.mark.carried
def test_drain_stops_the_job_and_says_so(control, node, kit):
    run = kit.order("trap 'echo saved; exit 0' TERM; echo up; while true; do sleep 0.05; done")
    control.want(run)
    node.start()
    kit.until(lambda: control.log())
    control.want(run, drain=True)
    kit.until(lambda: control.kinds("drained"))
    assert control.ended()["phase"] == "preempted"
    assert b"saved\n" in control.whole_log()


@pytest.mark.fault("control asleep")
@pytest.mark.carried(reached=True)
def test_the_dead_man(control, node, kit):
    control.want(kit.order("trap 'touch ~/saved; exit 0' TERM; echo up; while true; do sleep 0.05; done"))
    node.start(deadman_s=1.5)
    kit.until(lambda: control.log())
    control.stop()
    assert node.process.wait(20) == 0
    assert (node.home / "saved").exists()
    kit.until(lambda: node.processes() == [])


class Metadata:
    """A cloud's metadata endpoint that wants a token first, as AWS does."""

    def __init__(self):
        outer = self
        self.deadline = None

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_PUT(self):
                self.reply(200, b"the-token")

            def do_GET(self):
                if self.headers.get("X-Token") != "the-token":
                    self.reply(401, b"")
                elif outer.deadline is None:
                    self.reply(404, b"")
                else:
                    self.reply(200, json.dumps({"action": "terminate", "time": outer.deadline}).encode())

            def reply(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        url = f"http://127.0.0.1:{self.server.server_port}"
        self.probe = {
            "url": url + "/spot/instance-action",
            "every_s": 0.1,
            "member": "action",
            "values": ["terminate", "stop"],
            "deadline": "time",
            "token": {
                "url": url + "/token",
                "method": "PUT",
                "headers": {"X-TTL": "60"},
                "header": "X-Token",
            },
        }


@pytest.fixture
def metadata():
    made = Metadata()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.fault("spot notice")
@pytest.mark.carried
def test_a_notice_gives_the_job_its_time(control, node, kit, metadata):
    script = 'trap "echo saved \\$(cat \\$SKYWRIGHT_NOTICE)s; exit 0" TERM; echo up; while true; do sleep 0.05; done'
    control.want(kit.order(script))
    node.start(probe=metadata.probe)
    kit.until(lambda: control.log())
    metadata.deadline = (datetime.now(timezone.utc) + timedelta(seconds=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    kit.until(lambda: control.kinds("drained"))
    last = control.ended()
    assert (last["phase"], last["exit_code"]) == ("preempted", 0)
    notice = control.kinds("notice")[0]
    assert 20 < notice["deadline_s"] <= 30
    assert notice["source"] == metadata.probe["url"]
    assert notice["seq"] < last["seq"] < control.kinds("drained")[0]["seq"]
    assert 20 <= int(re.search(rb"saved (\d+)s", control.whole_log())[1]) <= 28


@pytest.mark.fault("spot notice")
def test_a_job_that_ignores_the_notice_is_killed_in_time(control, node, kit, metadata):
    control.want(kit.order("trap '' TERM; echo up; while true; do sleep 0.05; done"))
    node.start(probe=metadata.probe)
    kit.until(lambda: control.log())
    metadata.deadline = (datetime.now(timezone.utc) + timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    last = control.ended()
    assert (last["phase"], last["signal"]) == ("preempted", 9)
    kit.until(lambda: control.kinds("drained"))


@pytest.mark.fault("processes left behind")
def test_a_part_is_not_stopped_by_a_process_that_keeps_the_pipe(control, node, kit):
    control.want(kit.order("(sleep 600; echo never) & disown; echo done"))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    assert control.whole_log() == b"done\n"


@pytest.mark.fault("processes left behind")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs to hide the control groups")
def test_without_control_groups_the_process_tree_is_killed(control, node, kit, monkeypatch):
    node.prefix = ["unshare", "-m", "sh", "-c", 'umount -l /sys/fs/cgroup 2>/dev/null; exec "$@"', "sh"]
    control.want(kit.order(kit.DAEMON))
    node.start()
    assert control.ended()["phase"] == "succeeded"
    kit.until(lambda: node.processes() == [])


DROPPED = re.compile(rb"\n\[skywright: ([\d,]+) bytes of output were dropped: disk full\]\n")


def on_a_small_disk(node, tmp_path, size: str) -> None:
    """The agent's folder is a file system of its own."""
    small = tmp_path / "small"
    small.mkdir()
    node.manifest["state"] = str(small)
    mount = f"mount -t tmpfs -o size={size} none {small}"
    node.prefix = ["unshare", "-m", "sh", "-c", f'{mount}; exec "$@"', "sh"]


needs_a_small_disk = pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount a small disk")


@pytest.mark.fault("disk full")
@needs_a_small_disk
def test_a_full_disk_waits_for_control_to_take_what_there_is(control, node, kit, tmp_path):
    """Control answers, if late: the job is held up, and not a byte is lost."""
    on_a_small_disk(node, tmp_path, "2m")
    control.refuse = [("/logs/", 503, {"Retry-After": "1"})] * 2
    control.want(kit.order("seq 1 700000; echo last; exit 3"))
    node.start()
    last = control.ended()
    assert (last["phase"], last["exit_code"]) == ("failed", 3)
    assert "dropped_bytes" not in last
    expected = "".join(f"{number}\n" for number in range(1, 700001)) + "last\n"
    assert control.whole_log() == expected.encode()


@pytest.mark.fault("disk full")
@needs_a_small_disk
def test_a_full_disk_without_control_costs_log_bytes_and_says_how_many(control, node, kit, tmp_path):
    """Nobody takes the log: the job goes on all the same, and every byte is in the log or in the count."""
    on_a_small_disk(node, tmp_path, "2m")
    control.refuse = [("/logs/", 503, {"Retry-After": "1"})] * 1000
    written = 30 * 1_000_000
    control.want(kit.order(f"head -c {written} /dev/zero | tr '\\0' x; exit 3"))
    node.start()
    last = control.ended(patience_s=40)
    control.refuse.clear()
    log = control.whole_log()
    dropped = [int(number.replace(b",", b"")) for number in DROPPED.findall(log)]
    assert sum(dropped) == last["dropped_bytes"] > 0
    assert len(DROPPED.sub(b"", log)) + sum(dropped) == written
    assert last["exit_code"] == 3


@pytest.mark.fault("disk full")
@needs_a_small_disk
def test_a_job_told_to_end_is_not_held_up_by_a_full_disk(control, node, kit, tmp_path):
    on_a_small_disk(node, tmp_path, "2m")
    control.refuse = [("/logs/", 503, {"Retry-After": "1"})] * 1000
    save = "trap 'head -c 9000000 /dev/zero; echo saved > ~/saved; exit 0' TERM; touch ~/there"
    control.want(kit.order(f"{save}; while :; do sleep 0.01; done", grace_s=8))
    node.start()
    kit.until((node.home / "there").exists)
    control.want(None)
    last = control.ended()
    assert last["exit_code"] == 0, "it was killed before it had saved"
    assert (node.home / "saved").exists()
    assert last["dropped_bytes"] > 0


@pytest.mark.fault("refused calls")
def test_nonsense_from_control_is_survived(control, node, kit):
    control.want({"id": 1}, check=False)
    node.start()
    before = control.syncs
    kit.until(lambda: control.syncs > before + 2)
    control.want(kit.order("echo fine"))
    assert control.ended()["phase"] == "succeeded"
