"""`./invoke`, the wrapper, with a pretended installer: when it installs, when it does not, and two at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

UV = f"""#!/bin/sh
[ "$1" = --version ] && exit 0
printf '%s\\n' "$*" >> "$INSTALLS"
case "$1" in
venv) shift; for last; do :; done; exec '{sys.executable}' -m venv --without-pip "$last" ;;
esac
[ ! -e "$INSTALLS.fail" ]
"""


class Checkout:
    """A checkout with a tasks.py that only says what it was given, and a `uv` that only writes down its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "check out"
        self.folder.mkdir()
        shutil.copy(ROOT / "invoke", self.folder)
        (self.folder / "tasks.py").write_text("import os, sys; print(os.getcwd(), sys.argv[1:])\n")
        for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
            (self.folder / name).write_text(f"# {name}\n")
        tools = folder / "tools"
        tools.mkdir()
        (tools / "uv").write_text(UV)
        (tools / "uv").chmod(0o755)
        (tools / "python3").symlink_to(sys.executable)
        self.log = folder / "installs"
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        self.env = {"PATH": f"{tools}:/usr/bin:/bin", "INSTALLS": str(self.log), "HOME": str(folder)}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.folder / "invoke"), *words],
            cwd=self.elsewhere,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0) -> tuple[str, str]:
        process = self.start(*words)
        out, err = process.communicate()
        assert process.returncode == code, err
        return out, err

    def installs(self) -> list[str]:
        """Calls of the installer since the last question."""
        calls = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [call for call in calls if call.startswith("pip")]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_installs_once_and_hands_over_words_and_folder(checkout: Checkout) -> None:
    out, err = checkout.run("up", "a b.yaml", "--env", "X=1 2")
    assert out == f"{checkout.elsewhere} ['up', 'a b.yaml', '--env', 'X=1 2']\n"
    assert "installing" in err
    locked, project = checkout.installs()
    assert "--require-hashes" in locked
    assert locked.endswith("requirements.lock")
    assert "--no-build-isolation" in project
    assert checkout.run("status")[1] == ""
    assert checkout.installs() == []


def test_a_changed_lock_installs_again_and_tests_need_more(checkout: Checkout) -> None:
    checkout.run("--list")
    checkout.installs()
    checkout.run("test")
    assert checkout.installs()[0].endswith("requirements-dev.lock")
    checkout.run("test")
    checkout.run("up")
    assert checkout.installs() == []
    with open(checkout.folder / "requirements.lock", "a") as file:
        file.write("# newer\n")
    checkout.run("up")
    assert checkout.installs()[0].endswith("requirements-dev.lock"), "what tests need is kept complete"
    checkout.run("up")
    assert checkout.installs() == []


def test_a_failed_install_is_told_and_repeated(checkout: Checkout) -> None:
    fail = Path(f"{checkout.log}.fail")
    fail.touch()
    out, err = checkout.run("up", code=4)
    assert out == ""
    assert "failed" in err
    fail.unlink()
    checkout.installs()
    checkout.run("up")
    assert len(checkout.installs()) == 2


def test_two_at_once_install_once(checkout: Checkout) -> None:
    processes = [checkout.start("up") for _ in range(3)]
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert out.endswith("['up']\n")
    assert len(checkout.installs()) == 2


def test_a_broken_or_moved_environment_is_made_again(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run("up")
    checkout.installs()
    python = checkout.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    checkout.run("up")
    assert len(checkout.installs()) == 2
    checkout.folder = checkout.folder.rename(tmp_path / "moved")
    checkout.run("up")
    assert len(checkout.installs()) == 2


def test_without_python_it_says_what_to_do(checkout: Checkout, tmp_path: Path) -> None:
    tools = tmp_path / "bare"
    tools.mkdir()
    for name in ("sh", "dirname", "uname", "cat", "rm", "mkdir"):
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    (tools / "python3").write_text("#!/bin/sh\nexit 127\n")
    (tools / "python3").chmod(0o755)
    checkout.env["PATH"] = str(tools)
    _, err = checkout.run("up", code=4)
    assert "Python 3.10 or newer" in err


def test_settings_for_other_environments_do_not_reach_the_installer(checkout: Checkout) -> None:
    checkout.env |= {"PIP_USER": "1", "UV_SYSTEM_PYTHON": "1", "VIRTUAL_ENV": "/x", "PIP_TARGET": "/x"}
    uv = Path(checkout.env["PATH"].split(":")[0]) / "uv"
    uv.write_text(
        uv.read_text().replace(
            "printf '%s\\n' \"$*\"",
            'printf \'%s %s\\n\' "$*" "$(env | grep -c -e ^PIP_ -e ^UV_S.*PYTHON -e ^VIRTUAL)"',
        )
    )
    checkout.run("up")
    assert all(call.endswith(" 0") for call in checkout.installs())


def test_python_home_of_the_caller_does_no_harm(checkout: Checkout) -> None:
    checkout.env["PYTHONHOME"] = "/nowhere"
    assert checkout.run("up")[0].endswith("['up']\n")
    assert os.path.isdir(checkout.folder / ".venv")


def test_a_checkout_that_cannot_be_written_is_told(checkout: Checkout) -> None:
    (checkout.folder / ".venv.lock").mkdir()  # root may write everywhere, and into no folder as a file
    out, err = checkout.run("up", code=4)
    assert out == ""
    assert f"nothing can be written in {checkout.folder}" in err
