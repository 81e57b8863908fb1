"""Runs in the rival's own environment: reads requests (JSON lines) and says what SkyPilot's optimizer chooses.

Clouds count as enabled without credentials; its catalog was placed by hand, so it fetches nothing.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time

begun = time.perf_counter()
import sky  # noqa: E402
import sky.check  # noqa: E402
from sky import clouds, optimizer  # noqa: E402
from sky.catalog import aws_catalog  # noqa: E402

IMPORTED_S = time.perf_counter() - begun
CLOUDS = [clouds.AWS(), clouds.GCP(), clouds.Azure(), clouds.Lambda(), clouds.Vast()]


def offline() -> None:
    """Whatever would ask an account is answered here."""
    sky.check.get_cached_enabled_clouds_or_refresh = lambda *_, **__: CLOUDS
    aws_catalog._fetch_and_apply_az_mapping = lambda frame: frame
    for cloud in CLOUDS:
        kind = type(cloud)
        kind.check_quota_available = classmethod(lambda *_, **__: True)
        kind.get_reservations_available_resources = lambda *_, **__: {}
        kind.need_cleanup_after_preemption_or_failure = lambda *_, **__: False


def choose(request: dict) -> dict:
    config = {"run": "echo", "resources": request["resources"], "num_nodes": request.get("num_nodes", 1)}
    started = time.perf_counter()
    try:
        task = sky.Task.from_yaml_config(config)
        with sky.Dag() as dag:
            dag.add(task)
        optimizer.Optimizer.optimize(dag, quiet=True)
    except Exception as error:  # the rival's own words are the answer
        return {
            "error": f"{type(error).__name__}: {str(error).splitlines()[0][:120]}",
            "seconds": time.perf_counter() - started,
        }
    best = task.best_resources
    return {
        "cloud": str(best.cloud).lower(),
        "region": best.region,
        "zone": best.zone,
        "instance_type": best.instance_type,
        "hourly": best.get_cost(3600) * task.num_nodes,
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    offline()
    print(json.dumps({"import_s": IMPORTED_S}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            answer = choose(request)
        print(json.dumps({"name": request["name"], **answer}), flush=True)


if __name__ == "__main__":
    main()
