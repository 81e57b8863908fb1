"""A stand-in as the process that the engine starts for an unmodified SDK: the provider protocol over a Cloud."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

from stacks.provider import room
from stacks.provider.server import wire
from tests.standins.kind import Ask, Cloud, Kind, Made, Refusal
from tests.standins.shape import UNKNOWN, Shapes, differences, some_unknown, under
from tests.standins.store import Store

MODULES = {
    "aws": "tests.standins.aws",
    "gcp": "tests.standins.gcp",
    "azure-native": "tests.standins.azure",
    "kubernetes": "tests.standins.kubernetes",
}

_TAGS_OF_NOBODY = frozenset({"version", "pluginDownloadURL", "pluginDownloadUrl"})


class Provider:
    """One method per call of the protocol: a request in, an answer out."""

    def __init__(self, cloud: Cloud, shapes: Shapes, store: Store, version: str) -> None:
        self.cloud, self.shapes, self.store, self.version = cloud, shapes, store, version
        self.config: dict[str, Any] = {}
        self.messages, self.empty = wire()

    # The provider itself.

    def get_plugin_info(self, request: Any) -> Any:
        return importlib.import_module("pulumi.runtime.proto.plugin_pb2").PluginInfo(version=self.version)

    def get_schema(self, request: Any) -> Any:
        schema = json.dumps({"name": self.cloud.package, "version": self.version})
        return self.messages.GetSchemaResponse(schema=schema)

    def attach(self, request: Any) -> Any:
        return self.empty.Empty()

    def cancel(self, request: Any) -> Any:
        return self.empty.Empty()

    def check_config(self, request: Any) -> Any:
        news = _data(request.news)
        wrong = self.shapes.object(self.shapes.schema["config"], self._settings(news))
        return self.messages.CheckResponse(
            inputs=request.news,
            failures=[self.messages.CheckFailure(property=name, reason=reason) for name, reason in wrong],
        )

    def diff_config(self, request: Any) -> Any:
        old, new = _data(request.old_inputs) or _data(request.olds), _data(request.news)
        same = all(old.get(name) == new.get(name) for name in {*old, *new} - _TAGS_OF_NOBODY)
        kinds = self.messages.DiffResponse
        return kinds(changes=kinds.DIFF_NONE if same else kinds.DIFF_SOME)

    def configure(self, request: Any) -> Any:
        self.config = self.cloud.configure(self._settings(_data(request.args)))
        return self.messages.ConfigureResponse(acceptSecrets=False, supportsPreview=True)

    def _settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Provider configuration as values: on the wire everything but a text is JSON in a text."""
        known = self.shapes.schema["config"]["inputs"]
        found: dict[str, Any] = {}
        for name, value in given.items():
            if name in _TAGS_OF_NOBODY or name.startswith("__") or value is None:
                continue
            if isinstance(value, str) and known.get(name, "str") != "str" and value != UNKNOWN:
                try:
                    value = json.loads(value)
                except ValueError:
                    pass
            found[name] = value
        return found

    # Resources.

    def check(self, request: Any) -> Any:
        token = _token(request.urn)
        news, olds = _data(request.news), _data(request.olds)
        kind = self.cloud.kinds.get(token)
        if kind is None:
            raise Refusal(f"{token} is not a kind that the stand-in for {self.cloud.package} knows")
        news = {name: value for name, value in news.items() if value is not None}
        self._fill(kind, news, olds, request)
        wrong = list(self.shapes.object(self.shapes.schema["resources"][token], news))
        if not wrong:
            wrong = list(kind.rules(news))
        answer = self.messages.CheckResponse(
            failures=[self.messages.CheckFailure(property=name, reason=reason) for name, reason in wrong]
        )
        answer.inputs.update(news)
        return answer

    def _fill(self, kind: Kind, news: dict[str, Any], olds: Mapping[str, Any], request: Any) -> None:
        """Defaults, and the name that Pulumi gives when nobody does."""
        for name, value in kind.defaults.items():
            news.setdefault(name, value)
        if kind.name and news.get(kind.name) is None:
            if olds.get("__autonamed"):
                news[kind.name] = olds[kind.name]
            else:
                seed = bytes(request.randomSeed).hex() or f"{zlib.crc32(request.urn.encode()):08x}"
                news[kind.name] = f"{request.urn.rpartition('::')[2].lower()}{kind.joint}{seed[:7]}"
            news["__autonamed"] = True

    def diff(self, request: Any) -> Any:
        kind = self.cloud.kinds[_token(request.urn)]
        ask = self._ask(request, _data(request.news), _data(request.olds), _data(request.old_inputs))
        changed = differences(ask.old, ask.inputs, kind.sets)
        changed = {path: how for path, how in changed.items() if how != "delete" or path not in kind.kept}
        rules = ("*",) if kind.update is None else (*kind.replaces, *kind.replaces_when(ask))
        replaces = [path for path in changed if under(path, rules)]
        kinds = self.messages.PropertyDiff
        names = {
            path: getattr(kinds, how.upper() + ("_REPLACE" if path in replaces else ""))
            for path, how in changed.items()
        }
        first = kind.delete_first or (
            kind.name is not None
            and not ask.inputs.get("__autonamed")
            and ask.inputs.get(kind.name) == ask.old.get(kind.name)
        )
        return self.messages.DiffResponse(
            changes=self.messages.DiffResponse.DIFF_SOME if changed else self.messages.DiffResponse.DIFF_NONE,
            diffs=sorted({re.split(r"[.\[]", path)[0] for path in changed}),
            replaces=sorted({re.split(r"[.\[]", path)[0] for path in replaces}),
            detailedDiff={path: kinds(kind=how, inputDiff=True) for path, how in names.items()},
            hasDetailedDiff=True,
            deleteBeforeReplace=bool(replaces) and first,
        )

    def create(self, request: Any) -> Any:
        inputs = _data(request.properties)
        token = _token(request.urn)
        if request.preview:
            answer = self.messages.CreateResponse()
            answer.properties.update(self._planned(token, inputs, {}))
            return answer
        if some_unknown(inputs):
            raise Refusal(f"{token} was created with an input that is not known: a bug of the caller")
        made = self.cloud.kinds[token].create(self._ask(request, inputs, {}, {}))
        answer = self.messages.CreateResponse(id=made.id)
        answer.properties.update(_plain({**inputs, **made.outputs}))
        return answer

    def _planned(self, token: str, inputs: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
        """What a preview knows: inputs, for one that exists its old outputs, and signs for all the rest."""
        outputs = self.shapes.schema["resources"][token]["outputs"]
        shaped = self.cloud.kinds[token].shaped
        told = {name: value for name, value in inputs.items() if name not in shaped}
        return {**dict.fromkeys(outputs, UNKNOWN), **old, **told}

    def read(self, request: Any) -> Any:
        token = _token(request.urn)
        state, inputs = _data(request.properties), _data(request.inputs)
        ask = self._ask(request, inputs, state, inputs)
        made = self.cloud.kinds[token].read(ask)
        if made is None:
            return self.messages.ReadResponse()
        found = self._inputs_now(token, made, inputs, fresh=not (state or inputs))
        answer = self.messages.ReadResponse(id=made.id)
        answer.properties.update(_plain({**state, **found, **made.outputs}))
        answer.inputs.update(_plain(found))
        return answer

    def _inputs_now(self, token: str, made: Made, inputs: Mapping[str, Any], fresh: bool) -> dict[str, Any]:
        """The inputs that a resource has now; of a `fresh` import all that say something."""
        if made.inputs is not None:
            return dict(made.inputs)
        known = self.shapes.schema["resources"][token]["inputs"]
        if fresh:
            return {
                name: value
                for name, value in made.outputs.items()
                if name in known and value not in (None, {}, [], "")
            }
        found = {
            name: self.shapes.seen(known.get(name, "any"), value, made.outputs.get(name, value))
            for name, value in inputs.items()
        }
        # What only an outside hand can have added.
        if "tags" in known and "tags" not in found and made.outputs.get("tags"):
            found["tags"] = made.outputs["tags"]
        return found

    def update(self, request: Any) -> Any:
        inputs, state = _data(request.news), _data(request.olds)
        token = _token(request.urn)
        answer = self.messages.UpdateResponse()
        if request.preview:
            answer.properties.update(self._planned(token, inputs, state))
            return answer
        kind = self.cloud.kinds[token]
        assert kind.update is not None
        old = _data(request.old_inputs)
        outputs = kind.update(self._ask(request, inputs, state, old))
        gone = {name: None for name in old if name not in inputs}
        answer.properties.update(_plain({**state, **gone, **inputs, **outputs}))
        return answer

    def delete(self, request: Any) -> Any:
        state = _data(request.properties)
        inputs = _data(request.old_inputs)
        self.cloud.kinds[_token(request.urn)].delete(self._ask(request, inputs, state, inputs))
        return self.empty.Empty()

    def invoke(self, request: Any) -> Any:
        arguments = {name: value for name, value in _data(request.args).items() if value is not None}
        found = self.cloud.functions.get(request.tok)
        if found is None:
            raise Refusal(f"{request.tok} is not a look-up of the stand-in for {self.cloud.package}")
        wrong = list(self.shapes.object(self.shapes.schema["functions"][request.tok], arguments))
        if wrong:
            return self.messages.InvokeResponse(
                failures=[self.messages.CheckFailure(property=name, reason=reason) for name, reason in wrong]
            )
        result = found(arguments, Ask("", "", {}, {}, {}, self.config, self.store))
        answer = self.messages.InvokeResponse()
        getattr(answer, "return").update(_plain({**arguments, **result}))
        return answer

    def _ask(
        self, request: Any, inputs: Mapping[str, Any], state: Mapping[str, Any], old: Mapping[str, Any]
    ) -> Ask:
        found = str(getattr(request, "id", ""))
        return Ask(request.urn, found, inputs, state, old, self.config, self.store)


def _token(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _data(struct: Any) -> dict[str, Any]:
    """A protobuf Struct as plain data, whole numbers as int."""
    return {name: _value(value) for name, value in struct.fields.items()}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _data(value.struct_value)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        return int(number) if number == int(number) else number
    return None if kind in (None, "null_value") else getattr(value, kind)


def _plain(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(name): _plain(value) for name, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(item) for item in data]
    return data


CALLS = {
    "GetPluginInfo": "Empty",
    "GetSchema": "GetSchemaRequest",
    "Attach": "PluginAttach",
    "CheckConfig": "CheckRequest",
    "DiffConfig": "DiffRequest",
    "Configure": "ConfigureRequest",
    "Check": "CheckRequest",
    "Diff": "DiffRequest",
    "Create": "CreateRequest",
    "Read": "ReadRequest",
    "Update": "UpdateRequest",
    "Delete": "DeleteRequest",
    "Invoke": "InvokeRequest",
    "Cancel": "Empty",
}
COUNTED = frozenset({"Create", "Read", "Update", "Delete"})
"""Calls that reach the cloud: a test may have the plugin held before and after each."""


def handlers(provider: Provider, grpc: Any) -> Any:
    """The protocol's methods that a stand-in has; the engine takes UNIMPLEMENTED for the rest."""
    plugin = importlib.import_module("pulumi.runtime.proto.plugin_pb2")

    def guarded(name: str) -> Callable[[Any, Any], Any]:
        call = getattr(provider, re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower())

        def answer(request: Any, context: Any) -> Any:
            counted = name in COUNTED and not getattr(request, "preview", False)
            package = provider.cloud.package
            try:
                if counted:
                    provider.store.step(package, name, request.urn, "before")
                result = call(request)
                if counted:
                    provider.store.step(package, name, request.urn, "after")
                return result
            except Refusal as refusal:
                reason = str(refusal)
            except Exception as error:
                reason = _reason(error)
            return context.abort(grpc.StatusCode.UNKNOWN, reason)

        return answer

    def message(name: str) -> Any:
        return next(
            getattr(module, name)
            for module in (provider.messages, provider.empty, plugin)
            if hasattr(module, name)
        )

    return grpc.method_handlers_generic_handler(
        "pulumirpc.ResourceProvider",
        {
            name: grpc.unary_unary_rpc_method_handler(
                guarded(name),
                request_deserializer=message(request).FromString,
                response_serializer=lambda answer: answer.SerializeToString(),
            )
            for name, request in CALLS.items()
        },
    )


def _reason(error: Exception) -> str:
    """An API's own words, or where the stand-in is wrong."""
    answer = getattr(error, "response", None)
    if isinstance(answer, Mapping) and "Error" in answer:
        code, says = answer["Error"].get("Code"), answer["Error"].get("Message")
        operation = getattr(error, "operation_name", "")
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return f"operation error: {operation}, https response error StatusCode: {status}, api error {code}: {says}"
    return "".join(traceback.format_exception(error))


def main(package: str, schema: str, version: str) -> None:
    """Serve until the engine is done with us: it ends us, or ends itself, which we must not outlive."""
    parent = os.getppid()

    def ended(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(1)

    signal.signal(signal.SIGUSR2, ended)
    room.die_with_parent(signal.SIGUSR2)
    ended()
    wire()
    import grpc

    with open(schema) as file:
        shapes = Shapes(json.load(file))
    module = importlib.import_module(MODULES[package])
    made = getattr(module, "PROVIDER", Provider)
    provider = made(module.CLOUD, shapes, Store.named(), version)
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=32), options=[("grpc.max_receive_message_length", -1)]
    )
    server.add_generic_rpc_handlers((handlers(provider, grpc),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    over = threading.Event()
    while not over.wait(0.5):
        ended()
