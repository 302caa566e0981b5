"""The form of a new fine-tuning. Its script checks it by `POST /jobs?dry_run=true` and sends it by `POST /jobs`."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from app.finetune.config import FinetuneConfig
from app.finetune.directories import with_directories
from app.finetune.errors import ConfigError
from app.finetune.job_kinds import FINETUNING, kind_of
from app.finetune.recipes import RECIPES, changed_fields
from app.guard.gate import CallerDep
from app.jobs import queries
from app.jobs.search import JobFilter, find_jobs
from app.jobs.tables import Job
from app.pages.choices import dataset_choices, weights_choices, with_value
from app.pages.form_fields import form_fields
from app.pages.job_rows import title_of
from app.pages.layout import look_at_layout
from app.pages.render import PageRoute, render_page
from app.routes.dependencies import ChecksDep, ServiceDep, reading_for

CHOSEN = ("dataset", "edgeface")
TRAINING = ("backbone_lr", "stage2_epochs", "stage1_epochs")
"""The fields that stand above the folded ones."""

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/ui/new")
async def show_form(
    request: Request,
    service: ServiceDep,
    caller: CallerDep,
    checks: ChecksDep,
    from_job: Annotated[str, Query(alias="from", max_length=40)] = "",
    dataset: Annotated[str, Query(max_length=512)] = "",
    edgeface: Annotated[str, Query(max_length=512)] = "",
) -> Response:
    """Show the form, filled with the config of the job `from`, or with a dataset or weights."""

    def read() -> Response:
        with reading_for(service, caller) as session:
            source = queries.get(session, from_job) if from_job else None
            values = _values(source) if source is not None else {}
            values |= {name: value for name, value in (("dataset", dataset), ("edgeface", edgeface)) if value}
            fields = form_fields(FinetuneConfig, values)
            choices = {
                "dataset": dataset_choices(session, service.datasets),
                "edgeface": weights_choices(session, service.settings, "EdgeFace"),
                "dsr": [*with_value(weights_choices(session, service.settings, "DSR"), "bicubic")],
            }
            return render_page(
                request,
                "new_job.html.jinja",
                look_at_layout(session, service, caller, request),
                fields=fields,
                choices={name: with_value(found, fields[name].value) for name, found in choices.items()},
                has_datasets=bool(choices["dataset"]),
                training=TRAINING,
                advanced=[name for name in fields if name not in (*CHOSEN, *TRAINING)],
                recipe=values.get("recipe", "guide"),
                recipes=_recipes(),
                name=_next_name(session, source) if source is not None else "",
                tags=", ".join(source.tags) if source is not None else "",
                source=None if source is None else {"id": source.id, "title": title_of(source)},
            )

    return await checks.run(read)


def _values(job: Job) -> dict[str, Any]:
    """Return what the job's config sets itself. Raises ConfigError for a job that is no fine-tuning."""
    kind = kind_of(job.kind)
    config = kind.decode(job.config)
    if not isinstance(config, FinetuneConfig):
        raise ConfigError(
            f"job {job.id} is {kind.title}: this form makes fine-tunings",
            f"clone a fine-tuning, or send a changed config to POST {kind.path}",
        )
    known = config.model_dump()
    folders = with_directories({"dataset": config.dataset})
    of_dataset = folders if isinstance(folders, dict) else {}
    own = {name for name in ("train_dir", "val_dir") if known[name] != of_dataset.get(name)}
    return {name: known[name] for name in ("recipe", "dataset", *own)} | changed_fields(config)


def _next_name(session: Session, source: Job) -> str:
    """Return a name for the clone that no newer job of the list's first page has: `NAME-2`, `NAME-3`."""
    if not source.name:
        return ""
    stem = re.sub(r"-\d+\Z", "", source.name)
    taken = {job.name for job in find_jobs(session, JobFilter(kinds=[FINETUNING]), limit=100).jobs}
    number = next(number for number in range(2, 200) if f"{stem}-{number}" not in taken)
    return f"{stem}-{number}"


def _recipes() -> list[tuple[str, str, str]]:
    """Return the value, the title and the meaning of each recipe, with its epochs."""
    words = {
        "guide": "Learns to tell the people of train apart.",
        "recommended": "Learns small faces from synthetic identities, for 8 to 32 px at once.",
    }
    return [(name, name.capitalize(), f"{words.get(name, '')} {_epochs(RECIPES[name])}".strip()) for name in RECIPES]


def _epochs(preset: Any) -> str:
    defaults = FinetuneConfig.model_fields
    first, second = (preset.get(name, defaults[name].default) for name in ("stage1_epochs", "stage2_epochs"))
    return f"{first} + {second} epochs." if first else f"{second} epochs."
