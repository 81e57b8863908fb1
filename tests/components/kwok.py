"""kwok: plays the kubelets of nodes that do not exist. It runs no program of any pod."""

from tests.components.building import Component
from tests.components.golang import GoModule


def component() -> Component:
    return Component("kwok", ("kwok",), GoModule("kwok", ("sigs.k8s.io/kwok/cmd/kwok",)))
