"""The rules of the house: what the wheel holds, who imports what, sizes, and that the documents are complete."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import need

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("compiler", "stacks", "schemas", "runtime", "skywright")
LINES, FUNCTION_LINES = 400, 60

CODE = re.compile(
    r"(?:task|usage|plan|engine|cloud|control|host|machine|lock|policy|expectation|run)/[a-z]+(?:-[a-z0-9]+)*"
)


def tracked() -> list[str]:
    """Every file git knows, and those it would know after `git add`."""
    need(shutil.which("git") and (ROOT / ".git").exists(), "git and a checkout")
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_the_wheel_holds_our_five_packages_and_their_data(tmp_path: Path) -> None:
    pytest.importorskip("setuptools") if os.environ.get("CI") != "true" else None
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    (tmp_path / "out").mkdir()
    code = "from setuptools import build_meta; print(build_meta.build_wheel('../out'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "out").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == set(PACKAGES)
    data = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and path.parent != source and not {"build", "skywright.egg-info"} & set(path.parts)
    }
    assert data <= set(names), f"not packaged: {sorted(data - set(names))}"


def test_only_one_file_drives_the_engine() -> None:
    guilty = [
        path.relative_to(ROOT).as_posix()
        for path in modules()
        if any(name.startswith("pulumi.automation") for name in imports(ast.parse(path.read_text())))
    ]
    assert guilty == ["stacks/engine.py"]


def test_importing_a_cloud_or_asking_for_operations_imports_no_pulumi() -> None:
    names = "stacks stacks.local stacks.operate stacks.install stacks.lease stacks.home stacks.process"
    code = f"import sys, {', '.join(names.split())}; print('pulumi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_on_a_node_only_four_files_start_processes() -> None:
    starting = re.compile(r"subprocess\.|os\.(?:fork|exec\w*|posix_spawn\w*|spawn\w*|system|popen)\(")
    guilty = {path.name for path in (ROOT / "runtime").glob("*.py") if starting.search(path.read_text())}
    assert guilty <= {"shim.py", "phases.py", "mounts.py", "buckets.py"}


def test_the_agent_needs_nothing_but_python_3_9() -> None:
    stdlib = sys.stdlib_module_names
    for path in (ROOT / "runtime").glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        foreign = {name.split(".")[0] for name in imports(tree)} - stdlib - {"runtime"}
        own = {other.stem for other in (ROOT / "runtime").glob("*.py")}
        assert foreign <= own, f"{path.name} imports {foreign - own}"


HEAVY = (
    "alembic",
    "jsonschema",
    "rich",
    "pulumi",
    "grpc",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "cryptography",
    "asyncio",
    "invoke",
)


@pytest.mark.parametrize(
    ("words", "spared"),
    [
        (["--list"], (*HEAVY, "yaml", "http", "json")),
        (["status", "--help"], (*HEAVY, "yaml", "http")),
        (["validate", "examples/hello.yaml"], (*HEAVY, "http")),
        (["explain", "examples/hello.yaml"], (*HEAVY, "http")),
    ],
)
def test_the_command_line_starts_light(words: list[str], spared: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "skywright.cli", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    loaded = {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "skywright.cli.program" in loaded
    assert not loaded & set(spared)


def test_modules_and_functions_stay_small() -> None:
    large = []
    for path in modules():
        text = path.read_text()
        name = path.relative_to(ROOT).as_posix()
        if len(text.splitlines()) > LINES:
            large.append(f"{name} has {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > FUNCTION_LINES:
                    large.append(f"{name}: {node.name} has {length} lines")
    assert large == []


def test_every_module_says_its_job_and_has_no_name_that_says_nothing() -> None:
    for path in modules():
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text()
        assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{name} has no docstring"
        assert path.stem not in ("utils", "util", "helpers", "helper", "common", "base", "manager", "misc"), (
            name
        )


def used_codes() -> set[str]:
    """Codes that stand as whole literals in the product, and those made of a cloud's Failure."""
    from stacks.cloud import Failure

    used = {f"cloud/{failure.value}" for failure in Failure if failure is not Failure.OTHER}
    for path in [*modules(), ROOT / "tests" / "setup.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                used.add(node.value)
    return used


def test_every_error_has_its_entry_and_every_entry_its_error() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    entries = re.findall(r"(?m)^### (\S+)\n(?!\n*#)", text)
    assert entries == sorted(entries)
    assert len(entries) == len(set(entries))
    used = used_codes()
    product = "".join(path.read_text() for path in modules())
    missing = sorted(used - set(entries))
    stale = sorted(code for code in set(entries) - used if code not in product)
    assert (missing, stale) == ([], [])


def test_the_file_map_is_true() -> None:
    from tests import filemap

    assert filemap.MAP.read_text() == filemap.text(), "run `python -m tests.filemap`"


def test_every_folder_stands_in_the_architecture() -> None:
    """A folder of modules has its row, or its parent's says what is below it."""
    _, found, section = (ROOT / "ARCHITECTURE.md").read_text().partition("\n## File map\n")
    assert found
    named = set(re.findall(r"`([^`\s]+/)`", section))
    folders = {f"{path.relative_to(ROOT).parent.as_posix()}/" for path in modules()}
    assert folders - named == set()
    assert {name for name in named if not (ROOT / name).is_dir()} == set()


def test_no_text_names_this_machine_or_a_registry() -> None:
    words = [
        "/wo" + "rk/",
        "/ro" + "ot/",
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "registry.npmjs" + ".org",
    ]
    words += ["proxy.golang" + ".org", "index-" + "url", "/opt/whe" + "els"]
    guilty = []
    for name in tracked():
        try:
            text = (ROOT / name).read_text()
        except UnicodeDecodeError:
            continue
        guilty += [f"{name}: {word}" for word in words if word in text]
    assert guilty == []


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    assert [
        name
        for name in tracked()
        if name.endswith((".py", ".md", ".sh")) and marks.search((ROOT / name).read_text())
    ] == []


def test_locks_pin_everything_the_same_way() -> None:
    def pins(name: str) -> dict[str, str]:
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert text.count("--hash=sha256:") >= len(re.findall(r"(?m)^\S+==", text))
        return dict(re.findall(r"(?m)^([a-z0-9.-]+)(?:\[[^]]*\])?==(\S+)", text))

    core, dev = pins("requirements.lock"), pins("requirements-dev.lock")
    assert core.items() <= dev.items()
    assert "mypy" not in core
    text = (ROOT / "pyproject.toml").read_text()
    wanted = re.search(r"(?s)\ndependencies = \[(.*?)\]", text)
    assert wanted
    for name in re.findall(r'(?m)^  "([a-z0-9-]+)', wanted[1]):
        assert name in core


def test_schemas_are_json_and_say_who_they_are() -> None:
    for path in (ROOT / "schemas").glob("*.json"):
        data = json.loads(path.read_text())
        assert data["$id"].endswith(path.name)


def test_the_wrapper_is_plain_sh() -> None:
    assert subprocess.run(["sh", "-n", str(ROOT / "invoke")]).returncode == 0
    assert os.access(ROOT / "invoke", os.X_OK)
    assert "exec ./invoke test" in (ROOT / ".ci" / "run").read_text()
