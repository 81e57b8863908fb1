"""Kubernetes' own API server, controller manager and scheduler, of one release."""

from tests.components.building import Component
from tests.components.golang import GoModule

VERSION = "v1.34.2"
PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")


def component() -> Component:
    version = "k8s.io/component-base/version"
    major, minor = VERSION.removeprefix("v").split(".")[:2]
    values = (
        (f"{version}.gitVersion", VERSION),
        (f"{version}.gitMajor", major),
        (f"{version}.gitMinor", minor),
    )
    packages = tuple(f"k8s.io/kubernetes/cmd/{name}" for name in PROGRAMS)
    return Component("kubernetes", PROGRAMS, GoModule("kubernetes", packages, values))
