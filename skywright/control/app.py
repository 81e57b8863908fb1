"""The web application of one control: both audiences' routes, and the reconcilers' loop beside them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette

from skywright.control import jobs_api, loop, node_api, people_api
from skywright.control.context import WORK, Control
from skywright.control.http import HANDLERS
from skywright.control.mailroom import Mailroom


def application(control: Control, token: str, stop: Callable[[], None]) -> Starlette:
    """`token` is the user's; `stop` asks the server to end."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        reconciling = asyncio.create_task(loop.run(control, stop))
        carrying = asyncio.create_task(Mailroom(control).run())
        yield
        control.bell.close()
        control.bell.ring(WORK)
        await reconciling
        await carrying
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
