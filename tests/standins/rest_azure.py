"""Azure over HTTP: machines and their cards, resources by tag, Resource Graph, values of a key vault."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from tests.standins.azure_names import CLOUD_NAME
from tests.standins.rest import Answer, Request, route
from tests.standins.store import Store

MACHINES = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}"


def error(status: int, code: str, text: str) -> Answer:
    return Answer(status, {"error": {"code": code, "message": text}})


def power(one: Mapping[str, Any]) -> str:
    return f"PowerState/{one['outputs'].get('power', 'running')}"


def machine(path: str, one: Mapping[str, Any], view: bool = False) -> dict[str, Any]:
    """A virtual machine as the API lists it; its `instanceView` only when asked for."""
    outputs = one["outputs"]
    properties = {
        name: outputs[name]
        for name in ("vmId", "hardwareProfile", "storageProfile", "osProfile", "networkProfile", "priority",
                     "evictionPolicy", "billingProfile", "proximityPlacementGroup", "timeCreated",
                     "provisioningState")
        if outputs.get(name) is not None
    }  # fmt: skip
    properties.get("osProfile", {}).pop("customData", None)
    if view:
        properties["instanceView"] = {
            "hyperVGeneration": "V2",
            "statuses": [{"code": "ProvisioningState/succeeded"}, {"code": power(one), "level": "Info"}],
        }
    found = {
        "id": path,
        "name": outputs["name"],
        "type": "Microsoft.Compute/virtualMachines",
        "location": outputs["location"],
        "tags": outputs.get("tags") or {},
        "properties": properties,
    }
    if outputs.get("zones"):
        found["zones"] = outputs["zones"]
    return found


def _of(store: Store, kind: str, start: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, one in store.all(CLOUD_NAME, kind).items():
        if path.lower().startswith(f"{start.lower()}/"):
            yield path, one


def _unversioned(request: Request) -> Answer | None:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}(-preview)?|7\.\d", request.query.get("api-version", "")):
        return None
    return error(
        400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required."
    )


def _viewed(request: Request) -> bool:
    return request.query.get("statusOnly") == "true" or "instanceView" in request.query.get("$expand", "")


@route("GET", "/subscriptions/{sub}/providers/Microsoft.Compute/virtualMachines")
def everywhere(request: Request) -> Answer:
    start = f"/subscriptions/{request.caught['sub']}"
    if "$expand" in request.query and "$filter" not in request.query:
        return error(400, "InvalidParameter", "$expand can only be specified with a valid $filter.")
    found = [
        machine(path, one, _viewed(request)) for path, one in _of(request.store, "VirtualMachine", start)
    ]
    if request.query.get("statusOnly") == "true":
        found = [_status(one) for one in found]
    return _unversioned(request) or _paged(request, found)


def _status(one: Mapping[str, Any]) -> dict[str, Any]:
    """What a listing of states says: neither tags nor what the machine is."""
    kept = {key: one[key] for key in ("id", "name", "type", "location")}
    return {**kept, "properties": {"instanceView": one["properties"]["instanceView"]}}


PAGE = 3
"""Rows of one page: few, so that gangs need several."""


def _paged(request: Request, rows: list[dict[str, Any]]) -> Answer:
    start = int(request.query.get("$skiptoken") or 0)
    answer: dict[str, Any] = {"value": rows[start : start + PAGE]}
    if start + PAGE < len(rows):
        following = urlencode({**request.query, "$skiptoken": start + PAGE})
        answer["nextLink"] = f"http://{request.headers.get('host', '')}{request.path}?{following}"
    return Answer(200, answer)


@route("GET", "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines")
def in_group(request: Request) -> Answer:
    start = "/subscriptions/{sub}/resourceGroups/{group}".format(**request.caught)
    found = [
        machine(path, one, _viewed(request)) for path, one in _of(request.store, "VirtualMachine", start)
    ]
    return _unversioned(request) or Answer(200, {"value": found})


def _named(request: Request, kind: str, path: str) -> tuple[str, dict[str, Any]] | None:
    for found, one in request.store.all(CLOUD_NAME, kind).items():
        if found.lower() == path.lower():
            return found, one
    return None


def _missing(path: str) -> Answer:
    return error(404, "ResourceNotFound", f"The Resource '{path}' was not found.")


def _the(request: Request) -> tuple[str, dict[str, Any]] | None:
    return _named(request, "VirtualMachine", MACHINES.format(**request.caught))


@route("GET", MACHINES)
def shown(request: Request) -> Answer:
    found = _the(request)
    answer = (
        Answer(200, machine(*found, _viewed(request)))
        if found
        else _missing(MACHINES.format(**request.caught))
    )
    return _unversioned(request) or answer


@route("GET", f"{MACHINES}/instanceView")
def viewed(request: Request) -> Answer:
    found = _the(request)
    if not found:
        return _missing(MACHINES.format(**request.caught))
    view = machine(*found, view=True)["properties"]["instanceView"]
    return _unversioned(request) or Answer(200, view)


def _accepted(request: Request) -> Answer:
    host = request.headers.get("host", "")
    where = f"http://{host}/subscriptions/{request.caught['sub']}/operations/1?api-version=2024-03-01"
    return Answer(202, None, {"Azure-AsyncOperation": where, "Location": where, "Retry-After": "0"})


@route("GET", "/subscriptions/{sub}/operations/{operation}")
def operation(request: Request) -> Answer:
    return Answer(200, {"status": "Succeeded", "name": request.caught["operation"]})


@route("DELETE", MACHINES)
def deleted(request: Request) -> Answer:
    refused = _unversioned(request)
    found = _the(request)
    if refused or not found:
        return refused or Answer(204)
    path, one = found
    request.store.drop(CLOUD_NAME, "VirtualMachine", path)
    storage = one["inputs"].get("storageProfile") or {}
    if (storage.get("osDisk") or {}).get("deleteOption") == "Delete":
        for name, disk in request.store.all(CLOUD_NAME, "Disk").items():
            if disk["outputs"].get("managedBy") == path:
                request.store.drop(CLOUD_NAME, "Disk", name)
    for card in (one["inputs"].get("networkProfile") or {}).get("networkInterfaces") or ():
        if card.get("deleteOption") == "Delete":
            request.store.drop(CLOUD_NAME, "NetworkInterface", card["id"])
    return _accepted(request)


POWER = {"start": "running", "deallocate": "deallocated", "poweroff": "stopped", "restart": "running"}


@route("POST", MACHINES + "/{verb}")
def told(request: Request) -> Answer:
    verb, refused = request.caught["verb"].lower(), _unversioned(request)
    found = _the(request)
    if refused or not found:
        return refused or _missing(MACHINES.format(**request.caught))
    path, one = found
    if verb == "simulateeviction":
        if one["outputs"].get("priority") != "Spot":
            return error(409, "OperationNotAllowed", "Only Spot virtual machines can be evicted.")
        if one["outputs"].get("evictionPolicy") == "Delete":
            request.store.drop(CLOUD_NAME, "VirtualMachine", path)
            return Answer(204)
        verb = "deallocate"
    if verb == "runcommand":
        kept = {"value": [{"code": "ProvisioningState/succeeded", "message": "[stdout]\n4711\n"}]}
        request.store.put(CLOUD_NAME, "RunCommand", path, {"answer": kept, "told": request.body})
        host, sub = request.headers.get("host", ""), request.caught["sub"]
        return Answer(
            202, None, {"Location": f"http://{host}/subscriptions/{sub}/ran{path}", "Retry-After": "0"}
        )
    if verb == "generalize":
        if one["outputs"].get("power", "running") not in ("stopped", "deallocated"):
            return error(409, "OperationNotAllowed", "The VM must be stopped before it is generalized.")
        request.store.put(CLOUD_NAME, "VirtualMachine", path, {**one, "generalized": True})
        return Answer(200)
    if verb in ("start", "restart") and one.get("generalized"):
        return error(409, "OperationNotAllowed", "A generalized VM cannot be started.")
    if verb not in POWER:
        return error(404, "NotFound", f"no action {verb}")
    one["outputs"]["power"] = POWER[verb]
    request.store.put(CLOUD_NAME, "VirtualMachine", path, one)
    return _accepted(request)


@route("GET", "/subscriptions/{sub}/ran{*machine}")
def ran(request: Request) -> Answer:
    held = request.store.get(CLOUD_NAME, "RunCommand", request.caught["machine"])
    request.store.drop(CLOUD_NAME, "RunCommand", request.caught["machine"])
    return Answer(200, held["answer"]) if held else error(404, "NotFound", "nothing was run")


# Cards


def _way(each: Mapping[str, Any]) -> dict[str, Any]:
    found = {"privateIPAddress": each["privateIPAddress"]}
    public = each.get("publicIPAddress")
    return {**found, "publicIPAddress": {"id": public["id"]}} if public else found


def _card(path: str, one: Mapping[str, Any]) -> dict[str, Any]:
    outputs = one["outputs"]
    return {
        "id": path,
        "name": outputs["name"],
        "type": "Microsoft.Network/networkInterfaces",
        "location": outputs["location"],
        "tags": outputs.get("tags") or {},
        "properties": {
            "macAddress": outputs["macAddress"],
            "ipConfigurations": [
                {"name": each.get("name"), "properties": _way(each)} for each in outputs["ipConfigurations"]
            ],
        },
    }


@route("GET", "/subscriptions/{sub}/providers/Microsoft.Network/networkInterfaces")
def cards(request: Request) -> Answer:
    start = f"/subscriptions/{request.caught['sub']}"
    found = [_card(path, one) for path, one in _of(request.store, "NetworkInterface", start)]
    return _unversioned(request) or _paged(request, found)


@route("GET", "/subscriptions/{sub}/providers/Microsoft.Network/publicIPAddresses")
def addresses(request: Request) -> Answer:
    found = [
        {"id": path, "name": one["outputs"]["name"], "properties": {"ipAddress": one["outputs"]["ipAddress"]}}
        for path, one in _of(request.store, "PublicIPAddress", f"/subscriptions/{request.caught['sub']}")
    ]
    return _unversioned(request) or _paged(request, found)


CARDS = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.Network/networkInterfaces/{name}"


@route("GET", CARDS)
def card(request: Request) -> Answer:
    found = _named(request, "NetworkInterface", CARDS.format(**request.caught))
    return _unversioned(request) or (Answer(200, _card(*found)) if found else _missing("networkInterfaces"))


@route("DELETE", CARDS)
def card_deleted(request: Request) -> Answer:
    found = _named(request, "NetworkInterface", CARDS.format(**request.caught))
    if found:
        for path, one in request.store.all(CLOUD_NAME, "VirtualMachine").items():
            if any(
                each["id"].lower() == found[0].lower()
                for each in (one["inputs"].get("networkProfile") or {}).get("networkInterfaces") or ()
            ):
                return error(
                    400, "NicInUse", f"Network Interface {found[0]} is used by existing resource {path}."
                )
        request.store.drop(CLOUD_NAME, "NetworkInterface", found[0])
    return _unversioned(request) or (_accepted(request) if found else Answer(204))


# Resources of any type


def resources_of(store: Store, sub: str) -> list[dict[str, Any]]:
    """Everything that stands below a group of a subscription, as generic rows."""
    found = []
    for kind, path in store.kinds(CLOUD_NAME):
        one = store.get(CLOUD_NAME, kind, path) or {}
        outputs = one.get("outputs") or {}
        if not path.lower().startswith(f"/subscriptions/{sub.lower()}/") or "/providers/" not in path:
            continue
        row = {
            "id": path,
            "name": outputs.get("name", path.rpartition("/")[2]),
            "type": outputs.get("type", "Microsoft.Compute/disks"),
            "location": outputs.get("location", ""),
            "resourceGroup": path.split("/")[4],
            "tags": outputs.get("tags") or {},
            "properties": {},
        }
        if kind == "VirtualMachine":
            row["properties"] = machine(path, one)["properties"]
            code = power(one)
            state = {"code": code, "displayStatus": code.replace("PowerState/", "VM "), "level": "Info"}
            row["properties"]["extended"] = {"instanceView": {"powerState": state}}
            row["zones"] = outputs.get("zones") or []
        elif kind == "NetworkInterface":
            row["properties"] = _card(path, one)["properties"]
        found.append(row)
    return found


@route("GET", "/subscriptions/{sub}/resources")
def resources(request: Request) -> Answer:
    text = request.query.get("$filter", "")
    known = re.findall(r"tagName eq '([^']*)'(?: and tagValue eq '([^']*)')?|resourceType eq '([^']*)'", text)
    if text and not known:
        return error(
            400, "InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query string."
        )
    found = resources_of(request.store, request.caught["sub"])
    for name, value, kind in known:
        if kind:
            found = [one for one in found if one["type"].lower() == kind.lower()]
        else:
            found = [one for one in found if name in one["tags"] and value in ("", one["tags"][name])]
    return _unversioned(request) or Answer(200, {"value": found})


_WHERE = (
    (
        re.compile(r"type (?:=~|==) ['\"]([^'\"]+)['\"]"),
        lambda one, kind: one["type"].lower() == kind.lower(),
    ),
    (
        re.compile(r"tags\[['\"]([^'\"]+)['\"]\] (?:=~|==) ['\"]([^'\"]*)['\"]"),
        lambda one, name, value: str(one["tags"].get(name, "")).lower() == value.lower(),
    ),
    (
        re.compile(r"isnotempty\((?:tostring\()?tags\[['\"]([^'\"]+)['\"]\]\)?\)"),
        lambda one, name: bool(one["tags"].get(name)),
    ),
)


@route("POST", "/providers/Microsoft.ResourceGraph/resources")
def graph(request: Request) -> Answer:
    """Queries of the form `Resources | where TERM and TERM | where TERM | project ... | order by ...`."""
    first, *steps = (step.strip() for step in request.body["query"].split("|"))
    subscriptions = request.body.get("subscriptions") or ()
    found = [one for each in subscriptions for one in resources_of(request.store, each)]
    if first.lower() != "resources":
        return error(400, "InvalidQuery", f"no table {first}")
    for step in steps:
        if step.startswith(("project", "order by", "extend", "limit", "take")):
            continue
        if not step.startswith("where "):
            return error(400, "InvalidQuery", f"no operator {step}")
        for term in step.removeprefix("where ").split(" and "):
            known = [(pattern.fullmatch(term.strip()), keep) for pattern, keep in _WHERE]
            matched = next(((match, keep) for match, keep in known if match), None)
            if matched is None:
                return error(400, "InvalidQuery", f"no such condition here: {term}")
            match, keep = matched
            found = [one for one in found if keep(one, *match.groups())]
    rows = [{**one, "type": one["type"].lower()} for one in found]
    answer = {"totalRecords": len(rows), "count": len(rows), "resultTruncated": "false", "data": rows}
    return _unversioned(request) or Answer(200, answer)


# Values of a key vault


@route("PUT", "/vault/{vault}/secrets/{secret}")
def set_secret(request: Request) -> Answer:
    vault = request.caught["vault"]
    if not any(path.rpartition("/")[2] == vault for path in request.store.all(CLOUD_NAME, "Vault")):
        return error(404, "VaultNotFound", f"no vault {vault}")
    name = "{vault}/{secret}".format(**request.caught)
    request.store.put(CLOUD_NAME, "SecretValue", name, {"value": request.body["value"]})
    return _unversioned(request) or Answer(200, {"id": f"https://{vault}.vault.azure.net/secrets/{name}/1"})


@route("GET", "/vault/{vault}/secrets/{secret}")
def get_secret(request: Request) -> Answer:
    held = request.store.get(CLOUD_NAME, "SecretValue", "{vault}/{secret}".format(**request.caught))
    if held is None:
        return error(404, "SecretNotFound", f"A secret with name {request.caught['secret']} was not found.")
    return _unversioned(request) or Answer(200, {"value": held["value"]})


@route("DELETE", "/vault/{vault}/secrets/{secret}")
def drop_secret(request: Request) -> Answer:
    request.store.drop(CLOUD_NAME, "SecretValue", "{vault}/{secret}".format(**request.caught))
    return _unversioned(request) or Answer(200, {})


# Blobs


@route("PUT", "/blob/{account}/{container}/{*blob}")
def put_blob(request: Request) -> Answer:
    """In one piece, by a token; a test may hold it like a call of the engine, as the creation of `agent`."""
    caught, headers = request.caught, request.headers
    inside = "/storageAccounts/{account}/blobServices/default/containers/{container}".format(**caught)
    holders = request.store.all(CLOUD_NAME, "BlobContainer")
    holder = next((path for path in holders if path.endswith(inside)), None)
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", headers.get("x-ms-version", "")):
        return Answer(400, "<Error><Code>MissingRequiredHeader</Code><Message>x-ms-version</Message></Error>")
    if headers.get("x-ms-blob-type") != "BlockBlob" or "comp" in request.query:
        return Answer(
            400, "<Error><Code>InvalidHeaderValue</Code><Message>only whole blobs here</Message></Error>"
        )
    if holder is None:
        return Answer(
            404, "<Error><Code>ContainerNotFound</Code><Message>no such container</Message></Error>"
        )
    name = f"{holder}/blobs/{caught['blob']}"
    request.store.step(CLOUD_NAME, "Create", "urn::agent", "before")
    there = headers.get("if-none-match") == "*" and request.store.get(CLOUD_NAME, "Blob", name)
    if there:
        request.store.step(CLOUD_NAME, "Create", "urn::agent", "after")
        return Answer(409, "<Error><Code>BlobAlreadyExists</Code><Message>it is there</Message></Error>")
    size = len(request.raw)
    request.store.put(
        CLOUD_NAME, "Blob", name, {"inputs": {}, "outputs": {"name": caught["blob"], "size": size}}
    )
    request.store.step(CLOUD_NAME, "Create", "urn::agent", "after")
    return Answer(201)


_STORAGE = "/subscriptions/{sub}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account}"
_KEPT = (
    ("ResourceGroup", "/subscriptions/{sub}/resourceGroups/{group}"),
    ("StorageAccount", _STORAGE),
    ("BlobContainer", f"{_STORAGE}/blobServices/default/containers/{{container}}"),
)


def _shown(kind: str, pattern: str) -> None:
    @route("GET", pattern)
    def shown(request: Request) -> Answer:
        wanted = pattern.format(**request.caught).lower()
        for path, one in request.store.all(CLOUD_NAME, kind).items():
            if path.lower() == wanted:
                found = {"id": path, "name": one["outputs"]["name"]}
                return _unversioned(request) or Answer(200, found)
        return error(404, "ResourceNotFound", f"{wanted} was not found.")


for _kind, _pattern in _KEPT:
    _shown(_kind, _pattern)
