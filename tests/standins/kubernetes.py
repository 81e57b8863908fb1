"""The stand-in for `kubernetes`: applies server-side to a real API server, as the provider of that name does.

What it keeps of the real one (read in its source, 4.x): create refuses what exists unless `upsertExistingObjects`;
previews are dry runs of the server; differences are those between what the state knows of the live object, cut to
what was asked for, and what is asked for now; the same fields take a new object; a Job is waited for until it is
complete unless an annotation says otherwise, what `ignoreChanges` names is sent as it lives, and deletes are waited
for, but those of a Job with `skipAwait`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.standins.kind import Cloud, Refusal
from tests.standins.plugin import Provider, _data, _plain
from tests.standins.shape import UNKNOWN, differences, some_unknown, under

CLOUD = Cloud("kubernetes", {}, {})
MANAGER = "pulumi-kubernetes"
AWAITED_S = 10.0
"""The real one waits ten minutes; nothing that a test waits for takes longer than this."""

OF_PULUMI = "pulumi.com/"
SKIP, WAIT_FOR = f"{OF_PULUMI}skipAwait", f"{OF_PULUMI}waitFor"
FORCE, PROPAGATION = f"{OF_PULUMI}patchForce", f"{OF_PULUMI}deletionPropagationPolicy"

ALWAYS_NEW = ("metadata.name", "metadata.namespace", "apiVersion", "kind")
NEW: dict[tuple[str, str], tuple[str, ...]] = {
    ("batch/v1", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    ("v1", "ConfigMap"): ("data", "binaryData"),
    ("v1", "Secret"): ("type", "stringData", "data"),
    ("v1", "PersistentVolumeClaim"): ("spec",),
    ("v1", "Service"): ("spec.clusterIP",),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): ("roleRef",),
}
"""Fields whose change takes a new object."""


class Server:
    """The API server of one context of a kubeconfig with a token."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        given = str(settings.get("kubeconfig") or os.environ.get("KUBECONFIG") or "")
        if not given:
            raise Refusal(
                "unable to load Kubernetes client configuration from kubeconfig file: none is named"
            )
        config = yaml.safe_load(Path(given).read_text() if os.path.exists(given) else given)
        name = settings.get("context") or config["current-context"]
        context = _named(config["contexts"], str(name))["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        self.url = str(cluster["server"])
        self.namespace = str(settings.get("namespace") or context.get("namespace") or "default")
        self.token = str(_named(config["users"], context["user"])["user"]["token"])
        if "certificate-authority-data" in cluster:
            authority = {"cadata": base64.b64decode(cluster["certificate-authority-data"]).decode()}
        else:
            authority = {"cafile": cluster["certificate-authority"]}
        self.trusted = ssl.create_default_context(**authority)
        self.known: dict[str, dict[str, tuple[str, bool]]] = {}

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """One call; None for 404. Raises Refusal with the server's sentence."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(request, context=self.trusted, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            if error.code == 404:
                return None
            with contextlib.suppress(ValueError, KeyError):
                text = json.loads(text)["message"]
            raise Refusal(text) from None
        except OSError as error:
            raise Refusal(f"configured Kubernetes cluster is unreachable: {error}") from None

    def path(self, version: str, kind: str, namespace: str, name: str) -> str:
        """Where one object is found. Raises Refusal for a kind that the server does not have."""
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        if version not in self.known:
            found = self.ask("GET", root) or {"resources": []}
            self.known[version] = {
                one["kind"]: (one["name"], one["namespaced"])
                for one in found["resources"]
                if "/" not in one["name"]
            }
        if kind not in self.known[version]:
            raise Refusal(f'no matches for kind "{kind}" in version "{version}"')
        plural, namespaced = self.known[version][kind]
        within = f"/namespaces/{namespace}" if namespaced else ""
        return f"{root}{within}/{plural}/{name}"


class Kubernetes(Provider):
    """The protocol over objects of any kind that the server has."""

    def configure(self, request: Any) -> Any:
        answer = super().configure(request)
        self.server: Server | None = None
        return answer

    def check(self, request: Any) -> Any:
        """Names what nobody named, and puts what is in no namespace into the context's."""
        news, olds = _data(request.news), _data(request.olds)
        meta = dict(news.get("metadata") or {})
        if not meta.get("name"):
            seed = bytes(request.randomSeed).hex() or f"{abs(hash(request.urn)):x}"
            before = (olds.get("metadata") or {}).get("name")
            meta["name"] = before or f"{request.urn.rpartition('::')[2].lower()}-{seed[:8]}"
            meta["annotations"] = {**(meta.get("annotations") or {}), f"{OF_PULUMI}autonamed": "true"}
        if not meta.get("namespace"):
            meta["namespace"] = self._at().namespace
        answer = self.messages.CheckResponse()
        answer.inputs.update(_plain({**_bare(news), "metadata": meta}))
        return answer

    def diff(self, request: Any) -> Any:
        old, state, new = _data(request.old_inputs), _data(request.olds), _data(request.news)
        changed = differences(pruned(state, _normal(old)), _normal(new), frozenset())
        ignored = tuple(request.ignoreChanges)
        changed = {path: how for path, how in changed.items() if not under(path, ignored)}
        rules = (*ALWAYS_NEW, *NEW.get((new["apiVersion"], new["kind"]), ()))
        if self.config.get("enableSecretMutable") and new["kind"] == "Secret":
            rules = (*ALWAYS_NEW, "type")
        if self.config.get("enableConfigMapMutable") and new["kind"] == "ConfigMap":
            rules = ALWAYS_NEW
        replaces = [path for path in changed if under(path, rules)]
        kinds = self.messages.PropertyDiff
        autonamed = f"{OF_PULUMI}autonamed" in ((new.get("metadata") or {}).get("annotations") or {})
        return self.messages.DiffResponse(
            changes=self.messages.DiffResponse.DIFF_SOME if changed else self.messages.DiffResponse.DIFF_NONE,
            diffs=sorted({re.split(r"[.\[]", path)[0] for path in changed}),
            replaces=replaces,
            detailedDiff={
                path: kinds(kind=getattr(kinds, how.upper() + ("_REPLACE" if path in replaces else "")))
                for path, how in changed.items()
            },
            hasDetailedDiff=True,
            deleteBeforeReplace=bool(replaces) and not autonamed and _place(new) == _place(state),
        )

    def create(self, request: Any) -> Any:
        inputs = _data(request.properties)
        answer = self.messages.CreateResponse()
        if not request.preview:
            if not self.config.get("upsertExistingObjects") and self._get(inputs) is not None:
                raise Refusal(f"resource {_place(inputs)} was not successfully created: it already exists")
            made = self._apply(inputs)
            self._await(inputs)
            answer.id = "/".join(_place(made))
            answer.properties.update(_plain(_state(made)))
            return answer
        answer.properties.update(self._previewed(inputs))
        return answer

    def update(self, request: Any) -> Any:
        inputs = _data(request.news)
        self._leave(inputs, request.ignoreChanges)
        answer = self.messages.UpdateResponse()
        if request.preview:
            answer.properties.update(self._previewed(inputs))
            return answer
        made = self._apply(inputs)
        self._await(inputs)
        answer.properties.update(_plain(_state(made)))
        return answer

    def read(self, request: Any) -> Any:
        inputs, state = _data(request.inputs), _data(request.properties)
        live = self._get(inputs or state)
        if live is None:
            return self.messages.ReadResponse()
        answer = self.messages.ReadResponse(id="/".join(_place(live)))
        answer.properties.update(_plain(_state(live)))
        answer.inputs.update(_plain(pruned(live, _normal(inputs or state))))
        return answer

    def delete(self, request: Any) -> Any:
        state = _data(request.properties)
        notes = (state.get("metadata") or {}).get("annotations") or {}
        policy = str(notes.get(PROPAGATION, "foreground")).capitalize()
        path = self._path(state)
        self._at().ask(
            "DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
        )
        if not (notes.get(SKIP) == "true" and state["kind"] == "Job"):
            _until(lambda: self._get(state) is None, f"{path} is still there")
        return self.empty.Empty()

    # What they share.

    def _at(self) -> Server:
        if self.server is None:
            self.server = Server(self.config)
        return self.server

    def _path(self, what: Mapping[str, Any]) -> str:
        namespace, name = _place(what)
        return self._at().path(what["apiVersion"], what["kind"], namespace, name)

    def _get(self, what: Mapping[str, Any]) -> Any:
        return self._at().ask("GET", self._path(what))

    def _apply(self, inputs: Mapping[str, Any], *, dry: bool = False) -> Any:
        notes = (inputs.get("metadata") or {}).get("annotations") or {}
        force = notes.get(FORCE) == "true" or bool(self.config.get("enablePatchForce"))
        query = {"fieldManager": MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry:
            query["dryRun"] = "All"
        path = f"{self._path(inputs)}?{urllib.parse.urlencode(query)}"
        made = self._at().ask("PATCH", path, _bare(inputs), "application/apply-patch+yaml")
        if made is None:
            raise Refusal(f'namespaces "{_place(inputs)[0]}" not found')
        return made

    def _leave(self, inputs: dict[str, Any], ignored: Iterable[str]) -> None:
        """What is not to be changed is sent as it is now."""
        live = self._get(inputs) if ignored else None
        for path in ignored if live else ():
            *above, last = path.split(".")
            there, here = _at(live, above), _at(inputs, above)
            if here is not None and last in here:
                here[last] = pruned(there.get(last), here[last])

    def _previewed(self, inputs: dict[str, Any]) -> Any:
        """What a dry run of the server gives; the inputs where there is something that is not known yet."""
        if some_unknown(inputs):
            return _plain(inputs)
        made = _state(self._apply(inputs, dry=True))
        made.pop("status", None)
        made["metadata"]["uid"] = UNKNOWN
        return _plain(made)

    def _await(self, inputs: Mapping[str, Any]) -> None:
        notes = (inputs.get("metadata") or {}).get("annotations") or {}
        if notes.get(SKIP) == "true":
            return
        if waited := notes.get(WAIT_FOR):
            found = re.fullmatch(r"jsonpath=\{((?:\.\w+)+)\}", waited)
            if not found:
                raise Refusal(f"the stand-in does not know how to wait for {waited}")
            steps = found[1].strip(".").split(".")
            _until(lambda: _at(self._get(inputs), steps), f"{waited} never came true")
        elif inputs["kind"] == "Job":

            def complete() -> bool:
                live = self._get(inputs) or {}
                told = (live.get("status") or {}).get("conditions") or ()
                return any(one["type"] == "Complete" and one["status"] == "True" for one in told)

            _until(complete, f"the Job {_place(inputs)[1]} did not succeed in time")


PROVIDER = Kubernetes


def pruned(live: Any, asked: Any) -> Any:
    """What of a live object was asked for: the rest is the cluster's own."""
    if isinstance(live, Mapping) and isinstance(asked, Mapping):
        names = [name for name, value in asked.items() if value is not None and not name.startswith("__")]
        return {name: pruned(live.get(name), asked[name]) for name in names}
    if isinstance(live, list) and isinstance(asked, list) and len(live) == len(asked):
        return [pruned(one, wish) for one, wish in zip(live, asked, strict=True)]
    return live


def _state(live: Mapping[str, Any]) -> dict[str, Any]:
    meta = {name: value for name, value in live["metadata"].items() if name != "managedFields"}
    return {**live, "metadata": meta}


def _bare(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """An object as the server takes it: without what is nothing."""
    return {
        name: _bare(value)
        if isinstance(value, Mapping)
        else [_bare(one) if isinstance(one, Mapping) else one for one in value]
        if isinstance(value, list)
        else value
        for name, value in inputs.items()
        if value is not None and not name.startswith("__")
    }


def _normal(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """As the server keeps it: texts of a Secret are data."""
    made = _bare(inputs)
    if made.get("kind") == "Secret" and "stringData" in made:
        texts = made.pop("stringData")
        made["data"] = {
            **made.get("data", {}),
            **{name: base64.b64encode(text.encode()).decode() for name, text in texts.items()},
        }
    return made


def _place(what: Mapping[str, Any]) -> tuple[str, str]:
    meta = what["metadata"]
    return str(meta.get("namespace") or "default"), str(meta["name"])


def _named(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for row in rows:
        if row["name"] == name:
            return row
    raise Refusal(f'context "{name}" does not exist')


def _at(value: Any, steps: list[str]) -> Any:
    for step in steps:
        value = (value or {}).get(step)
    return value


def _until(what: Callable[[], Any], says: str) -> None:
    deadline = time.monotonic() + AWAITED_S
    while not what():
        if time.monotonic() > deadline:
            raise Refusal(f"timed out waiting for the condition: {says}")
        time.sleep(0.02)
