"""The plugin process that the engine starts: Pulumi's provider calls, answered for `skywright:local:Node`.

Speaks the wire protocol itself: the SDK's provider classes import the whole SDK, which triples its start.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import Any

from compiler.problem import Problems
from stacks.provider import nodes, room
from stacks.provider.plugin import PACKAGE, TOKEN, VERSION

NEEDED = {"project": str, "deployment": str, "rank": int, "agent": str, "market": str, "deadman_s": float}
OPTIONAL = {"cpus": float, "memory_gb": float, "zone": str}
IN_PLACE = frozenset({"labels", "deadman_s"})
OUTPUTS = ("address", "created")
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The engine's sign for a text that only the real creation will tell."""

_SERVICE = "pulumirpc.ResourceProvider"
_WORDS = {str: "text", int: "a whole number", float: "a number"}


class Refusal(Exception):
    """The call cannot be done; the text is for the person who reads the engine's output."""


def wire() -> tuple[Any, Any]:
    """The SDK's message classes (provider_pb2, empty_pb2), without running the packages around them."""
    if "pulumi" not in sys.modules:
        spec = importlib.util.find_spec("pulumi")
        if spec is None or not spec.submodule_search_locations:
            raise ImportError("the pulumi SDK is not installed")
        top = next(iter(spec.submodule_search_locations))
        for name, path in (("pulumi", top), ("pulumi.runtime", os.path.join(top, "runtime"))):
            package = types.ModuleType(name)
            package.__path__ = [path]
            sys.modules[name] = package
    return (
        importlib.import_module("pulumi.runtime.proto.provider_pb2"),
        importlib.import_module("google.protobuf.empty_pb2"),
    )


def check(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Inputs with their defaults and types, and (property, reason) of what is wrong."""
    checked: dict[str, Any] = {"labels": {}}
    wrong: list[tuple[str, str]] = []
    for name, value in inputs.items():
        if name.startswith("__") or value is None:
            continue
        kind = NEEDED.get(name) or OPTIONAL.get(name)
        if kind is not None:
            good = isinstance(value, str) if kind is str else _number(value, whole=kind is int)
            checked[name] = value if value == UNKNOWN or not good else kind(value)
            if not good and value != UNKNOWN:
                wrong.append((name, f"must be {_WORDS[kind]}"))
        elif name == "labels":
            checked[name] = value
            if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
                wrong.append((name, "must be a mapping of texts"))
        elif name not in OUTPUTS:
            wrong.append((name, "is not a property of a local node"))
    wrong += [(name, "is missing") for name in NEEDED if name not in checked]
    if checked.get("market", "spot") not in ("spot", "on-demand", UNKNOWN):
        wrong.append(("market", "must be `spot` or `on-demand`"))
    return checked, wrong


def differences(old: Mapping[str, Any], new: Mapping[str, Any], ignored: frozenset[str]) -> dict[str, bool]:
    """Properties that differ -> does it take a new node?"""
    names = {*NEEDED, *OPTIONAL, "labels"} - ignored
    before, after = ({"labels": {}, **data} for data in (old, new))
    return {name: name not in IN_PLACE for name in sorted(names) if before.get(name) != after.get(name)}


class Provider:
    """One method per call of the protocol that means something here: a request in, an answer out."""

    def __init__(self, messages: Any, empty: Any, wanted: Callable[[], bool]) -> None:
        self.messages, self.empty, self.wanted = messages, empty, wanted

    def get_plugin_info(self, request: Any) -> Any:
        return importlib.import_module("pulumi.runtime.proto.plugin_pb2").PluginInfo(version=VERSION)

    def get_schema(self, request: Any) -> Any:
        return self.messages.GetSchemaResponse(schema=json.dumps({"name": PACKAGE, "version": VERSION}))

    def check_config(self, request: Any) -> Any:
        return self.messages.CheckResponse(inputs=request.news)

    def diff_config(self, request: Any) -> Any:
        return self.messages.DiffResponse(changes=self.messages.DiffResponse.DIFF_NONE)

    def configure(self, request: Any) -> Any:
        return self.messages.ConfigureResponse(acceptSecrets=False, supportsPreview=True)

    def cancel(self, request: Any) -> Any:
        return self.empty.Empty()

    def check(self, request: Any) -> Any:
        _of_our_type(request.urn)
        checked, wrong = check(_data(request.news))
        answer = self.messages.CheckResponse(
            failures=[self.messages.CheckFailure(property=name, reason=reason) for name, reason in wrong]
        )
        answer.inputs.update(checked)
        return answer

    def diff(self, request: Any) -> Any:
        old = _data(request.old_inputs) or _data(request.olds)
        changed = differences(old, _data(request.news), frozenset(request.ignoreChanges))
        kinds = self.messages.PropertyDiff
        return self.messages.DiffResponse(
            changes=self.messages.DiffResponse.DIFF_SOME if changed else self.messages.DiffResponse.DIFF_NONE,
            diffs=list(changed),
            replaces=[name for name, replaces in changed.items() if replaces],
            detailedDiff={
                name: kinds(kind=kinds.UPDATE_REPLACE if replaces else kinds.UPDATE, inputDiff=True)
                for name, replaces in changed.items()
            },
            hasDetailedDiff=True,
            stables=[] if any(changed.values()) else list(OUTPUTS),
            deleteBeforeReplace=True,
        )

    def create(self, request: Any) -> Any:
        inputs = _data(request.properties)
        if request.preview:
            return self._state(self.messages.CreateResponse(), inputs, UNKNOWN, UNKNOWN)
        order = nodes.Order(
            project=inputs["project"],
            deployment=inputs["deployment"],
            rank=int(inputs["rank"]),
            agent=inputs["agent"],
            market=inputs["market"],
            deadman_s=inputs["deadman_s"],
            cpus=inputs.get("cpus"),
            memory_gb=inputs.get("memory_gb"),
            labels=inputs.get("labels", {}),
            zone=inputs.get("zone"),
        )
        made = nodes.create(order, self.wanted)
        return self._state(self.messages.CreateResponse(id=made.node), inputs, made.address, made.created)

    def read(self, request: Any) -> Any:
        state = _data(request.properties)
        if not state and not _data(request.inputs):
            raise Refusal(
                f"[cloud/import-refused] a local node cannot be imported ({request.id}): its folder belongs "
                "to the stack that made it; `invoke orphans --delete` removes nodes that no stack knows"
            )
        found = nodes.get(request.id)
        if found is None or not found.alive:
            return self.messages.ReadResponse()
        inputs = {
            name: value for name, value in (_data(request.inputs) or state).items() if name not in OUTPUTS
        }
        inputs["labels"] = dict(found.labels)
        answer = self._state(self.messages.ReadResponse(id=found.node), inputs, found.address, found.created)
        answer.inputs.update(inputs)
        return answer

    def update(self, request: Any) -> Any:
        inputs = _data(request.news)
        state = _data(request.olds)
        if (
            not request.preview
            and nodes.update(request.id, inputs.get("labels", {}), inputs["deadman_s"]) is None
        ):
            raise Refusal(
                f"[cloud/no-such-node] local node {request.id} is gone; `invoke status --refresh` notices it"
            )
        return self._state(self.messages.UpdateResponse(), inputs, state["address"], state["created"])

    def delete(self, request: Any) -> Any:
        nodes.remove(request.id)
        return self.empty.Empty()

    def _state(self, answer: Any, inputs: Mapping[str, Any], address: str, created: str) -> Any:
        answer.properties.update({**inputs, "address": address, "created": created})
        return answer


def _of_our_type(urn: str) -> None:
    kind = urn.split("::")[2].rpartition("$")[2]
    if kind != TOKEN:
        raise Refusal(f"{kind} is not a resource of this provider; it has {TOKEN}")


def _number(value: object, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return not whole or value == int(value)


def _data(struct: Any) -> dict[str, Any]:
    """A protobuf Struct as plain data; whole numbers stay floats, as on the wire."""
    return {name: _value(value) for name, value in struct.fields.items()}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _data(value.struct_value)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _handlers(provider: Provider, grpc: Any) -> Any:
    """The protocol's methods that we have; the engine takes UNIMPLEMENTED for the rest."""
    messages, empty = provider.messages, provider.empty
    table = {
        "GetPluginInfo": (provider.get_plugin_info, empty.Empty),
        "GetSchema": (provider.get_schema, messages.GetSchemaRequest),
        "CheckConfig": (provider.check_config, messages.CheckRequest),
        "DiffConfig": (provider.diff_config, messages.DiffRequest),
        "Configure": (provider.configure, messages.ConfigureRequest),
        "Check": (provider.check, messages.CheckRequest),
        "Diff": (provider.diff, messages.DiffRequest),
        "Create": (provider.create, messages.CreateRequest),
        "Read": (provider.read, messages.ReadRequest),
        "Update": (provider.update, messages.UpdateRequest),
        "Delete": (provider.delete, messages.DeleteRequest),
        "Cancel": (provider.cancel, empty.Empty),
    }

    def guarded(call: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        def answer(request: Any, context: Any) -> Any:
            try:
                return call(request)
            except Refusal as refusal:
                reason = str(refusal)
            except Problems as problems:
                first = problems.problems[0]
                hint = f"\nhint: {' '.join(first.hint.split())}" if first.hint else ""
                reason = f"[{first.code}] {first.message}{hint}"
            except OSError as error:
                reason = f"[cloud/node-not-started] {error}"
            return context.abort(grpc.StatusCode.UNKNOWN, reason)

        return answer

    return grpc.method_handlers_generic_handler(
        _SERVICE,
        {
            name: grpc.unary_unary_rpc_method_handler(
                guarded(call),
                request_deserializer=request.FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name, (call, request) in table.items()
        },
    )


def main() -> None:
    """Serve until the engine is done with us: it ends us, or ends itself, which we must not outlive."""
    parent = os.getppid()
    over = threading.Event()

    def wanted() -> bool:
        return os.getppid() == parent

    def ended(*_: object) -> None:
        # The kernel reports the end of the engine's thread that started us: only that of the engine counts.
        if not wanted():
            os._exit(1)

    signal.signal(signal.SIGUSR2, ended)
    room.die_with_parent(signal.SIGUSR2)
    ended()
    messages, empty = wire()
    import grpc

    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=16), options=[("grpc.max_receive_message_length", -1)]
    )
    server.add_generic_rpc_handlers((_handlers(Provider(messages, empty, wanted), grpc),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    # Where the kernel does not tell of the engine's end, looking now and then does.
    while not over.wait(0.5):
        ended()


if __name__ == "__main__":
    main()
