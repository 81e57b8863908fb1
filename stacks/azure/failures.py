"""What errors of Azure mean, in the five words; they come as texts of the engine and of the API."""

from __future__ import annotations

import re

from stacks.cloud import Failure

SORTED: tuple[tuple[Failure, str], ...] = (
    (
        Failure.CAPACITY,
        r"SkuNotAvailable|AllocationFailed|ZonalAllocationFailed|OverconstrainedAllocationRequest|"
        r"OverconstrainedZonalAllocationRequest|not available in location|not available in zone|CapacityReserv\w*",
    ),
    (
        Failure.QUOTA,
        r"QuotaExceeded|exceeding approved .*quota|OperationNotAllowed.*(quota|core)|"
        r"LimitExceeded|SpotQuota|LowPriorityCores",
    ),
    (
        Failure.CREDENTIALS,
        r"AuthorizationFailed|AuthenticationFailed|InvalidAuthenticationToken|ExpiredAuthenticationToken|"
        r"AADSTS\d+|SubscriptionNotFound|LinkedAuthorizationFailed|az login|MissingSubscriptionRegistration|"
        r"RequestDisallowedByPolicy|Forbidden",
    ),
    (Failure.NOT_FOUND, r"ResourceGroupNotFound|ResourceNotFound|\bNotFound\b|was not found|does not exist"),
)


def sort(error: str) -> Failure:
    """Which kind of failure an engine message about Azure is."""
    for failure, pattern in SORTED:
        if re.search(pattern, error, re.IGNORECASE):
            return failure
    return Failure.OTHER
