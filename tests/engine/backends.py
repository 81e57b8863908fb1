"""State backends for tests, each the real thing or its emulator: the URL of an empty one, and what its clients need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.agent.stores import ACCOUNT, BUCKET, KEY, emulator
from tests.standins import postgres

KINDS = ("file", "s3", "gs", "azblob", "postgres")


@contextlib.contextmanager
def serving(kind: str, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(URL, environment) of one of KINDS; gone afterwards."""
    if kind == "file":
        yield f"file://{folder}", {}
    elif kind == "postgres":
        with postgres.serving(folder) as url:
            yield f"{url}&table=pulumi_state", {}
    else:
        with emulator("gcs" if kind == "gs" else kind, folder) as made:
            query = {
                "s3": f"?region=us-east-1&endpoint={made.url}&s3ForcePathStyle=true",
                "gs": "",
                "azblob": f"?storage_account={ACCOUNT}&protocol=http&localemu=true"
                f"&domain={made.url.partition('://')[2]}",
            }[kind]
            env = {
                "s3": {"AWS_REGION": "us-east-1"},
                "gs": {
                    "STORAGE_EMULATOR_HOST": made.url.partition("://")[2],
                    "GOOGLE_OAUTH_ACCESS_TOKEN": "any",
                },
                "azblob": {"AZURE_STORAGE_ACCOUNT": ACCOUNT, "AZURE_STORAGE_KEY": KEY},
            }[kind]
            yield f"{kind}://{BUCKET}/team/state{query}", {**made.env, **env}
