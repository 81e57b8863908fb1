"""A recording as a project that plain Pulumi runs: program, files beside it, configuration, requirements, README."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.problem import Problem, Problems
from compiler.spec import StackSpec
from stacks.eject import typed
from stacks.eject.expressions import Beside, Writer, variables
from stacks.eject.printing import Call, Items, Node, Plain, literal, written
from stacks.eject.readme import readme
from stacks.eject.recording import Row

PROVIDERS = "pulumi:providers:"
FROM_ENVIRONMENT = {("pulumi:providers:kubernetes", "kubeconfig")}
"""Arguments that an SDK reads from the environment of who runs it: no program that people share has them."""

DESCRIPTION = "ejected from skywright"
"""In the description of every such project."""

CONSTANT = ("apiVersion", "kind")
"""Inputs that the classes of Kubernetes fill in themselves."""

OF_ALL = frozenset(("resource_name", "opts"))
"""Parameters of every resource class: an argument of such a name has `_` behind it there."""

HELPERS = {
    "text": '''def text(name: str) -> str:
    """The content of a file beside this program."""
    return (FILES / name).read_bytes().decode()
''',
    "encoded": '''def encoded(name: str) -> str:
    """The content of a file beside this program, in base64."""
    return base64.b64encode((FILES / name).read_bytes()).decode()
''',
}


@dataclass(frozen=True, slots=True)
class Project:
    """`files` are relative path -> content."""

    files: Mapping[str, bytes]
    resources: int


def project(spec: StackSpec, recording: Mapping[str, Any], backend: str) -> Project:
    """The project of a stack that stands. `backend` is how README names the state's place and passphrase.

    Raises Problems eject/secret-unknown, eject/file-missing, cloud/no-sdk.
    """
    rows: Sequence[Row] = recording["resources"]
    beside = Beside()
    classes = [typed.resource(row["class"]) for row in rows]
    sdks = {made.sdk.module: made.sdk for made in classes}
    taken = ["pulumi", "config", "text", "encoded", *(sdk.alias for sdk in sdks.values())]
    known: dict[str, tuple[str, Row, typed.Made]] = {}
    blocks = []
    names = [f"{row['name']}_provider" if row["name"] in taken else row["name"] for row in rows]
    for row, made, variable in zip(rows, classes, variables(names, taken), strict=True):
        blocks.append(f"{variable} = {written(_made(row, made, known, beside), 0, len(variable) + 3)}")
        known[row["urn"]] = (variable, row, made)
    exports, near = Writer("stack", known, beside), [urn for urn in known if f"::{PROVIDERS}" not in urn]
    for name, value in sorted(recording["exports"].items()):
        call = Call("pulumi.export", (), (literal(name), exports.value(value, None, name, near)))
        blocks.append(written(call))
    program = _program(spec, list(sdks.values()), blocks, beside)
    files = {
        "__main__.py": program.encode(),
        "Pulumi.yaml": _yaml(_settings(spec)),
        f"Pulumi.{spec.stack}.yaml": _yaml(_stack(spec, recording["encryption"], beside)),
        "requirements.txt": _requirements([*sdks]).encode(),
        "README.md": readme(spec, backend, [row["name"] for row in rows], beside.files).encode(),
        ".gitignore": b"venv/\n__pycache__/\n",
        **beside.files,
        **{name: _content(source) for name, source in beside.sources.items()},
    }
    return Project(dict(sorted(files.items())), len(rows))


def _made(
    row: Row, made: typed.Made, known: Mapping[str, tuple[str, Row, typed.Made]], beside: Beside
) -> Node:
    """The call of a resource's class."""
    writer = Writer(row["name"], known, beside)
    fields = typed.fields(made.arguments)
    inputs = {
        name: _configured(value, row["type"])
        for name, value in row["inputs"].items()
        if (row["type"], name) not in FROM_ENVIRONMENT
        and not (made.sdk.module == "pulumi_kubernetes" and name in CONSTANT)
    }
    given = []
    for wire, (name, hint) in fields.items():
        if wire in inputs:
            near = row["needs"].get(wire, ())
            parameter = f"{name}_" if name in OF_ALL else name
            given.append((parameter, writer.value(inputs[wire], hint, name, near)))
    if options := _options(row, known, fields):
        given.append(("opts", Call("pulumi.ResourceOptions", tuple(options))))
    return Call(made.written, tuple(given), (literal(row["name"]),))


def _configured(value: Any, kind: str) -> Any:
    """Providers get everything that is no text as its JSON."""
    if not kind.startswith(PROVIDERS) or not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, (bool, list, dict)) else value


def _options(
    row: Row, known: Mapping[str, tuple[str, Row, typed.Made]], fields: Mapping[str, tuple[str, Any]]
) -> list[tuple[str, Node]]:
    said = row["options"]
    found: list[tuple[str, Node]] = []
    for name in ("parent", "provider"):
        if said.get(name) in known:
            found.append((name, Plain(known[said[name]][0])))
    referred = {urn for urns in row["needs"].values() for urn in urns}
    after = sorted(known[urn][0] for urn in row["after"] if urn in known and urn not in referred)
    if after:
        found.append(("depends_on", Items(tuple(Plain(name) for name in after))))
    for name in ("protect", "retain_on_delete", "delete_before_replace"):
        if name in said:
            found.append((name, literal(said[name])))
    if ignored := said.get("ignore_changes"):
        names = [literal(fields[one][0] if one in fields else one) for one in ignored]
        found.append(("ignore_changes", Items(tuple(names))))
    if timeouts := said.get("custom_timeouts"):
        parts = tuple((name, literal(value)) for name, value in timeouts.items())
        found.append(("custom_timeouts", Call("pulumi.CustomTimeouts", parts)))
    return found


def _program(spec: StackSpec, sdks: Sequence[typed.Sdk], blocks: Sequence[str], beside: Beside) -> str:
    imports = ["import base64"] if "encoded" in beside.helpers else []
    needs_files = beside.helpers & set(HELPERS)
    if needs_files:
        imports.append("from pathlib import Path")
    packages = ["import pulumi", *(f"import {sdk.module} as {sdk.alias}" for sdk in sdks)]
    parts = [f'"""The stack `{spec.stack}`: every resource of `{spec.deployment}`, in plain Pulumi."""', ""]
    parts += [*imports, *([""] if imports else []), *sorted(packages), ""]
    if "config" in beside.helpers:
        parts += ["config = pulumi.Config()", ""]
    if needs_files:
        parts += ['FILES = Path(__file__).parent / "files"', ""]
    for name in sorted(needs_files):
        parts += ["", HELPERS[name]]
    if needs_files:
        parts.append("")
    return "\n".join(parts) + "\n" + "\n\n".join(blocks) + "\n"


def _settings(spec: StackSpec) -> dict[str, Any]:
    return {
        "name": spec.project,
        "description": f"{spec.deployment}, {DESCRIPTION}",
        "runtime": {"name": "python", "options": {"virtualenv": "venv"}},
    }


def _stack(spec: StackSpec, encryption: Mapping[str, str], beside: Beside) -> dict[str, Any]:
    config = {f"{spec.project}:{name}": {"secure": value} for name, value in beside.config.items()}
    return {**encryption, **({"config": config} if config else {})}


def _yaml(data: Mapping[str, Any]) -> bytes:
    import yaml

    text: str = yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=1000)
    return text.encode()


def _requirements(modules: Sequence[str]) -> str:
    """The versions that are installed here: what made the stack."""
    names = ["pulumi", *sorted(module.replace("_", "-") for module in modules)]
    return "".join(f"{name}=={importlib.metadata.version(name)}\n" for name in names)


def _content(source: str) -> bytes:
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise Problems(
            Problem(
                "eject/file-missing",
                f"the file {source} that a resource is made of cannot be read: {error.strerror}",
                hint="repeat the `up` of the deployment, which makes it again",
            )
        ) from None
