"""The web application of one control: both audiences' routes, and the reconcilers' loop beside them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette

from skywright.control import jobs_api, loop, node_api, people_api
from skywright.control.context import WORK, Control, log
from skywright.control.holdings import BEAT_S
from skywright.control.http import HANDLERS
from skywright.control.mailroom import Mailroom
from skywright.control.store import Broken

PUBLISH_S = 1.0
"""How often a replica sees to it that this home says where a living one is."""


async def _beat(control: Control, published: Callable[[], None]) -> None:
    """Say that we live, until the bell is closed. A replica that cannot loses what it has, and takes it back later."""
    beaten = control.clock.steady()
    while control.store.is_shared and not control.bell.closed:
        try:
            published()
            if control.clock.steady() - beaten >= BEAT_S:
                control.holdings.beat()
                beaten = control.clock.steady()
        except (Broken, OSError) as error:
            log.error("this replica could not say that it lives: %s", error)
        await control.bell.wait("beat", control.bell.count("beat"), PUBLISH_S)


def application(
    control: Control, token: str, stop: Callable[[], None], published: Callable[[], None] = lambda: None
) -> Starlette:
    """`token` is the user's; `stop` asks the server to end; `published` has the home say where a replica is."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        beating = asyncio.create_task(_beat(control, published))
        reconciling = asyncio.create_task(loop.run(control, stop))
        carrying = asyncio.create_task(Mailroom(control).run())
        yield
        control.bell.close()
        control.bell.ring(WORK)
        await reconciling
        await carrying
        await beating
        with contextlib.suppress(Broken):
            control.holdings.end()
        control.store.close()

    app = Starlette(
        routes=[*node_api.ROUTES, *people_api.ROUTES, *jobs_api.ROUTES],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.state.control = control
    app.state.token = token
    app.state.stop = stop
    return app
