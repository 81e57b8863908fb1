"""The stand-in's way to moto: clients of boto3 whose every call is noted, and what EC2 tags look like."""

from __future__ import annotations

import dataclasses
import functools
import threading
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from tests.standins.kind import Ask, Kind, Made, Refusal
from tests.standins.store import Store

_lock = threading.Lock()
REGION = "us-east-1"


@functools.cache
def _session() -> Any:
    import boto3

    return boto3.session.Session(region_name=REGION)


@functools.cache
def _client(service: str, region: str) -> Any:
    import botocore.config

    config = botocore.config.Config(retries={"max_attempts": 1}, max_pool_connections=32)
    made = _session().client(service, region_name=region, config=config)
    store = Store.named()

    def note(model: Any, params: Any, **_: Any) -> None:
        body = params.get("body")
        detail = body if isinstance(body, Mapping) else {}
        store.called("aws", model.service_model.service_name, model.name, {**detail, "region": region})

    made.meta.events.register("before-call", note)
    return made


def client(ask: Ask, service: str) -> Any:
    """Of the region that the resource, or its provider, names."""
    region = ask.inputs.get("region") or ask.state.get("region") or ask.config.get("region") or REGION
    with _lock:
        return _client(service, region)


def region(ask: Ask) -> str:
    return str(client(ask, "sts").meta.region_name)


@functools.cache
def _account(where: str) -> str:
    return str(_client("sts", where).get_caller_identity()["Account"])


def account(ask: Ask) -> str:
    where = region(ask)
    with _lock:
        return _account(where)


def tags(ask: Ask) -> dict[str, str]:
    """Those of the provider with those of the resource over them."""
    defaults = (ask.config.get("defaultTags") or {}).get("tags") or {}
    return {**defaults, **(ask.inputs.get("tags") or {})}


def listed(found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": name, "Value": value} for name, value in found.items()]


def mapped(found: Any) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in found or () if not one["Key"].startswith("aws:")}


def tagged(ask: Ask, found: Mapping[str, str]) -> dict[str, Any]:
    """The outputs `tags` and `tagsAll` of a resource that has the tags `found`."""
    defaults = (ask.config.get("defaultTags") or {}).get("tags") or {}
    given = ask.inputs.get("tags") or {}
    own = {name: value for name, value in found.items() if name in given or defaults.get(name) != value}
    return {"tags": own or None, "tagsAll": dict(found)}


def specification(ask: Ask, kind: str) -> list[dict[str, Any]]:
    """TagSpecifications of an EC2 creation."""
    found = tags(ask)
    return [{"ResourceType": kind, "Tags": listed(found)}] if found else []


def retag(ask: Ask) -> None:
    """Make the tags of an EC2 resource those that are asked for."""
    ec2, wanted = client(ask, "ec2"), tags(ask)
    now = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [ask.id]}])["Tags"]
    gone = [one["Key"] for one in now if one["Key"] not in wanted]
    if gone:
        ec2.delete_tags(Resources=[ask.id], Tags=[{"Key": name} for name in gone])
    if wanted:
        ec2.create_tags(Resources=[ask.id], Tags=listed(wanted))


def missing(error: Exception) -> bool:
    """Does the API say that there is no such thing?"""
    code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
    return (
        ".NotFound" in code
        or code.startswith(("NoSuch", "NotFound"))
        or code in ("404", "ResourceNotFoundException", "ParameterNotFound", "NotFoundException",
                    "ServerSideEncryptionConfigurationNotFoundError")
    )  # fmt: skip


def there(call: Callable[[], Any]) -> Any:
    """What `call` finds, or None where the API knows no such thing."""
    from botocore.exceptions import ClientError

    try:
        return call()
    except ClientError as error:
        if missing(error):
            return None
        raise


def gone(delete: Callable[[], Any]) -> None:
    """Delete what may be gone already."""
    there(delete)


def refuse_if_told(ask: Ask, kind: str, zone: str | None = None, machine: str | None = None) -> None:
    text = ask.store.refusal("aws", kind, zone, machine)
    if text:
        raise Refusal(text)


def ec2_kind(
    what: str,
    create: Callable[[Ask, Any], str],
    describe: Callable[[Ask, Any], Mapping[str, Any] | None],
    delete: Callable[[Ask, Any], Any],
    outputs: Callable[[Ask, Mapping[str, Any]], Mapping[str, Any]],
    change: Callable[[Ask, Any], None] = lambda ask, ec2: None,
    **more: Any,
) -> Kind:
    """A kind of EC2 with an id and tags: `describe` finds it by `ask.id`, `change` alters what is no tag."""

    def found(ask: Ask) -> Made | None:
        seen = there(lambda: describe(ask, client(ask, "ec2")))
        if seen is None:
            return None
        arn = f"arn:aws:ec2:{region(ask)}:{account(ask)}:{what}/{ask.id}"
        common = {"arn": arn, "ownerId": account(ask), "region": region(ask)}
        return Made(ask.id, {**common, **outputs(ask, seen), **tagged(ask, mapped(seen.get("Tags")))})

    def known(ask: Ask, name: str) -> Made:
        made = found(with_id(ask, name))
        assert made is not None, f"{what} {name} is not there right after it was made"
        return made

    def update(ask: Ask) -> Mapping[str, Any]:
        if tags(ask) != (ask.state.get("tagsAll") or {}):
            retag(ask)
        change(ask, client(ask, "ec2"))
        return known(ask, ask.id).outputs

    def make(ask: Ask) -> Made:
        refuse_if_told(ask, ask.urn.split("::")[2].rpartition(":")[2])
        return known(ask, create(ask, client(ask, "ec2")))

    return Kind(
        create=make,
        read=found,
        update=update,
        delete=lambda ask: gone(lambda: delete(ask, client(ask, "ec2"))),
        replaces=("region", *more.pop("replaces", ())),
        **more,
    )


def hash_of(text: str) -> int:
    return zlib.crc32(text.encode())


def with_id(ask: Ask, name: str) -> Ask:
    return dataclasses.replace(ask, id=name)
