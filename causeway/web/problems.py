"""Errors as people and programs see them: problem JSON under ``/api``, a calm page elsewhere.

Problem JSON is RFC 9457 with ``code`` and ``trace_id`` added; ``detail`` is safe to show, and an unexpected error's
own words never leave the log. ``trace_id`` is what its reader can hand to an operator: the trace that the request made,
or the request's own number when it made none. The log's line for the problem has it too.
https://www.rfc-editor.org/rfc/rfc9457
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from causeway.errors import (
    CausewayError,
    InvalidInputError,
    NoAccessError,
    NotFoundError,
    NotSignedInError,
)
from causeway.web.rendering import is_fragment, link, page
from causeway.web.response_headers import REQUEST_ID

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong, as ``application/problem+json``."""

    type: str = Field(default="about:blank", description="Always `about:blank`: `code` names the problem")
    title: str = Field(description="The HTTP status in words")
    status: int
    code: str = Field(description="Stable; listed in docs/reference/errors.md")
    detail: str = Field(description="One sentence for a person: what happened and the remedy")
    trace_id: str | None = Field(
        default=None, description="Finds this call in the log and, where it made one, its trace"
    )


class InvalidFieldsError(InvalidInputError):
    """The request's fields have not the shape that is documented."""

    http_status = 422


UNEXPECTED = CausewayError("Causeway failed on this call; its log tells why")


def problem_of(error: CausewayError, scope: Mapping[str, Any]) -> Problem:
    """``error`` in the shape that leaves the building; noted in the log. ``scope`` is its request's."""
    problem = Problem(
        title=HTTPStatus(error.http_status).phrase,
        status=error.http_status,
        code=error.code,
        detail=error.message,
        trace_id=error.trace_id or scope.get(REQUEST_ID),
    )
    about = {name: scope.get(name) for name in ("method", "path")}
    about |= {"status": problem.status, "code": problem.code, "trace_id": problem.trace_id}
    if isinstance(
        error, InvalidInputError | NoAccessError
    ):  # the caller's matter, and perhaps in the caller's words
        log.info("request refused", extra=about)
    elif error is not UNEXPECTED:  # that one is logged where it was caught, with its traceback
        log.warning("request failed", extra={**about, "reason": error.message})
    return problem


def problem_response(error: CausewayError, scope: Mapping[str, Any]) -> Response:
    """``error`` as an ``/api`` answer."""
    headers = {"www-authenticate": "Bearer"} if isinstance(error, NotSignedInError) else {}
    return JSONResponse(
        problem_of(error, scope).model_dump(),
        status_code=error.http_status,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def describe(operations: Iterable[dict[str, Any]]) -> None:
    """Give the problems of OpenAPI ``operations`` the media type that they are sent with, not that of good answers."""
    for answer in (each for operation in operations for each in operation["responses"].values()):
        for shape in list(answer.get("content", {}).values()):
            if shape.get("schema", {}).get("$ref", "").endswith("/Problem"):
                answer["content"] = {MEDIA_TYPE: shape}


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` in this module's shapes."""

    async def known(request: Request, error: Exception) -> Response:
        return _answer(request, error if isinstance(error, CausewayError) else UNEXPECTED)

    async def invalid(request: Request, error: Exception) -> Response:
        problems = error.errors() if isinstance(error, RequestValidationError) else ()
        return _answer(request, InvalidFieldsError(_explain(problems)))

    async def refused(request: Request, error: Exception) -> Response:
        return _answer(request, _from_http(request, error))

    async def unexpected(request: Request, _error: Exception) -> Response:  # response_headers.guarded logs it
        return _answer(request, UNEXPECTED)

    app.add_exception_handler(CausewayError, known)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, unexpected)


def _answer(request: Request, error: CausewayError) -> Response:
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    if path.startswith(("/api/", "/health/", "/otlp/", "/metrics")):
        return problem_response(error, request.scope)
    if isinstance(error, NotSignedInError):
        return _to_sign_in(request)
    if is_fragment(request):
        return page(request, "notice.html", {"error": error}, status_code=error.http_status)
    return page(request, "error.html", {"error": error}, status_code=error.http_status)


def _to_sign_in(request: Request) -> Response:
    """The sign-in page, and afterwards back here; only a GET can be come back to."""
    is_page = request.method == "GET" and not is_fragment(request)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = link(request, "sign_in", {"next": here}) if is_page else link(request, "sign_in")
    if is_fragment(request):
        return Response(status_code=204, headers={"hx-redirect": target})
    return RedirectResponse(target, status_code=303)


def _from_http(request: Request, error: Exception) -> CausewayError:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(f"there is nothing at {request.url.path}")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return _MethodError(f"{request.url.path} does not take {request.method}; see /api/docs")
    return InvalidInputError(
        str(error.detail) if isinstance(error, HTTPException) else "the request is wrong"
    )


class _MethodError(InvalidInputError):
    http_status = 405


def _explain(problems: Sequence[Any]) -> str:
    told = []
    for problem in problems[:5]:
        place = ".".join(str(part) for part in problem["loc"] if part not in ("body", "query", "path"))
        told.append(f"{place}: {problem['msg']}" if place else str(problem["msg"]))
    return "; ".join(told) or "the request has not the shape that /api/docs tells"
