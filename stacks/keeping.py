"""What stays in a cloud's storage of a deployment whose task keeps a folder, what it costs, and what removes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from compiler.catalog import tariffs
from compiler.spec import StackSpec
from stacks.boot import Store
from stacks.cloud import Idle

Named = Callable[[Store], tuple[str, str]]
"""What a store is called, and the command that removes it."""


def stores(spec: StackSpec, held: Sequence[Store], kind: str, named: Named) -> tuple[Idle, ...]:
    """Those of `kind` among the stores that stacks of the deployment have made; none where no folder is kept.

    What lies in them is not known without asking, and is billed by its size.
    """
    if spec.checkpoint is None:
        return ()
    price = tariffs.OBJECTS[spec.cloud].tiers[0][1]
    found = []
    for one in held:
        if one.kind == kind:
            what, command = named(one)
            says = f"the checkpoint folder {spec.checkpoint}, {price:g} USD per GB and month; `{command}` removes it"
            found.append(Idle(what, 0.0, says))
    return tuple(found)
