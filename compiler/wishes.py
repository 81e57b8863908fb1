"""The requests of a task as the optimizer tries them: groups in order, and in each any one that can be had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from compiler.catalog import accelerators
from compiler.offer import Accelerator
from compiler.task import Requirements, Task

Groups = tuple[tuple[Requirements, ...], ...]


def of(task: Task) -> Groups:
    """The task's alternatives, or its one request."""
    options: Sequence[Requirements] = getattr(task, "options", ()) or (task.requirements,)
    return expanded(options, getattr(task, "ordered", False))


def expanded(options: Sequence[Requirements], ordered: bool) -> Groups:
    """One group of all requests, or with `ordered` one for each. Accelerators that are asked for by memory
    become a request for each name that has so much, images by region one for each of the regions."""
    groups = [tuple(placed for one in _named(wanted) for placed in _placed(one)) for wanted in options]
    if ordered:
        return tuple(groups)
    return (tuple(one for group in groups for one in group),)


def _named(wanted: Requirements) -> list[Requirements]:
    memory: Any = getattr(wanted, "accelerator_memory", None)
    if memory is None:
        return [wanted]
    names = accelerators.with_memory(memory.gb.value, at_least=memory.gb.at_least, vendor=memory.maker)
    if not names:
        # Nothing has so much: the request stays, under a name that nobody sells.
        names = (f"accelerator with {memory.gb}GB",)
    plain: Any = {"accelerator_memory": None}
    return [replace(wanted, accelerator=Accelerator(name, memory.count), **plain) for name in names]


def _placed(wanted: Requirements) -> list[Requirements]:
    image: Any = getattr(wanted, "image", None)
    regions = image.regions if image and wanted.region is None else ()
    return [replace(wanted, region=region) for region in regions] or [wanted]
