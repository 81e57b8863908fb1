"""AWS identities and keys: kinds of `iam`, `kms`, `secretsmanager` and `ssm`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.standins.aws_session import (
    account,
    client,
    gone,
    listed,
    mapped,
    refuse_if_told,
    region,
    tagged,
    tags,
    there,
    with_id,
)
from tests.standins.kind import Ask, Kind, Made
from tests.standins.shape import Wrong, unknown


def _must(made: Made | None) -> Made:
    assert made is not None, "it is not there right after it was made"
    return made


def _document(name: str) -> Any:
    def rules(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
        text = inputs.get(name)
        if text is None or unknown(text):
            return
        try:
            found = json.loads(text)
            good = isinstance(found, dict) and "Statement" in found
        except ValueError:
            good = False
        if not good:
            yield name, f'"{name}" contains an invalid JSON policy'

    return rules


# Role, its policies, InstanceProfile


def _role_create(ask: Ask) -> Made:
    refuse_if_told(ask, "Role")
    iam, given = client(ask, "iam"), ask.inputs
    optional = {
        "Description": given.get("description"),
        "MaxSessionDuration": given.get("maxSessionDuration"),
        "PermissionsBoundary": given.get("permissionsBoundary"),
        "Tags": listed(tags(ask)) or None,
    }
    iam.create_role(
        RoleName=given["name"],
        Path=given.get("path", "/"),
        AssumeRolePolicyDocument=given["assumeRolePolicy"],
        **{name: value for name, value in optional.items() if value is not None},
    )
    for arn in given.get("managedPolicyArns") or ():
        iam.attach_role_policy(RoleName=given["name"], PolicyArn=arn)
    for one in given.get("inlinePolicies") or ():
        iam.put_role_policy(RoleName=given["name"], PolicyName=one["name"], PolicyDocument=one["policy"])
    return _must(_role_read(with_id(ask, given["name"])))


def _role_read(ask: Ask) -> Made | None:
    seen = there(lambda: client(ask, "iam").get_role(RoleName=ask.id))
    if seen is None:
        return None
    role = seen["Role"]
    outputs = {
        "name": role["RoleName"],
        "arn": role["Arn"],
        "uniqueId": role["RoleId"],
        "path": role["Path"],
        "createDate": role["CreateDate"].isoformat(),
        "description": role.get("Description"),
        "maxSessionDuration": role.get("MaxSessionDuration", 3600),
    }
    return Made(ask.id, {**outputs, **tagged(ask, mapped(role.get("Tags")))})


def _role_update(ask: Ask) -> Mapping[str, Any]:
    iam = client(ask, "iam")
    if ask.changed("assumeRolePolicy"):
        iam.update_assume_role_policy(RoleName=ask.id, PolicyDocument=ask.inputs["assumeRolePolicy"])
    if ask.changed("description", "maxSessionDuration"):
        iam.update_role(
            RoleName=ask.id,
            Description=ask.inputs.get("description", ""),
            MaxSessionDuration=ask.inputs.get("maxSessionDuration", 3600),
        )
    _iam_tags(ask, "role", {"RoleName": ask.id})
    return _must(_role_read(ask)).outputs


def _iam_tags(ask: Ask, what: str, named: Mapping[str, str]) -> None:
    iam, now, wanted = client(ask, "iam"), ask.state.get("tagsAll") or {}, tags(ask)
    if now == wanted:
        return
    dropped = [name for name in now if name not in wanted]
    if dropped:
        getattr(iam, f"untag_{what}")(**named, TagKeys=dropped)
    getattr(iam, f"tag_{what}")(**named, Tags=listed(wanted))


def _role_delete(ask: Ask) -> None:
    iam = client(ask, "iam")
    if ask.state.get("forceDetachPolicies"):
        for one in iam.list_attached_role_policies(RoleName=ask.id)["AttachedPolicies"]:
            iam.detach_role_policy(RoleName=ask.id, PolicyArn=one["PolicyArn"])
    for one in ask.state.get("inlinePolicies") or ():
        iam.delete_role_policy(RoleName=ask.id, PolicyName=one["name"])
    for arn in ask.state.get("managedPolicyArns") or ():
        iam.detach_role_policy(RoleName=ask.id, PolicyArn=arn)
    gone(lambda: iam.delete_role(RoleName=ask.id))


ROLE = Kind(
    create=_role_create,
    read=_role_read,
    update=_role_update,
    delete=_role_delete,
    replaces=("name", "namePrefix", "path", "managedPolicyArns", "inlinePolicies"),
    name="name",
    kept=frozenset({"description", "maxSessionDuration", "path"}),
    rules=_document("assumeRolePolicy"),
)


def _inline_put(ask: Ask) -> Made:
    given = ask.inputs
    role = given["role"]
    client(ask, "iam").put_role_policy(
        RoleName=role, PolicyName=given["name"], PolicyDocument=given["policy"]
    )
    return Made(f"{role}:{given['name']}", {"name": given["name"], "role": role, "policy": given["policy"]})


def _inline_read(ask: Ask) -> Made | None:
    role, _, name = ask.id.partition(":")
    seen = there(lambda: client(ask, "iam").get_role_policy(RoleName=role, PolicyName=name))
    if seen is None:
        return None
    document = seen["PolicyDocument"]
    text = document if isinstance(document, str) else json.dumps(document)
    was = ask.inputs.get("policy")
    # The API gives the same document in other words: only another meaning is drift.
    if was and json.loads(was) == json.loads(text):
        text = was
    return Made(ask.id, {"role": role, "name": name, "policy": text})


def _inline_delete(ask: Ask) -> None:
    role, _, name = ask.id.partition(":")
    gone(lambda: client(ask, "iam").delete_role_policy(RoleName=role, PolicyName=name))


ROLE_POLICY = Kind(
    create=_inline_put,
    read=_inline_read,
    update=lambda ask: _inline_put(ask).outputs,
    delete=_inline_delete,
    replaces=("name", "namePrefix", "role"),
    name="name",
    rules=_document("policy"),
)


def _attached_create(ask: Ask) -> Made:
    role, arn = ask.inputs["role"], ask.inputs["policyArn"]
    client(ask, "iam").attach_role_policy(RoleName=role, PolicyArn=arn)
    return Made(f"{role}/{arn}", {"role": role, "policyArn": arn})


def _attached_read(ask: Ask) -> Made | None:
    role, _, arn = ask.id.partition("/")
    seen = there(lambda: client(ask, "iam").list_attached_role_policies(RoleName=role))
    found = {one["PolicyArn"] for one in (seen or {}).get("AttachedPolicies", ())}
    return Made(ask.id, {"role": role, "policyArn": arn}) if arn in found else None


def _attached_delete(ask: Ask) -> None:
    role, _, arn = ask.id.partition("/")
    gone(lambda: client(ask, "iam").detach_role_policy(RoleName=role, PolicyArn=arn))


ATTACHMENT = Kind(create=_attached_create, read=_attached_read, delete=_attached_delete)


def _profile_create(ask: Ask) -> Made:
    iam, given = client(ask, "iam"), ask.inputs
    more = {"Tags": listed(tags(ask))} if tags(ask) else {}
    iam.create_instance_profile(InstanceProfileName=given["name"], Path=given.get("path", "/"), **more)
    if given.get("role"):
        iam.add_role_to_instance_profile(InstanceProfileName=given["name"], RoleName=given["role"])
    return _must(_profile_read(with_id(ask, given["name"])))


def _profile_read(ask: Ask) -> Made | None:
    seen = there(lambda: client(ask, "iam").get_instance_profile(InstanceProfileName=ask.id))
    if seen is None:
        return None
    one = seen["InstanceProfile"]
    outputs = {
        "name": one["InstanceProfileName"],
        "arn": one["Arn"],
        "uniqueId": one["InstanceProfileId"],
        "path": one["Path"],
        "role": one["Roles"][0]["RoleName"] if one["Roles"] else None,
        "createDate": one["CreateDate"].isoformat(),
    }
    return Made(ask.id, {**outputs, **tagged(ask, mapped(one.get("Tags")))})


def _profile_update(ask: Ask) -> Mapping[str, Any]:
    iam = client(ask, "iam")
    if ask.changed("role"):
        if ask.old.get("role"):
            iam.remove_role_from_instance_profile(InstanceProfileName=ask.id, RoleName=ask.old["role"])
        if ask.inputs.get("role"):
            iam.add_role_to_instance_profile(InstanceProfileName=ask.id, RoleName=ask.inputs["role"])
    _iam_tags(ask, "instance_profile", {"InstanceProfileName": ask.id})
    return _must(_profile_read(ask)).outputs


def _profile_delete(ask: Ask) -> None:
    iam = client(ask, "iam")
    if ask.state.get("role"):
        gone(
            lambda: iam.remove_role_from_instance_profile(
                InstanceProfileName=ask.id, RoleName=ask.state["role"]
            )
        )
    gone(lambda: iam.delete_instance_profile(InstanceProfileName=ask.id))


PROFILE = Kind(
    create=_profile_create,
    read=_profile_read,
    update=_profile_update,
    delete=_profile_delete,
    replaces=("name", "namePrefix", "path"),
    name="name",
    kept=frozenset({"path"}),
)


# Key


def _key_create(ask: Ask) -> Made:
    kms, given = client(ask, "kms"), ask.inputs
    more = {"Policy": given["policy"]} if given.get("policy") else {}
    found = [{"TagKey": name, "TagValue": value} for name, value in tags(ask).items()]
    made = kms.create_key(Description=given.get("description", ""), Tags=found, **more)["KeyMetadata"]
    if given.get("enableKeyRotation"):
        kms.enable_key_rotation(KeyId=made["KeyId"])
    return _must(_key_read(with_id(ask, made["KeyId"])))


def _key_read(ask: Ask) -> Made | None:
    seen = there(lambda: client(ask, "kms").describe_key(KeyId=ask.id))
    if seen is None or seen["KeyMetadata"]["KeyState"] == "PendingDeletion":
        return None
    one = seen["KeyMetadata"]
    found = client(ask, "kms").list_resource_tags(KeyId=ask.id)["Tags"]
    outputs = {
        "keyId": one["KeyId"],
        "arn": one["Arn"],
        "description": one["Description"],
        "region": region(ask),
    }
    return Made(ask.id, {**outputs, **tagged(ask, {each["TagKey"]: each["TagValue"] for each in found})})


def _key_update(ask: Ask) -> Mapping[str, Any]:
    kms, now, wanted = client(ask, "kms"), ask.state.get("tagsAll") or {}, tags(ask)
    if ask.changed("description"):
        kms.update_key_description(KeyId=ask.id, Description=ask.inputs.get("description", ""))
    if ask.changed("enableKeyRotation"):
        (kms.enable_key_rotation if ask.inputs.get("enableKeyRotation") else kms.disable_key_rotation)(
            KeyId=ask.id
        )
    if now != wanted:
        kms.untag_resource(KeyId=ask.id, TagKeys=[name for name in now if name not in wanted])
        kms.tag_resource(
            KeyId=ask.id, Tags=[{"TagKey": name, "TagValue": value} for name, value in wanted.items()]
        )
    return _must(_key_read(ask)).outputs


KEY = Kind(
    create=_key_create,
    read=_key_read,
    update=_key_update,
    delete=lambda ask: gone(
        lambda: client(ask, "kms").schedule_key_deletion(
            KeyId=ask.id, PendingWindowInDays=int(ask.state.get("deletionWindowInDays") or 30)
        )
    ),
    replaces=("region", "customerMasterKeySpec", "keyUsage", "multiRegion"),
    kept=frozenset({"policy", "description"}),
)


# Secret (the container alone), Parameter


def _secret_create(ask: Ask) -> Made:
    refuse_if_told(ask, "Secret")
    given = ask.inputs
    optional = {
        "Description": given.get("description"),
        "KmsKeyId": given.get("kmsKeyId"),
        "Tags": listed(tags(ask)) or None,
    }
    made = client(ask, "secretsmanager").create_secret(
        Name=given["name"], **{name: value for name, value in optional.items() if value is not None}
    )
    return _must(_secret_read(with_id(ask, made["ARN"])))


def _secret_read(ask: Ask) -> Made | None:
    seen = there(lambda: client(ask, "secretsmanager").describe_secret(SecretId=ask.id))
    if seen is None or seen.get("DeletedDate"):
        return None
    outputs = {
        "name": seen["Name"],
        "arn": seen["ARN"],
        "kmsKeyId": seen.get("KmsKeyId"),
        "description": seen.get("Description"),
        "region": region(ask),
    }
    return Made(ask.id, {**outputs, **tagged(ask, mapped(seen.get("Tags")))})


def _secret_update(ask: Ask) -> Mapping[str, Any]:
    secrets, now, wanted = client(ask, "secretsmanager"), ask.state.get("tagsAll") or {}, tags(ask)
    if ask.changed("description", "kmsKeyId"):
        more = {"KmsKeyId": ask.inputs["kmsKeyId"]} if ask.inputs.get("kmsKeyId") else {}
        secrets.update_secret(SecretId=ask.id, Description=ask.inputs.get("description", ""), **more)
    if now != wanted:
        secrets.untag_resource(SecretId=ask.id, TagKeys=[name for name in now if name not in wanted])
        secrets.tag_resource(SecretId=ask.id, Tags=listed(wanted))
    return _must(_secret_read(ask)).outputs


def _secret_delete(ask: Ask) -> None:
    days = ask.state.get("recoveryWindowInDays")
    how: dict[str, Any] = {"RecoveryWindowInDays": int(30 if days is None else days)}
    if days == 0:
        how = {"ForceDeleteWithoutRecovery": True}
    gone(lambda: client(ask, "secretsmanager").delete_secret(SecretId=ask.id, **how))


SECRET = Kind(
    create=_secret_create,
    read=_secret_read,
    update=_secret_update,
    delete=_secret_delete,
    replaces=("region", "name", "namePrefix"),
    name="name",
    kept=frozenset({"kmsKeyId", "policy"}),
)


def _parameter_put(ask: Ask, overwrite: bool) -> Made:
    given = ask.inputs
    optional = {
        "Description": given.get("description"),
        "KeyId": given.get("keyId"),
        "Tier": given.get("tier"),
        "Tags": None if overwrite else listed(tags(ask)) or None,
    }
    client(ask, "ssm").put_parameter(
        Name=given["name"],
        Type=given["type"],
        Value=given["value"] if given.get("value") is not None else given["insecureValue"],
        Overwrite=overwrite,
        **{name: value for name, value in optional.items() if value is not None},
    )
    return _must(_parameter_read(with_id(ask, given["name"])))


def _parameter_read(ask: Ask) -> Made | None:
    seen = there(lambda: client(ask, "ssm").get_parameter(Name=ask.id, WithDecryption=True))
    if seen is None:
        return None
    one = seen["Parameter"]
    found = client(ask, "ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId=ask.id)["TagList"]
    outputs = {
        "name": one["Name"],
        "arn": f"arn:aws:ssm:{region(ask)}:{account(ask)}:parameter/{one['Name'].lstrip('/')}",
        "type": one["Type"],
        "value": one["Value"],
        "version": one["Version"],
        "region": region(ask),
        "dataType": "text",
        "tier": "Standard",
    }
    return Made(ask.id, {**outputs, **tagged(ask, mapped(found))})


def _parameter_update(ask: Ask) -> Mapping[str, Any]:
    if ask.changed("value", "insecureValue", "type", "description", "keyId"):
        _parameter_put(ask, overwrite=True)
    ssm, now, wanted = client(ask, "ssm"), ask.state.get("tagsAll") or {}, tags(ask)
    if now != wanted:
        of = {"ResourceType": "Parameter", "ResourceId": ask.id}
        ssm.remove_tags_from_resource(**of, TagKeys=[name for name in now if name not in wanted])
        ssm.add_tags_to_resource(**of, Tags=listed(wanted))
    return _must(_parameter_read(ask)).outputs


PARAMETER = Kind(
    create=lambda ask: _parameter_put(ask, overwrite=bool(ask.inputs.get("overwrite"))),
    read=_parameter_read,
    update=_parameter_update,
    delete=lambda ask: gone(lambda: client(ask, "ssm").delete_parameter(Name=ask.id)),
    replaces=("region", "name"),
    name="name",
    kept=frozenset({"tier", "dataType"}),
)


KINDS: dict[str, Kind] = {
    "aws:iam/role:Role": ROLE,
    "aws:iam/rolePolicy:RolePolicy": ROLE_POLICY,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": ATTACHMENT,
    "aws:iam/instanceProfile:InstanceProfile": PROFILE,
    "aws:kms/key:Key": KEY,
    "aws:secretsmanager/secret:Secret": SECRET,
    "aws:ssm/parameter:Parameter": PARAMETER,
}
