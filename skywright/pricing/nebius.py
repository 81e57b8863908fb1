"""Nebius: platforms and presets, priced by its billing calculator (gRPC through the vendor's SDK)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from compiler.catalog.rows import Row
from skywright.pricing.fetching import Broken
from skywright.pricing.vendor import Fetched, Job, Shape, Sheet, Skipped, mappings, number, text

TIMEOUT_S = 30

_PROJECT = re.compile(r"project-([a-z0-9]{3})")


def parse(presets: Iterable[Any], _last: Sequence[Row], date: str) -> Sheet:
    """Rows of presets with their prices: mappings of platform, preset, region, gpus, vcpus, memory_gib, hourly and
    spot_hourly, the last two as the calculator writes them (text)."""
    sheet = Sheet("nebius", f"Nebius billing calculator, {date}")
    for one in mappings(presets):
        platform, count = text(one, "platform"), number(one.get("gpus")) or 0.0
        card = None
        if platform.startswith("gpu-"):
            card = sheet.card(platform.split("-")[1])
            if card is None or not count:
                continue
        cpus, memory = (number(one.get(name)) or 0.0 for name in ("vcpus", "memory_gib"))
        shape = Shape(card, count, cpus, memory, "x86_64", False)
        place = text(one, "region"), None
        prices = number(one.get("hourly")), number(one.get("spot_hourly"))
        sheet.add(place, f"{platform}_{one.get('preset')}", shape, *prices)
    return sheet


def fetch(job: Job) -> Fetched:
    """Needs the package `nebius` and NEBIUS_IAM_TOKEN."""
    if not os.environ.get("NEBIUS_IAM_TOKEN"):
        raise Skipped("needs NEBIUS_IAM_TOKEN")
    try:
        from nebius.sdk import SDK
    except ImportError:
        raise Skipped("needs the package `nebius`") from None
    try:
        presets = list(_presets(SDK(), job))
    except Exception as error:  # the SDK wraps gRPC, whose errors have no common ancestor but this one
        raise Broken(f"the billing calculator refused: {type(error).__name__}") from None
    return Fetched.of(parse(presets, job.last, job.date))


def _presets(sdk: Any, job: Job) -> Iterator[Mapping[str, Any]]:
    from nebius.api.nebius.compute.v1 import ListPlatformsRequest, PlatformServiceClient

    for code, region in _regions(sdk).items():
        if job.regions and region not in job.regions:
            continue
        parent = f"project-{code}public-images"
        asked = ListPlatformsRequest(page_size=999, parent_id=parent)
        for platform in PlatformServiceClient(sdk).list(asked, timeout=TIMEOUT_S).wait().items:
            for preset in platform.spec.presets:
                job.tell(f"{region}: {platform.metadata.name} {preset.name}")
                yield {
                    "region": region,
                    "platform": platform.metadata.name,
                    "preset": preset.name,
                    "gpus": preset.resources.gpu_count or 0,
                    "vcpus": preset.resources.vcpu_count,
                    "memory_gib": preset.resources.memory_gibibytes,
                    "hourly": _hourly(sdk, parent, platform.metadata.name, preset.name, spot=False),
                    "spot_hourly": _hourly(sdk, parent, platform.metadata.name, preset.name, spot=True),
                }


def _regions(sdk: Any) -> dict[str, str]:
    """Code in the names of projects -> region, of the projects that the token may see."""
    from nebius.api.nebius.iam.v1 import (
        ListProjectsRequest,
        ListTenantsRequest,
        ProjectServiceClient,
        TenantServiceClient,
    )

    found = {}
    for tenant in TenantServiceClient(sdk).list(ListTenantsRequest(), timeout=TIMEOUT_S).wait().items:
        asked = ListProjectsRequest(parent_id=tenant.metadata.id)
        for project in ProjectServiceClient(sdk).list(asked, timeout=TIMEOUT_S).wait().items:
            code = _PROJECT.match(project.metadata.id)
            if code:
                found[code[1]] = project.status.region
    return found


def _hourly(sdk: Any, parent: str, platform: str, preset: str, *, spot: bool) -> str | None:
    from nebius.api.nebius.billing.v1alpha1 import (
        CalculatorServiceClient,
        EstimateBatchRequest,
        ResourceSpec,
    )
    from nebius.api.nebius.common.v1 import ResourceMetadata
    from nebius.api.nebius.compute.v1 import (
        CreateInstanceRequest,
        InstanceSpec,
        PreemptibleSpec,
        ResourcesSpec,
    )

    spec = InstanceSpec(
        resources=ResourcesSpec(platform=platform, preset=preset),
        preemptible=PreemptibleSpec() if spot else None,
    )
    instance = CreateInstanceRequest(metadata=ResourceMetadata(parent_id=parent), spec=spec)
    asked = EstimateBatchRequest(resource_specs=[ResourceSpec(compute_instance_spec=instance)])
    answer = CalculatorServiceClient(sdk).estimate_batch(asked, timeout=TIMEOUT_S).wait()
    cost = answer.hourly_cost.general.total.cost
    return str(cost) if cost else None
