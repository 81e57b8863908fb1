"""AWS objects: kinds of `s3`."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.standins.aws_session import (
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
from tests.standins.kind import Ask, Kind, Made, Refusal
from tests.standins.shape import Wrong, unknown


def _must(made: Made | None) -> Made:
    assert made is not None, "it is not there right after it was made"
    return made


# Bucket


def _bucket_create(ask: Ask) -> Made:
    refuse_if_told(ask, "Bucket")
    s3, name = client(ask, "s3"), ask.inputs["bucket"]
    where = region(ask)
    more = {} if where == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": where}}
    if ask.inputs.get("objectLockEnabled"):
        more["ObjectLockEnabledForBucket"] = True  # type: ignore[assignment]
    s3.create_bucket(Bucket=name, **more)
    if tags(ask):
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": listed(tags(ask))})
    _bucket_options(with_id(ask, name))
    return _must(_bucket_read(with_id(ask, name)))


def _bucket_options(ask: Ask) -> None:
    """What the old way of writing a bucket has as inputs of the bucket itself."""
    s3, given = client(ask, "s3"), ask.inputs
    versions = given.get("versioning") or (given.get("versionings") or [None])[0]
    if versions:
        status = "Enabled" if versions.get("enabled") else "Suspended"
        s3.put_bucket_versioning(Bucket=ask.id, VersioningConfiguration={"Status": status})
    if given.get("policy"):
        s3.put_bucket_policy(Bucket=ask.id, Policy=given["policy"])
    encryption = given.get("serverSideEncryptionConfiguration")
    if encryption:
        s3.put_bucket_encryption(
            Bucket=ask.id,
            ServerSideEncryptionConfiguration={"Rules": [_encryption_rule(encryption["rule"])]},
        )


def _bucket_read(ask: Ask) -> Made | None:
    s3 = client(ask, "s3")
    if there(lambda: s3.head_bucket(Bucket=ask.id)) is None:
        return None
    found = there(lambda: s3.get_bucket_tagging(Bucket=ask.id))
    where = s3.get_bucket_location(Bucket=ask.id)["LocationConstraint"] or "us-east-1"
    outputs = {
        "bucket": ask.id,
        "arn": f"arn:aws:s3:::{ask.id}",
        "bucketDomainName": f"{ask.id}.s3.amazonaws.com",
        "bucketRegionalDomainName": f"{ask.id}.s3.{where}.amazonaws.com",
        "region": where,
        "bucketRegion": where,
        "hostedZoneId": "Z3AQBSTGFYJSTF",
    }
    return Made(ask.id, {**outputs, **tagged(ask, mapped((found or {}).get("TagSet")))})


def _bucket_update(ask: Ask) -> Mapping[str, Any]:
    s3 = client(ask, "s3")
    if tags(ask) != (ask.state.get("tagsAll") or {}):
        if tags(ask):
            s3.put_bucket_tagging(Bucket=ask.id, Tagging={"TagSet": listed(tags(ask))})
        else:
            s3.delete_bucket_tagging(Bucket=ask.id)
    _bucket_options(ask)
    return _must(_bucket_read(ask)).outputs


def _bucket_delete(ask: Ask) -> None:
    s3 = client(ask, "s3")
    if ask.state.get("forceDestroy") and there(lambda: s3.head_bucket(Bucket=ask.id)):
        # moto deletes no versions while versioning is suspended.
        if s3.get_bucket_versioning(Bucket=ask.id).get("Status") == "Suspended":
            s3.put_bucket_versioning(Bucket=ask.id, VersioningConfiguration={"Status": "Enabled"})
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=ask.id):
            for one in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
                s3.delete_object(Bucket=ask.id, Key=one["Key"], VersionId=one["VersionId"])
    gone(lambda: s3.delete_bucket(Bucket=ask.id))


def _bucket_rules(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    import re

    name = inputs.get("bucket", "")
    if not unknown(name) and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
        yield (
            "bucket",
            f"invalid value for bucket ({name}): 3 to 63 lower case letters, digits, dots and hyphens",
        )


BUCKET = Kind(
    create=_bucket_create,
    read=_bucket_read,
    update=_bucket_update,
    delete=_bucket_delete,
    replaces=("region", "bucket", "bucketPrefix", "objectLockEnabled"),
    name="bucket",
    rules=_bucket_rules,
    kept=frozenset({"policy", "acl", "region"}),
)


# What is set on a bucket


def _setting(
    name: str, put: Any, get: Any, delete: Any, outputs: Any = lambda seen: {}, replaces: tuple[str, ...] = ()
) -> Kind:
    """One of S3's settings: a resource whose id is the bucket's."""

    def create(ask: Ask) -> Made:
        bucket = ask.inputs["bucket"]
        put(client(ask, "s3"), bucket, ask.inputs)
        return _must(read(with_id(ask, bucket)))

    def read(ask: Ask) -> Made | None:
        seen = there(lambda: get(client(ask, "s3"), ask.id))
        if seen is None:
            return None
        return Made(ask.id, {"bucket": ask.id, "region": region(ask), **outputs(seen)})

    def update(ask: Ask) -> Mapping[str, Any]:
        put(client(ask, "s3"), ask.id, ask.inputs)
        return _must(read(ask)).outputs

    return Kind(
        create=create,
        read=read,
        update=update,
        delete=lambda ask: gone(lambda: delete(client(ask, "s3"), ask.id)),
        replaces=("region", "bucket", *replaces),
    )


_BLOCKS = {
    "blockPublicAcls": "BlockPublicAcls",
    "blockPublicPolicy": "BlockPublicPolicy",
    "ignorePublicAcls": "IgnorePublicAcls",
    "restrictPublicBuckets": "RestrictPublicBuckets",
}

ACCESS_BLOCK = _setting(
    "access",
    lambda s3, bucket, given: s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={option: bool(given.get(name)) for name, option in _BLOCKS.items()},
    ),
    lambda s3, bucket: s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"],
    lambda s3, bucket: s3.delete_public_access_block(Bucket=bucket),
    lambda seen: {name: seen[option] for name, option in _BLOCKS.items()},
)


def _encryption_rule(one: Mapping[str, Any]) -> dict[str, Any]:
    by = one.get("applyServerSideEncryptionByDefault") or {}
    default = {"SSEAlgorithm": by["sseAlgorithm"]} if by else {}
    if by.get("kmsMasterKeyId"):
        default["KMSMasterKeyID"] = by["kmsMasterKeyId"]
    found: dict[str, Any] = {"ApplyServerSideEncryptionByDefault": default}
    if one.get("bucketKeyEnabled") is not None:
        found["BucketKeyEnabled"] = one["bucketKeyEnabled"]
    return found


ENCRYPTION = _setting(
    "encryption",
    lambda s3, bucket, given: s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={"Rules": [_encryption_rule(one) for one in given["rules"]]},
    ),
    lambda s3, bucket: s3.get_bucket_encryption(Bucket=bucket),
    lambda s3, bucket: s3.delete_bucket_encryption(Bucket=bucket),
)


def _lifecycle_rule(one: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"ID": one["id"], "Status": one["status"]}
    chosen = one.get("filter") or {}
    if chosen.get("tag"):
        found["Filter"] = {"Tag": {"Key": chosen["tag"]["key"], "Value": chosen["tag"]["value"]}}
    else:
        found["Filter"] = {"Prefix": chosen.get("prefix", one.get("prefix", ""))}
    if one.get("expiration"):
        names = {"days": "Days", "date": "Date", "expiredObjectDeleteMarker": "ExpiredObjectDeleteMarker"}
        found["Expiration"] = {
            option: one["expiration"][name] for name, option in names.items() if name in one["expiration"]
        }
    if one.get("abortIncompleteMultipartUpload"):
        days = one["abortIncompleteMultipartUpload"].get("daysAfterInitiation", 1)
        found["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    if one.get("noncurrentVersionExpiration"):
        days = one["noncurrentVersionExpiration"]["noncurrentDays"]
        found["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if one.get("transitions"):
        found["Transitions"] = [
            {"Days": each.get("days", 0), "StorageClass": each["storageClass"]} for each in one["transitions"]
        ]
    return found


LIFECYCLE = _setting(
    "lifecycle",
    lambda s3, bucket, given: s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={"Rules": [_lifecycle_rule(one) for one in given.get("rules") or ()]},
    ),
    lambda s3, bucket: s3.get_bucket_lifecycle_configuration(Bucket=bucket),
    lambda s3, bucket: s3.delete_bucket_lifecycle(Bucket=bucket),
)

OWNERSHIP = _setting(
    "ownership",
    lambda s3, bucket, given: s3.put_bucket_ownership_controls(
        Bucket=bucket,
        OwnershipControls={"Rules": [{"ObjectOwnership": given["rule"]["objectOwnership"]}]},
    ),
    lambda s3, bucket: s3.get_bucket_ownership_controls(Bucket=bucket),
    lambda s3, bucket: s3.delete_bucket_ownership_controls(Bucket=bucket),
)

VERSIONING = _setting(
    "versioning",
    lambda s3, bucket, given: s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": given["versioningConfiguration"]["status"]}
    ),
    lambda s3, bucket: s3.get_bucket_versioning(Bucket=bucket),
    lambda s3, bucket: s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
    ),
)

POLICY = _setting(
    "policy",
    lambda s3, bucket, given: s3.put_bucket_policy(
        Bucket=bucket,
        Policy=given["policy"] if isinstance(given["policy"], str) else json.dumps(given["policy"]),
    ),
    lambda s3, bucket: s3.get_bucket_policy(Bucket=bucket),
    lambda s3, bucket: s3.delete_bucket_policy(Bucket=bucket),
)


# Object


def content(inputs: Mapping[str, Any]) -> bytes:
    """What an object is to hold: its text, or the file or text of an asset."""
    if inputs.get("content") is not None:
        return str(inputs["content"]).encode()
    if inputs.get("contentBase64") is not None:
        return base64.b64decode(inputs["contentBase64"])
    source = inputs.get("source") or {}
    if source.get("text") is not None:
        return str(source["text"]).encode()
    if source.get("path"):
        return Path(source["path"]).read_bytes()
    raise Refusal("one of content, contentBase64 or source must be specified")


def _object_put(ask: Ask) -> Made:
    given = ask.inputs
    optional = {
        "ContentType": given.get("contentType"),
        "Metadata": given.get("metadata"),
        "ServerSideEncryption": given.get("serverSideEncryption"),
        "SSEKMSKeyId": given.get("kmsKeyId"),
        "StorageClass": given.get("storageClass"),
    }
    s3, bucket, key = client(ask, "s3"), given["bucket"], given["key"]
    s3.put_object(
        Bucket=bucket,
        Key=key,
        Body=content(given),
        **{name: value for name, value in optional.items() if value is not None},
    )
    if tags(ask):
        s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": listed(tags(ask))})
    return _must(_object_read(with_id(ask, key)))


def _object_read(ask: Ask) -> Made | None:
    given = {**ask.state, **ask.inputs}
    bucket, key = given["bucket"], given["key"]
    seen = there(lambda: client(ask, "s3").head_object(Bucket=bucket, Key=key))
    if seen is None:
        return None
    found = there(lambda: client(ask, "s3").get_object_tagging(Bucket=bucket, Key=key))
    outputs = {
        "bucket": bucket,
        "key": key,
        "arn": f"arn:aws:s3:::{bucket}/{key}",
        "contentType": seen.get("ContentType"),
        "etag": seen["ETag"].strip('"'),
        "versionId": seen.get("VersionId"),
        "region": region(ask),
    }
    return Made(key, {**outputs, **tagged(ask, mapped((found or {}).get("TagSet")))})


def _object_delete(ask: Ask) -> None:
    bucket, key = ask.state["bucket"], ask.state["key"]
    gone(lambda: client(ask, "s3").delete_object(Bucket=bucket, Key=key))


OBJECT = Kind(
    create=_object_put,
    read=_object_read,
    update=lambda ask: _object_put(ask).outputs,
    delete=_object_delete,
    replaces=("region", "bucket", "key"),
    name="key",
    kept=frozenset({"contentType", "etag"}),
)


KINDS: dict[str, Kind] = {
    "aws:s3/bucket:Bucket": BUCKET,
    "aws:s3/bucketV2:BucketV2": BUCKET,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": ACCESS_BLOCK,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": ENCRYPTION,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": LIFECYCLE,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": OWNERSHIP,
    "aws:s3/bucketVersioning:BucketVersioning": VERSIONING,
    "aws:s3/bucketPolicy:BucketPolicy": POLICY,
    "aws:s3/bucketObject:BucketObject": OBJECT,
    "aws:s3/bucketObjectv2:BucketObjectv2": OBJECT,
}
