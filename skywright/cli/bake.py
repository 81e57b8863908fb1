"""`bake`: makes a node image, as a container image or in a cloud, by the one recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compiler.problem import Exit, Problem, Problems
from skywright.cli import screen, settings
from skywright.cli.arguments import Values

if TYPE_CHECKING:
    from skywright.baking import Order


def run(values: Values) -> int:
    """One of `--container` and `--cloud`."""
    if bool(values.container) == bool(values.cloud):
        hint = "`bake --container`, or `bake --cloud aws`"
        raise Problems(Problem("usage/bake-what", "what is to be baked is not said", hint=hint))
    return _container(values) if values.container else _cloud(values)


def _container(values: Values) -> int:
    from stacks.image import container
    from stacks.local import agent_digest

    agent = agent_digest()
    folder = Path(values.out or "skywright-image").absolute()
    tag = values.tag or f"skywright-node:{agent[:12]}"
    try:
        container.write(folder, agent)
    except OSError as error:
        says = f"{folder} cannot be written: {error.strerror}"
        raise Problems(Problem("machine/cannot-write", says, hint="name another with `--out DIR`")) from None
    found = container.command(folder, tag)
    if found:
        container.build(found)
    if values.json:
        data = {"folder": str(folder), "tag": tag, "agent": agent, "built": bool(found)}
        screen.data({**data, "command": container.words(folder, tag)})
        return int(Exit.FINE)
    if found:
        screen.out(f"{tag} is built")
    else:
        screen.out(f"Dockerfile, recipe and agent are in {folder}; no container engine answers here")
        screen.out(f"  build it where one does: {container.words(folder, tag)}")
    return int(Exit.FINE)


def _cloud(values: Values) -> int:
    from dataclasses import asdict

    from skywright import baking
    from stacks.local import agent_digest

    order = _order(values)
    wanted = baking.spec(order, agent_digest())
    assert wanted.bake is not None
    if not values.json:
        screen.out(f"{wanted.bake['name']} in {order.region} of {order.cloud}, made of {order.base.id}")
        screen.out(
            "  the image's snapshot is billed as long as it exists; the machine is not when it is gone"
        )
    from skywright.cli.launch import ready_engine

    ready_engine(quiet=bool(values.json))
    env = settings.engine_env(clouds=[order.cloud])
    made = baking.bake(wanted, order.base, env, (lambda text: None) if values.json else _tell)
    if values.json:
        screen.data({**asdict(made), "stack": wanted.stack})
    else:
        screen.out(f"{made.name} is {made.id}; nodes in {made.region} start from it from now on")
    return int(Exit.FINE)


def _tell(text: str) -> None:
    screen.out(f"  {text}")


def _order(values: Values) -> Order:
    """What is wanted, with the vendor's image that it begins with. Raises Problems."""
    from compiler.catalog import clouds, contents
    from compiler.catalog.images import image_for
    from compiler.spec import Given
    from skywright import config, snapshots
    from skywright.baking import Order
    from skywright.cli.settings import owner, project
    from stacks import CLOUDS, cloud

    name = clouds.canonical(values.cloud)
    can = tuple(one for one in CLOUDS if getattr(cloud(one), "BAKES", False))
    if name not in can:
        says = f"images cannot be baked in `{values.cloud}`"
        raise Problems(Problem("cloud/cannot-bake", says, hint=f"these can: {', '.join(can)}"))
    if not values.region:
        says = "an image is made in one region, which is not said"
        raise Problems(Problem("usage/bake-what", says, hint="add `--region REGION`"))
    if getattr(cloud(name), "IN_ZONES", False) and not values.zone:
        says = f"a machine of `{name}` is made in one zone, which is not said"
        raise Problems(
            Problem("usage/bake-what", says, hint=f"add `--zone ZONE`, for example {values.region}-b")
        )
    known = contents.images(snapshots.opened(snapshots.current()))
    vendors = [one for one in known if not one.baked]
    arch = values.arch or "x86_64"
    base = image_for(name, values.region, values.gpus, arch, images=vendors)
    if base is None:
        says = (
            f"no image of `{name}` is known for {values.gpus or 'machines without accelerators'} and {arch}"
        )
        raise Problems(Problem("cloud/no-image", says, hint="`invoke gpus` lists accelerators"))
    return Order(
        name,
        values.region,
        values.zone,
        base,
        project(),
        owner(),
        config.read().given.get(name, Given()),
        instance_type=values.instance_type,
    )
