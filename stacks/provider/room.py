"""The inside of a local node on Linux: a root of its own over the host's, seen and changed by nobody else.

Standard library only; runs as process 1 of the node's process namespace, with the rights of root. All mounts
are made in a namespace that ends with the node, so nothing has to be unmounted and the host's never change.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from dataclasses import dataclass

NEWNS, NEWUTS, NEWIPC, NEWPID = 0x20000, 0x4000000, 0x8000000, 0x20000000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36

_KERNEL_MOUNTS = ("/proc", "/sys", "/dev", "/run", "/tmp")  # noqa: S108 (names, not files)
_REAL_FILESYSTEMS = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "vfat", "exfat", "ntfs3",
     "nfs", "nfs4", "cifs", "9p", "virtiofs", "fuse")
)  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Plan:
    """What a node may see. `covered` is hidden; `writable` and `readable` are shown again at their paths."""

    folder: str
    hostname: str
    address: str
    covered: str
    writable: tuple[str, ...]
    readable: tuple[str, ...]


def unshare(flags: int) -> None:
    """Leave the shared namespaces named by `flags`. OSError where that is not allowed."""
    _check(_libc.unshare(flags), "unshare")


def die_with_parent(number: int) -> None:
    """Have the kernel send signal `number` to this process when its parent ends (Linux; else nothing)."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_SET_PDEATHSIG, number, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ended (Linux; else nothing)."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def enter(plan: Plan) -> None:
    """Make the root and go into it. OSError names the step that this system refuses."""
    unshare(NEWNS | NEWUTS | NEWIPC)
    _sethostname(plan.hostname)
    mount(None, "/", None, _REC | _PRIVATE)
    others = _other_mounts(plan)
    os.chdir(plan.folder)
    _overlay()
    root = os.path.join(plan.folder, "root")
    mount("/sys", f"{root}/sys", None, _BIND | _REC)
    mount("/dev", f"{root}/dev", None, _BIND | _REC)
    mount("proc", f"{root}/proc", "proc", _NOSUID | _NODEV)
    if os.path.isdir(f"{root}/dev/shm"):  # noqa: S108
        mount("tmpfs", f"{root}/dev/shm", "tmpfs", _NOSUID | _NODEV, "mode=1777")  # noqa: S108
    os.makedirs("tmp", exist_ok=True)
    os.chmod("tmp", 0o1777)  # noqa: S103 (what /tmp is)
    mount("tmp", root + "/tmp", None, _BIND)  # noqa: S108
    for path in others:
        if os.path.isdir(path):
            _show(root, path, _REC)
        else:
            _copy(path, root + path)
    _cover(root, plan)
    _names(root, plan)
    _change_root(root)


def bubblewrap(plan: Plan, command: list[str]) -> list[str]:
    """`command` as process 1 of a room that bubblewrap makes: for users who may not make one themselves.

    The root is the host's, with its rights; processes, /tmp and what is covered are apart.
    """
    shared = (
        "--die-with-parent --unshare-pid --unshare-uts --unshare-ipc --as-pid-1 --dev-bind / / --proc /proc"
    )
    words = ["bwrap", *shared.split(), "--hostname", plan.hostname]
    words += ["--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108
    words += ["--bind", os.path.join(plan.folder, "tmp"), "/tmp"]  # noqa: S108
    words += ["--perms", "0755", "--tmpfs", plan.covered]
    for path in plan.writable:
        words += ["--bind", path, path]
    for path in plan.readable:
        if _under(path, plan.covered, *_KERNEL_MOUNTS):
            words += ["--ro-bind", path, path]
    return [*words, "--", *command]


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """mount(2); OSError with the target as its file name."""
    done = _libc.mount(_bytes(source), _bytes(target), _bytes(kind), flags, _bytes(options))
    _check(done, f"mount {kind or 'bind'} {target}")


def _overlay() -> None:
    for name in ("upper", "work", "root"):
        os.makedirs(name, exist_ok=True)
    os.chmod("upper", 0o755)  # noqa: S103 (the mode of / in the node)
    # Relative names: a path may hold a comma or a colon, which the option's grammar has no good way to quote.
    options = "lowerdir=/,upperdir={0}upper,workdir={0}work"
    try:
        mount("overlay", "root", "overlay", 0, options.format(""))
    except OSError:
        # The host's root may itself be an overlay (a container), which cannot carry another's upper layer.
        os.makedirs("scratch", exist_ok=True)
        mount("tmpfs", "scratch", "tmpfs", 0, "mode=755")
        os.makedirs("scratch/upper", mode=0o755)
        os.makedirs("scratch/work")
        mount("overlay", "root", "overlay", 0, options.format("scratch/"))


def _other_mounts(plan: Plan) -> list[str]:
    """Real file systems beside the root, topmost only: an overlay shows just the one it lies on."""
    found: list[str] = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            left, _, right = line.partition(" - ")
            path = (
                left.split(" ")[4]
                .encode()
                .decode("unicode_escape")
                .encode("latin-1")
                .decode("utf-8", "surrogateescape")
            )
            kind = right.split(" ")[0].partition(".")[0]
            if (
                path == "/"
                or kind not in _REAL_FILESYSTEMS
                or _under(path, *_KERNEL_MOUNTS, plan.covered, *found)
            ):
                continue
            found.append(path)
    return found


def _cover(root: str, plan: Plan) -> None:
    """Hide the folder of the other nodes, control's store and the state; show what this node needs of it."""
    hidden = root + plan.covered
    os.makedirs(hidden, exist_ok=True)
    mount("tmpfs", hidden, "tmpfs", _NOSUID | _NODEV, "mode=755,size=1m")
    for path in plan.writable:
        _show(root, path)
    for path in plan.readable:
        # Outside of what is covered a path is there already, through the overlay.
        if _under(path, plan.covered, *_KERNEL_MOUNTS):
            _show(root, path)
            mount(None, root + path, None, _BIND | _REMOUNT | _RDONLY)


def _show(root: str, path: str, flags: int = 0) -> None:
    os.makedirs(root + path, exist_ok=True)
    mount(path, root + path, None, _BIND | flags)


def _copy(source: str, target: str) -> None:
    """Single files that a container engine mounts (/etc/hosts): the node gets its own copy."""
    with contextlib.suppress(OSError):
        with open(source, "rb") as file:
            content = file.read(1 << 20)
        _write(target, content)


def _names(root: str, plan: Plan) -> None:
    """The node's own name resolves to its own address, and names resolve as on the host."""
    resolver = os.path.realpath("/etc/resolv.conf")
    if not os.path.exists(root + resolver):
        _copy(resolver, f"{root}/etc/resolv.conf")
    hosts = b""
    with contextlib.suppress(OSError), open(f"{root}/etc/hosts", "rb") as file:
        hosts = file.read()
    with contextlib.suppress(OSError):
        _write(f"{root}/etc/hosts", f"{plan.address} {plan.hostname}\n".encode() + hosts)


def _write(path: str, content: bytes) -> None:
    if os.path.islink(path):
        os.unlink(path)
    with open(path, "wb") as file:
        file.write(content)


def _change_root(root: str) -> None:
    number = _PIVOT_ROOT.get(platform.machine())
    os.chdir(root)
    if number is None:
        os.chroot(".")
    else:
        # The old root is stacked on the new one's and taken off at once: no folder for it is needed.
        _check(_libc.syscall(number, b".", b"."), "pivot_root")
        _check(_libc.umount2(b".", _DETACH), "umount")
    os.chdir("/")


def _sethostname(name: str) -> None:
    text = name.encode()[:63]
    _check(_libc.sethostname(text, len(text)), "sethostname")


def _under(path: str, *folders: str) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _check(result: int, step: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), step)
