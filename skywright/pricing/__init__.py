"""Vendors whose prices `catalog update` fetches: one module and one line each."""

from __future__ import annotations

VENDORS = {
    "aws": "aws",
    "azure": "azure",
    "gcp": "gcp",
    "lambda": "lambdalabs",
    "vast": "vast",
    "oci": "oci",
    "ibm": "ibm",
    "runpod": "runpod",
    "do": "digitalocean",
    "nebius": "nebius",
    "cudo": "cudo",
}
"""Cloud -> module here with `fetch(job) -> Fetched` (skywright/pricing/vendor.py)."""
