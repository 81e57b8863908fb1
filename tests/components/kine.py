"""kine: keeps what the API server stores in SQLite, spoken to as etcd."""

from tests.components.building import Component
from tests.components.golang import GoModule


def component() -> Component:
    return Component("kine", ("kine",), GoModule("kine", ("github.com/k3s-io/kine",)))
