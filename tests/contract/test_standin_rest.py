"""Google and Azure over HTTP, as the stand-ins answer for what they hold."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.standins import gcp as google
from tests.standins import inventory
from tests.standins.azure import CLOUD as AZURE
from tests.standins.kind import Ask, Cloud
from tests.standins.rest import TOKEN, serving
from tests.standins.store import Store

Get = Callable[..., Any]
SUB = "11111111-2222-3333-4444-555555555555"
GROUP = f"/subscriptions/{SUB}/resourceGroups/train"
PLACE = "/compute/v1/projects/ours/zones/us-central1-a/instances"


@pytest.fixture
def store(tmp_path: Any) -> Store:
    return Store(tmp_path / "standins.sqlite")


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    with serving(store) as found:
        yield found


@pytest.fixture
def ask(url: str) -> Get:
    def call(method: str, path: str, body: Any = None, token: str | None = TOKEN) -> tuple[int, Any]:
        raw = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"{url}{path}", raw, headers, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    return call


def make(store: Store, cloud: Cloud, token: str, inputs: dict[str, Any], config: dict[str, Any]) -> str:
    made = cloud.kinds[token].create(Ask("urn:x::y::z::w", "", inputs, {}, {}, config, store))
    return made.id


@pytest.fixture
def instances(store: Store) -> list[str]:
    config = {"project": "ours", "region": "us-central1", "zone": "us-central1-a"}
    make(store, google.CLOUD, "gcp:compute/network:Network", {"name": "net"}, config)
    made = []
    for rank in (0, 1):
        inputs = {
            "name": f"train-{rank}",
            "machineType": "a3-highgpu-8g",
            "bootDisk": {},
            "networkInterfaces": [{"network": "net", "accessConfigs": [{}]}],
            "scheduling": {
                "provisioningModel": "SPOT",
                "automaticRestart": False,
                "instanceTerminationAction": "DELETE",
            },
            "labels": {"deployment": "train", "rank": str(rank)},
        }
        made.append(make(store, google.CLOUD, "gcp:compute/instance:Instance", inputs, config))
    return made


def test_without_a_token_nothing_is_told(ask: Get, url: str) -> None:
    assert ask("GET", PLACE, token=None)[0] == 401
    with urllib.request.urlopen(f"{url}/token", b"grant_type=x") as answer:
        assert json.load(answer)["access_token"] == TOKEN


def test_google_lists_by_label_page_by_page(ask: Get, instances: list[str]) -> None:
    wanted = urllib.parse.quote("labels.deployment=train AND labels.rank:*")
    status, found = ask("GET", f"/compute/v1/projects/ours/aggregated/instances?filter={wanted}&maxResults=1")
    assert status == 200
    (one,) = found["items"]["zones/us-central1-a"]["instances"]
    assert (one["name"], one["status"], one["labels"]["rank"]) == ("train-0", "RUNNING", "0")
    assert one["networkInterfaces"][0]["networkIP"].startswith("10.")
    page = f"/compute/v1/projects/ours/aggregated/instances?pageToken={found['nextPageToken']}"
    assert [one["name"] for one in ask("GET", page)[1]["items"]["zones/us-central1-a"]["instances"]] == [
        "train-1"
    ]

    other = urllib.parse.quote('labels.deployment="other"')
    assert ask("GET", f"{PLACE}?filter={other}")[1] == {"kind": "compute#instanceList"}
    assert ask("GET", f"{PLACE}?filter={urllib.parse.quote('colour = red')}")[0] == 400


def test_google_stops_starts_and_deletes(ask: Get, store: Store, instances: list[str]) -> None:
    status, doing = ask("POST", f"{PLACE}/train-0/stop", {})
    assert (status, doing["status"]) == (200, "RUNNING")
    done = ask("GET", f"/compute/v1/projects/ours/zones/us-central1-a/operations/{doing['name']}")
    assert done[1]["status"] == "DONE"
    assert ask("GET", f"{PLACE}/train-0")[1]["status"] == "TERMINATED"
    ask("POST", f"{PLACE}/train-0/start", {})
    assert [one.alive for one in inventory.gcp(store)] == [True, True]
    ask("POST", f"{PLACE}/train-1/simulateMaintenanceEvent", {})
    assert [one.name for one in inventory.gcp(store)] == ["train-0"], "spot capacity with DELETE is gone"
    assert ask("DELETE", f"{PLACE}/train-0", {})[0] == 200
    assert ask("DELETE", f"{PLACE}/train-0", {})[0] == 404


def test_google_keeps_secret_values_only_in_containers(ask: Get, store: Store) -> None:
    value = base64.b64encode(b"hunter2").decode()
    path = "/v1/projects/ours/secrets/hf-token"
    assert ask("POST", f"{path}:addVersion", {"payload": {"data": value}})[0] == 404
    inputs = {"secretId": "hf-token", "replication": {"auto": {}}}
    make(store, google.CLOUD, "gcp:secretmanager/secret:Secret", inputs, {"project": "ours"})
    assert ask("POST", f"{path}:addVersion", {"payload": {"data": value}})[0] == 200
    assert ask("GET", f"{path}/versions/latest:access")[1]["payload"]["data"] == value


def test_googles_own_library_writes_and_reads_objects(url: str, store: Store) -> None:
    storage = pytest.importorskip("google.cloud.storage")
    from google.api_core.exceptions import NotFound, PreconditionFailed
    from google.oauth2.credentials import Credentials

    bucket_id = make(
        store,
        google.CLOUD,
        "gcp:storage/bucket:Bucket",
        {"name": "ours-train", "location": "us"},
        {"project": "ours"},
    )
    client = storage.Client("ours", Credentials(TOKEN), client_options={"api_endpoint": url})
    bucket = client.bucket(bucket_id)
    bucket.blob("lease/owner").upload_from_string(b"me", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("lease/owner").upload_from_string(b"you", if_generation_match=0)
    assert bucket.blob("lease/owner").download_as_bytes() == b"me"
    assert [one.name for one in client.list_blobs(bucket, prefix="lease/")] == ["lease/owner"]
    bucket.blob("lease/owner").delete()
    with pytest.raises(NotFound):
        bucket.blob("lease/owner").download_as_bytes()
    client.close()


@pytest.fixture
def machines(store: Store) -> list[str]:
    config = {"subscriptionId": SUB, "location": "westeurope"}

    def azure(token: str, **inputs: Any) -> str:
        return make(store, AZURE, f"azure-native:{token}", {"resourceGroupName": "train", **inputs}, config)

    azure("resources:ResourceGroup")
    network = azure("network:VirtualNetwork", virtualNetworkName="net")
    subnet = azure("network:Subnet", virtualNetworkName=network.rpartition("/")[2], subnetName="nodes")
    made = []
    for rank in (0, 1):
        card = azure(
            "network:NetworkInterface",
            networkInterfaceName=f"card-{rank}",
            ipConfigurations=[{"name": "main", "subnet": {"id": subnet}}],
        )
        key = {"keyData": "ssh-ed25519 " + "A" * 68}
        made.append(
            azure(
                "compute:VirtualMachine",
                vmName=f"train-{rank}",
                priority="Spot",
                evictionPolicy="Deallocate",
                hardwareProfile={"vmSize": "Standard_NC40ads_H100_v5"},
                networkProfile={"networkInterfaces": [{"id": card, "deleteOption": "Delete"}]},
                storageProfile={
                    "imageReference": {"id": "/images/ours"},
                    "osDisk": {"deleteOption": "Delete", "createOption": "FromImage"},
                },
                osProfile={
                    "computerName": f"train-{rank}",
                    "adminUsername": "sky",
                    "customData": "c2VjcmV0",
                    "linuxConfiguration": {
                        "disablePasswordAuthentication": True,
                        "ssh": {"publicKeys": [key]},
                    },
                },
                tags={"deployment": "train", "rank": str(rank)},
            )
        )
    return made


def test_azure_lists_machines_with_their_power(ask: Get, machines: list[str]) -> None:
    path = f"/subscriptions/{SUB}/providers/Microsoft.Compute/virtualMachines"
    assert ask("GET", path)[0] == 400, "the version of the interface is asked for"
    listed = ask("GET", f"{path}?api-version=2024-03-01")[1]["value"]
    assert [one["tags"]["rank"] for one in listed] == ["0", "1"]
    assert "instanceView" not in listed[0]["properties"], "states are a listing of their own"
    assert ask("GET", f"{path}?api-version=2024-03-01&$expand=instanceView")[0] == 400
    states = ask("GET", f"{path}?api-version=2024-03-01&statusOnly=true")[1]["value"]
    codes = [each["code"] for each in states[0]["properties"]["instanceView"]["statuses"]]
    assert codes == ["ProvisioningState/succeeded", "PowerState/running"]
    assert "tags" not in states[0]
    assert "c2VjcmV0" not in json.dumps(listed)


def test_azure_finds_machines_by_tag(ask: Get, machines: list[str]) -> None:
    wanted = urllib.parse.quote("tagName eq 'rank' and tagValue eq '1'")
    found = ask("GET", f"/subscriptions/{SUB}/resources?api-version=2021-04-01&$filter={wanted}")[1]["value"]
    assert [one["name"] for one in found] == ["train-1"]
    query = (
        "Resources | where type =~ 'microsoft.compute/virtualmachines' and tags['deployment'] =~ 'train' "
        "| where isnotempty(tags['rank']) | project id, name, tags, properties"
    )
    graph = "/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01"
    rows = ask("POST", graph, {"subscriptions": [SUB], "query": query})[1]["data"]
    assert [one["name"] for one in rows] == ["train-0", "train-1"]
    state = rows[0]["properties"]["extended"]["instanceView"]["powerState"]["code"]
    assert state == "PowerState/running"
    assert ask("POST", graph, {"subscriptions": [SUB], "query": "Resources | summarize count()"})[0] == 400


def test_azure_evicts_starts_and_deletes(ask: Get, store: Store, machines: list[str]) -> None:
    version = "?api-version=2024-03-01"
    assert ask("POST", f"{machines[0]}/simulateEviction{version}")[0] == 202
    assert [one.alive for one in inventory.azure(store)] == [False, True]
    assert ask("POST", f"{machines[0]}/start{version}")[0] == 202
    assert [one.alive for one in inventory.azure(store)] == [True, True]
    assert ask("DELETE", f"{machines[0]}{version}")[0] == 202
    assert ask("DELETE", f"{machines[0]}{version}")[0] == 204
    left = {kind for kind, path in store.kinds("azure-native") if path.endswith("-0")}
    assert left == set(), "its disk and its card were made to go with it"


def test_azure_keeps_values_in_vaults(ask: Get, store: Store, machines: list[str]) -> None:
    path = "/vault/ours-4f2c/secrets/hf-token?api-version=7.4"
    assert ask("PUT", path, {"value": "hunter2"})[0] == 404
    config = {"subscriptionId": SUB, "location": "westeurope"}
    inputs = {"resourceGroupName": "train", "vaultName": "ours-4f2c", "properties": {}}
    make(store, AZURE, "azure-native:keyvault:Vault", inputs, config)
    assert ask("PUT", path, {"value": "hunter2"})[0] == 200
    assert ask("GET", path)[1] == {"value": "hunter2"}
