"""The page of models: weights that a training can start from, and the results of jobs with where they came from."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from app.access.callers import Caller
from app.dataset_roots import weights_roots
from app.finetune.config import OF_JOB
from app.finetune.evaluation import Change
from app.finetune.job_kinds import kind_of
from app.finetune.shown_names import on_disk
from app.guard.gate import CallerDep
from app.inputs.uploaded_weights import find_all_uploaded
from app.inputs.weights_names import list_weights
from app.jobs import listing
from app.jobs.made_weights import job_named
from app.jobs.tables import Job, UploadedInput
from app.pages import words
from app.pages.choices import makers
from app.pages.formats import short_id
from app.pages.job_rows import dataset_of, title_of
from app.pages.layout import look_at_layout
from app.pages.render import PageRoute, render_page
from app.pages.results import read_result
from app.routes.dependencies import ChecksDep, Service, ServiceDep, reading_for

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@dataclass(frozen=True)
class ModelRow:
    """Weights that a config can name by `value`. `uploaded` is None for others than uploaded ones."""

    value: str
    title: str
    is_dsr: bool
    job_id: str | None
    made_from: str
    dataset: str
    change: Change | None
    size: int | None
    download: str | None
    uploaded: UploadedInput | None = None
    may_change: bool = False


@router.get("/ui/models")
async def show_models(request: Request, service: ServiceDep, caller: CallerDep, checks: ChecksDep) -> Response:
    """Show the results of jobs, the newest first, then the uploaded and the given weights by name."""

    def read() -> Response:
        with reading_for(service, caller) as session:
            made = _made(session, service)
            uploaded = find_all_uploaded(session)
            rows = [*made, *_uploaded(uploaded, caller), *_given(uploaded, service)]
            return render_page(
                request,
                "models.html.jinja",
                look_at_layout(session, service, caller, request),
                rows=rows,
                verdicts=words.VERDICTS,
                now=_sentence(made, bool(rows)),
            )

    return await checks.run(read)


def _made(session: Session, service: Service) -> list[ModelRow]:
    jobs = {job.id: job for family in ("EdgeFace", "DSR") for job in makers(session, family)}
    files = listing.evaluations_of(session, list(jobs))
    rows = []
    for job in sorted(jobs.values(), key=lambda each: each.id, reverse=True):
        kind = kind_of(job.kind)
        if job.checkpoint is None:
            continue
        format_ = next(iter(kind.makes.values()))
        result = read_result(service.artifacts, files.get(job.id))
        rows.append(
            ModelRow(
                value=f"{OF_JOB}{job.id}",
                title=title_of(job),
                is_dsr="DSR" in kind.makes,
                job_id=job.id,
                made_from=_origin(session, job, "dsr" if "DSR" in kind.makes else "edgeface"),
                dataset=dataset_of(job.config),
                change=None if result is None else result.change,
                size=job.checkpoint.by_format[format_].size,
                download=f"/jobs/{job.id}/checkpoint",
            )
        )
    return rows


def _origin(session: Session, job: Job, field: str) -> str:
    """Return the weights that the job started from: a file, or the title of a job."""
    name = str(job.config.get(field) or "")
    if (job_id := job_named(name)) is None:
        return "" if field == "dsr" and name == "bicubic" else name
    source = session.get(Job, job_id)
    return f"job {short_id(job_id)}" if source is None or source.owner != job.owner else title_of(source)


def _uploaded(uploaded: Sequence[UploadedInput], caller: Caller) -> list[ModelRow]:
    return [
        ModelRow(
            value=row.name,
            title=row.name,
            is_dsr=row.network == "DSR",
            job_id=None,
            made_from=f"uploaded by {row.owner}",
            dataset="",
            change=None,
            size=row.size,
            download=None,
            uploaded=row,
            may_change=caller.may_change(row.owner),
        )
        for row in uploaded
    ]


def _given(uploaded: Sequence[UploadedInput], service: Service) -> list[ModelRow]:
    root = weights_roots(service.settings).own
    names = {row.name for row in uploaded}
    rows = []
    for name in list_weights(root):
        if name in names:
            continue
        try:
            size = on_disk(root, name).stat().st_size
        except OSError:  # removed meanwhile
            continue
        rows.append(
            ModelRow(
                value=name,
                title=name,
                is_dsr=False,
                job_id=None,
                made_from="given",
                dataset="",
                change=None,
                size=size,
                download=None,
            )
        )
    return rows


def _sentence(made: list[ModelRow], any_rows: bool) -> tuple[str, str]:
    better = sum(row.change is not None and row.change.outcome == "better" for row in made)
    if not any_rows:
        return "No weights yet.", "Upload some, or put them into the folder of weights."
    if not made:
        return "No job has made a model yet.", "A training starts from the weights below."
    counted = {0: "No model is shown to be", 1: "One model is"}.get(better, f"{better} models are")
    came = "they came from" if better > 1 else "it came from"
    return f"{counted} better than the weights {came}.", "Each can be downloaded, or be the start of a new job."
