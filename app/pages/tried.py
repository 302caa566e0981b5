"""The page that tries a model on photos: a plain form, and the answer on the same page."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.access.callers import Caller
from app.api_models.job import JobView
from app.api_models.models import ComparisonView, ModelView
from app.error_statuses import status_of
from app.finetune.errors import EdgefaceError
from app.guard.gate import CallerDep
from app.models.answers import compare
from app.models.listing import list_given, list_results
from app.pages.layout import Layout, look_at_layout
from app.pages.render import PageRoute, render_page
from app.pages.words import ANSWERS
from app.recognition.errors import PhotosInvalid
from app.recognition.task import MOST_PHOTOS
from app.routes.dependencies import ChecksDep, Service, ServiceDep, reading_for
from app.routes.photo_form import read_photos
from app.routes.trying import try_model

PATH = "/ui/try"
_MODELS_SHOWN = 50
_LOWEST, _HIGHEST = -0.2, 0.8
"""The ends of the axis of similarities."""

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get(PATH)
async def show_try(
    request: Request,
    service: ServiceDep,
    caller: CallerDep,
    checks: ChecksDep,
    model: Annotated[str, Query(max_length=512)] = "",
) -> Response:
    """Show the form."""
    layout, models = await checks.run(lambda: _look(service, caller, request))
    return _render(request, layout, models, model)


@router.post(PATH)
async def try_photos(request: Request, service: ServiceDep, caller: CallerDep, checks: ChecksDep) -> Response:
    """Show the answer below the form, or why there is none."""
    answer: ComparisonView | JobView | None = None
    problem: EdgefaceError | None = None
    model = ""
    try:
        with service.tries.admission.place(request):
            form = await read_photos(request, {"probe": 1, "gallery": MOST_PHOTOS}, texts=("model",))
            model = form.texts.get("model", "")
            if not model:
                raise PhotosInvalid("model: none is chosen", "choose a model")
            photos = [*form.photos["probe"], *form.photos["gallery"]]
            answer = await try_model(
                request, service, caller, checks, model, photos, compare, align=form.align, with_before=True
            )
    except EdgefaceError as error:
        problem = error
    layout, models = await checks.run(lambda: _look(service, caller, request))
    return _render(request, layout, models, model, answer, problem)


def _look(service: Service, caller: Caller, request: Request) -> tuple[Layout, list[ModelView]]:
    with reading_for(service, caller) as session:
        given = [each for each in list_given(session, service.settings) if each.network != "DSR"]
        results = list_results(session, before=None, limit=_MODELS_SHOWN)
        return look_at_layout(session, service, caller, request), [*results, *given]


def _render(
    request: Request,
    layout: Layout,
    models: list[ModelView],
    model: str,
    answer: ComparisonView | JobView | None = None,
    problem: EdgefaceError | None = None,
) -> Response:
    # htmx shows no answer with the status of an error.
    status = 200 if problem is None or "hx-request" in request.headers else status_of(problem)
    shown = request.app.state.paths.shown
    return render_page(
        request,
        "try.html.jinja",
        layout,
        status=status,
        models=models,
        chosen=model or (models[0].id if models else ""),
        compared=answer if isinstance(answer, ComparisonView) else None,
        job=answer if isinstance(answer, JobView) else None,
        problem=None if problem is None else {"message": shown(problem.message), "hint": shown(problem.hint)},
        answers=ANSWERS,
        place_of=_place_of,
    )


def _place_of(similarity: float) -> float:
    """Return the place on an axis of 100 units from -0.2 to 0.8."""
    share = (similarity - _LOWEST) / (_HIGHEST - _LOWEST)
    return round(100 * min(1.0, max(0.0, share)), 1)
