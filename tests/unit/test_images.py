"""Images: the one for a machine is found without network, a region's own goes first, and no id is made up."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from compiler.catalog import clouds
from compiler.catalog.images import Image, image_for, shipped
from tests import catalogdoc


@pytest.mark.parametrize(
    ("cloud", "accelerator", "arch", "name"),
    [
        ("aws", "H100", "x86_64", "ubuntu-22.04-gpu"),
        ("aws", "T4g", "arm64", "ubuntu-22.04-gpu"),
        ("aws", None, "x86_64", "ubuntu-24.04"),
        ("aws", None, "arm64", "ubuntu-24.04"),
        ("gcp", "L4", "x86_64", "ubuntu-22.04-gpu"),
        ("gcp", "tpu-v5p-8", "x86_64", "tpu-ubuntu-22.04"),
        ("azure", "MI300X", "x86_64", "ubuntu-24.04-rocm"),
        ("azure", "A100-80GB", "x86_64", "ubuntu-22.04-gpu"),
        ("nebius", "H200", "x86_64", "ubuntu-24.04-gpu"),
    ],
)
def test_a_machine_gets_an_image_with_the_driver_it_needs(
    cloud: str, accelerator: str | None, arch: str, name: str
) -> None:
    found = image_for(cloud, "somewhere", accelerator, arch)
    assert found
    assert (found.name, found.arch) == (name, arch)


def test_where_none_is_known_there_is_none() -> None:
    assert image_for("aws", "us-east-1", "MI300X", "x86_64") is None, "no driver for it in any image"
    assert image_for("lambda", "us-east-1", "H100", "x86_64") is None
    assert image_for("aws", "us-east-1", "no such card", "x86_64") is None
    assert image_for("gcp", "us-east1", "L4", "arm64") is None


def test_one_may_be_asked_for_by_name() -> None:
    found = image_for("aws", "us-east-1", "H100", "x86_64", "ubuntu-24.04-gpu")
    assert found
    assert "ubuntu-24.04" in found.id
    assert image_for("aws", "us-east-1", "H100", "x86_64", "windows") is None


def test_one_of_the_region_goes_before_one_for_all() -> None:
    every = next(one for one in shipped() if (one.cloud, one.drives) == ("aws", "NVIDIA"))
    here = replace(every, region="eu-west-1", id="ami-0123456789abcdef0", kind="id")
    images: list[Image] = [every, here]
    assert image_for("aws", "eu-west-1", "H100", "x86_64", images=images) == here
    assert image_for("aws", "us-east-1", "H100", "x86_64", images=images) == every
    assert here.pinned
    assert not every.pinned


def test_ids_have_the_form_that_their_vendor_takes() -> None:
    forms = {
        "parameter": r"resolve:ssm:/aws/service/[\w./-]+",
        "family": r"(projects/[a-z-]+/global/images/family/)?[a-z0-9.-]+",
        "urn": r"[\w-]+:[\w-]+:[\w-]+:[\w.]+",
        "container": r"docker:[a-z]+/[a-z]+:[\w.-]+",
        "slug": r"[a-z0-9-]+",
        "runtime": r"[a-z0-9-]+",
        "id": r"[a-z0-9-]+",
    }
    for one in shipped():
        assert re.fullmatch(forms[one.kind], one.id), one
        assert one.cloud in clouds.KNOWN
        assert re.fullmatch(r"20\d\d(-\d\d){1,2}", one.date)
        assert one.source


def test_the_document_shows_every_image_and_every_price_with_its_source() -> None:
    assert catalogdoc.DOC.read_text() == catalogdoc.text(), "run `python -m tests.catalogdoc`"
