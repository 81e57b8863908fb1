"""The environment in which our code asks the stand-ins' interfaces for the clouds', by cloud."""

from __future__ import annotations

PROJECT, SUBSCRIPTION = "our-project", "00000000-0000-4000-8000-000000000001"


def of(cloud: str, url: str) -> dict[str, str]:
    """Addresses and credentials. `url`: where `rest.serving` answers."""
    if cloud == "gcp":
        overrides = {
            "COMPUTE": f"{url}/compute/v1/",
            "STORAGE": f"{url}/storage/v1/",
            "SECRETMANAGER": f"{url}/",
            "IAM": f"{url}/",
            "CLOUDRESOURCEMANAGER": f"{url}/",
        }
        named = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": at for name, at in overrides.items()}
        return {"GOOGLE_CLOUD_PROJECT": PROJECT, "GOOGLE_OAUTH_ACCESS_TOKEN": "testing", **named}
    return {
        "ARM_SUBSCRIPTION_ID": SUBSCRIPTION,
        "ARM_ACCESS_TOKEN": "testing",
        "ARM_RESOURCE_MANAGER_ENDPOINT": url,
    }
