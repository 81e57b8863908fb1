"""Secret values at rest: encrypted with a key that stands in a file of its own, never in the store."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compiler.problem import Problem, Problems
from skywright.control.rows import Secret
from skywright.control.store import Store
from stacks import home

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


class Vault:
    """Seals JSON values under a scope. The encryption library is loaded when first needed (3 MB)."""

    def __init__(self, store: Store, key_file: Path) -> None:
        self._store = store
        self._key_file = key_file
        self._fernet: Fernet | None = None

    def put(self, scope: str, value: dict[str, Any]) -> None:
        """Keep `value` under `scope`; an empty one removes it."""
        with self._store.together():
            self._store.remove(Secret, scope=scope)
            if value:
                sealed = self._cipher().encrypt(json.dumps(value).encode()).decode()
                self._store.add(Secret(scope=scope, sealed=sealed))

    def get(self, scope: str) -> dict[str, Any]:
        """The value of `scope`, `{}` when there is none. Raises Problems when the key does not fit."""
        row = self._store.first(Secret, scope=scope)
        if row is None:
            return {}
        from cryptography.fernet import InvalidToken

        try:
            opened: dict[str, Any] = json.loads(self._cipher().decrypt(row.sealed.encode()))
        except InvalidToken:
            raise Problems(
                Problem(
                    "control/secrets-key",
                    f"{self._key_file} is not the key that the stored secrets were encrypted with",
                    hint="put the right key file back, or launch again with the secrets",
                )
            ) from None
        return opened

    def has(self, scope: str) -> bool:
        return self._store.first(Secret, scope=scope) is not None

    def forget(self, scope: str) -> None:
        self._store.remove(Secret, scope=scope)

    def _cipher(self) -> Fernet:
        if self._fernet is None:
            from cryptography.fernet import Fernet

            if not self._key_file.exists():
                home.write_first(self._key_file, Fernet.generate_key())
            os.chmod(self._key_file, 0o600)
            self._fernet = Fernet(self._key_file.read_bytes().strip())
        return self._fernet
