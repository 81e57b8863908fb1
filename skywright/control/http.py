"""What both audiences' routes share: bodies with a limit, bearer tokens, and errors as data."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from compiler.problem import Exit, Problem, Problems
from skywright.control import space
from skywright.control.context import Control, log
from skywright.control.holdings import Elsewhere
from skywright.control.nodes import Refused
from skywright.control.store import Broken, Lost

Handler = Callable[[Request], Awaitable[Response]]

STATUS = {Exit.TASK: 400, Exit.NO_SUCH_RUN: 404, Exit.LOCKED: 409}
"""HTTP status of a Problem's exit code; 422 for the others."""


def control_of(request: Request) -> Control:
    return cast(Control, request.app.state.control)


def bearer(request: Request) -> str:
    """The token of the call; 401 when there is none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise HTTPException(401, "a bearer token is needed")
    return token.strip()


async def body(request: Request, limit: int) -> bytes:
    """The whole body; 413 above `limit` bytes."""
    content = bytearray()
    async for chunk in stream(request):
        content += chunk
        if len(content) > limit:
            raise HTTPException(413, f"at most {limit} bytes")
    return bytes(content)


async def data(request: Request, limit: int) -> dict[str, Any]:
    """The body as a JSON object; 400 when it is none."""
    try:
        given = json.loads(await body(request, limit) or b"{}")
    except (ValueError, RecursionError):
        raise HTTPException(400, "the body is not JSON") from None
    if not isinstance(given, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return given


async def stream(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces; a caller who hangs up ends it with 400."""
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect:
        raise HTTPException(400, "the caller hung up") from None


def problems(_: Request, error: Exception) -> Response:
    found = cast(Problems, error)
    return JSONResponse(
        {"problems": [problem.to_data() for problem in found.problems]}, STATUS.get(found.exit, 422)
    )


def refused(_: Request, error: Exception) -> Response:
    found = cast(Refused, error)
    return JSONResponse({"stop": found.stop, "reason": found.reason}, found.status)


def elsewhere(_: Request, error: Exception) -> Response:
    """Another replica looks after it: where it is asked, or null where the caller begins again."""
    url = error.url if isinstance(error, Elsewhere) else None
    return JSONResponse({"control": url, "reason": "another replica looks after this"}, 421)


async def of(request: Request, uid: str, handler: Handler) -> Response:
    """The call about one deployment, by the replica that looks after it. Raises Elsewhere."""
    control = control_of(request)
    control.holdings.need(uid)
    with control.holdings.guard(uid):
        try:
            return await handler(request)
        except Lost:
            control.holdings.lost(uid)
            raise Elsewhere(None) from None


def failed(_: Request, error: Exception) -> Response:
    found = cast(HTTPException, error)
    return JSONResponse({"reason": found.detail}, found.status_code, headers=found.headers)


async def unstored(request: Request, error: Exception) -> Response:
    """The disk is full or a team's database away (503), or the disk is broken (507).

    The caller asks again later, a person is told why.
    """
    control = control_of(request)
    if space.notice(control, error):
        told = space.problem(control)
        return JSONResponse({"problems": [told.to_data()], "reason": told.message}, 503)
    log.error("the store or a file could not be written: %s", error)
    if isinstance(error, Broken) and control.store.is_shared:
        away = "control cannot reach its PostgreSQL, or was refused by it"
        hint = "nodes and operations go on, and so does control when it answers again"
        return JSONResponse(
            {"problems": [Problem("control/store-unusable", away, hint=hint).to_data()], "reason": away}, 503
        )
    problem = Problem(
        "control/store-unusable",
        f"control could not store what it was told: {error}",
        hint="free disk space where SKYWRIGHT_HOME is",
    )
    return JSONResponse({"problems": [problem.to_data()], "reason": str(error)}, 507)


HANDLERS: dict[Any, Any] = {
    Problems: problems,
    Refused: refused,
    Elsewhere: elsewhere,
    HTTPException: failed,
    Broken: unstored,
    OSError: unstored,
}
