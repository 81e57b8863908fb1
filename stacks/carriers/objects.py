"""Leases as objects of a bucket: what is the same for every store that has conditional writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from stacks.carriers import FOLDER, Entry


class Bucket(Protocol):
    """A store of objects. `mark` names one version of an object. Raises OSError for what it does not do."""

    def get(self, name: str) -> tuple[bytes, str, float] | None:
        """Content, mark and age in seconds by the store's clock; None where there is no such object."""
        ...

    def put(self, name: str, content: bytes, mark: str | None) -> bool:
        """Store the object if it still has `mark` (None: if it is absent); False when somebody was first."""
        ...

    def delete(self, name: str, mark: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Where:
    """A backend's URL, taken apart: `s3://BUCKET/PREFIX?region=...`."""

    bucket: str
    prefix: str
    query: dict[str, str]

    @classmethod
    def of(cls, url: str) -> Where:
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return cls(parts.netloc, parts.path.strip("/"), query)


class ObjectCarrier:
    """Leases below `.skywright/leases/` of a bucket's prefix."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._root = "/".join(part for part in (prefix, FOLDER) if part)

    def read(self, key: str) -> Entry | None:
        found = self._bucket.get(self._name(key))
        return None if found is None else Entry(found[0], max(0.0, found[2]))

    def write(self, key: str, content: bytes, expected: bytes | None) -> bool:
        mark = self._mark(key, expected)
        if mark is None and expected is not None:
            return False
        return self._bucket.put(self._name(key), content, mark)

    def remove(self, key: str, expected: bytes) -> bool:
        mark = self._mark(key, expected)
        return mark is not None and self._bucket.delete(self._name(key), mark)

    def _mark(self, key: str, expected: bytes | None) -> str | None:
        """Of the version that is `expected`; None when that is not what is there."""
        if expected is None:
            return None
        found = self._bucket.get(self._name(key))
        return found[1] if found is not None and found[0] == expected else None

    def _name(self, key: str) -> str:
        return f"{self._root}/{key}.json"
