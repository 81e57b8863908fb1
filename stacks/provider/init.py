"""The init of a local node: keeps its agent running, plays its cloud, takes everything with it when it ends.

Run as a script with `-I -S -E`, standard library only. Two small processes make a node:
- the *host* stands outside, where a cloud's machinery would: it answers the metadata endpoint, hands on
  control's address, ends the node when its folder is gone or its notice has run out. It is the node's
  identity: when it is killed, all ends.
- the *first process* stands inside (process 1 of the node's namespaces, or the adopter of its process tree
  where there are none): it starts the agent, starts it again when it dies, and buries the dead.

The one who starts it writes the order (one line of JSON) to its standard input, reads the host's pid, records
it, and says go. The answer is `ready PID` or `failed REASON`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys
import time
from typing import Any, NoReturn

if __package__:
    from stacks.provider import endpoint, room
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import endpoint  # pyright: ignore[reportMissingImports]
    import room  # pyright: ignore[reportMissingImports]

TICK_S = 0.5
GRACE_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S, SETTLED_S = 0.2, 5.0, 10.0


class Wakeup:
    """A file that becomes readable when a signal arrives, so that waiting needs no polling."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(writer, False)
        self.stopping = False
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.reader, 512):
                pass


def main() -> None:
    """Leave the starter's session and tree, then be the host until the node ends."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.umask(0o022)
    order = json.loads(sys.stdin.readline())
    say(f"pid {os.getpid()}")
    # Nothing runs before the starter has recorded who we are: end of file means it died first.
    if sys.stdin.readline().strip() != "go":
        os._exit(1)
    wakeup = Wakeup()
    try:
        served = endpoint.Endpoint(
            order["address"],
            order["port"],
            os.path.join(order["folder"], "cloud", "notice.json"),
            {
                "/latest/meta-data/instance-id": order["node"],
                "/latest/meta-data/local-ipv4": order["address"],
            },
        )
    except OSError as error:
        fail(f"endpoint {order['address']}:{order['port']}: {error.strerror}")
    relay = Relay(order["control"], os.path.join(order["folder"], "cloud", "control.json"))
    relay.copy()
    first_pid = start_first(order, served)
    silence()
    host(order, served, wakeup, relay, first_pid)


def start_first(order: dict[str, Any], served: endpoint.Endpoint) -> int:
    """The first process of the node; its pid as the host sees it."""
    isolation = order["isolation"]
    if isolation == "namespaces":
        try:
            room.unshare(room.NEWPID)
        except OSError as error:
            fail(f"unsupported {error.filename}: {error.strerror}")
    else:
        room.adopt_orphans()
    go, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(tell)
        served.close()
        move_in(order, isolation, go)
    os.close(go)
    os.write(tell, str(pid).encode())
    os.close(tell)
    return pid


def move_in(order: dict[str, Any], isolation: str, go: int) -> NoReturn:
    """In the new process: make the node's inside, say ready, and be its first process."""
    # Asked for before anything else and proven by the pipe: a dead host writes no number.
    room.die_with_parent(signal.SIGTERM if isolation == "directory" else signal.SIGKILL)
    own = os.read(go, 32).decode()
    os.close(go)
    if not own:
        os._exit(1)
    parent = os.getppid()
    plan = room.Plan(
        folder=order["folder"],
        hostname=order["node"],
        address=order["address"],
        covered=order["covered"],
        writable=tuple(order["writable"]),
        readable=tuple(order["readable"]),
    )
    try:
        if isolation == "namespaces":
            room.enter(plan)
        elif isolation == "bubblewrap":
            move_in_by_bubblewrap(order, plan, own)
        else:
            room.adopt_orphans()
    except OSError as error:
        fail(f"unsupported {error.filename}: {error.strerror}")
    settle(order, own, isolation != "directory", parent)


def move_in_by_bubblewrap(order: dict[str, Any], plan: room.Plan, own: str) -> NoReturn:
    """Become bubblewrap, which starts this script again inside, with the order as its standard input."""
    os.makedirs(os.path.join(plan.folder, "tmp"), exist_ok=True)
    os.chmod(os.path.join(plan.folder, "tmp"), 0o1777)  # noqa: S103 (what /tmp is)
    memory = os.memfd_create("order")
    os.write(memory, json.dumps(order).encode())
    os.lseek(memory, 0, os.SEEK_SET)
    os.dup2(memory, 0)
    script = [order["agent"][0], "-I", "-S", "-E", os.path.abspath(__file__), "inside", own]
    words = room.bubblewrap(plan, script)
    os.execvp(words[0], words)  # noqa: S606


def settle(order: dict[str, Any], own: str, apart: bool, parent: int) -> NoReturn:
    say(f"ready {own}")
    silence()
    first(order, apart, parent)


def host(
    order: dict[str, Any], served: endpoint.Endpoint, wakeup: Wakeup, relay: Relay, first_pid: int
) -> NoReturn:
    """Serve the endpoint, watch the folder and the notice, until the node has to end or ends by itself."""
    record = os.path.join(order["folder"], "node.json")
    served.selector.register(wakeup.reader, selectors.EVENT_READ, wakeup.clear)
    told_at: float | None = None
    while True:
        served.serve(TICK_S if told_at is None else 0.02)
        if reaped(first_pid):
            break
        relay.copy()
        if told_at is None and (wakeup.stopping or not os.path.exists(record) or time_is_up(served.notice)):
            told_at = time.monotonic()
            # Bubblewrap stands between us and the first process, and would end it without grace.
            inside = descendants(first_pid)[:1] if order["isolation"] == "bubblewrap" else []
            signal_quietly((inside or [first_pid])[0], signal.SIGTERM)
        elif told_at is not None and time.monotonic() - told_at > GRACE_S + 3:
            signal_quietly(first_pid, signal.SIGKILL)
            os.waitpid(first_pid, 0)
            break
    # What outlived the first process, if it had no namespaces of its own, has become ours.
    end_tree(os.getpid(), 0.0)
    os._exit(0)


class Relay:
    """Copies control's address into the node's folder when it changes: control's own folder stays hidden."""

    def __init__(self, source: str, target: str) -> None:
        self.source, self.target = source, target
        self.seen: tuple[int, int] | None = None

    def copy(self) -> None:
        with contextlib.suppress(OSError):
            found = os.stat(self.source)
            mark = (found.st_ino, found.st_mtime_ns)
            if mark == self.seen:
                return
            with open(self.source, "rb") as file:
                content = file.read()
            with open(self.target + ".new", "wb") as file:
                file.write(content)
            os.replace(self.target + ".new", self.target)
            self.seen = mark


def time_is_up(notice: str) -> bool:
    """Has an announced loss come due? A notice that cannot be read counts as none."""
    said = endpoint.read_notice(notice)
    if said is None:
        return False
    from calendar import timegm

    try:
        # Compared with this machine's own clock, which wrote it.
        return time.time() >= timegm(time.strptime(str(said.get("time")), "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:
        return False


def first(order: dict[str, Any], apart: bool, parent: int) -> NoReturn:
    """Keep the agent running until it ends by its own decision (exit code 0) or the node is told to stop."""
    wakeup = Wakeup()
    waiting = selectors.DefaultSelector()
    waiting.register(wakeup.reader, selectors.EVENT_READ)
    agent: int | None = None
    pause, start_at, started_at = FIRST_PAUSE_S, 0.0, 0.0
    while not wakeup.stopping:
        now = time.monotonic()
        if agent is None and now >= start_at:
            agent, started_at = start_agent(order), now
        timeout = max(0.0, start_at - now) if agent is None else None
        if not apart:
            timeout = TICK_S if timeout is None else min(timeout, TICK_S)
        waiting.select(timeout)
        wakeup.clear()
        for pid, code in the_dead():
            if pid != agent:
                continue
            if code == 0:
                end_all(apart, 0.0)
            agent = None
            pause = FIRST_PAUSE_S if time.monotonic() - started_at > SETTLED_S else pause
            start_at = time.monotonic() + pause
            pause = min(pause * 2, LONGEST_PAUSE_S)
        if not apart and os.getppid() != parent:
            break
    # Without namespaces the host's death reaches us as a signal too: no grace, as there is none with them.
    orphaned = not apart and os.getppid() != parent
    end_all(apart, 0.0 if orphaned else GRACE_S)


def start_agent(order: dict[str, Any]) -> int:
    """The agent in a session of its own, its output in the node's folder."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(
            os.path.join(order["folder"], "agent.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(order["home"])
        os.execv(order["agent"][0], order["agent"])  # noqa: S606
    except BaseException as error:
        os.write(2, f"agent not started: {error}\n".encode())
    os._exit(127)


def end_all(apart: bool, grace_s: float) -> NoReturn:
    """End every process of the node, then this one."""
    if not apart:
        end_tree(os.getpid(), grace_s)
        os._exit(0)
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGTERM if grace_s else signal.SIGKILL)
    deadline = time.monotonic() + grace_s
    while not childless() and time.monotonic() < deadline:
        time.sleep(0.01)
    # What is left dies with the process namespace.
    os._exit(0)


def end_tree(root: int, grace_s: float) -> None:
    """End all descendants of `root`; they cannot leave its tree, for it adopts orphans."""
    deadline = time.monotonic() + grace_s
    if grace_s:
        for pid in descendants(root):
            signal_quietly(pid, signal.SIGTERM)
        while descendants(root) and time.monotonic() < deadline:
            the_dead()
            time.sleep(0.02)
    while found := descendants(root):
        for pid in found:
            signal_quietly(pid, signal.SIGKILL)
        the_dead()
        time.sleep(0.005)


def descendants(root: int) -> list[int]:
    """Living processes below `root`; found by parent, from /proc or from ps."""
    parents: dict[int, int] = {}
    if os.path.isdir("/proc/self"):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                    if fields[0] not in (b"Z", b"X"):
                        parents[int(name)] = int(fields[1])
    else:
        with os.popen("ps -A -o pid=,ppid=,stat=") as lines:  # noqa: S605
            for line in lines:
                pid, parent, state = line.split()
                if not state.startswith("Z"):
                    parents[int(pid)] = int(parent)
    found, todo = [], [root]
    while todo:
        below = todo.pop()
        children = [pid for pid, parent in parents.items() if parent == below]
        found += children
        todo += children
    return found


def the_dead() -> list[tuple[int, int]]:
    """(pid, exit code) of children that ended; a signal counts as minus its number."""
    found = []
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def childless() -> bool:
    try:
        while True:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return False
    except ChildProcessError:
        return True


def reaped(pid: int) -> bool:
    """Has this child ended? Buries it, and any orphan that came to us."""
    return any(dead == pid for dead, _ in the_dead())


def signal_quietly(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


def fail(reason: str) -> NoReturn:
    say(f"failed {reason}")
    os._exit(1)


def silence() -> None:
    """Let go of the starter's pipes: it waits for their end."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    if null > 2:
        os.close(null)


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        settle(json.loads(sys.stdin.read()), sys.argv[2], True, os.getppid())
    main()
