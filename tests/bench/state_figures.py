"""Prints figures of living with state as JSON: drift of 20 stacks on AWS (moto), a killed owner's lock taken over."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
STACKS = 20

ELSEWHERE = """
import runpy, sys
from stacks import lease
lease.place = lambda: "laptop boot pid:[1]"
sys.argv = ["operation", sys.argv[1]]
runpy.run_module("stacks.operation", run_name="__main__")
"""
"""An operation as another machine would run it: from here nobody can see whether its process lives."""


def drift(folder: Path) -> dict[str, float]:
    """Seconds of `drift` over STACKS stacks of a node each, two of which have lost it."""
    from aws_account import Account  # type: ignore[import-not-found]

    from stacks import home
    from tests.standins import moto_server
    from tests.standins.fixtures import Moto
    from tests.standins.install import install
    from tests.standins.store import VARIABLE, Store

    store = folder / "standins.sqlite"
    with moto_server.serving() as url:
        os.environ |= {
            "SKYWRIGHT_HOME": str(folder / "home"),
            "SKYWRIGHT_PROJECT": "proj",
            VARIABLE: str(store),
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        install(home.home() / "pulumi", ("aws",))
        account = Account(folder, Moto(url, {}), Store(store))
        names = [f"bench-{number}" for number in range(STACKS)]
        specs = [account.spec(1, deployment=name, stack=f"{name}-aws-us-east-1") for name in names]
        made = [account.well("up", specs[0])]  # the network too
        with ThreadPoolExecutor(2) as pool:
            made += pool.map(lambda spec: account.well("up", spec), specs[1:])
        for one in made[:2]:
            account.moto.lose(one["nodes"][0]["id"])
        begun, spent = time.monotonic(), cpu()
        done = subprocess.run(
            [str(ROOT / "invoke"), "drift", "--json", *names], capture_output=True, text=True, check=False
        )
        seconds, spent = time.monotonic() - begun, cpu() - spent
        told = json.loads(done.stdout)
        assert (done.returncode, told["drifted"], len(told["stacks"])) == (7, 2, STACKS), done.stderr
        account.clear()
    return {"drift_s": seconds, "drift_cpu_s": spent}


def cpu() -> float:
    """Seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def takeover(folder: Path) -> dict[str, float]:
    """Seconds from a kill -9 of an operation elsewhere, in the middle of an `up`, to its wish fulfilled here."""
    from desk import Desk  # type: ignore[import-not-found]
    from killpoints import Killer, Point  # type: ignore[import-not-found]

    from stacks import home, operate, process
    from stacks.operate import Kind, Request

    os.environ["SKYWRIGHT_HOME"] = str(folder / "home")
    agent = home.home() / "agents" / "5ta9d1"
    agent.mkdir(parents=True)
    (agent / "agent.py").write_text("import signal\nsignal.pause()\n")
    desk = Desk(folder)
    killer = Killer(folder / "killer", Point(7, "before"))
    place = folder / "operations" / "laptop"
    place.mkdir(parents=True)
    request = Request("laptop", Kind.UP, desk.spec(2), env=killer.env)
    home.write_json(place / operate.REQUEST, request.to_data())
    with open(place / "output.txt", "ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-c", ELSEWHERE, str(place)],
            stdout=output,
            stderr=output,
            cwd=place,
            env={**os.environ, **killer.env},
            start_new_session=True,
        )
    home.write_json(place / operate.OWNER, process.identity(child.pid).to_data())
    threading.Thread(target=child.wait, daemon=True).start()
    desk.ended(place, 120)
    assert child.wait() == -signal.SIGKILL
    killed = time.monotonic()
    assert desk.locks(), "Pulumi's own lock is left too"
    while True:
        result: dict[str, Any] = desk.run("up", desk.spec(2))
        if result["ok"]:
            break
        assert result["problem"]["code"] == "lock/held", result["problem"]
    seconds = time.monotonic() - killed
    assert desk.locks() == []
    desk.well("destroy", desk.spec(2))
    desk.clear()
    return {"takeover_s": seconds}


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
    wanted = sys.argv[1:] or ["drift", "takeover"]
    found: dict[str, float] = {}
    for name, measure in (("takeover", takeover), ("drift", drift)):
        if name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                found |= measure(Path(folder))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
