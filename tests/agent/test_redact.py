"""Secrets are taken out of what is stored, whatever they stand in, and come back as they were."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from runtime import redact

VALUES = st.binary(max_size=80)
SECRETS = st.dictionaries(
    st.sampled_from([b"A", b"TOKEN", b"s"]), st.binary(min_size=1, max_size=30), min_size=1
)


@given(VALUES, SECRETS)
def test_what_was_hidden_comes_back(value: bytes, secrets: dict[bytes, bytes]) -> None:
    if b"\x01" in value or any(b"\x01" in secret for secret in secrets.values()):
        return
    mixed = value.join(secrets.values()) + base64.b64encode(value + next(iter(secrets.values())))
    known = redact.forms(secrets)
    assert redact.show(redact.hide(mixed, known), known) == mixed


@given(st.binary(max_size=7), st.binary(min_size=12, max_size=40), st.binary(max_size=7))
def test_base64_around_a_secret_is_found_in_every_alignment(
    before: bytes, secret: bytes, after: bytes
) -> None:
    known = redact.forms({b"TOKEN": secret})
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        stored = redact.hide(encode(before + secret + after), known)
        assert redact.hidden(stored)
        for shift in range(3):
            core = encode(b"\0" * shift + secret)[4 if shift else 0 : -4]
            assert core not in stored


def test_names_say_when_a_secret_is_missing() -> None:
    stored = redact.hide(b"https://canary-value@host", redact.forms({b"TOKEN": b"canary-value"}))
    assert b"canary" not in stored
    assert redact.hidden(redact.show(stored, redact.forms({b"OTHER": b"x"})))
