"""What errors of Google Cloud mean, in the five words; they come as texts of the engine and of the API."""

from __future__ import annotations

import re

from stacks.cloud import Failure

SORTED: tuple[tuple[Failure, str], ...] = (
    (
        Failure.CAPACITY,
        r"ZONE_RESOURCE_POOL_EXHAUSTED|RESOURCE_POOL_EXHAUSTED|resource pool exhausted|stockout|"
        r"does not have enough resources available|"
        r"machine type .* does not exist in zone|is not available in zone|UNSUPPORTED_OPERATION.*zone",
    ),
    (Failure.QUOTA, r"QUOTA_EXCEEDED|quotaExceeded|Quota '[^']*' exceeded|exceeded quota|rateLimitExceeded"),
    (
        Failure.CREDENTIALS,
        r"invalid_grant|could not find default credentials|Invalid Credentials|authError|Reauthentication|"
        r"PERMISSION_DENIED|forbidden|Required '[^']*' permission|Request had invalid authentication|"
        r"SERVICE_DISABLED|accessNotConfigured|Error 40[13]",
    ),
    (Failure.NOT_FOUND, r"notFound|NOT_FOUND|was not found|Error 404"),
)


def sort(error: str) -> Failure:
    """Which kind of failure an engine message about Google Cloud is."""
    for failure, pattern in SORTED:
        if re.search(pattern, error, re.IGNORECASE):
            return failure
    return Failure.OTHER
