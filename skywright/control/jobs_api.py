"""The calls of people's commands that are about managed jobs."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from skywright.control import jobdesk
from skywright.control.holdings import JOBS
from skywright.control.http import Handler, control_of, data, of
from skywright.control.jobs import key
from skywright.control.people_api import EVENTS, ORDER_BYTES, WAIT_S, for_people
from skywright.control.rows import Event, Job


async def submit(request: Request) -> Response:
    return JSONResponse(jobdesk.submit(control_of(request), await data(request, ORDER_BYTES)))


async def jobs(request: Request) -> Response:
    asked = request.query_params
    found = jobdesk.listed(
        control_of(request), all_of_them=asked.get("all") == "1", name=asked.get("name") or None
    )
    return JSONResponse(found)


async def cancel(request: Request) -> Response:
    asked = await data(request, ORDER_BYTES)
    ids, name = asked.get("ids"), asked.get("name")
    if ids is not None and not (isinstance(ids, list) and all(isinstance(one, int) for one in ids)):
        raise HTTPException(400, "ids are numbers")
    return JSONResponse(jobdesk.cancel(control_of(request), ids, None if name is None else str(name)))


async def job(request: Request) -> Response:
    control = control_of(request)
    return JSONResponse(jobdesk.shown(control, jobdesk.find(control, request.path_params["id"])))


async def follow(request: Request) -> Response:
    """Events of a job's timeline after a number; waits for one, or for the job's end."""
    control = control_of(request)
    row = jobdesk.find(control, request.path_params["id"])
    try:
        after = int(request.query_params.get("after", "0"))
        wait_s = min(WAIT_S, max(0.0, float(request.query_params.get("wait_s", "0"))))
    except ValueError:
        raise HTTPException(400, "after and wait_s are numbers") from None
    end = control.clock.steady() + wait_s
    while True:
        count = control.bell.count(key(row))
        events = control.store.since(Event, "seq", after, limit=EVENTS, uid=key(row))
        row = control.store.first(Job, id=row.id) or row
        left = end - control.clock.steady()
        if events or row.ended is not None or left <= 0 or control.bell.closed:
            break
        await control.bell.wait(key(row), count, left)
    told = [{"seq": one.seq, "at": one.at, "text": one.text, "data": one.data} for one in events]
    last = events[-1].seq if events else after
    return JSONResponse({"events": told, "next": last, "job": jobdesk.shown(control, row)})


def _route(path: str, handler: Handler, method: str) -> Route:
    async def answered(request: Request) -> Response:
        return await of(request, JOBS, handler)

    return Route(path, for_people(answered), methods=[method], name=f"jobs_{handler.__name__}")


ROUTES = [
    _route("/v1/jobs", submit, "POST"),
    _route("/v1/jobs", jobs, "GET"),
    _route("/v1/jobs/cancel", cancel, "POST"),
    _route("/v1/jobs/{id:int}", job, "GET"),
    _route("/v1/jobs/{id:int}/follow", follow, "GET"),
]
