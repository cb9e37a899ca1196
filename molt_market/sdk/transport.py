"""HTTP to a market's server: typed answers, the server's errors raised as ours, retries that do no harm."""

from __future__ import annotations

import random
import time
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from molt_market.errors import InvalidValue, MoltError, ServerError, ServerUnreachable
from molt_market.telling import tell
from molt_market.wire.alerts import REQUEST
from molt_market.wire.problems import Problem, error_of

Answer = TypeVar("Answer", bound=BaseModel)

ATTEMPTS = 5
FIRST_WAIT = 0.2  # seconds; each wait is twice the one before, give or take a half
MOST_WAIT = 10.0
AGAIN = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class Transport:
    """One server. What is posted is known by its hash, so that a request may be repeated: it counts once.

    Args:
        url: of the server, `http://127.0.0.1:8080` for example.
        timeout_seconds: for each attempt.
        attempts: how often a request is tried that found no server, or a busy one.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 10, attempts: int = ATTEMPTS) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidValue(f"{url!r} is no address of a server: write e.g. http://127.0.0.1:8080")
        self.url = url.rstrip("/")
        self._attempts = attempts
        self._http = httpx.Client(base_url=self.url, timeout=timeout_seconds)

    def get(self, path: str, kind: type[Answer], /, **params: Any) -> Answer:
        """Ask. Raises the server's error, ServerUnreachable, ServerError."""
        given = {name: value for name, value in params.items() if value is not None}
        return self._read(self._send("GET", path, params=given), kind)

    def post(
        self, path: str, body: BaseModel, kind: type[Answer], *, timeout_seconds: float | None = None
    ) -> Answer:
        """Post, with a timeout of its own if given. Raises as `get` does."""
        headers = {"Content-Type": "application/json"}
        timeout = self._http.timeout if timeout_seconds is None else httpx.Timeout(timeout_seconds)
        sent = self._send("POST", path, content=body.model_dump_json(), headers=headers, timeout=timeout)
        return self._read(sent, kind)

    def signed(self, method: str, path: str, request: BaseModel, kind: type[Answer]) -> Answer:
        """Ask by a signed request that goes in a header. Raises as `get` does."""
        headers = {REQUEST: request.model_dump_json()}
        return self._read(self._send(method, path, headers=headers), kind)

    def close(self) -> None:
        self._http.close()

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        for attempt in range(1, self._attempts + 1):
            try:
                response = self._http.request(method, path, **request)
            except httpx.TransportError as error:
                if attempt == self._attempts:
                    raise ServerUnreachable(self.url, str(error)) from error
                pause(attempt)
                continue
            if response.status_code not in AGAIN or attempt == self._attempts:
                return response
            tell("server_is_busy", status=response.status_code, attempt=attempt)
            pause(attempt, response.headers.get("Retry-After"))
        raise AssertionError("the last attempt returns or raises")  # pragma: no cover

    def _read(self, response: httpx.Response, kind: type[Answer]) -> Answer:
        try:
            if response.is_success:
                return kind.model_validate_json(response.content)
            problem = Problem.model_validate_json(response.content)
        except ValidationError as error:
            told = f"{response.status_code} {response.text[:200]!r}"
            raise ServerError(self.url, told) from error
        raise self._error(problem)

    def _error(self, problem: Problem) -> MoltError:
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return ServerError(self.url, problem.detail)
        return error_of(problem)


def pause(attempt: int, told: str | None = None) -> None:
    """Wait before the next attempt: longer each time, and as long as the other side has told."""
    seconds = FIRST_WAIT * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
    if told is not None and told.isdigit():
        seconds = max(seconds, int(told))
    time.sleep(min(seconds, MOST_WAIT))
