"""`./invoke bench corpus DIR`: SkyPilot 0.14.1 and we read every task file below a folder; counts and differences.

Without a folder the files of tests/oracle are read, and what SkyPilot says is recorded for the ordinary tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEER = HERE.parent / "oracle" / "peer.py"
RECORDED = HERE.parent / "oracle" / "verdicts.json"


def run(folders: list[str]) -> int:
    """Exit code: 0 when nothing differs but what is meant to. Raises FileNotFoundError for no folder."""
    from tests.oracle import compare
    from tests.oracle.corpus import cases

    files = {case.name: case.text for case in cases()} if not folders else _files(folders)
    begun = time.monotonic()
    said = ask(files)
    theirs = time.monotonic() - begun
    if not folders:
        record(files, said)
    begun = time.monotonic()
    found = {name: compare.differences(text, said[name]) for name, text in files.items()}
    ours = time.monotonic() - begun
    taken = [name for name, one in found.items() if any(kind == "ours-accepts" for kind, _ in one)]
    meant = _meant({name: files[name] for name in taken}) if folders else {}
    counts: Counter[str] = Counter()
    for name, one in found.items():
        new = [(kind, says) for kind, says in one if folders or not compare.intended(name, kind)]
        if name in meant:
            new = []
            print(f"{name}: as intended: {'; '.join(meant[name])}")
        counts["same" if not one else "differ" if new else "differ as intended"] += 1
        for kind, says in new:
            print(f"{name}: {kind}: {' '.join(says.split())[:200]}")
    accepted = sum(1 for verdict in said.values() if verdict["ok"])
    listed = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    print(f"{len(files)} files, {accepted} of them accepted by SkyPilot 0.14.1: {listed}")
    print(f"reading all: SkyPilot {theirs:.1f} s with its start, ours {ours:.1f} s")
    return 1 if counts["differ"] else 0


def _meant(files: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Files that differ by fields of ours and old forms alone, with the reasons: without these SkyPilot reads what
    we read."""
    from tests.oracle import compare

    shorter = {name: found for name, text in files.items() if (found := compare.without_ours(text))}
    said = ask({name: text for name, (text, _) in shorter.items()}) if shorter else {}
    return {
        name: reasons
        for name, (text, reasons) in shorter.items()
        if not compare.differences(text, said[name])
    }


def ask(files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """SkyPilot's verdict on each text by name, from one process in its own environment."""
    from tests.bench.rival import environment

    python = environment()
    home = python.parents[1] / "home"
    home.mkdir(exist_ok=True)
    env = {**os.environ, "HOME": str(home), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    lines = "".join(json.dumps({"name": name, "text": text}) + "\n" for name, text in files.items())
    done = subprocess.run(
        [str(python), str(PEER)], input=lines, capture_output=True, text=True, env=env, cwd=home
    )
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if len(said) != len(files):
        sys.stderr.write(done.stderr[-2000:])
        raise RuntimeError(f"SkyPilot judged {len(said)} of {len(files)} files")
    return {verdict["name"]: verdict for verdict in said}


def record(files: Mapping[str, str], said: Mapping[str, Mapping[str, Any]]) -> None:
    """Write what tests/oracle/test_differences.py compares with, one line a file."""
    rows = []
    for name, text in files.items():
        verdict = said[name]
        error = str(verdict["error"] or "").partition(":")[0] or None
        row = {
            "name": name,
            "text": digest(text),
            "ok": verdict["ok"],
            "error": error,
            "tasks": verdict["tasks"],
        }
        rows.append(json.dumps(row, separators=(",", ":")))
    RECORDED.write_text("[\n" + ",\n".join(rows) + "\n]\n")


def digest(text: str) -> str:
    """A short mark of a text: it tells when a recorded verdict is about another one."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _files(folders: list[str]) -> dict[str, str]:
    found = {}
    for folder in folders:
        if not Path(folder).is_dir():
            raise FileNotFoundError(folder)
        for path in sorted([*Path(folder).rglob("*.yaml"), *Path(folder).rglob("*.yml")]):
            found[str(path)] = path.read_text(errors="replace")
    return found
