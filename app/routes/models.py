"""Models: what can be used as a start, and tried on photos."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response, status

from app.api_models.job import JobView
from app.api_models.models import ComparisonView, EmbeddingsView, ModelList
from app.finetune.config import OF_JOB
from app.guard.gate import CallerDep
from app.jobs.errors import CursorInvalid
from app.models.answers import compare, embeddings
from app.models.listing import list_given, list_results
from app.problems import PROBLEM_RESPONSES
from app.recognition.task import MOST_PHOTOS
from app.routes.dependencies import ChecksDep, ServiceDep, reading_for
from app.routes.photo_form import read_photos
from app.routes.trying import try_model

_View = TypeVar("_View")

router = APIRouter(prefix="/models", tags=["models"], responses=PROBLEM_RESPONSES)

ModelId = Annotated[
    str, Path(max_length=512, description="A weights name or `job:ID`, as in configs; `GET /models` lists them.")
]

_FILE = {"type": "string", "format": "binary"}
_ALIGN = {
    "type": "boolean",
    "default": True,
    "description": "Whether faces are found and aligned. false: each photo is a face that is cropped and aligned "
    "already. A photo smaller than 40 px always is.",
}


def _form_of(photos: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    schema = {"type": "object", "required": [*photos], "properties": {**photos, "align": _ALIGN}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def _several(description: str) -> dict[str, Any]:
    return {"type": "array", "items": _FILE, "maxItems": MOST_PHOTOS, "description": description}


_WAITS: dict[int | str, dict[str, Any]] = {
    202: {
        "model": JobView,
        "description": "A job makes the ONNX file that is missing: GET its Location until `terminal`, then send the "
        "request again",
    }
}


@router.get("")
async def list_models(
    service: ServiceDep,
    caller: CallerDep,
    checks: ChecksDep,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="The most results of jobs on a page.")] = 100,
) -> ModelList:
    """List what a config can name as `edgeface`: weights, on the first page, and the results of jobs, newest first."""
    if cursor is not None and not (len(cursor) == 24 and cursor.isalnum()):
        raise CursorInvalid(cursor)

    def read() -> ModelList:
        with reading_for(service, caller) as session:
            given = list_given(session, service.settings) if cursor is None else []
            results = list_results(session, before=cursor, limit=limit + 1)
        shown = results[:limit]
        following = shown[-1].id.removeprefix(OF_JOB) if len(results) > limit else None
        return ModelList(models=[*given, *shown], next_cursor=following)

    return await checks.run(read)


@router.post(
    "/{model:path}/comparisons",
    response_model=ComparisonView,
    responses=_WAITS,
    openapi_extra=_form_of(
        {
            "probe": {**_FILE, "description": "A photo."},
            "gallery": _several("A second photo, or several of people with names: their file names are the names."),
        }
    ),
)
async def compare_photos(
    model: ModelId, request: Request, service: ServiceDep, caller: CallerDep, checks: ChecksDep
) -> ComparisonView | Response:
    """Compare a photo with another one, or with each of a gallery, by the model and by the weights that it was made
    from. The photos are read in a process with limited memory and time, and are not kept. 503 with Retry-After: too
    many wait."""
    with service.tries.admission.place(request):
        form = await read_photos(request, {"probe": 1, "gallery": MOST_PHOTOS})
        sent = [*form.photos["probe"], *form.photos["gallery"]]
        tried = await try_model(
            request, service, caller, checks, model, sent, compare, align=form.align, with_before=True
        )
        return _answer(tried)


@router.post(
    "/{model:path}/embeddings",
    response_model=EmbeddingsView,
    responses=_WAITS,
    openapi_extra=_form_of({"photo": _several("Photos.")}),
)
async def embed_photos(
    model: ModelId, request: Request, service: ServiceDep, caller: CallerDep, checks: ChecksDep
) -> EmbeddingsView | Response:
    """Embed the face of each photo by the model: 512 numbers, whose dot product with others is the similarity."""
    with service.tries.admission.place(request):
        form = await read_photos(request, {"photo": MOST_PHOTOS})
        tried = await try_model(
            request, service, caller, checks, model, form.photos["photo"], embeddings, align=form.align
        )
        return _answer(tried)


def _answer(tried: _View | JobView) -> _View | Response:
    if not isinstance(tried, JobView):
        return tried
    headers = {"Location": f"/jobs/{tried.id}", "Retry-After": "1"}
    content = tried.model_dump_json(by_alias=True)
    return Response(content, status.HTTP_202_ACCEPTED, headers, media_type="application/json")
