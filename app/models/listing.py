"""All models that a caller may use."""

from datetime import UTC, datetime
from urllib.parse import quote

from sqlmodel import Session, col, select

from app.api_models.models import ModelView
from app.dataset_roots import weights_roots
from app.finetune.config import OF_JOB, FinetuneConfig
from app.finetune.job_kinds import KINDS, MODEL_EXPORT, kind_of, makers_of
from app.inputs.uploaded_weights import find_all_uploaded
from app.inputs.weights_names import list_weights
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.tables import Artifact, Job
from app.settings import Settings


def list_given(session: Session, settings: Settings) -> list[ModelView]:
    """Return the weights files by name. Raises RootUnreadable."""
    uploaded = {row.name: row for row in find_all_uploaded(session)}
    exported = _names_of_exports(session)
    views = []
    for name in sorted({*list_weights(weights_roots(settings).own), *uploaded}):
        row = uploaded.get(name)
        views.append(
            ModelView(
                id=name,
                kind="weights",
                title=name,
                network=None if row is None else row.network,
                owner=None if row is None else row.owner,
                made_from=None,
                dataset=None,
                recipe=None,
                verdict=None,
                exported=name in exported,
                created_at=None if row is None else datetime.fromtimestamp(row.created_at, UTC),
                links=_links(name),
            )
        )
    return views


def list_results(session: Session, *, before: str | None, limit: int) -> list[ModelView]:
    """Return the results of succeeded jobs that made EdgeFace weights and still have them, newest first, of jobs older
    than `before`."""
    kinds = [KINDS[name].stored for name in makers_of("EdgeFace")]
    query = select(Job).where(col(Job.kind).in_(kinds), Job.status == JobStatus.SUCCEEDED)
    query = query.where(col(Job.id).in_(select(Artifact.job_id).where(Artifact.kind == "backbone")))
    query = query.where(queries.is_visible(session))
    if before is not None:
        query = query.where(col(Job.id) < before)
    jobs = session.exec(query.order_by(col(Job.id).desc()).limit(limit)).all()
    ids = [job.id for job in jobs]
    with_file = session.exec(select(Artifact.job_id).where(col(Artifact.job_id).in_(ids), Artifact.kind == "onnx"))
    exported = {*with_file, *(name.removeprefix(OF_JOB) for name in _names_of_exports(session))}
    return [_view_result(job, exported=job.id in exported) for job in jobs]


def _view_result(job: Job, *, exported: bool) -> ModelView:
    config = kind_of(job.kind).decode(job.config)
    assert isinstance(config, FinetuneConfig)  # noqa: S101 - no other kind makes EdgeFace weights
    name = f"{OF_JOB}{job.id}"
    return ModelView(
        id=name,
        kind="job",
        title=config.summary,
        network=(job.facts or {}).get("variant"),
        owner=job.owner,
        made_from=config.edgeface,
        dataset=config.dataset or config.train_dir,
        recipe=config.recipe,
        verdict=job.verdict,
        exported=exported,
        created_at=None if job.finished_at is None else datetime.fromtimestamp(job.finished_at, UTC),
        links={**_links(name), "job": f"/jobs/{job.id}"},
    )


def _names_of_exports(session: Session) -> set[str]:
    """The names of weights of which a job made an ONNX file. A file may have been replaced since."""
    query = select(Job.config).where(Job.kind == KINDS[MODEL_EXPORT].stored, Job.status == JobStatus.SUCCEEDED)
    return {str(config.get("edgeface")) for config in session.exec(query)}


def _links(name: str) -> dict[str, str]:
    path = f"/models/{quote(name)}"
    return {"comparisons": f"{path}/comparisons", "embeddings": f"{path}/embeddings"}
