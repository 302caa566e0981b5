"""Answers to errors: RFC 9457 problem details."""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from app.access.headers import SECURITY_HEADERS
from app.api_models.problems import FieldProblem, Problem
from app.database_errors import explain
from app.error_headers import headers_of
from app.error_statuses import CHECKSUM_MISMATCH, status_of
from app.finetune.errors import Blame, EdgefaceError, printable, shortened
from app.finetune.field_messages import field_message
from app.finetune.job_kinds import DATASET_IMPORT, KINDS
from app.finetune.json_text import HINT as JSON_HINT
from app.finetune.json_text import describe_json_error
from app.finetune.shown_paths import ShownPaths
from app.jobs.errors import (
    InputError,
)
from app.jobs.sweep_errors import SweepInvalid
from app.request_log import REQUEST_ID_HEADER, notes_of

_log = logging.getLogger(__name__)

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_HINTS: dict[int, str] = {
    HTTPStatus.METHOD_NOT_ALLOWED: "the header Allow names the methods of this path; /docs describes them",
    HTTPStatus.BAD_REQUEST: "correct the header Range, such as bytes=0-99, or omit it for the whole file",
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: "Content-Range gives the size of the file: ask for a part of it",
}


REGISTER_TAG, IMPORT_TAG = "config-register", "config-import"
"""In the path of a field of the two bodies of POST /datasets. No field is called so."""

MEDIA_TYPE = "application/problem+json"

MOST_FIELDS = 20
"""Invalid fields that an answer names. It tells the number of the others."""

MOST_MESSAGE = 500
"""Characters of the message about a field."""


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE

    def __init__(self, content: Any, status_code: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, status_code, headers={**SECURITY_HEADERS, **(headers or {})})


_CONTENT = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "A problem", "content": _CONTENT},
    "5XX": {"description": "A problem of the service, such as a full disk or too many requests", "content": _CONTENT},
}


def add_problem_handlers(app: FastAPI) -> None:
    app.exception_handler(EdgefaceError)(_answer_edgeface_error)
    app.exception_handler(ClientDisconnect)(_answer_client_gone)
    app.exception_handler(RequestValidationError)(_answer_validation_error)
    app.exception_handler(HTTPException)(_answer_http_error)
    app.exception_handler(DBAPIError)(_answer_database_error)
    app.exception_handler(Exception)(_answer_unexpected)


def _answer(
    request: Request,
    status: int,
    *,
    code: str,
    detail: str,
    hint: str,
    blame: Blame,
    errors: list[FieldProblem] | None = None,
) -> ProblemResponse:
    notes, shown = notes_of(request.scope), _shown_by(request)
    problem = Problem(
        type=f"urn:edgeface-finetune:problem:{code}",
        title="Checksum Mismatch" if status == CHECKSUM_MISMATCH else HTTPStatus(status).phrase,
        status=status,
        detail=shown(detail),
        instance=printable(shortened(request.scope["path"])),  # request.url breaks on a strange Host header
        code=code,
        hint=shown(hint),
        blame=blame,
        request_id=None if notes is None else notes.id,
        errors=[FieldProblem(field=printable(each.field), message=shown(each.message)) for each in errors or []],
    )
    headers = {}
    if notes is not None:
        notes.problem = code
        headers[REQUEST_ID_HEADER] = notes.id  # an answer to an unexpected error does not pass the middleware
    return ProblemResponse(problem.model_dump(), status_code=status, headers=headers)


def _shown_by(request: Request) -> Callable[[str], str]:
    """Return what makes a text fit for an answer: without bytes that are not UTF-8, and without absolute paths."""
    paths: ShownPaths = getattr(request.app.state, "paths", ShownPaths())
    return lambda text: paths.shown(printable(text))


async def _answer_edgeface_error(request: Request, error: EdgefaceError) -> ProblemResponse:
    return answer_error(request, error)


def answer_error(request: Request, error: EdgefaceError) -> ProblemResponse:
    """Return the answer to a request that failed with `error`."""
    fields = [FieldProblem(field=error.field, message=error.message)] if isinstance(error, InputError) else []
    if isinstance(error, SweepInvalid):
        fields = [FieldProblem(field=field, message=message) for field, message in error.fields]
    answer = _answer(
        request,
        status_of(error),
        code=error.code,
        detail=error.message,
        hint=error.hint,
        blame=error.blame,
        errors=fields,
    )
    answer.headers.update(headers_of(error))
    return answer


async def _answer_client_gone(_: Request, __: ClientDisconnect) -> Response:
    """Nobody reads the answer."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _answer_validation_error(request: Request, error: RequestValidationError) -> ProblemResponse:
    found = error.errors()
    fields = [
        FieldProblem(field=_field_path(item), message=shortened(_message(item, error, request), MOST_MESSAGE))
        for item in found[:MOST_FIELDS]
    ]
    more = f"; and {len(found) - len(fields)} more" if len(found) > len(fields) else ""
    return _answer(
        request,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        code="request_invalid",
        detail="; ".join(f"{field.field}: {field.message}" for field in fields) + more,
        hint=_hint(error, request),
        blame="request",
        errors=fields,
    )


async def _answer_http_error(request: Request, error: HTTPException) -> ProblemResponse:
    if isinstance(error.__cause__, EdgefaceError):
        # It was raised while FastAPI read the body.
        return answer_error(request, error.__cause__)
    if isinstance(error.__cause__, UnicodeDecodeError | RecursionError | ValueError):
        # FastAPI could not read the body, and only its cause says why.
        message = describe_json_error(error.__cause__)
        return _answer(
            request,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            code="request_invalid",
            detail=f"body: {message}",
            hint=JSON_HINT,
            blame="request",
            errors=[FieldProblem(field="body", message=message)],
        )
    answer = _answer(
        request,
        error.status_code,
        code=HTTPStatus(error.status_code).name.lower(),
        detail=f"{request.method} {shortened(request.scope['path'])}: {error.detail}",
        hint=_HINTS.get(error.status_code, "/docs lists every path and method"),
        blame="request" if error.status_code < 500 else "service",
    )
    answer.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(_allowed_methods(request))
    return answer


def _allowed_methods(request: Request) -> list[str]:
    """All methods of the path. Starlette names only those of the first route that has it."""
    routes = request.app.routes
    found = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return [*found, "HEAD"] if "GET" in found else found


async def _answer_database_error(request: Request, error: DBAPIError) -> ProblemResponse:
    if (answer := answer_database_error(request, error)) is None:
        raise error
    return answer


def answer_database_error(request: Request, error: DBAPIError) -> ProblemResponse | None:
    """Return the answer to what is wrong with the database. None: a statement is wrong."""
    if (found := explain(error)) is None:
        return None
    _log.error("%s: %s", found.message, error.orig)
    return answer_error(request, found)


async def _answer_unexpected(request: Request, error: Exception) -> ProblemResponse:
    return _answer(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        code="internal_error",
        detail=f"unexpected error: {type(error).__name__}",
        hint="see the traceback in the API's log, and please report it",
        blame="service",
    )


def _field_path(item: dict[str, Any]) -> str:
    if item["type"] == "json_invalid":
        return "body"
    location: tuple[int | str, ...] = item["loc"]
    parts = location[1:] if location and location[0] == "body" else location
    parts = parts[1:] if parts and parts[0] in (REGISTER_TAG, IMPORT_TAG) else parts
    return shortened(".".join(str(part) for part in parts)) or "body"


def _message(item: dict[str, Any], error: RequestValidationError, request: Request) -> str:
    if item["type"] == "json_invalid":
        return describe_json_error(JSONDecodeError(item["ctx"]["error"], error.body, item["loc"][1]))
    path = str(request.scope["path"]).rstrip("/")
    kinds = [KINDS[DATASET_IMPORT]] if IMPORT_TAG in item["loc"] else KINDS.values()
    config = next((kind.config for kind in kinds if path.endswith(kind.path)), None)
    return field_message(item, config)


def _hint(error: RequestValidationError, request: Request) -> str:
    if any(item["loc"] == ("body",) for item in error.errors()) and _is_not_json(request):
        return "send the config as JSON, with the header Content-Type: application/json"
    if any(item["type"] == "json_invalid" for item in error.errors()):
        return JSON_HINT
    return "correct the fields named; /docs lists every field with its range"


def _is_not_json(request: Request) -> bool:
    return "json" not in request.headers.get("content-type", "")
