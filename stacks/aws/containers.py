"""Values of secrets into their containers of Secrets Manager, beside Pulumi."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.spec import StackSpec
from stacks.aws import names, session
from stacks.cloud import Scope


def write(spec: StackSpec, values: Mapping[str, str]) -> None:
    """Only what differs is written: every write is a version of its own. Raises Problems `cloud/...`."""
    from botocore.exceptions import ClientError

    keeper = session.client("secretsmanager", session.region(Scope.of(spec)))
    for name in spec.secrets:
        if name not in values:
            continue
        container = names.secret(spec, name)
        with session.asking(f"writing the secret {name}"):
            try:
                now = keeper.get_secret_value(SecretId=container).get("SecretString")
            except ClientError as error:  # a container without a value is not found either
                if not session.missing(error):
                    raise
                now = None
            if now != values[name]:
                keeper.put_secret_value(SecretId=container, SecretString=values[name])
