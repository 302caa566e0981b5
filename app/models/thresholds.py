"""From which similarity on two photos count as one person, by an evaluation of the model."""

import math

from sqlmodel import Session, col, select

from app.api_models.models import ThresholdView
from app.artifacts import Artifacts
from app.finetune.errors import EdgefaceError
from app.finetune.evaluation import Backbone, Comparison, Evaluation
from app.finetune.job_kinds import EVALUATION, FINETUNING, KINDS
from app.jobs import queries
from app.jobs.errors import JobNotFound
from app.jobs.reports import find_measured
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.settings import Settings

_FAR = 0.01
_LOOKED_THROUGH = 20
"""Jobs, the newest first, among whose evaluations that of given weights is looked for."""


def read_evaluation(session: Session, settings: Settings, job_id: str) -> Evaluation | None:
    """Return the evaluation of a job, None without one that this version reads."""
    try:
        file = find_measured(session, job_id, "evaluation")
        return Evaluation.model_validate_json(Artifacts(settings.artifacts_dir).path_of(file.key).read_bytes())
    except (EdgefaceError, OSError, ValueError):
        return None


def threshold_of(evaluation: Evaluation | None, *, before: bool) -> ThresholdView | None:
    """Return the threshold of the evaluated backbone, or of the one `before`. None where none was found."""
    if evaluation is None:
        return None
    wanted: tuple[Backbone, ...] = ("before",) if before else ("after", "given")
    comparison = next(
        (
            each
            for each in evaluation.comparisons
            if each.backbone in wanted and each.probes == evaluation.in_use and each.gallery == "hr"
        ),
        None,
    )
    if comparison is None:
        return None
    threshold = _recommended(comparison) if before else evaluation.recommended_threshold
    if threshold is None:
        return None
    return ThresholdView(
        value=threshold,
        far=_far_at(comparison, threshold),
        dataset=evaluation.people.directory,
        enlargement=evaluation.enlargement,
        vlr_sizes=evaluation.people.sizes[:3],
    )


def find_evaluation_of(session: Session, settings: Settings, sha256: str) -> tuple[Evaluation, bool] | None:
    """Return the newest evaluation of the weights with this sha256 that the session's caller may see, and whether they
    are its weights `before`."""
    kinds = [KINDS[name].stored for name in (FINETUNING, EVALUATION)]
    recent = select(Job.id).where(Job.status == JobStatus.SUCCEEDED, col(Job.kind).in_(kinds))
    for job_id in session.exec(recent.order_by(col(Job.id).desc()).limit(_LOOKED_THROUGH)):
        try:
            queries.get(session, job_id)
        except JobNotFound:  # of somebody else
            continue
        evaluation = read_evaluation(session, settings, job_id)
        if evaluation is None or evaluation.origin is None:
            continue
        roles = {role: used.sha256 for role, used in evaluation.origin.weights.items()}
        if roles.get("edgeface") == sha256:
            return evaluation, False
        if roles.get("before") == sha256:
            return evaluation, True
    return None


def _recommended(comparison: Comparison) -> float | None:
    """As `recommended_threshold` of an evaluation, which has only that of one backbone."""
    found = comparison.verification
    at_far = next((point.threshold for point in found.operating_points if point.far == _FAR), None)
    best = None if found.best_accuracy is None else found.best_accuracy.threshold
    threshold = best if at_far is None else at_far
    return None if threshold is None else math.ceil(threshold * 1000) / 1000


def _far_at(comparison: Comparison, threshold: float) -> float | None:
    """Return the FAR that was measured at the threshold."""
    return next((point.far for point in comparison.verification.sweep if point.threshold == threshold), None)
