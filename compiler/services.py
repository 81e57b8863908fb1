"""`service` and `pool`, checked by the schema already, into frozen values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from compiler.notes import Notes, Path
from compiler.serving import Policy, Pool, Probe, Service

_PROBE = {
    "initial_delay_seconds": "initial_delay_s",
    "timeout_seconds": "timeout_s",
    "endpoint_probe_interval_seconds": "interval_s",
    "consecutive_failure_threshold_timeout": "failing_s",
}

_POLICY = {
    "num_overprovision": "spare",
    "upscale_delay_seconds": "upscale_delay_s",
    "downscale_delay_seconds": "downscale_delay_s",
    "dynamic_ondemand_fallback": "dynamic_ondemand_fallback",
    "base_ondemand_fallback_replicas": "base_ondemand_fallback_replicas",
    "spot_placer": "spot_placer",
}


def service(data: Mapping[str, Any], notes: Notes) -> Service:
    """The Service of `data`; what is wrong is noted."""
    tls = data.get("tls")
    balancing = data.get("load_balancing_policy") or "least_load"
    policy = _policy(data, notes)
    if policy.target_qps_by and balancing != "instance_aware_least_load":
        message = "questions per second by accelerator need another load balancing policy"
        hint = "write `load_balancing_policy: instance_aware_least_load`"
        notes.note("task/conflicting-fields", message, ("service", "replica_policy"), hint, True)
    if balancing == "instance_aware_least_load" and not policy.target_qps_by:
        message = "this load balancing policy wants questions per second by accelerator"
        hint = "write `target_qps_per_replica` as a mapping, such as `{H100: 20}`"
        notes.note("task/conflicting-fields", message, ("service", "load_balancing_policy"), hint)
    return Service(
        probe=_probe(data.get("readiness_probe", "/"), notes),
        policy=policy,
        load_balancing=balancing,
        stream_timeout_s=(data.get("load_balancer") or {}).get("stream_timeout_seconds", 120),
        port=data.get("ports"),
        tls=(tls["keyfile"], tls["certfile"]) if tls else (),
    )


def _probe(value: Any, notes: Notes) -> Probe:
    data = value if isinstance(value, Mapping) else {"path": value}
    path: Path = ("service", "readiness_probe", *(("path",) if isinstance(value, Mapping) else ()))
    if not data["path"].startswith("/"):
        notes.note(
            "task/wrong-value", "the probe's path does not begin with `/`", path, "for example `/health`"
        )
    post = data.get("post_data")
    if isinstance(post, str):
        try:
            post = json.loads(post)
        except ValueError as error:
            at = ("service", "readiness_probe", "post_data")
            notes.note("task/wrong-value", f"`post_data` is not JSON: {error}", at, "write it as a mapping")
    times = {ours: data[name] for name, ours in _PROBE.items() if data.get(name) is not None}
    return Probe(path=data["path"], post_data=post, headers=data.get("headers") or {}, **times)


def _policy(data: Mapping[str, Any], notes: Notes) -> Policy:
    fixed, policy, old = data.get("replicas"), data.get("replica_policy"), data.get("autoscaling")
    if old is not None:
        path: Path = ("service", "autoscaling")
        notes.old("`autoscaling` is the old name of `replica_policy`", path, "`invoke migrate` rewrites it")
        if policy is not None:
            message = "`autoscaling` and `replica_policy` say the same thing"
            notes.note("task/conflicting-fields", message, path, "keep `replica_policy` alone", True)
        target = old.get("target_qps_per_replica", old.get("qps_upper_threshold"))
        policy = {name: old[name] for name in ("min_replicas", "max_replicas") if old.get(name) is not None}
        policy = {
            "min_replicas": 1,
            **policy,
            **({} if target is None else {"target_qps_per_replica": target}),
        }
    field = "autoscaling" if old is not None else "replica_policy"
    workers = data.get("workers")
    if fixed is not None and (policy is not None or workers is not None):
        other = field if policy is not None else "workers"
        message = f"`replicas` and `{other}` both say how many"
        notes.note("task/conflicting-fields", message, ("service", "replicas"), "keep one of them", True)
    if policy is None:
        count = int(fixed if fixed is not None else workers if workers is not None else 1)
        return Policy(least=count)
    least, most = int(policy["min_replicas"]), policy.get("max_replicas")
    target = policy.get("target_qps_per_replica")
    _check_span(least, most, target, ("service", field), old is not None, notes)
    by = dict(target) if isinstance(target, Mapping) else {}
    more = {ours: policy[name] for name, ours in _POLICY.items() if policy.get(name) is not None}
    single = None if isinstance(target, Mapping) else target
    return Policy(least=least, most=most, target_qps=single, target_qps_by=by, **more)


def _check_span(least: int, most: int | None, target: Any, path: Path, old: bool, notes: Notes) -> None:
    high: Path = (*path, "max_replicas")
    if most is not None and most < least:
        message = f"`max_replicas` ({most}) is less than `min_replicas` ({least})"
        notes.note("task/conflicting-fields", message, high, "`max_replicas` is the larger one")
    elif target is not None and most is None:
        message = "`target_qps_per_replica` wants `max_replicas` too"
        notes.note("task/missing-field", message, path, "say how many replicas there may be", True)
    elif target is None and most is not None and most != least:
        message = "nothing says when a replica is added"
        notes.note("task/missing-field", message, path, "add `target_qps_per_replica`", True)


def pool(data: Mapping[str, Any], path: Path, notes: Notes) -> Pool | None:
    """The Pool of `data`; None (and a note) when it does not say how many."""
    workers, least, most = data.get("workers"), data.get("min_workers"), data.get("max_workers")
    if workers is None and least is None and most is None:
        hint = "`workers: 4`, or `min_workers` and `max_workers`"
        notes.note("task/missing-field", "the pool does not say how many workers", path, hint, True)
        return None
    if most is None and (least is not None or data.get("queue_length_threshold") is not None):
        hint = "say how many workers there may be"
        notes.note("task/missing-field", "the pool has no `max_workers`", path, hint, True)
        return None
    if most is not None and most < (least if least is not None else workers or 0):
        message = "`max_workers` is less than `min_workers`"
        notes.note("task/conflicting-fields", message, (*path, "max_workers"), "it is the larger one")
        return None
    return Pool(
        least=int(least if least is not None else workers if workers is not None else 1),
        most=most,
        queue_length=data.get("queue_length_threshold") or 1,
        upscale_delay_s=data.get("upscale_delay_seconds", 300),
        downscale_delay_s=data.get("downscale_delay_seconds", 1200),
    )
