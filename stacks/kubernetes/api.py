"""Speaks to Kubernetes clusters as the person whose kubeconfig it is.

The official client reads the kubeconfig and logs in; calls go straight to the API, for its methods change with every
release of the client.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from compiler.problem import Problem, Problems
from stacks.cloud import Scope

TIMEOUT_S = (5.0, 20.0)
"""For connecting, and for an answer."""

INSIDE = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its own identity."""

HERE = "in-cluster"
"""The context of a process that runs in a pod."""

MANAGER = "skywright"


@dataclass(frozen=True, slots=True)
class Permission:
    """What a role has to allow in the namespace. `wanted_for` None: for everything, else the one thing without it."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    wanted_for: str | None = None

    def __str__(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


_KEPT = ("get", "list", "watch", "create", "patch", "delete")

PERMISSIONS = (
    Permission("", "configmaps", _KEPT),
    Permission("", "secrets", _KEPT),
    Permission("", "services", _KEPT),
    Permission("networking.k8s.io", "networkpolicies", _KEPT),
    Permission("batch", "jobs", _KEPT),
    Permission("", "pods", ("get", "list", "watch", "delete")),
    Permission("", "events", ("list", "watch")),
    Permission("", "persistentvolumeclaims", ("get", "create", "patch"), "kept `checkpoint` folder"),
    Permission("kueue.x-k8s.io", "workloads", ("list",), "word of why a queue of Kueue holds a task back"),
    Permission("", "pods/exec", ("get", "create"), "`ssh`, and the link to nodes"),
    Permission("", "pods/portforward", ("get", "create"), "`forward`"),
)
"""All that is asked for in the namespace; docs/clouds/kubernetes.md has it as a Role."""


def files() -> str:
    """The kubeconfig, as it is named now: the client would go on with what was named when it was imported."""
    return os.environ.get("KUBECONFIG") or "~/.kube/config"


def contexts() -> tuple[tuple[str, ...], str | None]:
    """Names of the kubeconfig's contexts, and the current one; a pod's own identity counts as one."""
    from kubernetes import config

    try:
        told: Any = config.list_kube_config_contexts(config_file=files())
    except (config.ConfigException, OSError):
        inside = (HERE,) if (INSIDE / "token").exists() else ()
        return inside, inside[0] if inside else None
    found, current = told
    return tuple(one["name"] for one in found), current["name"] if current else None


def chosen(scope: Scope) -> str | None:
    """The context that is meant: of the scope, else the current one; None where there is none."""
    return scope.region or scope.given.context or contexts()[1]


@dataclass(frozen=True, slots=True)
class Node:
    """A node's id taken apart: `<pod>.<namespace>@<context>`."""

    pod: str
    namespace: str
    context: str

    @classmethod
    def parse(cls, text: str) -> Node | None:
        place, at, context = text.partition("@")
        pod, dot, namespace = place.partition(".")
        return cls(pod, namespace, context) if at and dot and pod and namespace else None

    def __str__(self) -> str:
        return f"{self.pod}.{self.namespace}@{self.context}"


class Cluster:
    """One context of the kubeconfig, in one namespace. Every call may raise Problems cloud/credentials,
    cloud/no-answer."""

    def __init__(self, context: str, namespace: str | None = None, file: str | None = None) -> None:
        from kubernetes import client, config

        self.context = context
        with speaking(context):
            if context == HERE and (INSIDE / "token").exists() and not configured():
                settings = client.Configuration()
                config.load_incluster_config(client_configuration=settings)
                self.namespace = namespace or (INSIDE / "namespace").read_text().strip()
            else:
                settings = client.Configuration()
                config.load_kube_config(
                    file or files(), context=context, client_configuration=settings, persist_config=False
                )
                self.namespace = namespace or _namespace(context)
            self.host = str(settings.host)
            self.pool = _pool(settings)
            self._login: Any = settings

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        kind: str = "application/json",
        token: str | None = None,
    ) -> Any:
        """One call; the answer as plain data, None for 404. `token` speaks for somebody else."""
        headers = {"Accept": "application/json", "Content-Type": kind}
        with speaking(self.context):
            if token is not None:
                headers["Authorization"] = f"Bearer {token}"
            else:
                for one in self._login.auth_settings().values():  # renewed by the client when it has ended
                    headers[one["key"]] = one["value"]
            # A client certificate would say who we are, whatever the token says.
            pool = self.pool if token is None else _pool(self._login, with_certificate=False)
            try:
                answer = pool.request(
                    method,
                    self.host + path + (f"?{urlencode(query)}" if query else ""),
                    body=None if body is None else json.dumps(body).encode(),
                    headers=headers,
                )
            finally:
                if pool is not self.pool:
                    pool.clear()
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise Problems(refusal(self.context, answer.status, answer.data))
        return json.loads(answer.data) if answer.data else {}

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Objects of the namespace: `pods`, `apis/batch/v1:jobs`."""
        query = {"labelSelector": selector} if selector else None
        found = self.call("GET", self.path(kind), query=query)
        return list(found["items"]) if found else []

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.call("GET", f"{self.path(kind)}/{name}")
        return found

    def delete(self, kind: str, name: str, grace_s: int | None = None) -> None:
        """Delete an object and what it owns; nothing when there is none."""
        body: dict[str, Any] = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
        }
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        self.call("DELETE", f"{self.path(kind)}/{name}", body)

    def apply(self, kind: str, body: Mapping[str, Any]) -> None:
        """Make or change an object, server-side, as ours."""
        path = f"{self.path(kind)}/{body['metadata']['name']}"
        query = {"fieldManager": MANAGER, "force": "true"}
        self.call("PATCH", path, dict(body), query, "application/apply-patch+yaml")

    def path(self, kind: str) -> str:
        root, _, plural = kind.rpartition(":")
        return f"/{root or 'api/v1'}/namespaces/{self.namespace}/{plural}"

    def lacking(self, permissions: Sequence[Permission] = PERMISSIONS) -> list[tuple[Permission, list[str]]]:
        """What of `permissions` this person does not have here, asked of the cluster one by one."""
        found = []
        for one in permissions:
            missing = [verb for verb in one.verbs if not self.may(one.group, one.resource, verb)]
            if missing:
                found.append((one, missing))
        return found

    def may(self, group: str, resource: str, verb: str, namespaced: bool = True) -> bool:
        name, _, below = resource.partition("/")
        asked = {"group": group, "resource": name, "subresource": below, "verb": verb}
        if namespaced:
            asked["namespace"] = self.namespace
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = self.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        return bool((answer or {}).get("status", {}).get("allowed"))

    def serves(self, group: str) -> str | None:
        """The version that the cluster prefers of a group of APIs (`kueue.x-k8s.io`); None where it has none."""
        found = self.call("GET", "/apis") or {}
        versions = {one["name"]: one["preferredVersion"]["version"] for one in found.get("groups", ())}
        return versions.get(group)

    def who(self, token: str) -> dict[str, Any]:
        """Whom the cluster takes the bearer of `token` for; empty when it lets nobody in with it."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            found = self.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body, token=token)
        except Problems as problems:
            if problems.problems[0].code == "cloud/credentials":
                return {}
            raise
        user: dict[str, Any] = (found or {}).get("status", {}).get("userInfo", {})
        return user

    def close(self) -> None:
        self.pool.clear()


@contextlib.contextmanager
def cluster(context: str, namespace: str | None = None, file: str | None = None) -> Iterator[Cluster]:
    """A cluster, its connections closed afterwards. `file` is another kubeconfig than the environment names."""
    made = Cluster(context, namespace, file)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def speaking(context: str) -> Iterator[None]:
    """Errors of the client become Problems."""
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ConfigException as error:
        text = f"the kubeconfig does not lead to cluster {context}: {error}"
        raise Problems(Problem("cloud/credentials", text, hint="KUBECONFIG names the file")) from None
    except (HTTPError, OSError, ValueError) as error:
        text = f"cluster {context} cannot be reached: {_brief(error)}"
        raise Problems(Problem("cloud/no-answer", text, hint=_hint(context))) from None


def refusal(context: str, status: int, content: bytes, says: str | None = None) -> Problem:
    """What an answer means that is no good: its own sentence, or `says`."""
    try:
        says = str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        says = says or f"it answered {status}"
    code = "cloud/credentials" if status in (401, 403) else "cloud/no-answer"
    return Problem(code, f"cluster {context}: {says}", hint=_hint(context))


def _hint(context: str) -> str:
    return f"`kubectl --context {context} auth whoami` says who you are there"


def _pool(settings: Any, *, with_certificate: bool = True) -> Any:
    """Connections as the kubeconfig says; one try each, since who asks has a time limit of their own."""
    import urllib3

    more: dict[str, Any] = {}
    if data := getattr(settings, "ca_cert_data", None):
        more["ca_cert_data"] = data
    if settings.tls_server_name:
        more["server_hostname"] = settings.tls_server_name
    more |= {
        "cert_reqs": "CERT_REQUIRED" if settings.verify_ssl else "CERT_NONE",
        "ca_certs": settings.ssl_ca_cert,
        "cert_file": settings.cert_file if with_certificate else None,
        "key_file": settings.key_file if with_certificate else None,
        "timeout": urllib3.Timeout(*TIMEOUT_S),
        "retries": False,
    }
    if settings.proxy:
        return urllib3.ProxyManager(settings.proxy, proxy_headers=settings.proxy_headers, **more)
    return urllib3.PoolManager(**more)


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def configured() -> bool:
    return bool(os.environ.get("KUBECONFIG")) or (Path.home() / ".kube" / "config").exists()


def _namespace(context: str) -> str:
    from kubernetes import config

    rows: Any = config.list_kube_config_contexts(config_file=files())[0]
    named = {one["name"]: one["context"] for one in rows}
    return str(named.get(context, {}).get("namespace") or "default")
