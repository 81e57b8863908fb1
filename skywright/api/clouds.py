"""Clouds as classes, one for each name that a task file may say: `Resources(cloud=AWS())`."""

from __future__ import annotations

from typing import ClassVar


class Cloud:
    """A cloud by name. Two of one kind are equal; making one asks nobody whether it can be used."""

    NAME: ClassVar[str] = ""

    def __str__(self) -> str:
        return self.NAME

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cloud) and other.NAME == self.NAME

    def __hash__(self) -> int:
        return hash(self.NAME)


class AWS(Cloud):
    """The cloud `aws`."""

    NAME = "aws"


class Azure(Cloud):
    """The cloud `azure`."""

    NAME = "azure"


class Cudo(Cloud):
    """The cloud `cudo`."""

    NAME = "cudo"


class DO(Cloud):
    """The cloud `do`."""

    NAME = "do"


class Fluidstack(Cloud):
    """The cloud `fluidstack`."""

    NAME = "fluidstack"


class GCP(Cloud):
    """The cloud `gcp`."""

    NAME = "gcp"


class Hyperbolic(Cloud):
    """The cloud `hyperbolic`."""

    NAME = "hyperbolic"


class IBM(Cloud):
    """The cloud `ibm`."""

    NAME = "ibm"


class Kubernetes(Cloud):
    """The cloud `kubernetes`."""

    NAME = "kubernetes"


class Lambda(Cloud):
    """The cloud `lambda`."""

    NAME = "lambda"


class Local(Cloud):
    """The cloud `local`: this machine."""

    NAME = "local"


class Mithril(Cloud):
    """The cloud `mithril`."""

    NAME = "mithril"


class Nebius(Cloud):
    """The cloud `nebius`."""

    NAME = "nebius"


class OCI(Cloud):
    """The cloud `oci`."""

    NAME = "oci"


class Paperspace(Cloud):
    """The cloud `paperspace`."""

    NAME = "paperspace"


class PrimeIntellect(Cloud):
    """The cloud `primeintellect`."""

    NAME = "primeintellect"


class RunPod(Cloud):
    """The cloud `runpod`."""

    NAME = "runpod"


class SCP(Cloud):
    """The cloud `scp`."""

    NAME = "scp"


class Seeweb(Cloud):
    """The cloud `seeweb`."""

    NAME = "seeweb"


class Shadeform(Cloud):
    """The cloud `shadeform`."""

    NAME = "shadeform"


class Slurm(Cloud):
    """The cloud `slurm`."""

    NAME = "slurm"


class SSH(Cloud):
    """The cloud `ssh`: own machines, reached by SSH."""

    NAME = "ssh"


class Vast(Cloud):
    """The cloud `vast`."""

    NAME = "vast"


class Verda(Cloud):
    """The cloud `verda`."""

    NAME = "verda"


class Vsphere(Cloud):
    """The cloud `vsphere`."""

    NAME = "vsphere"


class Yotta(Cloud):
    """The cloud `yotta`."""

    NAME = "yotta"
