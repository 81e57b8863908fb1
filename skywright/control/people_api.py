"""The calls of people's commands: all need the token that stands in a file only the user can read."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from compiler.codec import encode
from compiler.problem import Problem, Problems
from skywright.control import (
    VERSION,
    budget,
    clouds,
    cost,
    desk,
    loss,
    losses,
    machines,
    strays,
    survey,
    view,
)
from skywright.control.chaos import strike
from skywright.control.context import WORK, Control
from skywright.control.http import Handler, bearer, control_of, data, of, stream
from skywright.control.orders import read_choice, read_env, read_order, read_run
from skywright.control.rows import Deployment, Event, Lease, Node, Replica, Run

ORDER_BYTES = 32 * 2**20
LOG_BYTES = 2**20
"""Log bytes of one answer."""

EVENTS = 1000
WAIT_S = 30.0


def for_people(handler: Handler) -> Handler:
    """Let only the holder of the user's token in."""

    async def guarded(request: Request) -> Response:
        if not hmac.compare_digest(bearer(request).encode(), request.app.state.token.encode()):
            raise HTTPException(401, "not the token of this control")
        control = control_of(request)
        control.used = control.clock.steady()
        if name := request.path_params.get("name"):
            return await _by_name(request, name, handler)
        return await handler(request)

    return guarded


async def _by_name(request: Request, name: str, handler: Handler) -> Response:
    """About a living deployment the replica answers that looks after it; about all else whoever was asked."""
    row = control_of(request).store.first(Deployment, name=name, ended=None)
    return await (handler(request) if row is None else of(request, row.uid, handler))


async def health(request: Request) -> Response:
    control = control_of(request)
    return JSONResponse(
        {
            "version": VERSION,
            "pid": os.getpid(),
            "deployments": len(control.store.find(Deployment, ended=None)),
            **_replicas(control),
        }
    )


def _replicas(control: Control) -> dict[str, Any]:
    """{replicas}: rows of {url, pid, holds}, where there may be several."""
    if not control.store.is_shared:
        return {}
    now, held = control.store.now(), [lease.holder for lease in control.store.find(Lease)]
    rows = [row for row in control.store.find(Replica, order="url") if row.until > now]
    return {
        "replicas": [{"url": row.url, "pid": row.who["pid"], "holds": held.count(row.id)} for row in rows]
    }


async def stop(request: Request) -> Response:
    """End this server; operations and nodes go on."""
    request.app.state.stop()
    return JSONResponse({})


async def launch(request: Request) -> Response:
    order = read_order(await data(request, ORDER_BYTES))

    async def ordered(_: Request) -> Response:
        return JSONResponse(desk.launch(control_of(request), order))

    return await _by_name(request, order.name, ordered)


async def execute(request: Request) -> Response:
    order = read_run(await data(request, ORDER_BYTES))
    return JSONResponse(desk.execute(control_of(request), request.path_params["name"], order))


async def deployments(request: Request) -> Response:
    control = control_of(request)
    rows = control.store.find(Deployment, order="created", ended=None)
    if request.query_params.get("refresh") == "1":
        for row in rows:
            if control.holdings.holds(row.uid):  # what others look after they ask about themselves
                with control.holdings.guard(row.uid):
                    await _refresh(control, row)
    return JSONResponse([view.deployment(control, row, measured=True) for row in rows])


async def _refresh(control: Control, row: Deployment) -> None:
    """Ask the cloud about every node, not only about silent ones."""
    if row.stage != "up":
        return
    try:
        living = await loss.alive(control, row)
    except Problems as problems:
        if problems.problems[0].code in clouds.SILENT:
            return  # its row says so
        raise
    for node in control.store.find(Node, uid=row.uid, revoked=None):
        loss.judge(control, row, node, living)
    control.bell.ring(WORK)


async def deployment(request: Request) -> Response:
    control = control_of(request)
    row = desk.find(control, request.path_params["name"])
    return JSONResponse(view.deployment(control, row, measured=True))


async def runs(request: Request) -> Response:
    control = control_of(request)
    row = desk.find(control, request.path_params["name"])
    return JSONResponse([view.run(control, run) for run in control.store.find(Run, order="run", uid=row.uid)])


async def follow(request: Request) -> Response:
    """The timeline after `after`; waits for news when there is none yet."""
    control = control_of(request)
    row = desk.find(control, request.path_params["name"])
    after, wait_s = _number(request, "after"), min(WAIT_S, _number(request, "wait_s"))
    control.reading(row.uid)
    count = control.bell.count(row.uid)
    events = control.store.since(Event, "seq", after, limit=EVENTS, uid=row.uid)
    if not events and wait_s > 0:
        await control.bell.wait(row.uid, count, wait_s)
        events = control.store.since(Event, "seq", after, limit=EVENTS, uid=row.uid)
        row = control.store.first(Deployment, uid=row.uid) or row
    return JSONResponse(
        {
            "events": [view.event(event) for event in events],
            "next": events[-1].seq if events else int(after),
            "deployment": view.deployment(control, row),
            "runs": [view.run(control, run) for run in control.store.find(Run, order="run", uid=row.uid)],
        }
    )


def _number(request: Request, name: str) -> float:
    try:
        return max(0.0, float(request.query_params.get(name, "0")))
    except ValueError:
        raise HTTPException(400, f"{name} is not a number") from None


async def logs(request: Request) -> Response:
    """New log bytes after a cursor: a line of JSON that describes the chunks, then their bytes one after the other."""
    control = control_of(request)
    row = desk.find(control, request.path_params["name"])
    asked = await data(request, ORDER_BYTES)
    cursor = dict(asked.get("cursor") or {})
    number = cursor.get("run") or asked.get("run") or control.store.highest(Run, "run", uid=row.uid)
    run = control.store.first(Run, uid=row.uid, run=number)
    if run is None:
        raise Problems(
            Problem(
                "run/no-such-run",
                f"`{row.name}` has no run {number}" if number else f"`{row.name}` had no run yet",
                hint=f"`skywright queue {row.name}` lists them",
            )
        )
    seen: dict[str, int] = dict(cursor.get("parts") or {})
    end = control.clock.steady() + min(WAIT_S, float(asked.get("wait_s") or 0))
    control.reading(row.uid)
    while True:
        count = control.bell.count(row.uid)
        run = control.store.first(Run, uid=row.uid, run=number) or run
        chunks, content = _new_bytes(control, run, seen)
        left = end - control.clock.steady()
        if chunks or run.ended is not None or left <= 0 or control.bell.closed:
            break
        await control.bell.wait(row.uid, count, left)
    head = {
        "chunks": chunks,
        "cursor": {"run": number, "parts": seen},
        "ended": run.ended is not None and not chunks,
    }
    return Response(json.dumps(head).encode() + b"\n" + content, media_type="application/octet-stream")


def _new_bytes(control: Control, run: Run, seen: dict[str, int]) -> tuple[list[dict[str, Any]], bytes]:
    """Chunks after `seen`, which is moved on."""
    chunks: list[dict[str, Any]] = []
    content = bytearray()
    for part in control.logbook.parts(run.uid, run.run):
        offset = seen.get(part.name, 0)
        found = control.logbook.read(run.uid, run.run, part, offset, LOG_BYTES - len(content))
        if not found:
            continue
        chunks.append(
            {
                "rank": part.rank,
                "attempt": part.attempt,
                "phase": part.phase,
                "offset": offset,
                "size": len(found),
            }
        )
        seen[part.name] = offset + len(found)
        content += found
        if len(content) >= LOG_BYTES:
            break
    return chunks, bytes(content)


async def cancel(request: Request) -> Response:
    asked = await data(request, ORDER_BYTES)
    return JSONResponse(desk.cancel(control_of(request), request.path_params["name"], asked.get("runs")))


async def autostop(request: Request) -> Response:
    asked = await data(request, ORDER_BYTES)
    idle = asked.get("idle_s")
    if idle is not None and not isinstance(idle, (int, float)):
        raise HTTPException(400, "idle_s is a number")
    name, down = request.path_params["name"], bool(asked.get("down", True))
    return JSONResponse(machines.autostop(control_of(request), name, idle, down))


async def down(request: Request) -> Response:
    asked = await data(request, ORDER_BYTES)
    name, purge = request.path_params["name"], bool(asked.get("purge"))
    return JSONResponse(desk.down(control_of(request), name, purge, _env(asked)))


async def release(request: Request) -> Response:
    return JSONResponse(desk.release(control_of(request), request.path_params["name"]))


async def chaos(request: Request) -> Response:
    asked = await data(request, ORDER_BYTES)
    name, kind = request.path_params["name"], str(asked.get("kind"))
    try:
        rank = int(asked.get("rank") or 0)
        notice = None if asked.get("notice_s") is None else float(asked["notice_s"])
    except (TypeError, ValueError):
        raise HTTPException(400, "rank and notice_s are numbers") from None
    return JSONResponse(await strike(control_of(request), name, kind, rank, notice))


async def costs(request: Request) -> Response:
    names, by = request.query_params.getlist("name"), request.query_params.get("by")
    if by is None:
        return JSONResponse(cost.report(control_of(request), names))
    if by not in cost.BY:
        raise HTTPException(400, f"by is one of {', '.join(cost.BY)}")
    return JSONResponse(cost.report_by(control_of(request), by, names))


async def set_budget(request: Request) -> Response:
    usd = (await data(request, ORDER_BYTES)).get("usd")
    if usd is not None and (not isinstance(usd, (int, float)) or isinstance(usd, bool) or not usd > 0):
        raise HTTPException(400, "usd is a number above 0, or null")
    return JSONResponse(budget.allow(control_of(request), request.path_params["name"], usd))


async def recent_losses(request: Request) -> Response:
    return JSONResponse(losses.recent(control_of(request)))


async def orphans(request: Request) -> Response:
    asked = await data(request, ORDER_BYTES)
    return JSONResponse(await strays.orphans(control_of(request), bool(asked.get("delete")), _env(asked)))


async def drift(request: Request) -> Response:
    return JSONResponse(encode(await survey.look(control_of(request), request.path_params["name"])))


async def rest(request: Request) -> Response:
    return JSONResponse(machines.stop(control_of(request), request.path_params["name"]))


async def start(request: Request) -> Response:
    return JSONResponse(machines.start(control_of(request), request.path_params["name"]))


async def access(request: Request) -> Response:
    asked = await data(request, ORDER_BYTES)
    ranks = asked.get("ranks")
    if ranks is not None and not (isinstance(ranks, list) and all(isinstance(one, int) for one in ranks)):
        raise HTTPException(400, "ranks are numbers")
    return JSONResponse(await machines.access(control_of(request), request.path_params["name"], ranks))


async def endpoints(request: Request) -> Response:
    return JSONResponse(await machines.endpoints(control_of(request), request.path_params["name"]))


async def move(request: Request) -> Response:
    asked = await data(request, ORDER_BYTES)
    try:
        choice = asked.get("choice")
        if choice is not None and not isinstance(choice, str):
            choice = {**read_choice(choice), "policy": choice.get("policy")}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise HTTPException(400, "choice is no placement") from None
    return JSONResponse(machines.move(control_of(request), request.path_params["name"], choice, _env(asked)))


async def login(request: Request) -> Response:
    env = _env(await data(request, ORDER_BYTES))
    return JSONResponse(await machines.login(control_of(request), request.path_params["name"], env))


def _env(asked: Mapping[str, Any]) -> dict[str, str]:
    try:
        return read_env(asked)
    except (TypeError, ValueError):
        raise HTTPException(400, "env is an object of texts") from None


async def missing(request: Request) -> Response:
    asked = await data(request, ORDER_BYTES)
    return JSONResponse(control_of(request).blobs.missing(asked.get("digests") or ()))


async def put_blob(request: Request) -> Response:
    await control_of(request).blobs.receive(request.path_params["digest"], stream(request))
    return JSONResponse({})


def _route(path: str, handler: Handler, method: str) -> Route:
    return Route(path, for_people(handler), methods=[method], name=handler.__name__)


ROUTES = [
    _route("/v1/health", health, "GET"),
    _route("/v1/stop", stop, "POST"),
    _route("/v1/deployments", deployments, "GET"),
    _route("/v1/deployments", launch, "POST"),
    _route("/v1/deployments/{name}", deployment, "GET"),
    _route("/v1/deployments/{name}/runs", runs, "GET"),
    _route("/v1/deployments/{name}/runs", execute, "POST"),
    _route("/v1/deployments/{name}/follow", follow, "GET"),
    _route("/v1/deployments/{name}/logs", logs, "POST"),
    _route("/v1/deployments/{name}/cancel", cancel, "POST"),
    _route("/v1/deployments/{name}/autostop", autostop, "POST"),
    _route("/v1/deployments/{name}/down", down, "POST"),
    _route("/v1/deployments/{name}/release", release, "POST"),
    _route("/v1/deployments/{name}/chaos", chaos, "POST"),
    _route("/v1/deployments/{name}/move", move, "POST"),
    _route("/v1/deployments/{name}/login", login, "POST"),
    _route("/v1/deployments/{name}/budget", set_budget, "POST"),
    _route("/v1/deployments/{name}/drift", drift, "POST"),
    _route("/v1/deployments/{name}/access", access, "POST"),
    _route("/v1/deployments/{name}/endpoints", endpoints, "GET"),
    _route("/v1/deployments/{name}/stop", rest, "POST"),
    _route("/v1/deployments/{name}/start", start, "POST"),
    _route("/v1/cost", costs, "GET"),
    _route("/v1/losses", recent_losses, "GET"),
    _route("/v1/orphans", orphans, "POST"),
    _route("/v1/blobs/missing", missing, "POST"),
    _route("/v1/blobs/{digest}", put_blob, "PUT"),
]
