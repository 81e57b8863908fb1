"""Local nodes: made, apart from the host and each other, lost, removed without a trace. No engine needed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from compiler.problem import Problems
from stacks import local as cloud
from stacks import process
from stacks.provider import addresses, nodes, starting

ROOT = Path(__file__).parents[2]
EVERYWHERE = pytest.mark.parametrize("isolation", ["namespaces", "bubblewrap", "directory"], indirect=True)
pytestmark = pytest.mark.usefixtures("isolation")
linux = pytest.mark.skipif(sys.platform != "linux", reason="addresses and namespaces of Linux")


@EVERYWHERE
def test_a_node_is_made_found_and_removed(local: Any, isolation: str) -> None:
    made = local.create(rank=1, labels={"team": "a"}, cpus=2.0, memory_gb=0.5)

    (found,) = cloud.inventory()
    assert (found.node, found.project, found.deployment, found.rank) == (made.node, "project", "hello", 1)
    assert found.alive
    assert found.address == made.address
    assert cloud.inventory("another project") == ()
    manifest = json.loads((made.folder / "manifest.json").read_text())
    jsonschema.validate(manifest, json.loads((ROOT / "schemas" / "manifest.v1.json").read_text()))
    assert manifest["limits"] == {"memory_bytes": 2**29, "cpus": 2.0}
    assert made.isolation == isolation
    assert manifest["isolation"] == ("directory" if isolation == "directory" else "namespaces")
    assert local.ask(made, "echo $HOME; pwd") == f"{made.folder}/home\n{made.folder}/home"

    local.send(made, "(setsid sleep 600 &) ; (trap '' TERM; exec sleep 600) & disown; sleep 600")
    who = [made.init, made.first]
    cloud.remove(made.node)
    assert cloud.inventory() == ()
    assert not made.folder.exists()
    assert not any(process.alive(one) for one in who if one)
    cloud.remove(made.node)


def test_only_the_node_itself_has_its_proof(local: Any) -> None:
    one, other = local.create(0), local.create(1)
    proof = (one.folder / "proof").read_text()
    assert (one.folder / "proof").stat().st_mode & 0o777 == 0o600
    assert cloud.verify(one.node, proof)
    assert not cloud.verify(other.node, proof)
    assert not cloud.verify(one.node, "")
    assert not cloud.verify(one.node, proof + "\udcff")
    assert not cloud.verify("../" + one.node, proof)
    assert not cloud.verify("hello-0-000000", proof)


@linux
@EVERYWHERE
def test_two_nodes_reach_each_other_by_address(local: Any) -> None:
    head, worker = local.create(0), local.create(1)
    assert head.address != worker.address
    port = 29500
    serve = f"""import socket
with socket.create_server(("{head.address}", {port})) as server:
    open("listening", "w").close()
    peer, where = server.accept()
    peer.sendall(b"hello " + where[0].encode())"""
    local.send(head, f"python3 -c '{serve}' &")
    local.until((head.folder / "home" / "listening").exists, "rank 0 listens")
    call = f"""import socket
with socket.create_connection(("{head.address}", {port}), 10, ("{worker.address}", 0)) as to:
    print(to.recv(100).decode())"""
    assert local.ask(worker, f"python3 -c '{call}'") == f"hello {worker.address}"


@linux
def test_a_node_resolves_its_own_name(local: Any) -> None:
    made = local.create()
    assert local.ask(made, "hostname") == made.node
    assert local.ask(made, "getent hosts $(hostname)").split()[0] == made.address


@linux
def test_what_a_node_writes_to_the_system_stays_in_it(local: Any, tmp_path: Path) -> None:
    one, other = local.create(0), local.create(1)
    mark = f"skywright-test-{os.getpid()}"
    places = [f"/etc/{mark}", f"/tmp/{mark}", f"/usr/local/bin/{mark}", f"/dev/shm/{mark}", f"/{mark}/data"]
    for place in places:
        assert local.ask(one, f"mkdir -p $(dirname {place}); echo mine > {place}; cat {place}") == "mine"
        assert not os.path.exists(place)
        assert local.ask(other, f"cat {place} 2>/dev/null || echo nothing") == "nothing"
    assert (
        local.ask(one, f"mkdir /{mark}/disk; mount -t tmpfs none /{mark}/disk && stat -f -c %T /{mark}/disk")
        == "tmpfs"
    )
    assert mark not in Path("/proc/mounts").read_text()
    cloud.remove(one.node)
    again = local.create(0)
    assert local.ask(again, f"ls /etc/{mark} 2>/dev/null || echo nothing") == "nothing"


@linux
def test_a_node_sees_nothing_of_its_neighbours_and_of_control(local: Any) -> None:
    for secret in ("control/token", "control/secrets.key", "state/stack.json", "passphrase"):
        path = local.home / secret
        path.parent.mkdir(exist_ok=True)
        path.write_text("secret")
    one, other = local.create(0), local.create(1)
    seen = local.ask(one, f"find {local.home} -type f").splitlines()
    allowed = (str(one.folder), str(local.home / "agents" / "standin"))
    assert [path for path in seen if not path.startswith(allowed)] == []
    assert local.ask(one, f"ls {other.folder} >/dev/null 2>&1 || echo hidden") == "hidden"
    assert (
        local.ask(one, f"kill -0 {other.init.pid if other.init else 0} 2>/dev/null || echo apart") == "apart"
    )
    assert "denied" in local.ask(one, f"touch {local.home}/agents/standin/agent.py 2>&1 || echo denied")
    assert local.ask(one, "ls -d /proc/[0-9]* | wc -l") in {"2", "3", "4", "5"}


@EVERYWHERE
def test_the_kept_folder_is_shared_and_survives(local: Any) -> None:
    one, other = local.create(0), local.create(1)
    kept = json.loads((one.folder / "manifest.json").read_text())["kept"]
    assert kept == str(nodes.kept("project", "hello"))
    assert local.ask(one, f"echo 17 > {kept}/step; cat {kept}/step") == "17"
    assert local.ask(other, f"cat {kept}/step") == "17"
    cloud.remove(one.node)
    cloud.remove(other.node)
    assert (Path(kept) / "step").read_text() == "17\n"


def test_a_kept_folder_with_nothing_in_it_goes_with_the_last_node(local: Any) -> None:
    one, other = local.create(0), local.create(1)
    cloud.remove(one.node)
    assert nodes.kept("project", "hello").is_dir()
    cloud.remove(other.node)
    assert list((local.home / "local" / "kept").iterdir()) == []


@EVERYWHERE
@pytest.mark.parametrize("victim", ["init", "first"])
def test_killing_a_nodes_own_processes_ends_all_of_it(local: Any, victim: str) -> None:
    made = local.create()
    local.send(
        made, f"cd {made.folder}/home; (setsid sleep 600 &); (setsid sleep 600 &); echo ok; exec sleep 600"
    )
    local.until(lambda: len(local.processes(made)) > 4, "the job runs")
    who = getattr(made, victim)
    os.kill(who.pid, signal.SIGKILL)
    local.until(lambda: not any(node.alive for node in cloud.inventory()), "the cloud says that it is lost")
    local.until(lambda: local.processes(made) == [], "everything has ended")
    assert [node.node for node in cloud.inventory()] == [made.node]


@EVERYWHERE
def test_a_node_whose_folder_is_deleted_ends(local: Any) -> None:
    made = local.create()
    subprocess.run(["rm", "-rf", str(made.folder)], check=False)
    local.until(lambda: made.init is not None and not process.alive(made.init), "the node has ended")
    local.until(lambda: local.processes(made) == [], "everything has ended")
    made.folder.mkdir(exist_ok=True)
    (made.folder / "left").touch()
    cloud.remove(made.node)
    assert not made.folder.exists()


@EVERYWHERE
def test_an_agent_that_dies_is_started_again_and_one_that_leaves_ends_the_node(local: Any) -> None:
    made = local.create()
    local.until(lambda: len(local.agents(made)) == 1, "the agent runs")
    local.send(made, f"kill -9 {local.agents(made)[0]}")
    local.until(lambda: len(local.agents(made)) == 2, "the agent runs again")
    assert local.ask(made, "echo here") == "here"
    inits = [made.init, made.first]
    cloud.kill_agent(made.node)
    local.until(lambda: len(local.agents(made)) == 3, "the agent runs once more")
    assert all(who and process.alive(who) for who in inits)
    local.send(made, "leave")
    local.until(lambda: made.init is not None and not process.alive(made.init), "the node has shut down")
    assert local.agents(made)[3:] == []


def test_making_a_node_twice_leaves_one(local: Any) -> None:
    first = local.create(rank=0)
    neighbour = local.create(rank=1)
    second = local.create(rank=0)
    assert [node.node for node in cloud.inventory()] == sorted([neighbour.node, second.node])
    assert first.init is not None
    assert not process.alive(first.init)


def test_what_a_killed_creation_left_is_cleared_away(local: Any) -> None:
    made = local.create()
    assert made.init is not None
    process.end(made.init)
    record = made.folder / "node.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "init": None, "first": None}))
    for left in (".new-hello-0-abcdef", ".gone-hello-0-fedcba"):
        (made.folder.with_name(left) / "upper").mkdir(parents=True)
    (found,) = cloud.inventory()
    assert not found.alive
    again = local.create()
    assert [node.node for node in cloud.inventory()] == [again.node]
    assert os.listdir(nodes.root()) == [again.node]


def test_a_creation_that_nobody_wants_any_more_makes_nothing(local: Any) -> None:
    order = nodes.Order("project", "hello", 0, "standin", "spot", 600.0)
    living = local.create()
    with pytest.raises(Problems):
        nodes.create(order, wanted=lambda: False)
    assert [node.node for node in cloud.inventory()] == [living.node]


def test_an_unknown_agent_is_refused_and_nothing_is_made(local: Any) -> None:
    with pytest.raises(Problems, match="cloud/agent-missing"):
        local.create(agent="0123")
    assert cloud.inventory() == ()


def test_a_node_gets_no_variable_of_who_started_it(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "canary")
    made = local.create()
    assert "canary" not in local.ask(made, "env")
    assert made.init is not None
    if os.path.exists("/proc"):
        assert b"canary" not in Path(f"/proc/{made.init.pid}/environ").read_bytes()


@EVERYWHERE
def test_controls_address_reaches_the_node_whenever_it_changes(local: Any) -> None:
    published = local.home / "control" / "control.json"
    published.parent.mkdir()
    published.write_text('{"url": "http://127.0.0.1:1"}')
    made = local.create()
    inside = json.loads((made.folder / "manifest.json").read_text())["link"]["address_file"]
    assert json.loads(Path(inside).read_text())["url"].endswith(":1")
    new = published.with_suffix(".new")
    new.write_text('{"url": "http://127.0.0.1:22"}')
    os.replace(new, published)
    local.until(
        lambda: local.ask(made, f"cat {inside}") == '{"url": "http://127.0.0.1:22"}',
        "the new address is there",
    )


@pytest.mark.fault("spot notice")
@EVERYWHERE
def test_a_spot_notice_comes_by_the_endpoint_and_the_node_goes_when_its_time_is_up(local: Any) -> None:
    made = local.create()
    probe = json.loads((made.folder / "manifest.json").read_text())["probe"]
    status, token = ask(made, probe["token"]["method"], "/latest/api/token", probe["token"]["headers"])
    assert status == 200
    headers = {probe["token"]["header"]: token}
    path = probe["url"].partition(f":{made.port}")[2]
    assert ask(made, "GET", path, headers)[0] == 404
    assert ask(made, "GET", path, {})[0] == 401
    assert ask(made, "PUT", "/latest/api/token", {})[0] == 400
    assert ask(made, "GET", "/latest/meta-data/instance-id", headers) == (200, made.node)

    before = time.time()
    cloud.preempt(made.node, 2)
    status, text = ask(made, "GET", path, headers)
    assert status == 200
    said = json.loads(text)
    assert said[probe["member"]] in probe["values"]
    assert time.strptime(said[probe["deadline"]], "%Y-%m-%dT%H:%M:%SZ") >= time.gmtime(before + 1)

    local.until(lambda: not any(node.alive for node in cloud.inventory()), "the node is taken away")
    assert time.time() - before >= 2
    assert made.folder.exists()
    local.until(lambda: local.processes(made) == [], "everything has ended")
    with pytest.raises(Problems, match="cloud/no-such-node"):
        cloud.preempt(made.node, 2)


def test_on_demand_nodes_get_no_notice_but_can_be_lost(local: Any) -> None:
    made = local.create(market="on-demand")
    assert "probe" not in json.loads((made.folder / "manifest.json").read_text())
    with pytest.raises(Problems, match="cloud/not-spot"):
        cloud.preempt(made.node, 30)
    cloud.preempt(made.node, None)
    (found,) = cloud.inventory()
    assert not found.alive
    with pytest.raises(Problems, match="cloud/no-such-node"):
        cloud.preempt("hello-9-000000", None)


def test_labels_change_in_place(local: Any) -> None:
    made = local.create(labels={"team": "a"})
    changed = nodes.update(made.node, {"team": "b"}, 3600.0)
    assert changed is not None
    assert (changed.labels, changed.init, changed.address) == ({"team": "b"}, made.init, made.address)
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert (manifest["labels"], manifest["deadman_s"]) == ({"team": "b"}, 3600.0)


def test_system_without_namespaces_falls_back_to_directories(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "isolations", lambda: ("namespaces", "directory"))
    # What a container without the right to mount answers, seen from where the node starts.
    monkeypatch.setattr(starting, "INIT", refusing_init(local.home))
    made = local.create()
    assert made.isolation == "directory"
    assert local.ask(made, "echo works") == "works"


def refusing_init(home: Path) -> Path:
    """The init on a system that refuses namespaces."""
    folder = home / "refusing"
    folder.mkdir()
    source = Path(starting.__file__).parent
    for name in ("init.py", "endpoint.py", "room.py"):
        (folder / name).write_text((source / name).read_text())
    with open(folder / "room.py", "a") as file:
        file.write(
            "\ndef unshare(flags):\n    raise PermissionError(1, 'Operation not permitted', 'unshare')\n"
        )
    return folder / "init.py"


@pytest.mark.fault("disk full")
@linux
def test_a_full_disk_is_said_and_nothing_stays(local: Any) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    script = """
import sys
from compiler.problem import Problems
from stacks.provider import nodes
try:
    nodes.create(nodes.Order("p", "full", 0, "standin", "spot", 600.0))
except Problems as problems:
    print(problems.problems[0].code, nodes.existing())
"""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"mount -t tmpfs -o size=20k,nr_inodes=20 t {local.home} && "
         f"mkdir -p {local.home}/agents/standin && touch {local.home}/agents/standin/agent.py && "
         'exec "$0" -c "$1"', sys.executable, script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "machine/disk-full ()", done.stderr


def test_one_loopback_address_means_distinct_ports(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "own_addresses", lambda: False)
    one, other = local.create(0), local.create(1)
    assert one.address == other.address == "127.0.0.1"
    assert one.port != other.port
    assert ask(other, "PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})[0] == 200


def test_check_says_what_this_machine_can_do(local: Any) -> None:
    says = " ".join(line.says for line in cloud.check())
    assert "127.0.0" in says
    assert "namespaces" in says or "root of their own" in says or "directories" in says


def ask(node: nodes.Node, method: str, path: str, headers: dict[str, Any]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(node.address, node.port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@linux
def test_control_groups_of_jobs_go_with_the_node(local: Any) -> None:
    made = local.create()
    bases = [
        base
        for path in made.groups
        for top in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory", "/sys/fs/cgroup")
        if os.access(base := os.path.join(top, path.lstrip("/")), os.W_OK)
        and os.path.exists(os.path.join(base, "cgroup.procs"))
    ]
    if not bases:
        pytest.skip("no control groups to write to")
    group = Path(bases[0]) / f"skywright-{made.node}-1.1-run"
    local.send(made, f"mkdir {group} && (echo $BASHPID > {group}/cgroup.procs; exec setsid sleep 600) &")
    local.until(group.is_dir, "the job's group is there")
    cloud.remove(made.node)
    assert not group.exists()
