"""Fetching price lists from a server of ours that refuses, hangs, breaks off, pages, and answers what it should not."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from compiler.catalog.images import Image, shipped
from skywright.pricing import (
    aws,
    azure,
    cudo,
    digitalocean,
    gcp,
    ibm,
    lambdalabs,
    nebius,
    oci,
    resolving,
    runpod,
    vast,
)
from skywright.pricing.fetching import Broken, Fetcher, Stopped
from skywright.pricing.vendor import Job, Skipped
from tests.unit.test_pricing_parsers import AWS_LAST, AZURE_LAST, DATA, DATE, GCP_LAST, sample

Answer = Callable[[BaseHTTPRequestHandler], None]


def data(value: Any, *, packed: bool = False) -> Answer:
    """An answer with JSON."""
    return content(json.dumps(value).encode(), packed=packed)


def content(body: bytes, status: int = 200, *, packed: bool = False, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        sent = gzip.compress(body) if packed else body
        request.send_response(status)
        request.send_header("Content-Length", str(len(sent)))
        if packed:
            request.send_header("Content-Encoding", "gzip")
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(sent)

    return answer


def breaks_off(body: bytes) -> Answer:
    """Half of what was announced."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body) * 2))
        request.end_headers()
        request.wfile.write(body)

    return answer


@dataclass
class Server:
    """Gives its answers one after the other, the last for ever; keeps what it was asked."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def hangs(self) -> Answer:
        return lambda request: self.released.wait(30) and None


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            made.asked.append((self.path, dict(self.headers), self.rfile.read(length)))
            answer = made.answers.pop(0) if len(made.answers) > 1 else made.answers[0]
            answer(self)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.released.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def fetcher(waits: list[float]) -> Fetcher:
    return Fetcher(timeout_s=5, tries=3, wait=waits.append)


def job(fetcher: Fetcher, cloud: str, last: Any = (), **more: Any) -> Job:
    return Job(cloud, DATE, tuple(last), fetcher, **more)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_server_is_asked_again_when_it_says(
    server: Server, fetcher: Fetcher, waits: list[float], status: int
) -> None:
    server.answers = [content(b"", status, Retry_After="7"), content(b"", status), data({"ok": 1})]
    assert fetcher.json(server.url) == {"ok": 1}
    assert waits == [7.0, 2.0]


def test_a_server_that_stays_overloaded_is_given_up(server: Server, fetcher: Fetcher) -> None:
    server.answers = [content(b"", 503, Retry_After="100000")]
    with pytest.raises(Broken, match="answered 503, 3 times"):
        fetcher.json(server.url + "/prices?secret=1")
    assert len(server.asked) == 3


def test_a_wait_has_an_end(server: Server, fetcher: Fetcher, waits: list[float]) -> None:
    server.answers = [content(b"", 503, Retry_After="100000")]
    with pytest.raises(Broken):
        fetcher.json(server.url)
    assert max(waits) <= 60


@pytest.mark.parametrize(("status", "says"), [(401, "key"), (403, "key"), (404, "404"), (400, "400")])
def test_a_refusal_is_not_repeated_and_shows_no_key(
    server: Server, fetcher: Fetcher, status: int, says: str
) -> None:
    server.answers = [content(b"no", status)]
    with pytest.raises(Broken, match=says) as wrong:
        fetcher.json(f"{server.url}/prices?key=hush", {"Authorization": "Bearer hush"})
    assert len(server.asked) == 1
    assert "hush" not in str(wrong.value)


def test_a_server_that_hangs_is_left(server: Server, waits: list[float]) -> None:
    server.answers = [server.hangs()]
    with pytest.raises(Broken, match="did not answer in time, 2 times"):
        Fetcher(timeout_s=0.2, tries=2, wait=waits.append).json(server.url)


def test_an_answer_that_never_ends_is_left(server: Server, waits: list[float]) -> None:
    server.answers = [data({"ok": 1})]
    with pytest.raises(Broken, match="did not answer in time"):
        Fetcher(whole_s=-1, tries=2, wait=waits.append).json(server.url)


def test_nobody_there_is_said(waits: list[float]) -> None:
    with pytest.raises(Broken, match="could not be read"):
        Fetcher(tries=2, wait=waits.append).json("http://127.0.0.1:1/prices")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<!DOCTYPE html><html>login</html>", "page for people"),
        (b"\n <html>", "page for people"),
        (b'{"Items": [{"retailPrice": 0.', "breaks off"),
        (b"", "breaks off"),
        (b"\xff\xfe\x00", "breaks off"),
    ],
)
def test_what_is_no_data_is_said(server: Server, fetcher: Fetcher, body: bytes, says: str) -> None:
    server.answers = [content(body)]
    with pytest.raises(Broken, match=says):
        fetcher.json(server.url)


def test_an_answer_that_breaks_off_is_fetched_again(server: Server, fetcher: Fetcher) -> None:
    server.answers = [breaks_off(b'{"ok": '), data({"ok": 1}, packed=True)]
    assert fetcher.json(server.url) == {"ok": 1}


def test_a_packed_answer_that_breaks_off_is_none(server: Server, fetcher: Fetcher) -> None:
    half = gzip.compress(json.dumps(list(range(10_000))).encode())[:-200]
    server.answers = [content(half, Content_Encoding="gzip")]
    with pytest.raises(Broken, match="could not be read"):
        fetcher.json(server.url)


def test_another_host_never_sees_the_key(server: Server, fetcher: Fetcher) -> None:
    port = server.url.rpartition(":")[2]
    server.answers = [content(b"", 302, Location=f"http://localhost:{port}/")]
    with pytest.raises(Broken, match="another host"):
        fetcher.json(server.url, {"Authorization": "Bearer hush"})
    assert len(server.asked) == 1
    server.answers = [data({"next": f"http://localhost:{port}/2"})]
    with pytest.raises(Broken, match="another host"):
        list(fetcher.pages(server.url, lambda page: page["next"], {"Authorization": "Bearer hush"}))


def test_pages_come_to_an_end(server: Server, fetcher: Fetcher) -> None:
    server.answers = [data({"next": "/2"}), data({"next": "/3"}), data({"next": None})]
    assert len(list(fetcher.pages(server.url, lambda page: page["next"]))) == 3
    server.answers = [data({"next": "/2"})]
    with pytest.raises(Broken, match="twice"):
        list(fetcher.pages(server.url, lambda page: page["next"]))


def test_who_stops_waiting_gets_nothing(server: Server, fetcher: Fetcher) -> None:
    server.answers = [data({})]
    fetcher.stop.set()
    with pytest.raises(Stopped):
        fetcher.json(server.url)
    assert server.asked == []


def test_azure_is_read_page_by_page_within_the_regions_asked_for(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure, "URL", f"{server.url}/api/retail/prices")
    first, second, empty = sample("azure.json")
    second["NextPageLink"] = f"{server.url}/api/retail/prices?$skip=200"
    server.answers = [data(first), data(second), data(empty)]
    elsewhere = AZURE_LAST[1]
    found = azure.fetch(job(fetcher, "azure", AZURE_LAST, regions=("westeurope",)))
    assert {one.region for one in found.rows} == {"eastus", "westeurope"}
    assert elsewhere in found.kept
    asked = parse_qs(urlsplit(server.asked[0][0]).query)["$filter"][0]
    assert "armRegionName eq 'westeurope'" in asked
    assert len(server.asked) == 3


def test_an_aws_list_is_read_line_by_line_and_anew_when_it_breaks_off(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws, "URL", server.url + "/{region}/index.csv")
    monkeypatch.setattr(aws, "_spot", lambda job, regions: (None, ("no spot",)))
    body = (DATA / "aws.csv").read_bytes()
    server.answers = [breaks_off(body[:1500]), content(body, packed=True)]
    found = aws.fetch(job(fetcher, "aws", AWS_LAST, regions=("us-east-1",)))
    assert [path for path, _, _ in server.asked] == ["/us-east-1/index.csv"] * 2
    assert {one.instance_type for one in found.rows} == {"p5.48xlarge", "m8g.2xlarge"}
    assert {one.spot for one in found.rows if one.zone} == {40.0}
    assert found.notes == ("no spot",)


def test_google_and_digitalocean_follow_their_kinds_of_pages(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcp, "URL", f"{server.url}/skus")
    with pytest.raises(Skipped, match="GOOGLE_API_KEY"):
        gcp.fetch(job(fetcher, "gcp", GCP_LAST))
    monkeypatch.setenv("GOOGLE_API_KEY", "hush")
    server.answers = [data(page) for page in sample("gcp.json")]
    found = gcp.fetch(job(fetcher, "gcp", GCP_LAST))
    assert len(found.rows) == 3
    assert {one.instance_type for one in found.kept} == {"e2-micro", "TPU-VM"}
    assert [parse_qs(urlsplit(path).query).get("pageToken") for path, _, _ in server.asked] == [None, ["two"]]
    assert all("hush" not in path for path, _, _ in server.asked)
    monkeypatch.setattr(digitalocean, "URL", f"{server.url}/v2/sizes?per_page=200")
    monkeypatch.setenv("DIGITALOCEAN_TOKEN", "hush")
    server.answers = [data(page) for page in sample("digitalocean.json")]
    assert len(digitalocean.fetch(job(fetcher, "do")).rows) == 4
    assert server.asked[-1][1]["Authorization"] == "Bearer hush"


def test_vast_and_lambda_are_asked_as_they_want(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vast, "URL", f"{server.url}/bundles/")
    server.answers = [data(sample("vast.json"))]
    assert len(vast.fetch(job(fetcher, "vast")).rows) == 2
    assert json.loads(server.asked[-1][2])["rentable"] == {"eq": True}
    assert "Authorization" not in server.asked[-1][1]
    monkeypatch.setattr(lambdalabs, "URL", f"{server.url}/types")
    monkeypatch.setenv("LAMBDA_API_KEY", "hush")
    server.answers = [data(sample("lambda.json"))]
    assert len(lambdalabs.fetch(job(fetcher, "lambda")).rows) == 2


def test_ibm_asks_for_the_plans_and_prices_of_each_profile(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ibm, "URL", f"{server.url}/api/v1")
    prices = sample("ibm.json")[0][1]
    server.answers = [
        data({"resources": [{"id": "i1", "name": "gx3-16x80x1l4"}, {"id": "i2", "name": "other"}], "next": "/n"}),
        data({"resources": []}),
        data({"resources": [{"id": "p/1"}]}),
        data({"resources": prices}),
    ]  # fmt: skip
    found = ibm.fetch(job(fetcher, "ibm"))
    assert [(one.region, one.price) for one in found.rows] == [("us-south", 1.19)]
    assert server.asked[-1][0] == "/api/v1/p%2F1/pricing/deployment"


def test_oracle_runpod_and_cudo_are_asked_as_they_want(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oci, "URL", f"{server.url}/data/")
    server.answers = [data(sample("oci_shapes.json")), data(sample("oci_products.json"))]
    found = oci.fetch(job(fetcher, "oci"))
    assert [path for path, _, _ in server.asked] == ["/data/shapes.json", "/data/products.json"]
    assert {one.region for one in found.rows} == set(oci.REGIONS)
    monkeypatch.setattr(cudo, "URL", f"{server.url}/types")
    server.answers = [data(sample("cudo.json"))]
    assert len(cudo.fetch(job(fetcher, "cudo")).rows) == 9
    monkeypatch.setattr(runpod, "URL", f"{server.url}/graphql")
    with pytest.raises(Skipped, match="RUNPOD_API_KEY"):
        runpod.fetch(job(fetcher, "runpod"))
    monkeypatch.setenv("RUNPOD_API_KEY", "hush")
    server.answers = [data(sample("runpod.json"))]
    assert len(runpod.fetch(job(fetcher, "runpod")).rows) == 6
    path, headers, body = server.asked[-1]
    assert headers["Authorization"] == "Bearer hush"
    assert "gpuTypes" in json.loads(body)["query"]
    assert "hush" not in path


def test_nebius_says_what_it_needs(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Skipped, match="NEBIUS_IAM_TOKEN"):
        nebius.fetch(job(fetcher, "nebius"))
    monkeypatch.setenv("NEBIUS_IAM_TOKEN", "hush")
    monkeypatch.setitem(sys.modules, "nebius.sdk", None)
    with pytest.raises(Skipped, match="package `nebius`"):
        nebius.fetch(job(fetcher, "nebius"))


def images(cloud: str) -> tuple[Image, ...]:
    return tuple(one for one in shipped() if one.cloud == cloud)


def test_names_of_images_become_ids_where_the_vendor_says(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "GOOGLE", f"{server.url}/compute/v1/")
    monkeypatch.setattr(resolving, "google_token", lambda: "hush")
    link = (
        "https://www.googleapis.com/compute/v1/projects/deeplearning-platform-release/global/images/common-v1"
    )
    server.answers = [data({"name": "common-v1", "selfLink": link})]
    found, notes = resolving.resolved(job(fetcher, "gcp", images=images("gcp")))
    gpu = next(one for one in found if one.drives == "NVIDIA")
    assert (gpu.id, gpu.kind, gpu.date) == (link.partition("/v1/")[2], "id", DATE)
    assert gpu.pinned
    assert len(found) == len(images("gcp"))
    assert notes == ()
    again, _ = resolving.resolved(job(fetcher, "gcp", images=found))
    assert again == found, "what was resolved once is asked for by its name again"

    monkeypatch.setattr(resolving, "AZURE", server.url)
    monkeypatch.setattr(resolving, "azure_token", lambda: "hush")
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", "sub")
    server.answers = [data([{"name": "22.04.9"}, {"name": "22.04.20251015"}, {"name": "latest"}])]
    found, _ = resolving.resolved(job(fetcher, "azure", images=images("azure")))
    assert found[0].id == "microsoft-dsvm:ubuntu-hpc:2204:22.04.20251015"
    assert all(one.pinned for one in found)

    monkeypatch.setattr(resolving, "LAMBDA", server.url)
    monkeypatch.setenv("LAMBDA_API_KEY", "hush")
    cpu, place = {"name": "x86_64"}, {"name": "us-east-1"}
    rows = [
        {"id": f"i{n}", "family": "lambda-stack-24-04", "region": place, "architecture": cpu,
         "created_time": f"2026-0{n}-01"}
        for n in (2, 3, 1)
    ]  # fmt: skip
    server.answers = [data({"data": [*rows, {"id": "x", "family": "mine", "region": place}]})]
    found, _ = resolving.resolved(job(fetcher, "lambda"))
    assert [(one.id, one.region, one.arch) for one in found] == [("i3", "us-east-1", "x86_64")]


def test_images_stay_as_they_were_when_nobody_can_be_asked(server: Server, fetcher: Fetcher) -> None:
    found, notes = resolving.resolved(job(fetcher, "lambda", images=()))
    assert found == ()
    assert "LAMBDA_API_KEY" in notes[0]
    found, notes = resolving.resolved(job(fetcher, "azure", images=images("azure")))
    assert found == images("azure")
    assert "AZURE_SUBSCRIPTION_ID" in notes[0]


def test_parameters_of_aws_become_images_of_their_region() -> None:
    named = [one for one in images("aws") if one.kind == "parameter"]
    answer = {
        "Parameters": [
            {"Name": named[0].id.removeprefix("resolve:ssm:"), "Value": "ami-0123456789abcdef0"},
            {"Name": named[1].id.removeprefix("resolve:ssm:"), "Value": "not an image"},
        ],
        "InvalidParameters": [],
    }
    (found,) = resolving.parse_parameters(answer, "eu-west-1", named, DATE)
    assert (found.region, found.id, found.kind) == ("eu-west-1", "ami-0123456789abcdef0", "id")
    assert found.drives == "NVIDIA"


def test_ec2_and_ssm_are_asked_where_there_are_credentials(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3
    from botocore.stub import ANY, Stubber

    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    asked = job(fetcher, "aws", images=images("aws"), regions=("us-east-1",))
    assert aws._spot(asked, ("us-east-1",)) == (
        None,
        ("spot prices stay as they were: no AWS credentials here",),
    )
    assert resolving.resolved(asked)[1] == ("images stay as they were: no AWS credentials here",)

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    ec2, ssm = (boto3.client(name, region_name="us-east-1") for name in ("ec2", "ssm"))
    clients = {"ec2": ec2, "ssm": ssm}
    monkeypatch.setattr(boto3, "client", lambda name, region_name: clients[name])
    record = {
        "InstanceType": "p5.48xlarge", "AvailabilityZone": "us-east-1a", "SpotPrice": "18.5",
        "ProductDescription": "Linux/UNIX", "Timestamp": datetime(2026, 11, 22, tzinfo=timezone.utc),
    }  # fmt: skip
    names = [one.id.removeprefix("resolve:ssm:") for one in images("aws")]
    with Stubber(ec2) as history, Stubber(ssm) as parameters:
        pages = {"ProductDescriptions": ANY, "StartTime": ANY}
        history.add_response(
            "describe_spot_price_history", {"SpotPriceHistory": [record], "NextToken": "2"}, pages
        )
        later = {**record, "AvailabilityZone": "us-east-1b"}
        history.add_response(
            "describe_spot_price_history", {"SpotPriceHistory": [later]}, {**pages, "NextToken": "2"}
        )
        history.add_client_error("describe_spot_price_history", "UnauthorizedOperation")
        known = [{"Name": names[0], "Value": "ami-0123456789abcdef0"}]
        parameters.add_response("get_parameters", {"Parameters": known}, {"Names": names})
        parameters.add_client_error("get_parameters", "AccessDeniedException")
        spot = {("p5.48xlarge", f"us-east-1{letter}"): 18.5 for letter in "ab"}
        assert aws._spot(asked, ("us-east-1",)) == (spot, ())
        assert "UnauthorizedOperation" in aws._spot(asked, ("us-east-1",))[1][0]
        found, notes = resolving.resolved(asked)
        assert (found[0].region, found[0].id, notes) == ("us-east-1", "ami-0123456789abcdef0", ())
        assert found[1:] == images("aws"), "elsewhere, and where the vendor knows none, the name stays"
        stayed, (note,) = resolving.resolved(asked)
        assert stayed == images("aws")
        assert "AccessDenied" in note
