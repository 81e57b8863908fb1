"""What the contract suite knows of `gcp`: answers of its look-ups, and the rules of its names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compiler.spec import Given
from tests.contract.samples import Sample

NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
RULES = {
    "gcp:storage/bucket:Bucket": ("name", r"[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]"),
    "gcp:serviceaccount/account:Account": ("accountId", r"[a-z]([-a-z0-9]{4,28}[a-z0-9])"),
    "gcp:compute/network:Network": ("name", NAME),
    "gcp:compute/subnetwork:Subnetwork": ("name", NAME),
    "gcp:compute/firewall:Firewall": ("name", NAME),
    "gcp:compute/resourcePolicy:ResourcePolicy": ("name", NAME),
    "gcp:secretmanager/secret:Secret": ("secretId", r"[A-Za-z0-9_-]{1,255}"),
}
LABEL = re.compile(r"[a-z0-9_-]{0,63}")
LINK = "https://www.googleapis.com/compute/v1/projects/our-project"


@dataclass(frozen=True)
class Gcp(Sample):
    def opens(self, resource: Mapping[str, Any]) -> list[str]:
        inputs = resource["inputs"]
        if resource["type"] != "gcp:compute/firewall:Firewall" or "0.0.0.0/0" not in (
            inputs.get("sourceRanges") or ()
        ):
            return []
        return [port for rule in inputs["allows"] for port in rule.get("ports") or ("all",)]

    def names(self, resource: Mapping[str, Any]) -> list[str]:
        inputs, kind = resource["inputs"], resource["type"]
        wrong = []
        if kind in RULES:
            member, rule = RULES[kind]
            if not re.fullmatch(rule, inputs[member], re.ASCII):
                wrong.append(f"{kind}: {inputs[member]!r}")
        if "displayName" in inputs and len(inputs["displayName"].encode()) > 100:
            wrong.append(f"{kind}: {inputs['displayName']!r}")
        labels = inputs.get("labels") or {}
        for key, value in labels.items():
            if not key[:1].isalpha() or not LABEL.fullmatch(key) or not LABEL.fullmatch(value):
                wrong.append(f"{kind}: label {key!r}: {value!r}")
        for tag in inputs.get("tags") or ():
            if not re.fullmatch(NAME, tag):
                wrong.append(f"{kind}: network tag {tag!r}")
        return wrong if len(labels) <= 64 else [*wrong, f"{kind}: {len(labels)} labels"]

    def user_data(self, node: Mapping[str, Any]) -> str:
        return str(node["inputs"]["metadata"]["startup-script"])


SAMPLE = Gcp(
    region="us-central1",
    zone="us-central1-a",
    machine="g2-standard-4",
    image="projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64",
    network="skywright-proj",
    given=Given(
        account="our-project",
        network="projects/host-project/global/networks/team",
        subnet="team-nodes",
        security_groups=("team-tag",),
        role="nodes@our-project.iam.gserviceaccount.com",
        key="projects/our-project/locations/us-central1/keyRings/team/cryptoKeys/disks",
    ),
    env={"GOOGLE_CLOUD_PROJECT": "our-project"},
    answers={
        "gcp:compute/getSubnetwork:getSubnetwork": {
            "network": f"{LINK}/global/networks/skywright-proj-us-central1",
            "selfLink": f"{LINK}/regions/us-central1/subnetworks/skywright-proj-us-central1",
        },
        "gcp:compute/getNetwork:getNetwork": {"selfLink": f"{LINK}/global/networks/team"},
    },
    outputs={
        "gcp:compute/instance:Instance": {
            "instanceId": "number-of-{name}",
            "networkInterfaces": [{"networkIp": "10.64.0.2"}],
        },
        "gcp:serviceaccount/account:Account": {"email": "nodes@our-project.iam.gserviceaccount.com"},
    },
    spot='"provisioningModel": "SPOT"',
    tags="labels",
    untagged=frozenset(
        {
            "gcp:compute/firewall:Firewall",
            "gcp:compute/network:Network",
            "gcp:compute/subnetwork:Subnetwork",
            "gcp:compute/resourcePolicy:ResourcePolicy",
            "gcp:serviceaccount/account:Account",
            "gcp:storage/bucketIAMMember:BucketIAMMember",
            "gcp:storage/bucketObject:BucketObject",
            "gcp:secretmanager/secretIamMember:SecretIamMember",
        }
    ),
    containers=frozenset(
        {"gcp:secretmanager/secret:Secret", "gcp:secretmanager/secretIamMember:SecretIamMember"}
    ),
    lost=((0, "TRUE"), (0, "TRUE\n")),
    kept=((0, "FALSE"), (0, ""), (0, "NONE")),
)
