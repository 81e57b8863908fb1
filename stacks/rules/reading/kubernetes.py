"""What objects of Kubernetes mean for rules. Where its volumes rest, a cluster does not say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stacks.kubernetes.nodes import SPOT_LABELS
from stacks.rules.facts import EVERY, EVERYBODY, Address, Disk, Fact, Machine, Opening, Tags
from stacks.rules.reading import Read, acting, listed, mapped, texts

Inputs = Mapping[str, Any]


def _labelled(inputs: Inputs) -> Iterable[Fact]:
    metadata = mapped(inputs.get("metadata"))
    # What does not fit a label's narrow alphabet stands in annotations, under the same names.
    yield Tags({**texts(metadata.get("annotations")), **texts(metadata.get("labels"))})


def _job(inputs: Inputs) -> Iterable[Fact]:
    yield from _labelled(inputs)
    pod = mapped(mapped(mapped(mapped(inputs.get("spec")).get("template"))).get("spec"))
    yield Machine(_wants_spot(pod))
    yield from acting(pod.get("serviceAccountName") or "default")
    for volume in listed(pod.get("volumes")):
        in_memory = mapped(volume.get("emptyDir")).get("medium") == "Memory"
        if not in_memory and any(
            kind in volume for kind in ("persistentVolumeClaim", "emptyDir", "hostPath")
        ):
            yield Disk(f"its volume {volume.get('name', '')}".rstrip(), None)


def _wants_spot(pod: Inputs) -> bool:
    """Must its nodes be spot ones? A toleration alone lets them be, and asks for nothing."""
    rules = mapped(mapped(pod.get("affinity")).get("nodeAffinity"))
    needed = mapped(rules.get("requiredDuringSchedulingIgnoredDuringExecution"))
    asked = [
        (one.get("key"), value)
        for term in listed(needed.get("nodeSelectorTerms"))
        for one in listed(mapped(term).get("matchExpressions"))
        if one.get("operator") == "In"
        for value in listed(one.get("values"))
    ]
    return any(pair in SPOT_LABELS for pair in (*asked, *mapped(pod.get("nodeSelector")).items()))


def _service(inputs: Inputs) -> Iterable[Fact]:
    yield from _labelled(inputs)
    spec = mapped(inputs.get("spec"))
    if spec.get("type") not in ("LoadBalancer", "NodePort"):
        return
    sources = tuple(str(one) for one in listed(spec.get("loadBalancerSourceRanges"))) or EVERYBODY[:1]
    yield Address(f"a Service of type {spec['type']}")
    ranges: dict[str, list[tuple[int, int]]] = {}
    for one in listed(spec.get("ports")):
        port, known = one.get("port"), ranges.setdefault(str(one.get("protocol", "TCP")).lower(), [])
        first, last = (int(port), int(port)) if isinstance(port, (int, float)) else EVERY
        if known and known[-1][1] + 1 == first:
            known[-1] = (known[-1][0], last)
        else:
            known.append((first, last))
    for protocol, found in ranges.items():
        for first, last in found:
            yield Opening(first, last, protocol, sources)


def _network(inputs: Inputs) -> Iterable[Fact]:
    """Who may connect inside of the cluster is no opening to the outside: a Service is."""
    yield from _labelled(inputs)


def _claim(inputs: Inputs) -> Iterable[Fact]:
    yield from _labelled(inputs)
    yield Disk("the volume", None)


TYPES: dict[str, Read] = {
    "kubernetes:batch/v1:Job": _job,
    "kubernetes:core/v1:ConfigMap": _labelled,
    "kubernetes:core/v1:PersistentVolumeClaim": _claim,
    "kubernetes:core/v1:Secret": _labelled,
    "kubernetes:core/v1:Service": _service,
    "kubernetes:networking.k8s.io/v1:NetworkPolicy": _network,
}
