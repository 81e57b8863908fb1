"""What the clouds say when they have no capacity, when a quota is used up, when credentials have run out.

`Store.refuse(cloud, kind, text)` has a creation fail with it. In the providers' words around the interfaces' own, as
they reach whoever reads Pulumi's output.
"""

from __future__ import annotations

_RUN = "creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: {}, api error "


def aws_no_capacity(machine: str, zone: str) -> str:
    return _RUN.format(500) + (
        f"InsufficientInstanceCapacity: We currently do not have sufficient {machine} capacity in the Availability "
        f"Zone you requested ({zone}). Our system will be working on provisioning additional capacity."
    )


def aws_vcpu_limit(bucket: str = "p") -> str:
    return _RUN.format(400) + (
        "VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit of 0 allows for the "
        f"instance bucket that the specified instance type belongs to ({bucket}). Please visit "
        "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
    )


def aws_spot_limit() -> str:
    return _RUN.format(400) + "MaxSpotInstanceCountExceeded: Max spot instance count exceeded"


def aws_expired() -> str:
    return _RUN.format(400) + "RequestExpired: Request has expired."


def gcp_no_capacity(zone: str, project: str = "our-project") -> str:
    return (
        f"Error creating instance: googleapi: Error 503: The zone 'projects/{project}/zones/{zone}' does not have "
        "enough resources available to fulfill the request.  Try a different zone, or try again later., "
        "ZONE_RESOURCE_POOL_EXHAUSTED"
    )


def gcp_quota(metric: str, region: str) -> str:
    return (
        f"Error creating instance: googleapi: Error 403: Quota '{metric}' exceeded.  Limit: 0.0 in region {region}., "
        "QUOTA_EXCEEDED"
    )


def gcp_expired() -> str:
    return 'oauth2: "invalid_grant" "reauth related error (invalid_rapt)"'


def azure_no_size(size: str, location: str) -> str:
    return (
        'Status=409 Code="SkuNotAvailable" Message="The requested VM size for resource '
        f"'Following SKUs have failed for Capacity Restrictions: {size}' is currently not available in location "
        f"'{location}'. Please try another size or deploy to a different location or different zone.\""
    )


def azure_no_allocation() -> str:
    return (
        'Status=409 Code="ZonalAllocationFailed" Message="Allocation failed. We do not have sufficient capacity for '
        'the requested VM size in this zone."'
    )


def azure_quota(family: str, location: str) -> str:
    return (
        'Status=409 Code="OperationNotAllowed" Message="Operation could not be completed as it results in exceeding '
        f"approved {family} Cores quota. Additional details - Deployment Model: Resource Manager, Location: "
        f'{location}, Current Limit: 0, Current Usage: 0, Additional Required: 96."'
    )


def azure_expired() -> str:
    return "AADSTS700082: The refresh token has expired due to inactivity. To re-authenticate, please run: az login"
