"""The pages of datasets: all of them, and one with its parts, what its check found, and its faces."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from sqlmodel import Session

from app.api_models.datasets import DatasetView
from app.dataset_roots import dataset_roots
from app.datasets.records import find, find_all, find_by_name, shown_names
from app.datasets.views import view_dataset, view_summary
from app.finetune.dataset_folders import PART_FOLDERS
from app.finetune.dataset_import_config import ImportOptions
from app.finetune.job_kinds import DATASET_IMPORT, FINETUNING
from app.guard.gate import CallerDep
from app.inputs.names import list_datasets
from app.jobs.search import JobFilter, find_jobs
from app.jobs.states import TERMINAL, JobStatus
from app.jobs.tables import Job, UploadedInput
from app.pages.face_sheet import Page, shown_faces
from app.pages.form_fields import form_fields
from app.pages.job_rows import title_of
from app.pages.layout import look_at_layout
from app.pages.render import PageRoute, render_page
from app.routes.dependencies import ChecksDep, Service, ServiceDep, reading_for

ROLES = {
    PART_FOLDERS["train"]: ("train", "to learn from"),
    PART_FOLDERS["val"]: ("val", "to choose the best epoch"),
    PART_FOLDERS["test"]: ("test", "for figures that nothing chose"),
}
"""The short name of each part's folder, and its purpose."""

OPTIONS = ("align", "vlr_size", "val_fraction", "test_fraction")
"""Of an import, above the folded ones."""

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/ui/datasets")
async def show_datasets(request: Request, service: ServiceDep, caller: CallerDep, checks: ChecksDep) -> Response:
    """Show the datasets that the caller may name, and the form that makes one of an upload."""

    def read() -> Response:
        roots = service.datasets.roots
        with reading_for(service, caller) as session:
            records = [view_summary(session, record, roots) for record in find_all(session)]
            recorded = {record.name for record in records}
            names = sorted({*list_datasets(roots.own), *list_datasets(roots.uploaded)})
            fields = form_fields(ImportOptions, {"align": True})
            return render_page(
                request,
                "datasets.html.jinja",
                look_at_layout(session, service, caller, request),
                records=records,
                unregistered=[name for name in shown_names(session, names) if name not in recorded],
                roles=ROLES,
                imports=_imports(session),
                fields=fields,
                options=OPTIONS,
                more_options=[name for name in fields if name not in OPTIONS],
            )

    return await checks.run(read)


@dataclass(frozen=True)
class Finding:
    """A line of what was checked. `fine` is whether it is as it should be."""

    fine: bool
    text: str


@router.get("/ui/datasets/{dataset:path}")
async def show_dataset(
    request: Request,
    dataset: Annotated[str, Path(max_length=512)],
    service: ServiceDep,
    caller: CallerDep,
    checks: ChecksDep,
    page: Page = 1,
) -> Response:
    """Show one dataset by its name or the id of its record."""

    def read() -> Response:
        with reading_for(service, caller) as session:
            record = find(session, dataset)
            view = view_dataset(session, record, service.datasets.roots)
            alignment = None if record.findings is None else record.findings.alignment
            return render_page(
                request,
                "dataset.html.jinja",
                look_at_layout(session, service, caller, request),
                dataset=view,
                roles=ROLES,
                lacking=[role for folder, role in ROLES.items() if folder not in {part.part for part in view.parts}],
                now=_sentence(view),
                findings=_findings(view),
                alignment=alignment,
                faces=shown_faces(record, service.settings, page),
                sheets=_sheets(view),
                used_by=_users(session, view.name),
                is_uploaded=_is_uploaded(session, service, view.name),
                may_change=caller.may_change(view.owner),
            )

    return await checks.run(read)


def _is_uploaded(session: Session, service: Service, name: str) -> bool:
    roots = dataset_roots(service.settings)
    return roots.of_name(name) == roots.uploaded and session.get(UploadedInput, ("dataset", name)) is not None


def _imports(session: Session) -> list[Job]:
    """Return the imports that have not ended, and the newest that failed while no dataset has its name."""
    found = find_jobs(session, JobFilter(kinds=[DATASET_IMPORT]), limit=20).jobs
    return [
        job
        for job in found
        if job.status not in TERMINAL
        or (job.status == JobStatus.FAILED and find_by_name(session, str(job.config.get("name"))) is None)
    ][:5]


def _users(session: Session, name: str) -> list[tuple[str, str]]:
    """Return id and title of the newest fine-tunings that name the dataset."""
    found = find_jobs(session, JobFilter(kinds=[FINETUNING]), limit=100).jobs
    return [(job.id, title_of(job)) for job in found if job.config.get("dataset") == name][:5]


def _sentence(view: DatasetView) -> tuple[str, str]:
    """Return what the dataset is good for, and what that rests on."""
    parts = {part.part: part for part in view.parts}
    problem = next((part.problem for part in view.parts if part.problem is not None), None)
    if problem is not None:
        return "It cannot be trained on yet.", f"{problem.message}. {problem.hint}."
    if view.findings is not None and (view.findings.unreadable or view.findings.copies):
        return "A job on it would be refused.", "See below what to correct, then check it again."
    val = parts.get(PART_FOLDERS["val"])
    people = sum(part.subjects for part in view.parts)
    kept_out = f" {val.subjects} of its {people} people choose the best epoch." if val is not None else ""
    if view.findings is None:
        doing = "Its images are being checked." if view.check and not view.check.status.terminal else "Check it first."
        return "Its images are not checked since they changed.", doing + kept_out
    found = "No problems found." if not view.warnings else "Read what the check noted."
    return "Ready to train on.", found + kept_out


def _findings(view: DatasetView) -> list[Finding]:
    if view.findings is None:
        return [Finding(False, warning.message) for warning in view.warnings]
    found = view.findings
    lines = []
    if not found.unreadable:
        lines.append(Finding(True, "All images can be read"))
    if not found.copies:
        lines.append(Finding(True, "No photo is in two parts or under two names"))
    return lines + [Finding(False, warning.message) for warning in view.warnings]


def _sheets(view: DatasetView) -> int:
    """Return the number of the contact sheet's pages."""
    judged = [] if view.findings is None else list(view.findings.labels.values())
    return len(judged[-1].sheets) if judged else 0
