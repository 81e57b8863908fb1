"""The link's calls (docs/link.md), for agents: each is bound to the node that its token was given to."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from skywright.control import desired, hearing, nodes
from skywright.control.context import Control
from skywright.control.http import Handler, bearer, body, control_of, data, of
from skywright.control.presence import LEASE_S
from skywright.control.rows import Deployment, Node

HOLD_S = 20.0
MESSAGE_BYTES = 4 * 2**20
CHUNK_BYTES = 2**20
LOOK_S = 5.0
"""A held call looks at the store so often even when no bell rings."""


def for_nodes(handler: Handler) -> Handler:
    """Calls of a node are answered by the replica that looks after its deployment."""

    async def answered(request: Request) -> Response:
        uid = _uid(control_of(request), request.path_params["node"])
        return await (handler(request) if uid is None else of(request, uid, handler))

    return answered


def _uid(control: Control, name: str) -> str | None:
    """The deployment of a node, which may not have joined yet."""
    if node := control.store.first(Node, node=name):
        return node.uid
    row = control.store.first(Deployment, name=name.rsplit("-", 2)[0], ended=None)
    return row.uid if row else None


async def join(request: Request) -> Response:
    control = control_of(request)
    token = await nodes.join(control, request.path_params["node"], await data(request, MESSAGE_BYTES))
    return JSONResponse({"token": token, "lease_s": LEASE_S})


def caller(control: Control, request: Request) -> Node:
    """The node that calls. 401: join again; Refused 409: it was replaced and must stop."""
    token = bearer(request)
    name = request.path_params.get("node")
    if name is None:
        node = control.store.first(Node, token_hash=nodes.hashed(token))
    else:
        node = control.store.first(Node, node=name)
    if node and node.revoked:
        raise nodes.Refused(409, node.revoked, stop=True)
    if node is None or node.token_hash != nodes.hashed(token):
        raise HTTPException(401, "join again")
    return node


async def sync(request: Request) -> Response:
    """Take what the node says, then hold the call until there is something to say to it."""
    control = control_of(request)
    node = caller(control, request)
    said = await data(request, MESSAGE_BYTES)
    try:
        has = int(said.get("version", 0))
        events = hearing.events_of(said)
        hold_s = min(HOLD_S, max(0.0, float(said.get("hold_s", HOLD_S))))
    except (hearing.Nonsense, TypeError, ValueError) as error:
        raise HTTPException(400, f"not a sync: {error!r}") from None
    contact = hearing.hear(control, node, said.get("observed"))
    call = contact.calls
    acked = nodes.take_events(control, node, events)
    hung_up = asyncio.ensure_future(request.receive())
    try:
        answer = await _hold(control, node.node, has, 0.0 if events else hold_s, hung_up)
    finally:
        if hung_up.done():
            control.presence.broke_off(node.node, call, control.clock.steady())
        hung_up.cancel()
    return JSONResponse({**answer, "acked": acked, "lease_s": LEASE_S, "server_time": control.clock.now()})


async def _hold(
    control: Control, name: str, has: int, hold_s: float, hung_up: asyncio.Future[Any]
) -> dict[str, Any]:
    end = control.clock.steady() + hold_s
    hung_up.add_done_callback(lambda _: control.bell.ring(name))
    while True:
        count = control.bell.count(name)
        node = control.store.first(Node, node=name)
        deployment = control.store.first(Deployment, uid=node.uid) if node else None
        if node is None or deployment is None or node.revoked:
            raise nodes.Refused(409, (node and node.revoked) or "not a node any more", stop=True)
        version, wish = desired.newest(control, deployment, node, has)
        left = end - control.clock.steady()
        if hung_up.done() and not hung_up.cancelled():
            return {"version": version, "desired": None}
        if wish is not None or left <= 0 or control.bell.closed:
            return {"version": version, "desired": wish}
        await control.bell.wait(name, count, min(left, LOOK_S))


async def put_log(request: Request) -> Response:
    """Append log bytes at `offset`; 409 with the right one when there is a gap."""
    control = control_of(request)
    node = caller(control, request)
    run, attempt, phase = (request.path_params[key] for key in ("run", "attempt", "phase"))
    try:
        hearing.log_size(control, node, run, attempt, phase)
    except hearing.NoSuchLog as error:
        raise HTTPException(404, str(error)) from None
    try:
        offset = int(request.query_params.get("offset", ""))
    except ValueError:
        raise HTTPException(400, "offset is missing") from None
    if offset < 0:
        raise HTTPException(400, "offset is negative")
    content = await body(request, CHUNK_BYTES)
    accepted, following = hearing.append_log(control, node, run, attempt, phase, offset, content)
    return JSONResponse({"next": following}, 200 if accepted else 409)


async def get_blob(request: Request) -> Response:
    """An archive that a run of the node's own deployment refers to."""
    control = control_of(request)
    node = caller(control, request)
    path = hearing.archive(control, node, request.path_params["digest"])
    if path is None:
        raise HTTPException(404, "no such archive for this node")
    return FileResponse(path, media_type="application/octet-stream")


ROUTES = [
    Route("/v1/nodes/{node}/join", for_nodes(join), methods=["POST"]),
    Route("/v1/nodes/{node}/sync", for_nodes(sync), methods=["POST"]),
    Route("/v1/nodes/{node}/logs/{run:int}/{attempt:int}/{phase}", for_nodes(put_log), methods=["PUT"]),
    Route("/v1/blobs/{digest}", get_blob, methods=["GET"]),
]
