"""What the contract suite knows of `local`."""

from __future__ import annotations

from tests.contract.samples import Sample

SAMPLE = Sample(outputs={"skywright:local:Node": {"address": "address-of-{name}"}})
