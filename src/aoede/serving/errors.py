"""Errors as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}` for every status.

Owns the shape, the words for what a request got wrong, and the handlers that an app needs so that no answer has another
shape. Knows nothing of speech.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException as StarletteHTTPException

_LONGEST_MESSAGE = 600
_BRANCHES = ("VoiceName", "constrained-str", "str", "float", "int")
_TYPES = {401: "authentication_error", 408: "timeout_error", 429: "rate_limit_error", 504: "timeout_error"}


class ErrorDetail(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(extra="forbid")

    message: str
    """For a person: the value, the limit, the way out."""

    type: str
    """The family: invalid_request_error, authentication_error, rate_limit_error, timeout_error, server_error."""

    param: str | None
    """The field that is meant."""

    code: str | None
    """For a program."""


class ErrorBody(BaseModel):
    """Every answer that is not 2xx."""

    model_config = ConfigDict(extra="forbid")

    error: ErrorDetail


class ApiError(HTTPException):
    """An answer that is an error. FastAPI lets it pass wherever it is raised, while a body is read too."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.code, self.param = code, param

    def body(self) -> dict[str, Any]:
        """As JSON."""
        message = str(self.detail)
        if len(message) > _LONGEST_MESSAGE:
            message = message[:_LONGEST_MESSAGE] + "..."
        return {
            "error": {
                # A message may quote what was sent; half a surrogate pair has no UTF-8.
                "message": message.encode("utf-8", "backslashreplace").decode(),
                "type": _family(self.status_code),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        """As an answer."""
        return JSONResponse(self.body(), self.status_code, headers=dict(self.headers or {}))


def retry_after(seconds: float) -> dict[str, str]:
    """The header that says when to come again: whole seconds, one at least."""
    return {"Retry-After": str(max(1, -int(-seconds // 1)))}


def add_error_handlers(app: FastAPI) -> None:
    """Give every error of an app the shape above."""

    @app.exception_handler(StarletteHTTPException)
    async def http(request: Request, error: StarletteHTTPException) -> JSONResponse:
        if not isinstance(error, ApiError):
            error = _worded(request, error)
        return error.response()

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        # The traceback goes to the server's log, not to the client.
        return ApiError(500, "the server failed at this request; its log says why", code="internal_error").response()


def invalid_request(errors: Sequence[Any]) -> ApiError:
    """What a schema found wrong, in one sentence a field; the first field is `param`.

    Args:
        errors: as pydantic lists them.
    """
    words: dict[str, str] = {}
    for error in errors:
        # Inside a union, a place names the branch that was tried, which says nothing to a client.
        places = [str(place) for place in error["loc"] if place not in _BRANCHES]
        field = ".".join(places)[:64]
        if error["type"] == "json_invalid":
            text = f"the body is not JSON: {error['ctx']['error']}"
        elif not field:
            text = "the body is not a JSON object"
        elif error["type"] == "missing":
            text = f"{field} is missing"
        elif error["type"] == "extra_forbidden":
            text = f"{field} is not known here"
        else:
            text = f"{field}: {error['msg'].removeprefix('Value error, ')}"
        words.setdefault(field, text[:200])
    first = next(iter(words))
    return ApiError(400, "; ".join(list(words.values())[:5]), code="invalid_request", param=first or None)


def _worded(request: Request, error: StarletteHTTPException) -> ApiError:
    """What the framework raises, in our words; its headers (Allow) stay."""
    status, headers = error.status_code, error.headers
    path = request.url.path[:100]
    if status == 404:
        return ApiError(404, f"nothing is at {path!r}; /openapi.json lists what there is", code="not_found")
    if status == 405:
        allowed = (headers or {}).get("Allow", "another method")
        message = f"{request.method[:20]} is not for {path!r}: use {allowed}"
        return ApiError(405, message, code="method_not_allowed", headers=headers)
    return ApiError(status, str(error.detail), code="invalid_request" if status == 400 else None, headers=headers)


def _family(status: int) -> str:
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
