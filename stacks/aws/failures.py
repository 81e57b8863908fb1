"""What errors of AWS mean, in the five words; they come as texts of the engine and as codes of the API."""

from __future__ import annotations

import re

from stacks.cloud import Failure

SORTED: tuple[tuple[Failure, str], ...] = (
    (
        Failure.QUOTA,
        r"MaxSpotInstanceCountExceeded|VcpuLimitExceeded|InstanceLimitExceeded|AddressLimitExceeded|"
        r"(Vpc|Subnet|InternetGateway|SecurityGroup|RouteTable|VpcEndpoint|NetworkInterface|Volume|Bucket)s?"
        r"(PerInterface|PerVpc)?LimitExceeded|MaxIOPSLimitExceeded|VolumeLimitExceeded|TooManyBuckets|"
        r"RulesPerSecurityGroupLimitExceeded|ServiceQuotaExceeded|\bLimitExceeded",
    ),
    (
        Failure.CAPACITY,
        r"Insufficient(Instance|Host|ReservedInstance|FreeAddresses|Volume)\w*|SpotMaxPriceTooLow|"
        r"UnfulfillableCapacity|capacity-not-available|no Spot capacity available|"
        r"Server\.InternalError: Internal error on launch|"
        r"not supported in your requested Availability Zone|Unsupported: .*instance type|MaxPriceTooLow|"
        r"bad-parameters: .*capacity|price-too-low|"
        # Price lists name some that a region has no more: another place may.
        r"InvalidParameterValue: .*instance types do not exist",
    ),
    (
        Failure.CREDENTIALS,
        r"ExpiredToken|RequestExpired|InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|"
        r"AuthFailure|UnauthorizedOperation|UnauthorizedAccess|AccessDenied|InvalidAccessKeyId|OptInRequired|"
        r"PendingVerification|IncompleteSignature|MissingAuthenticationToken|not authorized to perform|"
        r"No valid credential|no EC2 IMDS role found|failed to refresh cached credentials|"
        r"Token has expired|Unable to locate credentials|AWS account ID not allowed",
    ),
    (
        Failure.NOT_FOUND,
        r"\.NotFound|NotFoundException|NoSuch(Bucket|Key|Entity)|no matching .* found|couldn't find resource|"
        r"InvalidAMIID|ParameterNotFound|empty result",
    ),
)
"""In this order: a refusal for the account's limits may speak of capacity as well."""


def sort(error: str) -> Failure:
    """Which kind of failure an engine message about AWS is."""
    for failure, pattern in SORTED:
        if re.search(pattern, error):
            return failure
    return Failure.OTHER
