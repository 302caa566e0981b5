"""A model tried on the photos of a request, for the JSON routes and for the page."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from fastapi import Request, Response

from app.access.callers import Caller
from app.access.scopes import Scope
from app.api_models.job import JobView
from app.api_models.labels import Labels
from app.finetune.interruption import is_interrupted
from app.finetune.job_kinds import MODEL_EXPORT, kind_of
from app.finetune.model_export_config import ModelExportConfig
from app.isolated.run import run
from app.jobs.views import view_job
from app.models.named import find_named
from app.models.ready import ReadyModel, find_ready, find_waiting
from app.recognition.errors import ExportMissing
from app.recognition.task import EMBED, EmbeddedFace, EmbedRequest, Photo
from app.routes.dependencies import Checks, Service, reading_for
from app.routes.submitting import Submission, answer_submission

_View = TypeVar("_View")

_UNLABELLED = Submission(0, Labels(), None)

_PHOTOS = Path("the photos")
"""What errors of the process that reads the photos call them."""


async def try_model(
    request: Request,
    service: Service,
    caller: Caller,
    checks: Checks,
    model: str,
    photos: list[Photo],
    view: Callable[[ReadyModel, list[str], list[EmbeddedFace]], _View],
    *,
    align: bool,
    with_before: bool = False,
) -> _View | JobView:
    """Return the view of the photos' faces by the model; or the job that makes its ONNX file, or that of the weights
    before, where one is missing.

    Raises ModelNotFound, PhotoRefused, ExportMissing, and the errors of `app.isolated.run.run`.
    """

    def work() -> _View | ReadyModel:
        with reading_for(service, caller) as session:
            named = find_named(session, service.settings, model)
            ready = find_ready(session, service.settings, named, with_before=with_before)
        if ready.missing:
            return ready
        order = EmbedRequest(path=_PHOTOS, photos=tuple(photos), models=ready.files, align=align)
        return view(ready, [photo.name for photo in photos], run(EMBED, order, cancelled=is_interrupted).faces)

    found = await service.tries.pool.run(request, work)
    return await _export(service, caller, checks, found.missing) if isinstance(found, ReadyModel) else found


async def _export(service: Service, caller: Caller, checks: Checks, missing: list[str]) -> JobView:
    """Return the last of the jobs that make these ONNX files, submitted now or before. Raises ExportMissing."""
    if not caller.may(Scope.SUBMIT):
        raise ExportMissing(missing)
    jobs = [await _export_one(service, caller, checks, name) for name in missing]
    return jobs[-1]


async def _export_one(service: Service, caller: Caller, checks: Checks, name: str) -> JobView:
    waiting = await checks.run(partial(_find_waiting, service, caller, name))
    if waiting is not None:
        return waiting
    config = ModelExportConfig(edgeface=name)
    return await answer_submission(service, caller, checks, Response(), kind_of(MODEL_EXPORT), config, _UNLABELLED)


def _find_waiting(service: Service, caller: Caller, name: str) -> JobView | None:
    with reading_for(service, caller) as session:
        waiting = find_waiting(session, name)
        return None if waiting is None else view_job(session, waiting, service.settings.worker_seen_seconds)
