"""What an SDK's own classes say about a provider's resources and functions: names, types, what is required.

`ensure(package)` keeps it as JSON in skywright's cache: one class of these SDKs takes seconds to import, the
stand-in's plugin has to start in a fraction of one. Types are written as

    "str" "bool" "int" "float" "any" "asset"
    {"list": T}  {"map": T}  {"enum": [...]}  {"obj": NAME in "types"}  {"union": [T, ...]}
"""

from __future__ import annotations

import enum
import hashlib
import importlib
import importlib.metadata
import inspect
import json
import os
import re
import subprocess
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MODULES = {
    "aws": "pulumi_aws",
    "gcp": "pulumi_gcp",
    "azure-native": "pulumi_azure_native",
    "kubernetes": "pulumi_kubernetes",
}

GROWING = frozenset({"InstanceType", "VirtualMachineSizeTypes"})
"""Lists of machine types in an SDK: older than what the cloud sells, so that any text is taken."""

ROOT = Path(__file__).resolve().parents[2]


def version(package: str) -> str:
    """The version by which the engine looks for the plugin: that of the SDK that is installed."""
    spec = importlib.util.find_spec(MODULES[package])
    assert spec is not None
    assert spec.submodule_search_locations
    return str(
        json.loads((Path(spec.submodule_search_locations[0]) / "pulumi-plugin.json").read_text())["version"]
    )


def ensure(package: str, resources: Sequence[str], functions: Sequence[str], cache: Path) -> Path:
    """The file that holds the schema of these tokens; made where it is not there."""
    wanted = {"resources": sorted(resources), "functions": sorted(functions)}
    text = json.dumps(wanted) + Path(__file__).read_text()
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    path = cache / f"{package}-{version(package)}-{digest}.json"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        script = (
            "import sys; sys.path.insert(0, sys.argv[1]); from tests.standins import schema; schema.main()"
        )
        command = [sys.executable, "-I", "-c", script, str(ROOT), package]
        done = subprocess.run(command, input=json.dumps(wanted), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(done.stdout)
        draft.replace(path)
    return path


def main() -> None:
    """Print the schema of the package argv[2] for the tokens on stdin."""
    wanted = json.load(sys.stdin)
    print(json.dumps(Reader(sys.argv[2]).read(wanted["resources"], wanted["functions"]), indent=1))


class Reader:
    """Reads classes of one SDK; object types are collected by their name."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.top = importlib.import_module(MODULES[package])
        self.types: dict[str, Any] = {}

    def read(self, resources: Sequence[str], functions: Sequence[str]) -> dict[str, Any]:
        return {
            "config": self.fields(self.top.ProviderArgs),
            "resources": {token: self.resource(token) for token in resources},
            "functions": {token: self.function(token) for token in functions},
            "types": self.types,
        }

    def resource(self, token: str) -> dict[str, Any]:
        from pulumi import _types

        name = token.rpartition(":")[2]
        made = getattr(self.module(token), name)
        home = sys.modules[made.__module__]
        # `InitArgs` where an object type has the other name.
        args = getattr(home, f"{name}InitArgs", None) or getattr(home, f"{name}Args")
        outputs = sorted(set(_types.resource_py_to_pulumi_names(made).values()) - {"urn", "id"})
        return {**self.fields(args), "outputs": outputs}

    def function(self, token: str) -> dict[str, Any]:
        name = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", token.rpartition(":")[2]).lower()
        found = getattr(self.module(token), name)
        hints = typing.get_type_hints(found)
        names = re.findall(r"__args__\['(\w+)'\] = (\w+)", inspect.getsource(found))
        return {"inputs": {wire: self.kind(hints[python]) for wire, python in names}}

    def module(self, token: str) -> Any:
        part = token.split(":")[1].partition("/")[0]
        return self.top if part in ("index", "") else getattr(self.top, part)

    def fields(self, args: type) -> dict[str, Any]:
        """Inputs of an Args class by their names on the wire, and which of them are required."""
        import pulumi
        from pulumi import _types

        wire = _types.input_type_py_to_pulumi_names(args)
        # On a class it is a plain function; mypy thinks of instances.
        made = args.__dict__["__init__"]
        scope = {**vars(sys.modules[args.__module__]), "Output": pulumi.Output, "T": Any}
        hints = typing.get_type_hints(made, scope)
        required = [
            wire[name]
            for name, parameter in inspect.signature(made).parameters.items()
            if name in wire and parameter.default is inspect.Parameter.empty
        ]
        inputs = {name: self.kind(hints[python]) for python, name in wire.items()}
        return {"inputs": inputs, "required": required}

    def kind(self, hint: Any) -> Any:
        """The JSON form of an annotation, without what Pulumi wraps around values."""
        import pulumi
        from pulumi import _types

        plain = {str: "str", bool: "bool", int: "int", float: "float", Any: "any"}
        if hint in plain:
            return plain[hint]
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            return self.union(inner)
        if origin is not None and issubclass(origin, Mapping):
            return {"map": self.kind(inner[1])}
        if origin is not None and issubclass(origin, Sequence):
            return {"list": self.kind(inner[0])}
        if inspect.isclass(hint) and issubclass(hint, enum.Enum):
            values = [member.value for member in hint]
            return "str" if hint.__name__ in GROWING else {"enum": values}
        if inspect.isclass(hint) and issubclass(hint, (pulumi.Asset, pulumi.Archive)):
            return "asset"
        if inspect.isclass(hint) and (typing.is_typeddict(hint) or not _types.is_input_type(hint)):
            return None  # the same again, for people who write dictionaries
        if inspect.isclass(hint):
            name = f"{hint.__module__}.{hint.__name__}"
            if name not in self.types:
                self.types[name] = {}  # a type may hold itself
                self.types[name] = self.fields(hint)
            return {"obj": name}
        raise TypeError(f"an annotation of a form that is new here: {hint!r}")

    def union(self, members: Sequence[Any]) -> Any:
        import pulumi

        found: list[Any] = []
        for member in members:
            origin = typing.get_origin(member) or member
            waiting = inspect.isclass(origin) and (
                issubclass(origin, pulumi.Output) or origin.__name__ == "Awaitable"
            )
            if member is type(None) or waiting:
                continue
            kind = self.kind(member)
            if kind is not None and kind not in found:
                found.append(kind)
        closed = [kind for kind in found if isinstance(kind, dict) and "enum" in kind]
        if closed and "str" in found:
            # Declared as open for values of tomorrow; the clouds of today refuse them.
            found.remove("str")
        return found[0] if len(found) == 1 else {"union": found}
