"""fake-gcs-server: Cloud Storage's JSON interface, in memory."""

from tests.components.building import Component
from tests.components.golang import GoModule


def component() -> Component:
    pins = GoModule("fakegcs", ("github.com/fsouza/fake-gcs-server",))
    return Component("fakegcs", ("fake-gcs-server",), pins)
