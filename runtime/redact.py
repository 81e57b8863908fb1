"""Secret values out of what is stored, and back in: plain, in hex, and inside base64 of a longer text.

Base64 of a text that holds the secret shows it in one of three alignments; of each, the characters that the secret
alone decides are known and can be named. What it is mixed into by other means (a hash, a cipher) does not show it.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping, Sequence

SHORTEST = 8
"""Encoded forms shorter than this would stand in innocent text by chance."""

Forms = Sequence[tuple[bytes, bytes]]
"""(bytes that show a secret, the name they are stored as), longest first."""


def forms(secrets: Mapping[bytes, bytes]) -> Forms:
    """How each secret may show."""
    found: dict[bytes, bytes] = {}
    for name, value in secrets.items():
        for form, text in _shown(value):
            if text and (form == b"plain" or len(text) >= SHORTEST):
                found.setdefault(text, b"\x01skywright:%s:%s\x01" % (form, name))
    return sorted(found.items(), key=lambda pair: -len(pair[0]))


def hide(value: bytes, known: Forms) -> bytes:
    """`value` with every form of a secret replaced by its name."""
    parts = [(value, False)]
    for text, name in known:
        split = []
        for part, named in parts:
            if named:
                split.append((part, True))
                continue
            for number, piece in enumerate(part.split(text)):
                if number:
                    split.append((name, True))
                split.append((piece, False))
        parts = split
    return b"".join(part for part, _ in parts)


def show(value: bytes, known: Forms) -> bytes:
    """The inverse of `hide`; a name whose secret is not known any more stays (see `hidden`)."""
    for text, name in known:
        value = value.replace(name, text)
    return value


def hidden(value: bytes) -> bool:
    """Does a secret's name still stand in `value`?"""
    return b"\x01skywright:" in value


def _shown(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    yield b"plain", value
    yield b"hex", binascii.hexlify(value)
    for shift in range(3):
        text = binascii.b2a_base64(b"\0" * shift + value, newline=False)
        core = text[(0, 2, 3)[shift] : (shift + len(value)) * 8 // 6]
        yield b"base64-%d" % shift, core
        yield b"urlsafe-%d" % shift, core.replace(b"+", b"-").replace(b"/", b"_")
