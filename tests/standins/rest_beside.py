"""What is asked of Google and Azure over HTTP beside machines: things of a stack by name, and what one may do."""

from __future__ import annotations

from typing import Any

from tests.standins import rest_azure, rest_gcp
from tests.standins.azure_names import CLOUD_NAME
from tests.standins.rest import Answer, Request, route
from tests.standins.store import Store

DENIED = "Denied"
"""A kind of the store: names of permissions that the caller does not have."""


def deny(store: Store, cloud: str, *names: str) -> None:
    """Who asks lacks these permissions from now on."""
    for name in names:
        store.put(cloud, DENIED, name, {})


# Google

COMPUTE = {
    "firewalls": "Firewall",
    "networks": "Network",
    "subnetworks": "Subnetwork",
    "resourcePolicies": "ResourcePolicy",
}


def _google(request: Request, kind: str, name: str) -> Answer:
    there = request.store.get("gcp", kind, name)
    if there is None:
        return rest_gcp.error(404, "notFound", f"The resource '{name}' was not found")
    return Answer(200, {"name": name.rpartition("/")[2], "selfLink": f"{rest_gcp.API}{name}"})


def _google_drop(request: Request, kind: str, name: str) -> Answer:
    found = _google(request, kind, name)
    if found.status != 200:
        return found
    if user := _user(request.store, name):
        says = f"The {kind} resource '{name}' is already being used by '{user}'"
        return rest_gcp.error(400, "resourceInUseByAnotherResource", says)
    request.store.drop("gcp", kind, name)
    return Answer(200, {"kind": "compute#operation", "status": "RUNNING"})


def _user(store: Store, name: str) -> str | None:
    """Something whose inputs name this by its id, or by what a link to it ends with."""
    for kind, other in store.kinds("gcp"):
        found = store.get("gcp", kind, other) or {}
        if other != name and f'{name}"' in str(found.get("inputs")).replace("'", '"'):
            return other
    return None


@route("GET", "/compute/v1/projects/{project}/global/{kind}/{name}")
def google_global(request: Request) -> Answer:
    path = "projects/{project}/global/{kind}/{name}".format(**request.caught)
    return _google(request, COMPUTE[request.caught["kind"]], path)


@route("DELETE", "/compute/v1/projects/{project}/global/{kind}/{name}")
def google_global_drop(request: Request) -> Answer:
    path = "projects/{project}/global/{kind}/{name}".format(**request.caught)
    return _google_drop(request, COMPUTE[request.caught["kind"]], path)


@route("GET", "/compute/v1/projects/{project}/regions/{region}/{kind}/{name}")
def google_regional(request: Request) -> Answer:
    path = "projects/{project}/regions/{region}/{kind}/{name}".format(**request.caught)
    return _google(request, COMPUTE[request.caught["kind"]], path)


@route("DELETE", "/compute/v1/projects/{project}/regions/{region}/{kind}/{name}")
def google_regional_drop(request: Request) -> Answer:
    path = "projects/{project}/regions/{region}/{kind}/{name}".format(**request.caught)
    return _google_drop(request, COMPUTE[request.caught["kind"]], path)


@route("GET", "/v1/projects/{project}/secrets/{secret}")
def secret(request: Request) -> Answer:
    return _google(request, "Secret", "projects/{project}/secrets/{secret}".format(**request.caught))


@route("DELETE", "/v1/projects/{project}/secrets/{secret}")
def secret_drop(request: Request) -> Answer:
    name = "projects/{project}/secrets/{secret}".format(**request.caught)
    found = _google(request, "Secret", name)
    if found.status == 200:
        request.store.drop("gcp", "Secret", name)
        request.store.drop("gcp", "SecretValue", name)
    return found


@route("GET", "/v1/projects/{project}/serviceAccounts/{email}")
def account(request: Request) -> Answer:
    return _google(request, "Account", "projects/{project}/serviceAccounts/{email}".format(**request.caught))


@route("DELETE", "/v1/projects/{project}/serviceAccounts/{email}")
def account_drop(request: Request) -> Answer:
    name = "projects/{project}/serviceAccounts/{email}".format(**request.caught)
    found = _google(request, "Account", name)
    request.store.drop("gcp", "Account", name)
    return Answer(200, {}) if found.status == 200 else found


@route("GET", "/storage/v1/b/{bucket}")
def bucket(request: Request) -> Answer:
    return _google(request, "Bucket", request.caught["bucket"])


@route("DELETE", "/storage/v1/b/{bucket}")
def bucket_drop(request: Request) -> Answer:
    name = request.caught["bucket"]
    found = _google(request, "Bucket", name)
    if found.status != 200:
        return found
    objects = [*request.store.all("gcp", "Object"), *request.store.all("gcp", "BucketObject")]
    if any(one.startswith((f"{name}/", f"{name}-")) for one in objects):
        return rest_gcp.error(409, "conflict", "The bucket you tried to delete is not empty.")
    request.store.drop("gcp", "Bucket", name)
    return Answer(204)


@route("POST", "/v1/projects/{project}:testIamPermissions")
def permitted(request: Request) -> Answer:
    """Of those that were asked, in their order; a name that Google does not have is a mistake."""
    asked = request.body["permissions"]
    if len(asked) > 100 or any(one.count(".") < 2 for one in asked):
        return rest_gcp.error(400, "INVALID_ARGUMENT", "a permission is not valid")
    held = [one for one in asked if request.store.get("gcp", DENIED, one) is None]
    return Answer(200, {"permissions": held} if held else {})


# Azure

GROUP = "/subscriptions/{sub}/resourceGroups/{group}"
THING = GROUP + "/providers/{space}/{kind}/{name}"
INSIDE = THING + "/{*inside}"


def _azure(request: Request, path: str) -> tuple[str, str] | None:
    """(kind, id) of what has this id, whose case means nothing."""
    held = request.store.kinds(CLOUD_NAME)
    return next(((kind, name) for kind, name in held if name.lower() == path.lower()), None)


def _versioned(request: Request) -> Answer | None:
    if request.query.get("api-version"):
        return None
    return rest_azure.error(400, "MissingApiVersionParameter", "The api-version query parameter is required.")


@route("GET", f"{GROUP}/resources")
def of_group(request: Request) -> Answer:
    path = GROUP.format(**request.caught)
    if _azure(request, path) is None:
        says = f"Resource group '{request.caught['group']}' could not be found."
        return rest_azure.error(404, "ResourceGroupNotFound", says)
    rows = rest_azure.resources_of(request.store, request.caught["sub"])
    # Only what stands by itself is listed: neither subnets nor containers, blobs or roles.
    inside = [
        one
        for one in rows
        if one["id"].lower().startswith(f"{path.lower()}/providers/") and one["id"].count("/") == 8
    ]
    return _versioned(request) or Answer(200, {"value": inside})


@route("DELETE", GROUP)
def group_drop(request: Request) -> Answer:
    path = GROUP.format(**request.caught)
    found = _azure(request, path)
    for kind, name in request.store.kinds(CLOUD_NAME):
        if name.lower() == path.lower() or name.lower().startswith(f"{path.lower()}/"):
            request.store.drop(CLOUD_NAME, kind, name)
    return _versioned(request) or Answer(202 if found else 404)


@route("GET", GROUP + "/providers/Microsoft.KeyVault/vaults")
def vaults(request: Request) -> Answer:
    path = GROUP.format(**request.caught).lower()
    host = request.headers.get("host", "")
    rows: list[dict[str, Any]] = []
    for name, one in request.store.all(CLOUD_NAME, "Vault").items():
        if name.lower().startswith(f"{path}/"):
            plain = name.rpartition("/")[2]
            rows.append(
                {
                    "id": name,
                    "name": plain,
                    "tags": one["outputs"].get("tags") or {},
                    "properties": {"vaultUri": f"http://{host}/vault/{plain}/"},
                }
            )
    return _versioned(request) or Answer(200, {"value": rows})


def _path(request: Request) -> str:
    path, inside = THING.format(**request.caught), request.caught.get("inside")
    return f"{path}/{inside}" if inside else path


@route("GET", INSIDE)
@route("GET", THING)
def thing(request: Request) -> Answer:
    path = _path(request)
    found = _azure(request, path)
    if found is None:
        return rest_azure.error(404, "ResourceNotFound", f"The Resource '{path}' was not found.")
    one = request.store.get(CLOUD_NAME, *found) or {}
    tags = (one.get("outputs") or {}).get("tags") or {}
    return _versioned(request) or Answer(200, {"id": found[1], "tags": tags})


@route("DELETE", INSIDE)
@route("DELETE", THING)
def thing_drop(request: Request) -> Answer:
    path = _path(request)
    refused = _versioned(request)
    found = None if refused else _azure(request, path)
    if found is None:
        return refused or Answer(204)
    if user := _azure_user(request.store, found[1]):
        return rest_azure.error(409, "InUse", f"{found[1]} is in use by {user} and cannot be deleted.")
    for kind, name in request.store.kinds(CLOUD_NAME):
        if name.lower().startswith(f"{found[1].lower()}/"):
            request.store.drop(CLOUD_NAME, kind, name)
    request.store.drop(CLOUD_NAME, *found)
    return Answer(200)


def _azure_user(store: Store, name: str) -> str | None:
    for kind, other in store.kinds(CLOUD_NAME):
        if other.lower() == name.lower() or other.lower().startswith(f"{name.lower()}/"):
            continue
        found = store.get(CLOUD_NAME, kind, other) or {}
        if kind != "RoleAssignment" and f"{name.lower()}'" in str(found.get("inputs")).lower():
            return other
    return None


@route("GET", "/subscriptions/{sub}/providers/Microsoft.Authorization/permissions")
def permissions(request: Request) -> Answer:
    """One role that allows everything less what is denied."""
    row = {"actions": ["*"], "notActions": sorted(request.store.all(CLOUD_NAME, DENIED))}
    return _versioned(request) or Answer(200, {"value": [row]})


@route("GET", "/subscriptions/{sub}/providers/Microsoft.Compute/locations/{region}/usages")
def usages(request: Request) -> Answer:
    """What the subscription may have of each family in a region, and has."""
    rows = (("cores", 350, 0), ("lowPriorityCores", 100, 4), ("standardNCADSA100v4Family", 120, 24))
    named = [
        {"name": {"value": name, "localizedValue": name}, "limit": most, "currentValue": now, "unit": "Count"}
        for name, most, now in rows
    ]
    return _versioned(request) or Answer(200, {"value": named})
