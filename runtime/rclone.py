"""rclone's command lines, its environment and its answers, for one bucket of a run. Starts nothing.

A bucket is a row of the desired state: `target`, `uri`, `store` (S3, GCS, AZURE), `bucket`, `path`, `mode` (COPY,
MOUNT, MOUNT_CACHED), `read_only`, `options` (rclone's own names), and where given `account`, `encryption`, `key`.
Keys stand in the child's environment alone: command lines name them nowhere.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Mapping, Optional

SECRETS = "SKYWRIGHT_BUCKETS_"
"""How names of secrets begin that hold the credentials for a kind of store, as JSON; no job is given them."""

REMOTE = "BUCKET"
ANSWER_S = "30s"
PASSED = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "GCE_METADATA_HOST")
PASSED_ENDS = ("_proxy", "_PROXY")
CHUNK = "16M"
"""Parts of uploads whose size is not known before: S3 takes 10,000 of them, which makes 156 GiB."""

LASTING = re.compile(
    r"directory not found|AccessDenied|access denied|Forbidden|InvalidAccessKeyId|SignatureDoesNotMatch"
    r"|NoSuchBucket|NoSuchKey|InvalidBucketName|ExpiredToken|AuthorizationPermissionMismatch|AuthenticationFailed"
    r"|ContainerNotFound|NoCredentialProviders|could not find default credentials|status code: 40[0-4]|Error 40[0-4]"
    r"|unknown flag|no space left",
    re.IGNORECASE,
)
"""What trying again does not help."""

MISSING = "rclone is not installed on this node, and the task has buckets (Debian, Ubuntu: apt install rclone fuse3)"


def credentials(bucket: Mapping[str, Any], secrets: Mapping[str, str]) -> Optional[dict[str, str]]:
    """Those that came with the run; None where the node's own identity is meant, empty where there are none."""
    text = secrets.get(SECRETS + bucket["store"])
    return None if text is None else dict(json.loads(text))


def environment(bucket: Mapping[str, Any], secrets: Mapping[str, str], home: str) -> dict[str, str]:
    """The whole environment of a child that works on the bucket."""
    values = {
        name: value for name, value in os.environ.items() if name in PASSED or name.endswith(PASSED_ENDS)
    }
    values.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    values.update(HOME=home, RCLONE_CONFIG="/dev/null", RCLONE_LOW_LEVEL_RETRIES="3", RCLONE_RETRIES="1")
    values.update(RCLONE_CONTIMEOUT="10s", RCLONE_TIMEOUT=ANSWER_S, RCLONE_USE_SERVER_MODTIME="true")
    values.update({"RCLONE_" + name.upper(): str(value) for name, value in bucket["options"].items()})
    given = credentials(bucket, secrets)
    remote = {"S3": _s3, "GCS": _gcs, "AZURE": _azure}[bucket["store"]](bucket, given)
    values.update(
        {f"RCLONE_CONFIG_{REMOTE}_{name.upper()}": value for name, value in remote.items() if value}
    )
    return values


def _s3(bucket: Mapping[str, Any], given: Optional[dict[str, str]]) -> dict[str, str]:
    found = given or {}
    endpoint, key, kind = found.get("endpoint", ""), bucket.get("key") or "", bucket.get("encryption") or ""
    return {
        "type": "s3",
        "provider": "Other" if endpoint else "AWS",
        "env_auth": "true" if given is None else "",
        "no_check_bucket": "true",
        "chunk_size": CHUNK,
        # A key that is given is the key that is used.
        "server_side_encryption": "aws:kms" if key else kind,
        "sse_kms_key_id": key,
        **{
            name: found.get(name, "")
            for name in ("access_key_id", "secret_access_key", "session_token", "region")
        },
        "endpoint": endpoint,
    }


def _gcs(_: Mapping[str, Any], given: Optional[dict[str, str]]) -> dict[str, str]:
    common = {"type": "google cloud storage", "bucket_policy_only": "true", "no_check_bucket": "true"}
    if given is None:
        return {**common, "env_auth": "true"}
    names = ("service_account_credentials", "token", "client_id", "client_secret", "endpoint")
    return {
        **common,
        **{name: given.get(name, "") for name in names},
        "anonymous": "" if given.get("token") or given.get("service_account_credentials") else "true",
    }


def _azure(bucket: Mapping[str, Any], given: Optional[dict[str, str]]) -> dict[str, str]:
    given = given or {}
    return {
        "type": "azureblob",
        "account": bucket.get("account") or "",
        **{name: given.get(name, "") for name in ("key", "sas_url", "endpoint")},
        "use_msi": "" if given.get("key") or given.get("sas_url") else "true",
    }


def where(bucket: Mapping[str, Any]) -> str:
    return f"{REMOTE}:{bucket['bucket']}/{bucket['path']}".rstrip("/")


def look(bucket: Mapping[str, Any]) -> list[str]:
    """Says a line for each thing at the top; whoever asks needs no more than the first."""
    return ["rclone", "lsf", "--max-depth", "1", where(bucket)]


def copy(bucket: Mapping[str, Any], place: str) -> list[str]:
    """A folder's content into the folder `place`, or one object to the file `place`; what is there already stays."""
    return [
        *("rclone", "copyto", where(bucket), place),
        *("--transfers", "16", "--checkers", "16", "--retries", "3"),
    ]


def chosen(bucket: Mapping[str, Any]) -> list[str]:
    """Of a folder only these are copied; a folder that a pattern names is meant with all in it."""
    words: list[str] = []
    for sign, patterns in (("-", bucket.get("exclude", ())), ("+", bucket.get("include", ()))):
        for pattern in patterns:
            plain = pattern.rstrip("/")
            words += ["--filter", f"{sign} {plain}", "--filter", f"{sign} {plain}/**"]
    return [*words, "--filter", "- *"] if bucket.get("include") else words


def refuses_choice(log: str) -> bool:
    """A single object is copied whatever patterns say: it is named."""
    return "limit to single files" in log


def mount(bucket: Mapping[str, Any], place: str, cache: str, everybody: bool) -> list[str]:
    """Serves the mount until it is taken off; tells in its log on which port its remote control listens."""
    words = ["rclone", "mount", where(bucket), place, "--allow-non-empty", "--dir-cache-time", "10s"]
    words += ["--rc", "--rc-addr", "127.0.0.1:0", "--cache-dir", cache]
    if everybody:
        words += ["--allow-other"]
    if bucket["read_only"]:
        words += ["--read-only"]
    if bucket["mode"] == "MOUNT_CACHED":
        words += ["--vfs-cache-mode", "full"]
        if "vfs_write_back" not in bucket["options"]:
            words += ["--vfs-write-back", "1s"]
    return words


def said(log: str, secrets: Mapping[str, str]) -> str:
    """The last thing that rclone complained of, in one line and without keys."""
    lines = [line for line in log.splitlines() if "Failed to" in line or "ERROR" in line or "Fatal" in line]
    line = re.sub(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", "", lines[-1] if lines else log.strip()[-300:])
    line = re.sub(r"^(ERROR|Fatal error|CRITICAL|NOTICE) *: *:? *", "", line)
    line = re.sub(r"^Failed to .*?(?:last error was)?: (?=\S)", "", line)
    after = log.rpartition(lines[-1])[2].strip().partition("\n")[0] if lines else ""
    line = f"{line} {after}".strip() if after.startswith(("caused by", "status code")) else line
    for name, text in secrets.items():
        if name.startswith(SECRETS):
            for value in json.loads(text).values():
                line = line.replace(value, "***") if len(value) > 3 else line
    return line[:400]


def explained(line: str) -> str:
    """rclone's words as ours where they mean something plain."""
    if "directory not found" in line:
        return "there is no such bucket"
    return line or "rclone said nothing"


def port(log: str) -> Optional[int]:
    found = re.findall(r"Serving remote control on http://127\.0\.0\.1:(\d+)/", log)
    return int(found[-1]) if found else None
