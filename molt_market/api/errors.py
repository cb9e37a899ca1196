"""What an error becomes: problem details (RFC 9457), with the code that the SDK makes an error of again."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from molt_market.errors import InvalidValue, MoltError, TooManyRequests
from molt_market.wire.problems import MEDIA_TYPE, TYPE, Problem, problem_of

log = logging.getLogger(__name__)

RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text}
    for status, text in {
        400: "The body cannot be read as JSON.",
        403: "A signature is missing or another's.",
        404: "There is no such thing here.",
        409: "The market cannot do it as things stand.",
        410: "It is over.",
        413: "The body is too large.",
        422: "The request is wrong in itself.",
        429: "Too much at a time.",
        503: "Chain or database cannot be reached.",
    }.items()
}


def tell_errors(app: FastAPI) -> None:
    """Have every error of an app told as a problem."""
    app.add_exception_handler(MoltError, _ours)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _unexpected)


def answer(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return a problem as a response."""
    return JSONResponse(
        problem.model_dump(), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers
    )


async def _ours(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MoltError)  # noqa: S101 - what it was registered for
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, TooManyRequests) else None
    return answer(problem_of(error), headers)


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it was registered for
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    said = str(first["msg"]).removeprefix("Value error, ")
    return answer(problem_of(InvalidValue(f"{place}: {said}")))


async def _of_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it was registered for
    told = str(error.detail)
    code = "".join(word.capitalize() for word in told.split())
    problem = Problem(type=TYPE + code, title=told, status=error.status_code, detail=told, code=code)
    return answer(problem, dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    told = "the server failed at this: try again later, and tell its operator"
    return answer(Problem(type=TYPE + "Internal", title=told, status=500, detail=told, code="Internal"))
