"""Where the state is kept and how it is encrypted: embedded defaults, unless the user says otherwise."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from compiler.problem import Problem, Problems
from stacks import home

SECRETS_PROVIDER = "SKYWRIGHT_SECRETS_PROVIDER"
"""Names a secrets provider of Pulumi (`awskms://...`) for new stacks of a shared backend."""


NEEDED = 256 * 1024
"""Bytes that have to be free before the engine is let at a state: it writes several copies of it."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A settled choice. `env` is the whole environment of engine processes; file backends have a `folder`."""

    url: str
    embedded: bool
    folder: Path | None
    secrets_provider: str | None
    env: Mapping[str, str]

    @property
    def pulumi_home(self) -> Path:
        return Path(self.env["PULUMI_HOME"])


def settle(user: Mapping[str, str]) -> Backend:
    """The backend for somebody whose environment has `user` (PULUMI_* and what goes with it).

    PULUMI_* of this process do not count: it may serve another terminal than the one it was started from.
    Raises Problems engine/no-secrets-provider, engine/backend-unreachable, machine/disk-full.
    """
    root = home.home()
    state = root / "state"
    url = user.get("PULUMI_BACKEND_URL") or f"file://{state}"
    embedded = url.partition("?")[0] == f"file://{state}"
    if embedded:
        # Without: every file has one beside it that is written in place, and after a kill may be found empty.
        url = f"file://{state}?metadata=skip"
    env = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")}
    env |= {
        "PULUMI_HOME": str(root / "pulumi"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_AUTOMATION_API": "true",
        "PULUMI_DEBUG_COMMANDS": "true",  # `--event-log` is one of them
        # An operation's folder starts without a stack's configuration.
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
        "PULUMI_SUPPRESS_NEO_LINK": "true",
        "PULUMI_LOG_ROTATION_MAX_AGE_DAYS": "7",
        "PULUMI_LOG_ROTATION_MAX_TOTAL_MB": "20",
    }
    env |= user
    env["PULUMI_BACKEND_URL"] = url
    provider = user.get(SECRETS_PROVIDER)
    named = provider or "PULUMI_CONFIG_PASSPHRASE" in user or "PULUMI_CONFIG_PASSPHRASE_FILE" in user
    try:
        if embedded:
            state.mkdir(mode=0o700, exist_ok=True)
            env.setdefault("PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS", "true")
            if not named:
                env["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase(root))
        elif not named and not url.startswith(("https://", "http://")):
            raise Problems(
                Problem(
                    "engine/no-secrets-provider",
                    f"the state backend {_shown(url)} is shared, and nothing says how secrets are encrypted",
                    hint="set PULUMI_CONFIG_PASSPHRASE_FILE (or PULUMI_CONFIG_PASSPHRASE),\n"
                    f"or name a secrets provider of Pulumi: {SECRETS_PROVIDER}=awskms://alias/…",
                )
            )
        Path(env["PULUMI_HOME"]).expanduser().mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Problems(refused(error)) from None
    return Backend(url, embedded, _folder(url), provider, env)


def scratch(settled: Backend, folder: Path, project: str, stack: str) -> Backend:
    """A file backend in `folder` that holds one empty stack: for the preview of a stack that does not exist.

    Written directly, which takes 0.4 s less than asking the CLI to make it. Nothing in it needs encryption.
    """
    stacks = folder / ".pulumi" / "stacks" / project
    stacks.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / ".pulumi" / "meta.yaml").write_text("version: 1\n")
    encryption = {"type": "passphrase", "state": {"salt": _EMPTY_PASSPHRASE}}
    checkpoint = {"version": 3, "checkpoint": {"latest": {"secrets_providers": encryption}}}
    home.write_json(stacks / f"{stack}.json", checkpoint)
    env = {name: value for name, value in settled.env.items() if name != "PULUMI_CONFIG_PASSPHRASE_FILE"}
    url = f"file://{folder}"
    env |= {"PULUMI_BACKEND_URL": url, "PULUMI_CONFIG_PASSPHRASE": ""}
    return Backend(url, False, folder, None, env)


_EMPTY_PASSPHRASE = "v1:hyOqW3ohArs=:v1:7TxOuOoxJ4SZZFFT:q1m82v1BkHNf5sh+IcIXm0znONnxSg=="  # noqa: S105
"""How Pulumi notes that the passphrase is empty: a salt, and a known text encrypted."""


def repair(folder: Path, project: str, stack: str) -> None:
    """Remove what a killed engine left half written of a stack in a file backend; the caller holds its lease.

    The state itself is replaced in one step. The attributes beside each file are not, and an empty one makes the
    file unreadable; without them it is read as it is.
    """
    pulumi = folder / ".pulumi"
    mine = [
        *pulumi.glob("*.attrs"),
        *(pulumi / "stacks" / project).glob(f"{stack}.json.*"),
        *(pulumi / "history" / project / stack).glob("*"),
        *(pulumi / "locks" / "organization" / project / stack).glob("*"),
    ]
    for path in mine:
        if path.suffix == ".tmp" or (path.suffix == ".attrs" and path.stat().st_size == 0):
            path.unlink(missing_ok=True)


def keep(folder: Path, project: str, stack: str) -> None:
    """Hold on to the state as it is now, which takes no space: the engine replaces the file, and what it replaces
    it with is cut off when the disk is full. The caller holds the lease.
    """
    state, kept = _state_and_kept(folder, project, stack)
    with contextlib.suppress(OSError):
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        os.link(state, kept)


def mend(folder: Path, project: str, stack: str) -> bool:
    """Put the state that `keep` held in the place of one that is cut off. True: it may be older than what exists."""
    state, kept = _state_and_kept(folder, project, stack)
    if not kept.exists():
        return False
    try:
        json.loads(state.read_bytes())
    except ValueError:
        os.replace(kept, state)
        return True
    except FileNotFoundError:
        pass  # the stack was removed
    kept.unlink()
    with contextlib.suppress(OSError):  # other stacks of the project are in it
        kept.parent.rmdir()
    return False


def _state_and_kept(folder: Path, project: str, stack: str) -> tuple[Path, Path]:
    state = folder / ".pulumi" / "stacks" / project / f"{stack}.json"
    return state, folder / ".skywright" / "kept" / project / f"{stack}.json"


def forget(root: Path, project: str, stack: str) -> None:
    """`stack rm` leaves a backup of the empty state and empty folders; of ours nothing is to stay."""
    pulumi = root / ".pulumi"
    for left in (pulumi / "stacks" / project).glob(f"{stack}.json*"):
        if not left.name.endswith(".json"):
            left.unlink(missing_ok=True)
    for folder in (
        pulumi / "history" / project / stack,
        pulumi / "backups" / project / stack,
        pulumi
        / "locks"
        / "organization"
        / project
        / stack,  # of an engine that was killed: we hold the lease
    ):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (
        pulumi / "locks" / "organization" / project,
        pulumi / "history" / project,
        pulumi / "stacks" / project,
    ):
        with contextlib.suppress(OSError):  # other stacks are in it
            folder.rmdir()


def cramped(settled: Backend) -> bool:
    """Has the disk of the state less room than the engine needs to write one safely?"""
    disk = os.statvfs(settled.folder or settled.pulumi_home)
    return disk.f_blocks > 0 and disk.f_bavail * disk.f_frsize < NEEDED


def refused(error: OSError) -> Problem:
    """What the machine refused when state or an operation was to be written, as a Problem."""
    if error.errno in home.FULL:
        return home.disk_full(home.home())
    where = f"{error.filename}: " if error.filename else ""
    return Problem("engine/backend-unreachable", f"this machine refused: {where}{error.strerror}")


def _folder(url: str) -> Path | None:
    if not url.startswith("file://"):
        return None
    path = url.removeprefix("file://").partition("?")[0]
    folder = Path(path).expanduser()
    if not folder.is_absolute():
        raise Problems(
            Problem(
                "engine/backend-unreachable",
                f"PULUMI_BACKEND_URL={url} is relative, and would mean another folder to every process",
                hint=f"PULUMI_BACKEND_URL=file://{folder.absolute()}",
            )
        )
    if not folder.is_dir():
        raise Problems(Problem("engine/backend-unreachable", f"the state folder {folder} does not exist"))
    return folder


def _passphrase(root: Path) -> Path:
    """Random, and made once: two first operations must not each write their own."""
    path = root / "passphrase"
    if not path.exists():
        draft = root / f".passphrase.{os.getpid()}"
        home.write(draft, secrets.token_urlsafe(32).encode() + b"\n")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path


def _shown(url: str) -> str:
    """Without what may be a password."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}{parts.path}"
