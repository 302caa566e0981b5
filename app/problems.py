"""Answers to errors: RFC 9457 problem details, and the HTTP status of each error."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.exceptions import HTTPException

from app.api_models.problems import FieldProblem, Problem
from app.finetune.errors import Blame, EdgefaceError
from app.jobs.errors import (
    CheckpointNotKept,
    CheckpointNotReady,
    InputError,
    JobNotFound,
    NoBackbone,
    NotEvaluated,
    NothingToPin,
    NotPausable,
    NotPaused,
    NotRetryable,
    StatesGone,
    StoredFileMissing,
)

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "A problem", "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}}
}

STATUS_OF_ERROR: dict[type[EdgefaceError], HTTPStatus] = {
    JobNotFound: HTTPStatus.NOT_FOUND,
    NotPausable: HTTPStatus.CONFLICT,
    NotPaused: HTTPStatus.CONFLICT,
    NotRetryable: HTTPStatus.CONFLICT,
    StatesGone: HTTPStatus.CONFLICT,
    NothingToPin: HTTPStatus.CONFLICT,
    CheckpointNotReady: HTTPStatus.CONFLICT,
    NotEvaluated: HTTPStatus.CONFLICT,
    CheckpointNotKept: HTTPStatus.NOT_FOUND,
    NoBackbone: HTTPStatus.NOT_FOUND,
    StoredFileMissing: HTTPStatus.GONE,
}


def status_of(error: EdgefaceError) -> HTTPStatus:
    """The entry of STATUS_OF_ERROR; else 500 for errors with the blame `service`, and 422 for all others."""
    fallback = HTTPStatus.INTERNAL_SERVER_ERROR if error.blame == "service" else HTTPStatus.UNPROCESSABLE_ENTITY
    return STATUS_OF_ERROR.get(type(error), fallback)


def add_problem_handlers(app: FastAPI) -> None:
    app.exception_handler(EdgefaceError)(_answer_edgeface_error)
    app.exception_handler(RequestValidationError)(_answer_validation_error)
    app.exception_handler(HTTPException)(_answer_http_error)
    app.exception_handler(OperationalError)(_answer_database_unavailable)
    app.exception_handler(InterfaceError)(_answer_database_unavailable)
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
    problem = Problem(
        type=f"urn:edgeface-finetune:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        code=code,
        hint=hint,
        blame=blame,
        errors=errors or [],
    )
    return ProblemResponse(problem.model_dump(), status_code=status)


async def _answer_edgeface_error(request: Request, error: EdgefaceError) -> ProblemResponse:
    fields = [FieldProblem(field=error.field, message=error.message)] if isinstance(error, InputError) else []
    return _answer(
        request,
        status_of(error),
        code=error.code,
        detail=error.message,
        hint=error.hint,
        blame=error.blame,
        errors=fields,
    )


async def _answer_validation_error(request: Request, error: RequestValidationError) -> ProblemResponse:
    fields = [FieldProblem(field=_field_path(item), message=_message(item)) for item in error.errors()]
    return _answer(
        request,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        code="request_invalid",
        detail="; ".join(f"{field.field}: {field.message}" for field in fields),
        hint="send the config as JSON, with the header Content-Type: application/json"
        if any(item["loc"] == ("body",) for item in error.errors())
        and "json" not in request.headers.get("content-type", "")
        else "correct the fields named; /docs lists every field with its range",
        blame="request",
        errors=fields,
    )


async def _answer_http_error(request: Request, error: HTTPException) -> ProblemResponse:
    answer = _answer(
        request,
        error.status_code,
        code=HTTPStatus(error.status_code).name.lower(),
        detail=f"{request.method} {request.url.path}: {error.detail}",
        hint="/docs lists every path and method",
        blame="request" if error.status_code < 500 else "service",
    )
    answer.headers.update(error.headers or {})
    return answer


async def _answer_database_unavailable(request: Request, error: OperationalError | InterfaceError) -> ProblemResponse:
    _log.error("the database does not answer: %s", error)
    return _answer(
        request,
        HTTPStatus.SERVICE_UNAVAILABLE,
        code="database_unavailable",
        detail="the database does not answer",
        hint="try again in a few seconds; if it still fails, see GET /health/ready and the API's log",
        blame="service",
    )


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
    return ".".join(str(part) for part in parts) or "body"


def _message(item: dict[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        return "there is no such field"
    return str(item["msg"]).removeprefix("Value error, ")
