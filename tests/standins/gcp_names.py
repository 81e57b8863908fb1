"""How Google names things: projects, regions, zones, self links, labels; and finding one by any of its names."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from tests.standins.kind import Ask, Refusal
from tests.standins.shape import Wrong, unknown

LINK = "https://www.googleapis.com/compute/v1/"
NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
ATTRIBUTION = {"goog-pulumi-provisioned": "true"}
"""A label that the provider adds by itself, unless `addPulumiAttributionLabel` says no."""


def _setting(ask: Ask, name: str) -> str:
    found = ask.inputs.get(name) or ask.state.get(name) or ask.config.get(name)
    if not found:
        raise Refusal(f"{name}: required field is not set")
    return str(found)


def project(ask: Ask) -> str:
    return _setting(ask, "project")


def zone(ask: Ask) -> str:
    return _setting(ask, "zone")


def region(ask: Ask) -> str:
    return _setting(ask, "region").rpartition("/")[2]


def number(text: str) -> int:
    """A number that stands for a name, as projects and networks have them."""
    return 10**10 + zlib.crc32(text.encode())


def find(ask: Ask, kind: str, name: str) -> dict[str, Any] | None:
    """The one whose id, self link or bare name is `name`."""
    plain = re.sub(r"^https://www\.googleapis\.com/\w+/v1/", "", str(name))
    for path, one in ask.store.all("gcp", kind).items():
        if path == plain or ("/" not in plain and path.rpartition("/")[2] == plain):
            return one
    return None


def must_find(ask: Ask, kind: str, name: str) -> None:
    if find(ask, kind, name) is None:
        raise Refusal(
            f"googleapi: Error 400: Invalid value for field 'resource': '{name}'. The referenced {kind.lower()} "
            "resource cannot be found., invalid"
        )


def named_wrong(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    name = inputs.get("name", "a")
    if not unknown(name) and not NAME.fullmatch(name):
        yield "name", f'"name" ("{name}") doesn\'t match regexp "^(?:[a-z](?:[-a-z0-9]{{0,61}}[a-z0-9])?)$"'


def labels_wrong(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    labels = inputs.get("labels")
    for key, value in (labels if isinstance(labels, Mapping) else {}).items():
        if not _LABEL_KEY.fullmatch(key):
            yield f"labels.{key}", f"{key!r} is no label: lower case letters, digits, _ and -, 63 at most"
        if not unknown(value) and not _LABEL_VALUE.fullmatch(str(value)):
            yield f"labels.{key}", f"{value!r} is no value of a label: lower case letters, digits, _ and -"


def labelled(ask: Ask) -> dict[str, Any]:
    """Labels with those that the provider's configuration and the provider itself add."""
    defaults = ask.config.get("defaultLabels") or {}
    ours = {} if ask.config.get("addPulumiAttributionLabel") is False else ATTRIBUTION
    found = {**ours, **defaults, **(ask.inputs.get("labels") or {})}
    return {"pulumiLabels": found, "effectiveLabels": found}
