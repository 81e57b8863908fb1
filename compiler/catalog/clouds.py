"""Names of clouds that a task file may say, whether they work here or not."""

from __future__ import annotations

KNOWN = frozenset(
    (
        *(
            "local",
            "aws",
            "azure",
            "cudo",
            "do",
            "fluidstack",
            "gcp",
            "hyperbolic",
            "ibm",
            "kubernetes",
            "lambda",
        ),
        *("mithril", "nebius", "oci", "paperspace", "primeintellect", "runpod", "scp", "seeweb", "shadeform"),
        *("slurm", "ssh", "vast", "verda", "vsphere", "yotta"),
    )
)

ALIASES = {
    "k8s": "kubernetes",
    "amazon": "aws",
    "google": "gcp",
    "digitalocean": "do",
    "lambda_labs": "lambda",
    "lambdalabs": "lambda",
}


def canonical(text: str) -> str:
    """Lower case, and the one name where people use two."""
    name = text.strip().lower()
    return ALIASES.get(name, name)
