"""What happens, shown while it happens: a moving picture on a terminal (rich), plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from skywright.cli import screen

if TYPE_CHECKING:
    from rich.console import RenderableType

MARKS = {
    "notice": "!",
    "lost": "!",
    "replaced": "✔",
    "problem": "✗",
    "moved": "✔",
    "left": "!",
}
COLOURS = {"!": screen.YELLOW, "✔": screen.GREEN, "✗": screen.RED}
SHOWN_PHASES = ("SETTING_UP", "RUNNING", "RECOVERING")


class Display(Protocol):
    """Where `follow` shows timeline events, the run's progress, and the task's output in between."""

    def event(self, event: dict[str, Any]) -> None: ...
    def state(self, deployment: dict[str, Any], run: dict[str, Any] | None) -> None: ...
    def write(self, put: Callable[[], None], mid_line: Callable[[], bool]) -> None: ...
    def tick(self) -> None: ...
    def close(self) -> None: ...


def display() -> Display:
    """The right one for where stderr goes."""
    return Live() if screen.coloured(sys.stderr) else Plain()


def line_of(event: dict[str, Any]) -> str | None:
    """The line that stays of an event; None for what is only worth a moving picture."""
    data = event.get("data") or {}
    kind = event["kind"]
    if kind == "resource" and data.get("status") == "started":
        return None
    if kind == "step" and data.get("type") in ("step", "result"):
        return None
    if kind in ("phase", "accepted", "run", "removed"):
        return None
    text = screen.called(screen.printable(event["text"]))
    if kind == "try" and data.get("failure"):
        return f"✗ {text}"
    if kind == "resource":
        return f"{'✗' if data.get('status') == 'failed' else '✔'} {text}"
    return f"{MARKS.get(kind, '·')} {text}"


class Plain:
    """One line per thing that happened, on stderr."""

    def event(self, event: dict[str, Any]) -> None:
        line = line_of(event)
        if line:
            screen.say(f"  {line}")

    def state(self, deployment: dict[str, Any], run: dict[str, Any] | None) -> None:
        """Progress is not worth a line."""

    def write(self, put: Callable[[], None], mid_line: Callable[[], bool]) -> None:
        put()

    def tick(self) -> None:
        """Nothing moves."""

    def close(self) -> None:
        """Nothing to clear."""


class Live:
    """Spinners and bars in the last lines of the terminal; they make way for every line that stays."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(file=sys.stderr, highlight=False)
        self.rows: dict[str, tuple[str, float]] = {}
        self.run: dict[str, Any] | None = None
        self.nodes = 0
        self.shown: Any = None
        self.mid_line: Callable[[], bool] = lambda: False

    def event(self, event: dict[str, Any]) -> None:
        data = event.get("data") or {}
        if data.get("type") in ("resource", "step") and data.get("status"):
            key = str(data.get("resource") or data.get("name"))
            if data["status"] == "started":
                text = event["text"] if data["type"] == "resource" else f"engine: {key}"
                self.rows[key] = (screen.printable(text), float(event["at"]))
            else:
                self.rows.pop(key, None)
        line = line_of(event)
        if line:
            self._hide()
            if self.mid_line():
                sys.stderr.write("\n")
            screen.say("  " + screen.paint(line[0], COLOURS.get(line[0], screen.GREY), sys.stderr) + line[1:])
        self.tick()

    def state(self, deployment: dict[str, Any], run: dict[str, Any] | None) -> None:
        self.nodes = int(deployment.get("nodes_wanted") or 0)
        self.run = run
        if run and run["status"] not in ("PENDING", "RECOVERING"):
            self.rows.clear()

    def write(self, put: Callable[[], None], mid_line: Callable[[], bool]) -> None:
        self.mid_line = mid_line
        self._hide()
        put()
        self.tick()

    def tick(self) -> None:
        lines = self._lines()
        if not lines or self.mid_line():
            self._hide()
            return
        from rich.console import Group
        from rich.live import Live as Region

        if self.shown is None:
            self.shown = Region(console=self.console, transient=True, auto_refresh=False)
            self.shown.start()
        self.shown.update(Group(*lines), refresh=True)

    def close(self) -> None:
        self.rows.clear()
        self.run = None
        self._hide()

    def _hide(self) -> None:
        if self.shown is not None:
            self.shown.stop()
            self.shown = None

    def _lines(self) -> list[RenderableType]:
        from rich.text import Text

        now = time.time()
        frame = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(now * 10) % 10]
        lines: list[RenderableType] = [
            Text.assemble("  ", (frame, "cyan"), f" {text}  ", (screen.span(now - since), "bright_black"))
            for text, since in self.rows.values()
        ]
        if self.run and self.run["status"] in SHOWN_PHASES:
            lines.extend(self._of_run(self.run, frame))
        return lines

    def _of_run(self, run: dict[str, Any], frame: str) -> list[RenderableType]:
        from rich.text import Text

        if run["status"] == "SETTING_UP":
            ready = sum(1 for rank in run["ranks"] if rank["phase"] not in ("pending", "fetching", "setup"))
            text = (
                f" setup  {bar(ready / max(1, self.nodes))}  {ready} of {screen.plural(self.nodes, 'node')}"
            )
            return [Text.assemble("  ", (frame, "cyan"), text)]
        shown = progress_text(run.get("progress"))
        if not shown:
            return []
        return [Text.assemble("  ", (frame, "cyan"), f" {shown}")]


def bar(fraction: float, width: int = 20) -> str:
    """`██████░░░░`."""
    full = round(max(0.0, min(1.0, fraction)) * width)
    return "█" * full + "░" * (width - full)


def progress_text(progress: dict[str, Any] | None, *, width: int = 20) -> str:
    """What the task says of its progress, on one line: bar, percent, its numbers, rate and time left."""
    if not progress:
        return ""
    parts = []
    fraction: Any = progress.get("fraction")
    step: Any = progress.get("step")
    total: Any = progress.get("total")
    counts = isinstance(step, (int, float)) and isinstance(total, (int, float)) and total > 0
    if fraction is None and counts:
        fraction = step / total
    if isinstance(fraction, (int, float)):
        if width:
            parts.append(bar(fraction, width))
        parts.append(f"{100 * fraction:.0f} %")
    if counts:
        parts.append(f"step {step:g}/{total:g}")
    hidden = {"fraction", "rate", "remaining_s"} | ({"step", "total"} if counts else set())
    for key, value in progress.items():
        if key in hidden or isinstance(value, (dict, list)):
            continue
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        parts.append(screen.printable(f"{key} {shown}"))
    rate = progress.get("rate")
    if isinstance(rate, (int, float)) and rate:
        parts.append(rate_text(float(rate), "step" in progress))
    left = progress.get("remaining_s")
    if isinstance(left, (int, float)):
        parts.append(f"{screen.span(left)} left")
    return "  ".join(parts)


def rate_text(rate: float, steps: bool) -> str:
    """Steps per second where the task counts steps, else percent per minute."""
    if steps:
        return f"{rate:.3g}/s" if rate >= 0.1 else f"{rate * 60:.3g}/min"
    return f"{rate * 6000:.3g} %/min"
