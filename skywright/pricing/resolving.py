"""Names of images into the ids they stand for today, where the vendor can be asked with what the user has."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from compiler.catalog.images import Image, shipped
from skywright.pricing.fetching import Broken
from skywright.pricing.vendor import Job, Skipped, items, key, mappings, text

GOOGLE = "https://compute.googleapis.com/compute/v1/"
AZURE = "https://management.azure.com"
LAMBDA = "https://cloud.lambda.ai/api/v1/images"
AZURE_API = "2024-07-01"
PARAMETER = "resolve:ssm:"

Notes = tuple[str, ...]


def resolved(job: Job) -> tuple[tuple[Image, ...], Notes]:
    """The vendor's images with what could be resolved in front; without it they stay, and a note says why."""
    resolve = RESOLVERS.get(job.cloud)
    if resolve is None:
        return job.images, ()
    # Names are those that are shipped: what was resolved once is resolved anew.
    named = tuple(one for one in shipped() if one.cloud == job.cloud)
    try:
        found = tuple(resolve(replace(job, images=named)))
    except Skipped as absent:
        return job.images, (f"images stay as they were: {absent}",)
    except Broken as wrong:
        return job.images, (f"images stay as they were: {wrong}",)
    names = {(one.name, one.region, one.arch) for one in found}
    return (*found, *(one for one in job.images if (one.name, one.region, one.arch) not in names)), ()


def parse_parameters(answer: Any, region: str, images: Sequence[Image], date: str) -> Iterator[Image]:
    """Images of an answer of SSM's `GetParameters`, for those whose parameter has a value of the right form."""
    values = {text(one, "Name"): text(one, "Value") for one in mappings(items(answer, "Parameters"))}
    for one in images:
        name = one.id.removeprefix(PARAMETER)
        if one.kind == "parameter" and re.fullmatch(r"ami-[0-9a-f]{8,17}", values.get(name, "")):
            source = f"SSM parameter {name}"
            yield replace(one, region=region, id=values[name], kind="id", date=date, source=source)


def parse_family(answer: Any, one: Image, date: str) -> Image:
    """The image of an answer of Google's `images.getFromFamily`. Raises Broken."""
    link = text(answer, "selfLink") if isinstance(answer, Mapping) else ""
    found = re.search(r"projects/[^/]+/global/images/[^/]+\Z", link)
    if not found:
        raise Broken("the answer names no image")
    return replace(
        one, id=found[0], kind="id", date=date, source=f"Google image family {one.id.split('/')[-1]}"
    )


def parse_versions(answer: Any, one: Image, date: str) -> Image:
    """The newest version in an answer of Azure's list of image versions. Raises Broken."""
    names = [text(row, "name") for row in mappings(answer if isinstance(answer, list) else ())]
    numbered = [name for name in names if re.fullmatch(r"\d+(\.\d+)*", name)]
    if not numbered:
        raise Broken("the answer names no version")
    newest = max(numbered, key=lambda name: tuple(map(int, name.split("."))))
    return replace(one, id=f"{one.id.rpartition(':')[0]}:{newest}", date=date)


def parse_lambda(answer: Any, date: str) -> Iterator[Image]:
    """Lambda Stack images of an answer of `/images`, the newest of each family, region and kind of CPU."""
    newest: dict[tuple[str, str, str], tuple[str, str]] = {}
    for row in mappings(items(answer, "data")):
        family, region, arch = text(row, "family"), row.get("region"), row.get("architecture")
        place = text(region, "name") if isinstance(region, Mapping) else ""
        cpu = text(arch, "name") if isinstance(arch, Mapping) else ""
        if not family.startswith("lambda-stack") or not place or not text(row, "id"):
            continue
        made = text(row, "created_time")
        if made >= newest.get((family, place, cpu), ("", ""))[0]:
            newest[family, place, cpu] = made, text(row, "id")
    for (family, place, cpu), (_, number) in sorted(newest.items()):
        yield Image(
            family, "lambda", place, number, "id", "NVIDIA", None, None, cpu, date, "Lambda Cloud images"
        )


def _aws(job: Job) -> Iterable[Image]:
    try:
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise Skipped("needs skywright[aws]") from None
    if boto3.Session().get_credentials() is None:
        raise Skipped("no AWS credentials here")
    named = [one for one in job.images if one.kind == "parameter"]
    names = [one.id.removeprefix(PARAMETER) for one in named]
    found: list[Image] = []
    for region in job.regions or dict.fromkeys(row.region for row in job.last):
        job.tell(f"images of {region}")
        try:
            # SSM takes ten names at a time.
            for first in range(0, len(names), 10):
                answer = boto3.client("ssm", region_name=region).get_parameters(
                    Names=names[first : first + 10]
                )
                found += parse_parameters(answer, region, named, job.date)
        except (BotoCoreError, ClientError) as error:
            raise Broken(f"SSM in {region} refused: {error}") from None
    return found


def _gcp(job: Job) -> Iterable[Image]:
    headers = {"Authorization": f"Bearer {google_token()}"}
    for one in job.images:
        if one.kind == "family":
            job.tell(f"image {one.name}")
            yield parse_family(job.fetcher.json(GOOGLE + one.id, headers), one, job.date)


def _azure(job: Job) -> Iterable[Image]:
    headers = {"Authorization": f"Bearer {azure_token()}"}
    subscription = key("AZURE_SUBSCRIPTION_ID", "ARM_SUBSCRIPTION_ID")
    region = job.regions[0] if job.regions else "eastus"
    for one in job.images:
        if one.kind == "urn" and not one.pinned:
            job.tell(f"image {one.name}")
            publisher, offer, sku, _ = one.id.split(":")
            url = (
                f"{AZURE}/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{region}/publishers/"
                f"{publisher}/artifacttypes/vmimage/offers/{offer}/skus/{sku}/versions?api-version={AZURE_API}"
            )
            yield parse_versions(job.fetcher.json(url, headers), one, job.date)


def _lambda(job: Job) -> Iterable[Image]:
    headers = {"Authorization": f"Bearer {key('LAMBDA_API_KEY')}"}
    return parse_lambda(job.fetcher.json(LAMBDA, headers), job.date)


def google_token() -> str:
    """A token of the user's default credentials. Raises Skipped."""
    try:
        import google.auth
        import google.auth.exceptions
        from google.auth.transport.requests import Request
    except ImportError:
        raise Skipped("needs skywright[gcp]") from None
    try:
        scope = "https://www.googleapis.com/auth/cloud-platform.read-only"
        credentials, _ = google.auth.default(scopes=[scope])
        credentials.refresh(Request())  # type: ignore[no-untyped-call]  # google-auth is typed in part
    except google.auth.exceptions.GoogleAuthError:
        raise Skipped("no Google credentials here") from None
    return str(credentials.token)


def azure_token() -> str:
    """A token of the user's default credentials. Raises Skipped."""
    if not any(os.environ.get(name) for name in ("AZURE_SUBSCRIPTION_ID", "ARM_SUBSCRIPTION_ID")):
        raise Skipped("needs AZURE_SUBSCRIPTION_ID")
    try:
        from azure.core.exceptions import ClientAuthenticationError
        from azure.identity import DefaultAzureCredential
    except ImportError:
        raise Skipped("needs skywright[azure]") from None
    try:
        return str(DefaultAzureCredential().get_token(f"{AZURE}/.default").token)
    except ClientAuthenticationError:
        raise Skipped("no Azure credentials here") from None


RESOLVERS: dict[str, Callable[[Job], Iterable[Image]]] = {
    "aws": _aws,
    "gcp": _gcp,
    "azure": _azure,
    "lambda": _lambda,
}
