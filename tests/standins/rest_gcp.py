"""Google over HTTP: instances of Compute Engine, versions of secrets, objects."""

from __future__ import annotations

import base64
import email
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from tests.standins.gcp_names import number
from tests.standins.rest import Answer, Request, route
from tests.standins.store import Store

API = "https://www.googleapis.com/compute/v1/"
_TERM = re.compile(r'labels\.([\w-]+)\s*(=|!=|:|eq)\s*("[^"]*"|[^\s()"]+)')


def error(status: int, reason: str, text: str) -> Answer:
    listed = [{"message": text, "domain": "global", "reason": reason}]
    return Answer(status, {"error": {"code": status, "message": text, "errors": listed, "status": reason}})


# Instances


def instance(path: str, one: Mapping[str, Any]) -> dict[str, Any]:
    """`compute#instance` as far as anybody here reads it."""
    outputs = one["outputs"]
    owner, place = path.split("/")[1], outputs["zone"]
    return {
        "kind": "compute#instance",
        "id": outputs["instanceId"],
        "name": outputs["name"],
        "status": outputs["currentStatus"],
        "zone": f"{API}projects/{owner}/zones/{place}",
        "machineType": f"{API}projects/{owner}/zones/{place}/machineTypes/{outputs['machineType']}",
        "creationTimestamp": one["created"],
        "selfLink": f"{API}{path}",
        "labels": outputs.get("effectiveLabels") or {},
        "labelFingerprint": f"{number(str(outputs.get('labels')))}=",
        "metadata": {
            "items": [{"key": key, "value": value} for key, value in (outputs.get("metadata") or {}).items()]
        },
        "tags": {"items": outputs.get("tags") or []},
        "scheduling": outputs["scheduling"],
        "networkInterfaces": [
            {
                "name": each["name"],
                "networkIP": each["networkIp"],
                "accessConfigs": [{"natIP": access["natIp"]} for access in each.get("accessConfigs") or ()],
            }
            for each in outputs["networkInterfaces"]
        ],
    }


def _instances(store: Store, owner: str, place: str | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, one in store.all("gcp", "Instance").items():
        parts = path.split("/")
        if parts[1] == owner and place in (None, parts[3]):
            yield path, one


def _matches(labels: Mapping[str, str], text: str) -> bool:
    """Does an instance pass a filter of `labels.name=value` terms, joined by AND?"""
    for name, how, raw in _TERM.findall(text):
        value = raw.strip('"')
        has = labels.get(name)
        good = has is not None if value == "*" else has == value
        if good == (how == "!="):
            return False
    return True


def _bad_filter(text: str) -> bool:
    left = _TERM.sub("", text)
    return bool(re.sub(r"\bAND\b|[()\s]", "", left))


def _listed(request: Request, place: str | None) -> Answer | list[dict[str, Any]]:
    text = request.query.get("filter", "")
    if _bad_filter(text):
        return error(
            400, "invalid", f"Invalid value for field 'filter': '{text}'. Invalid list filter expression."
        )
    found = [instance(*each) for each in _instances(request.store, request.caught["project"], place)]
    return [one for one in found if _matches(one["labels"], text)]


@route("GET", "/compute/v1/projects/{project}/aggregated/instances")
def aggregated(request: Request) -> Answer:
    found = _listed(request, None)
    if isinstance(found, Answer):
        return found
    size, start = int(request.query.get("maxResults", 500)), int(request.query.get("pageToken") or 0)
    items: dict[str, Any] = {"zones/europe-west1-b": {"warning": {"code": "NO_RESULTS_ON_PAGE"}}}
    for one in found[start : start + size]:
        place = f"zones/{one['zone'].rpartition('/')[2]}"
        held = items.setdefault(place, {})
        held.pop("warning", None)
        held.setdefault("instances", []).append(one)
    answer: dict[str, Any] = {"kind": "compute#instanceAggregatedList", "items": items}
    if start + size < len(found):
        answer["nextPageToken"] = str(start + size)
    return Answer(200, answer)


@route("GET", "/compute/v1/projects/{project}/zones/{zone}/instances")
def zonal(request: Request) -> Answer:
    found = _listed(request, request.caught["zone"])
    if isinstance(found, Answer):
        return found
    return Answer(200, {"kind": "compute#instanceList", **({"items": found} if found else {})})


def _path(request: Request) -> str:
    return "projects/{project}/zones/{zone}/instances/{name}".format(**request.caught)


def _gone(path: str) -> Answer:
    return error(404, "notFound", f"The resource '{path}' was not found")


def _operation(request: Request, what: str) -> Answer:
    owner, place = request.caught["project"], request.caught["zone"]
    name = f"operation-{number(what + _path(request))}"
    link = f"{API}projects/{owner}/zones/{place}/operations/{name}"
    return Answer(
        200,
        {
            "kind": "compute#operation",
            "name": name,
            "operationType": what,
            "status": "RUNNING",
            "selfLink": link,
            "zone": f"{API}projects/{owner}/zones/{place}",
            "targetLink": API + _path(request),
        },
    )


@route("GET", "/compute/v1/projects/{project}/zones/{zone}/instances/{name}")
def shown(request: Request) -> Answer:
    one = request.store.get("gcp", "Instance", _path(request))
    return _gone(_path(request)) if one is None else Answer(200, instance(_path(request), one))


@route("DELETE", "/compute/v1/projects/{project}/zones/{zone}/instances/{name}")
def deleted(request: Request) -> Answer:
    there = request.store.drop("gcp", "Instance", _path(request))
    return _operation(request, "delete") if there else _gone(_path(request))


STATUS = {
    "start": "RUNNING",
    "stop": "TERMINATED",
    "suspend": "SUSPENDED",
    "resume": "RUNNING",
    "reset": "RUNNING",
}


@route("POST", "/compute/v1/projects/{project}/zones/{zone}/instances/{name}/{verb}")
def told(request: Request) -> Answer:
    path, verb = _path(request), request.caught["verb"]
    one = request.store.get("gcp", "Instance", path)
    if one is None:
        return _gone(path)
    if verb == "setLabels":
        one["outputs"]["labels"] = one["outputs"]["effectiveLabels"] = request.body["labels"]
        one["inputs"]["labels"] = request.body["labels"]
    elif verb == "simulateMaintenanceEvent":
        action = one["outputs"]["scheduling"].get("instanceTerminationAction", "STOP")
        if action == "DELETE":
            request.store.drop("gcp", "Instance", path)
            return _operation(request, verb)
        one["outputs"]["currentStatus"] = "TERMINATED"
    elif verb in STATUS:
        one["outputs"]["currentStatus"] = STATUS[verb]
    else:
        return error(400, "invalid", f"no method {verb}")
    request.store.put("gcp", "Instance", path, one)
    return _operation(request, verb)


@route("GET", "/compute/v1/projects/{project}/zones/{zone}/operations/{operation}")
def operation(request: Request) -> Answer:
    return Answer(200, {"kind": "compute#operation", "name": request.caught["operation"], "status": "DONE"})


@route("POST", "/compute/v1/projects/{project}/zones/{zone}/operations/{operation}/wait")
def waited(request: Request) -> Answer:
    return operation(request)


@route("GET", "/compute/v1/projects/{project}")
def project(request: Request) -> Answer:
    name = request.caught["project"]
    return Answer(200, {"kind": "compute#project", "name": name, "id": str(number(name)), "quotas": []})


@route("GET", "/compute/v1/projects/{project}/regions/{region}")
def region(request: Request) -> Answer:
    quotas = [
        {"metric": metric, "limit": 64.0, "usage": 0.0}
        for metric in ("CPUS", "NVIDIA_H100_GPUS", "PREEMPTIBLE_NVIDIA_H100_GPUS", "PREEMPTIBLE_CPUS")
    ]
    return Answer(200, {"kind": "compute#region", "name": request.caught["region"], "quotas": quotas})


# Secrets


def _secret(request: Request) -> str:
    return "projects/{project}/secrets/{secret}".format(**request.caught)


@route("POST", "/v1/projects/{project}/secrets/{secret}:addVersion")
def add_version(request: Request) -> Answer:
    name = _secret(request)
    if request.store.get("gcp", "Secret", name) is None:
        return error(404, "NOT_FOUND", f"Secret [{name}] not found.")
    held = request.store.get("gcp", "SecretValue", name) or {"values": []}
    values = [*held["values"], request.body["payload"]["data"]]
    request.store.put("gcp", "SecretValue", name, {"values": values})
    return Answer(200, {"name": f"{name}/versions/{len(values)}", "state": "ENABLED"})


@route("GET", "/v1/projects/{project}/secrets/{secret}/versions/{version}:access")
def access_version(request: Request) -> Answer:
    name, version = _secret(request), request.caught["version"]
    values = (request.store.get("gcp", "SecretValue", name) or {"values": []})["values"]
    index = len(values) if version == "latest" else int(version)
    if not 1 <= index <= len(values):
        return error(404, "NOT_FOUND", f"Secret Version [{name}/versions/{version}] not found.")
    return Answer(200, {"name": f"{name}/versions/{index}", "payload": {"data": values[index - 1]}})


# Objects


def _object(bucket: str, name: str, held: Mapping[str, Any]) -> dict[str, Any]:
    raw = base64.b64decode(held["data"])
    return {
        "kind": "storage#object",
        "name": name,
        "bucket": bucket,
        "size": str(len(raw)),
        "generation": str(held["generation"]),
        "metageneration": "1",
        "updated": held["updated"],
        "timeCreated": held["updated"],
        "crc32c": base64.b64encode(zlib.crc32(raw).to_bytes(4, "big")).decode(),
        "contentType": held.get("type", "application/octet-stream"),
    }


def keep_object(store: Store, bucket: str, name: str, raw: bytes, kind: str = "text/plain") -> dict[str, Any]:
    """Write an object as the interface would."""
    from tests.standins.stored import now

    old = store.get("gcp", "Object", f"{bucket}/{name}")
    generation = (old["generation"] if old else 1_000_000) + 1
    held = {"data": base64.b64encode(raw).decode(), "generation": generation, "updated": now(), "type": kind}
    store.put("gcp", "Object", f"{bucket}/{name}", held)
    return _object(bucket, name, held)


def _unmatched(request: Request, held: Mapping[str, Any] | None) -> Answer | None:
    wanted = request.query.get("ifGenerationMatch")
    if wanted is None or int(wanted) == (held["generation"] if held else 0):
        return None
    return error(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")


@route("POST", "/upload/storage/v1/b/{bucket}/o")
def upload(request: Request) -> Answer:
    bucket, kind = request.caught["bucket"], request.headers.get("content-type", "")
    if request.store.get("gcp", "Bucket", bucket) is None:
        return error(404, "notFound", "The specified bucket does not exist.")
    name, raw = request.query.get("name", ""), request.raw
    if request.query.get("uploadType") == "multipart":
        message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + request.raw)
        about, content = message.get_payload()
        import json

        told = json.loads(about.get_payload(decode=True))
        name, kind, raw = told.get("name", name), content.get_content_type(), content.get_payload(decode=True)
    elif request.query.get("uploadType") != "media":
        return error(400, "invalid", "only media and multipart uploads are kept here")
    refused = _unmatched(request, request.store.get("gcp", "Object", f"{bucket}/{name}"))
    return refused or Answer(200, keep_object(request.store, bucket, name, raw, kind))


@route("GET", "/storage/v1/b/{bucket}")
def bucket(request: Request) -> Answer:
    name = request.caught["bucket"]
    if request.store.get("gcp", "Bucket", name) is None:
        return error(404, "notFound", "The specified bucket does not exist.")
    return Answer(200, {"kind": "storage#bucket", "id": name, "name": name})


@route("GET", "/storage/v1/b/{bucket}/o")
def objects(request: Request) -> Answer:
    bucket, prefix = request.caught["bucket"], request.query.get("prefix", "")
    found = [
        _object(bucket, path.partition("/")[2], held)
        for path, held in sorted(request.store.all("gcp", "Object").items())
        if path.startswith(f"{bucket}/{prefix}")
    ]
    after = request.query.get("startOffset", "")
    return Answer(200, {"kind": "storage#objects", "items": [one for one in found if one["name"] >= after]})


def _held(request: Request) -> dict[str, Any] | None:
    return request.store.get("gcp", "Object", "{bucket}/{object}".format(**request.caught))


@route("GET", "(?:/download)?/storage/v1/b/{bucket}/o/{*object}")
def fetched(request: Request) -> Answer:
    held = _held(request)
    if held is None:
        return error(404, "notFound", f"No such object: {request.caught['object']}")
    if request.query.get("alt") != "media":
        return Answer(200, _object(request.caught["bucket"], request.caught["object"], held))
    return Answer(200, base64.b64decode(held["data"]), {"x-goog-generation": str(held["generation"])})


@route("DELETE", "/storage/v1/b/{bucket}/o/{*object}")
def object_deleted(request: Request) -> Answer:
    held = _held(request)
    if held is None:
        return error(404, "notFound", f"No such object: {request.caught['object']}")
    refused = _unmatched(request, held)
    if refused is None:
        request.store.drop("gcp", "Object", "{bucket}/{object}".format(**request.caught))
    return refused or Answer(204)
