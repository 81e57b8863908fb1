"""One process per part of a task: owns the job's pipe, writes its bytes to the log, waits, records how it ended.

It outlives the agent and imports next to nothing, so that it stays small. `main` is given FOLDER, group name, memory
limit in bytes (0: none), most bytes the log may hold on disk, the pid of a process whose container the job joins (0:
none), working directory and the job's command. Its standard input holds the environment as `NAME=VALUE NUL ...`, an
empty item, the secrets in the same form, an empty item and the word `end` (without it the agent died while writing):
neither command lines nor files ever hold a secret.
In FOLDER it leaves, each written whole or not at all: `claim` (who runs this part: pid, start ticks, boot id), `log`,
`exit` (a JSON object) and `exports` (what the job's shell exported at its end, secrets replaced by their names).
A part whose claim exists is never run again. SIGTERM to the shim goes to the job's process group; SIGUSR1 kills
everything the job started.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import time

from runtime import cgroup, redact, spaces

CHUNK = 1 << 20
EXPORTS_FD = 187
"""Where the job's shell writes its environment at the end of setup; a number that scripts do not use for locks."""
DRAIN_S = 2.0
"""How long the pipe is still read after everything that could write to it was killed."""
PATIENCE_S, TICK_S = 10.0, 0.02
"""How long a job may be held up, all in all, for room in its log; and how often is looked for it."""


def main(args: list[str]) -> int:
    """Run one part to its end. `args` begins with the word `shim`."""
    folder, group, memory, spool, inside, cwd, *command = args[1:]
    environment, secrets, whole = _read_input()
    if not whole:
        return 1
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGUSR1))
    if not _claim(folder):
        return 1
    _store(
        os.path.join(folder, "exit.new"), b" " * 512
    )  # room for the record, should the disk be full by then
    groups = cgroup.make(group, int(memory))
    ctypes.CDLL(None).prctl(
        36, 1, 0, 0, 0
    )  # PR_SET_CHILD_SUBREAPER: orphans of the job stay below this process
    job = _Job(folder, groups, int(spool), int(inside))
    job.start(cwd, [os.fsencode(word) for word in command], environment)
    signal.signal(signal.SIGTERM, job.on_stop)
    signal.signal(signal.SIGUSR1, job.on_kill)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGUSR1))
    job.serve()
    job.finish()
    if job.exit_code == 0 and job.exports:
        with contextlib.suppress(OSError):
            _write(folder, "exports", _redacted(bytes(job.exports), environment, secrets))
    record = job.record()
    cgroup.remove(groups)
    _write(folder, "exit", record)
    return 0


class _Job:
    """The job's processes and the two pipes that come from them."""

    def __init__(self, folder: str, groups: tuple[str, ...], spool: int, inside: int) -> None:
        self.groups, self.inside = groups, inside
        self.log = _Log(os.path.join(folder, "log"), spool)
        self.pid, self.status, self.peak_kb = 0, -1, 0
        self.error = ""
        self.stopping = False
        self.exports = bytearray()
        self.pipe = self.exports_pipe = self.pidfd = -1

    @property
    def exit_code(self) -> int:
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else -1

    def start(self, cwd: str, command: list[bytes], environment: dict[bytes, bytes]) -> None:
        self.pipe, out = os.pipe()
        self.exports_pipe, exports = os.pipe()
        failed, failure = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.pipe, 1031, CHUNK)  # F_SETPIPE_SZ
        joined = spaces.open_all(self.inside) if self.inside else ()
        self.pid = os.fork()
        if self.pid == 0:
            _become(self.groups, joined, cwd, (out, exports, failure), command, environment)
        for fd in joined or ():
            os.close(fd)
        for fd in (out, exports, failure):
            os.close(fd)
        self.error = os.read(failed, 1000).decode("utf-8", "replace")
        os.close(failed)
        os.set_blocking(self.pipe, False)
        os.set_blocking(self.exports_pipe, False)
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self.pidfd = os.pidfd_open(self.pid)

    def on_stop(self, *_: object) -> None:
        self.stopping = True
        self.log.patience_s = 0.0  # it may have little time to save
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGTERM)

    def on_kill(self, *_: object) -> None:
        self.stopping = False
        cgroup.kill(self.groups)
        cgroup.kill_tree(os.getpid())

    def serve(self) -> None:
        """Move bytes until the main process ended and, when it was told to stop, all that it started has too."""
        poll = select.poll()
        for fd in (self.pipe, self.exports_pipe, self.pidfd):
            if fd >= 0:
                poll.register(fd, select.POLLIN)
        alive = True
        while self.status < 0 or (self.stopping and alive):
            for fd, _ in poll.poll(20 if self.pidfd < 0 or self.status >= 0 else 1000):
                if fd == self.pidfd or not self._move(fd):
                    poll.unregister(fd)
            # In a container orphans become children of its first process, not of this one.
            alive = self._reap() or (self.inside != 0 and bool(cgroup.members(self.groups)))

    def finish(self) -> None:
        """Kill what is left, take in what the pipe still holds, close the log."""
        end = time.monotonic() + DRAIN_S
        while self._reap() and time.monotonic() < end:
            cgroup.kill(self.groups)
            cgroup.kill_tree(os.getpid())
            self._move(self.pipe)
            time.sleep(0.001)
        cgroup.kill(self.groups)
        poll = select.poll()
        poll.register(self.pipe, select.POLLIN)
        while time.monotonic() < end and poll.poll(0) and self._move(self.pipe):
            pass
        self.log.patience_s, end = 0.0, time.monotonic() + DRAIN_S
        while time.monotonic() < end and poll.poll(0) and self._move(self.pipe):
            pass  # what found no room is counted
        self._move(self.exports_pipe)
        self.log.close()

    def record(self) -> bytes:
        """The exit record; read the groups' evidence before they are removed."""
        number = os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else 0
        values = {
            "exit_code": "null" if number else str(self.exit_code),
            "signal": str(number or "null"),
            "oom": "true" if self.status != 0 and cgroup.oom_kills(self.groups) else "false",
            "peak_memory_bytes": str(cgroup.peak_bytes(self.groups) or self.peak_kb * 1024),
            "log_bytes": str(self.log.size),
            "dropped_bytes": str(self.log.dropped),
            "error": '"%s"' % "".join(c for c in self.error if c.isalnum() or c in " ./_-:'[]"),
        }
        return ("{%s}\n" % ", ".join(f'"{key}": {value}' for key, value in values.items())).encode()

    def _move(self, fd: int) -> bool:
        """Take what one pipe holds; False at its end."""
        if fd == self.pipe:
            return self.log.take(fd)
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return True
        self.exports += data
        return bool(data)

    def _reap(self) -> bool:
        """Collect every child that ended; False when none is left, and so nothing that the job started."""
        try:
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self.pid:
                    self.status = status
                    self.peak_kb = usage.ru_maxrss
        except ChildProcessError:
            return False


class _Log:
    """The log file. When there is no room the job waits a while for what control has to be freed; then its bytes
    are dropped, counted, and marked where they are missing.
    """

    def __init__(self, path: str, spool: int) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.spool, self.size, self.dropped = spool, 0, 0
        self.patience_s = PATIENCE_S
        self._marked = self._checked = 0
        self._full = False
        self._rest = b""  # taken from the pipe or said by us, and not written yet
        self._splice = hasattr(os, "splice")
        disk = os.fstatvfs(self.fd)
        self._keep = min(64 * CHUNK, disk.f_blocks * disk.f_frsize // 16, disk.f_bavail * disk.f_frsize // 4)
        self._room = path + ".room"
        with contextlib.suppress(OSError):
            _store(self._room, b" " * 4096)

    def take(self, pipe: int) -> bool:
        """Move up to a chunk; False at the end of the pipe."""
        try:
            if self.size - self._checked >= min(CHUNK, self.spool // 16) or self._full:
                self._checked, self._full = self.size, self._short()
            if self._full:
                return self._wait(pipe)
            self._mark()
            if not self._splice:
                self._rest = os.read(pipe, CHUNK // 4)
                more = bool(self._rest)
                self._write_rest()
                return more
            moved = os.splice(pipe, self.fd, CHUNK)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno == errno.EINVAL and self._splice:
                self._splice = False
                return True
            return self._wait(pipe)
        self._grew(moved)
        return moved > 0

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._room)
        with contextlib.suppress(OSError):
            self._write_rest()
        self.dropped += len(self._rest)
        self._rest = b""
        with contextlib.suppress(OSError):
            self._mark()
        with contextlib.suppress(OSError):
            os.fsync(self.fd)
        os.close(self.fd)

    def _short(self) -> bool:
        """Is this log too big, or what others need of the disk in danger? Control's copy may be on the same one."""
        disk, held = os.fstatvfs(self.fd), os.fstat(self.fd).st_blocks * 512
        return held > self.spool or disk.f_bavail * disk.f_frsize < self._keep + held

    def _wait(self, pipe: int) -> bool:
        """Leave the bytes in the pipe, which holds the job up, until patience is at its end; then drop them."""
        if self.patience_s > 0:
            self.patience_s -= TICK_S
            time.sleep(TICK_S)
            return True
        try:
            data = os.read(pipe, CHUNK)
        except BlockingIOError:
            return True
        self.dropped += len(data)
        return bool(data)

    def _mark(self) -> None:
        self._write_rest()
        if self.dropped > self._marked:
            lost = self.dropped - self._marked
            self._rest = b"\n[skywright: %s bytes of output were dropped: disk full]\n" % f"{lost:,}".encode()
            self._marked = self.dropped
            self._write_rest()

    def _write_rest(self) -> None:
        while self._rest:
            written = os.write(self.fd, self._rest)
            self._rest = self._rest[written:]
            self._grew(written)

    def _grew(self, count: int) -> None:
        self.size += count
        # Patience comes back with what is written: a job is never held to less than a megabyte a second for long.
        self.patience_s = min(PATIENCE_S, self.patience_s + count / CHUNK)


def _become(
    groups: tuple[str, ...],
    joined: tuple[int, ...] | None,
    cwd: str,
    fds: tuple[int, int, int],
    command: list[bytes],
    environment: dict[bytes, bytes],
) -> None:
    """In the new process: turn into the job. Never returns."""
    out, exports, failure = fds
    try:
        os.setsid()
        cgroup.enter(groups)
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("500")
        spaces.enter(joined)
        os.chdir(cwd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.dup2(exports, EXPORTS_FD)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(command[0], command, environment)  # noqa: S606 - the job is what this process is for
    except BaseException as error:
        os.write(failure, str(error).encode("utf-8", "replace")[:1000])
    finally:
        os._exit(127)


def _read_input() -> tuple[dict[bytes, bytes], dict[bytes, bytes], bool]:
    parts = []
    while True:
        part = os.read(0, CHUNK)
        if not part:
            break
        parts.append(part)
    items = b"".join(parts).split(b"\0\0")
    if len(items) != 3:
        return {}, {}, False
    return _pairs(items[0]), _pairs(items[1]), items[2] == b"end"


def _pairs(data: bytes) -> dict[bytes, bytes]:
    found = {}
    for item in data.split(b"\0"):
        name, equals, value = item.partition(b"=")
        if equals:
            found[name] = value
    return found


def _redacted(exports: bytes, before: dict[bytes, bytes], secrets: dict[bytes, bytes]) -> bytes:
    """What the shell exported beyond `before`, every form of a secret in it replaced by its name."""
    known = redact.forms(secrets)
    return b"\0".join(
        name + b"=" + redact.hide(value, known)
        for name, value in _pairs(exports).items()
        if before.get(name) != value and name not in (b"_", b"SHLVL", b"PWD", b"OLDPWD")
    )


def _claim(folder: str) -> bool:
    """Say, once and for all, that this process runs the part; False when another has said so."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        start = file.read().rpartition(")")[2].split()[19]
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    draft = os.path.join(folder, f"claim.{os.getpid()}")
    _store(draft, f"{os.getpid()} {start} {boot_id}".encode())
    try:
        os.link(draft, os.path.join(folder, "claim"))
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)
    return True


def _write(folder: str, name: str, content: bytes) -> None:
    draft = os.path.join(folder, f"{name}.new")
    _store(draft, content)
    os.replace(draft, os.path.join(folder, name))
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def _store(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        if os.write(fd, content) < len(content):
            raise OSError(errno.ENOSPC, path)
        os.fsync(fd)
    finally:
        os.close(fd)
