"""Whether a node is who it says: identity tokens of the metadata service, signed by Google."""

from __future__ import annotations

AUDIENCE = "skywright"


def holds(node: str, proof: str) -> bool:
    """Is `proof` a token that Google signed for the instance with the id `node`?"""
    if not node.isdigit() or proof.count(".") != 2:
        return False
    try:
        from google.auth.transport.requests import Request
        from google.oauth2 import id_token

        said = id_token.verify_oauth2_token(proof, Request(), audience=AUDIENCE)
    except Exception:
        return False
    engine = (said.get("google") or {}).get("compute_engine") or {}
    return str(engine.get("instance_id")) == node
