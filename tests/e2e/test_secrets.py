"""A canary secret goes through a whole life; then every artefact is searched for it."""

from __future__ import annotations

import base64
import gzip
import re
import secrets
import zlib
from pathlib import Path

import pytest

from tests.e2e.conftest import Sky

pytestmark = pytest.mark.engine

GZIP_MAGIC = b"\x1f\x8b\x08"


def forms(canary: str) -> set[bytes]:
    """How the canary looks in plain text, in hex and inside base64 at each of the three alignments."""
    raw = canary.encode()
    found = {raw, raw.hex().encode()}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + raw)
        found.add(text[4 if shift else 0 : -4])
    return found


def holds(data: bytes, needles: set[bytes]) -> bool:
    if any(needle in data for needle in needles):
        return True
    for match in re.finditer(re.escape(GZIP_MAGIC), data):
        try:
            plain = zlib.decompressobj(wbits=31).decompress(data[match.start() :], 50_000_000)
        except zlib.error:
            continue
        if any(needle in plain for needle in needles):
            return True
    return False


def search(root: Path, needles: set[bytes]) -> list[str]:
    """Every regular file below `root` that holds the canary in some form."""
    found = []
    for path in root.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink() and holds(path.read_bytes(), needles):
                found.append(str(path))
        except OSError:
            continue
    return found


def processes_with(needles: set[bytes], what: str) -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            data = (entry / what).read_bytes()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(needle in data for needle in needles):
            found.append((int(entry.name), command))
    return found


def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    canary = "canary" + secrets.token_hex(12)
    needles = forms(canary)
    (tmp_path / "plain").write_bytes(b"a=" + canary.encode())
    (tmp_path / "gzip").write_bytes(b"header" + gzip.compress(b"x" * 100 + canary.encode()))
    for shift in range(3):
        (tmp_path / f"base64-{shift}").write_bytes(
            base64.b64encode(b"z" * (shift + 3) + canary.encode() + b"tail")
        )
    (tmp_path / "innocent").write_bytes(b"nothing here")
    assert sorted(Path(path).name for path in search(tmp_path, needles)) == [
        "base64-0",
        "base64-1",
        "base64-2",
        "gzip",
        "plain",
    ]


def test_a_secret_reaches_the_job_and_nothing_else(sky: Sky) -> None:
    canary = "canary" + secrets.token_hex(12)
    needles = forms(canary)
    task = sky.task(
        "name: quiet\nresources: {infra: local, use_spot: true}\nsecrets: {TOKEN: null}\n"
        "setup: |\n  export URL=https://user:$TOKEN@host\n  export HEADER=$(printf 'user:%s' \"$TOKEN\" | base64 -w0)\n"
        "run: |\n  case $URL in *canary*) echo url has it ;; esac\n"
        "  [ ${#TOKEN} = 30 ] && echo token has it\n"
        "  echo running; while :; do sleep 0.1; done\n"
    )
    env = {"TOKEN": canary}
    sky.run("compile", task, "--out", str(sky.folder / "compiled"))
    sky.run("preview", task)
    sky.run("launch", "-d", task, "--secret", "TOKEN", env=env)
    sky.wait_run("quiet", "RUNNING")

    def said_both() -> bool:
        log = sky.run("logs", "quiet", "--no-follow", code=None).stdout
        return "token has it" in log and "url has it" in log

    sky.wait(said_both, "the job says it has the secret")
    assert processes_with(needles, "cmdline") == []
    holders = processes_with(needles, "environ")
    assert holders, "the job itself must have it"
    assert all("bash" in command or "sleep" in command for _pid, command in holders), holders
    assert search(sky.folder, needles) == []

    sky.run("chaos", "kill-agent", "quiet")
    sky.run("chaos", "preempt", "quiet", "--notice", "20")
    sky.wait(lambda: sky.deployment("quiet")["run"]["attempt"] == 2, "a second attempt")
    sky.wait_run("quiet", "RUNNING")
    assert search(sky.folder, needles) == []
    sky.run("down", "-y", "quiet")
    assert search(sky.folder, needles) == []
