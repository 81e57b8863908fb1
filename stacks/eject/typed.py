"""What an SDK's classes say about arguments: their names in Python, and the class of each nested value."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
import types
import typing
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from compiler.problem import Problem, Problems


@dataclass(frozen=True, slots=True)
class Sdk:
    """A package of an SDK and what programs call it."""

    module: str
    alias: str


ALIASES = {
    "pulumi_aws": "aws",
    "pulumi_gcp": "gcp",
    "pulumi_azure_native": "azure",
    "pulumi_kubernetes": "k8s",
}


@dataclass(frozen=True, slots=True)
class Made:
    """A resource class: the SDK it is of, and its public name below that (`ec2.Instance`)."""

    sdk: Sdk
    public: str
    kind: Any

    @property
    def written(self) -> str:
        return f"{self.sdk.alias}.{self.public}"

    @property
    def arguments(self) -> Any:
        """The class of all its arguments: `InstanceArgs`, or `JobInitArgs` where an object type has that name."""
        home = sys.modules[self.kind.__module__]
        name = self.kind.__name__
        return getattr(home, f"{name}InitArgs", None) or getattr(home, f"{name}Args")

    def output(self, wire: str) -> str:
        """The attribute of an output, by its name on the wire."""
        from pulumi import _types

        names: dict[str, str] = _types.resource_pulumi_to_py_names(self.kind)
        return names.get(wire, wire)


@cache
def resource(path: str) -> Made:
    """By module and name of its class, as a recording has them. Raises Problems cloud/no-sdk."""
    module, _, name = path.partition(":")
    try:
        with _quiet():
            sdk, public, kind = _public(module, name)
    except (ImportError, AttributeError) as error:
        raise Problems(
            Problem("cloud/no-sdk", f"the SDK `{module.partition('.')[0]}` cannot be used here: {error}")
        ) from None
    return Made(sdk, public, kind)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what packages say of classes that programs should not use any more: these are the ones that are used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _public(module: str, name: str) -> tuple[Sdk, str, Any]:
    """Where programs find a class, and the class: in the nearest package that shows it, not where it is defined.

    Asked from the top on, as programs do it: SDKs load their parts when they are asked for.
    """
    parts = module.split(".")
    sdk = Sdk(parts[0], ALIASES.get(parts[0], parts[0]))
    shown: Any = importlib.import_module(parts[0])
    shows = [shown]
    for part in parts[1:]:
        shown = getattr(shown, part)
        shows.append(shown)
    for deep in range(len(parts) - 1, 0, -1):
        kind = getattr(shows[deep - 1], name, None)
        if getattr(kind, "__module__", None) == module:
            return sdk, ".".join([*parts[1:deep], name]), kind
    return sdk, ".".join([*parts[1:], name]), getattr(shown, name)


def written(kind: Any) -> str:
    """A class of nested arguments as programs name it: `aws.ec2.InstanceRootBlockDeviceArgs`."""
    with _quiet():
        sdk, public, _ = _public(kind.__module__, kind.__name__)
    return f"{sdk.alias}.{public}"


@cache
def fields(args: Any) -> Mapping[str, tuple[str, Any]]:
    """Name on the wire -> (name in Python, annotation), in the order of the class."""
    import pulumi
    from pulumi import _types

    made = args.__dict__["__init__"]
    scope = {**vars(sys.modules[args.__module__]), "Output": pulumi.Output, "T": Any}
    hints = typing.get_type_hints(made, scope)
    wire = _types.input_type_py_to_pulumi_names(args)
    order = [name for name in inspect.signature(made).parameters if name in wire]
    return {wire[name]: (name, hints[name]) for name in order}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value may be: `objects` are classes of arguments, `items` and `entries` annotations of what is inside."""

    objects: tuple[Any, ...] = ()
    items: Any = None
    entries: Any = None
    texts: bool = False


def shape(hint: Any) -> Shape:
    """An annotation without what Pulumi wraps around values."""
    import pulumi
    from pulumi import _types

    objects: list[Any] = []
    items = entries = None
    texts = False
    for one in _members(hint):
        origin, inner = typing.get_origin(one), typing.get_args(one)
        if inspect.isclass(origin) and issubclass(origin, pulumi.Output):
            continue
        if inspect.isclass(origin) and issubclass(origin, Mapping):
            entries = inner[1]
        elif inspect.isclass(origin) and issubclass(origin, Sequence):
            items = inner[0]
        elif one is str:
            texts = True
        elif inspect.isclass(one) and not typing.is_typeddict(one) and _types.is_input_type(one):
            objects.append(one)
    return Shape(tuple(objects), items, entries, texts)


def fitting(candidates: Sequence[Any], keys: Sequence[str]) -> Any:
    """The first class that has all of these fields, or None."""
    return next((one for one in candidates if set(keys) <= set(fields(one))), None)


def _members(hint: Any) -> list[Any]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [found for one in typing.get_args(hint) for found in _members(one)]
    return [hint]
