"""What a list shows of many jobs at once, in a few queries for all of them."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import func
from sqlmodel import Session, col, select

from app.jobs.states import CLAIMED
from app.jobs.tables import Artifact, EpochMetric, Job


def count_claimed(session: Session) -> int:
    """Return the number of jobs of all owners that workers hold."""
    return session.exec(select(func.count()).select_from(Job).where(col(Job.status).in_(CLAIMED))).one()


def scores_of(session: Session, job_ids: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """Return the validated epochs of stage 2 of each job, in order, with their verification AUC."""
    query = (
        select(EpochMetric.job_id, EpochMetric.epoch, EpochMetric.val_auc)
        .where(col(EpochMetric.job_id).in_(job_ids), EpochMetric.stage == 2, col(EpochMetric.val_auc).is_not(None))
        .order_by(col(EpochMetric.job_id), col(EpochMetric.epoch))
    )
    found: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for job_id, epoch, score in session.exec(query):
        if score is not None:
            found[job_id].append((epoch, score))
    return found


def evaluations_of(session: Session, job_ids: Sequence[str]) -> dict[str, Artifact]:
    """Return the file of the newest evaluation of each job that has one."""
    query = (
        select(Artifact)
        .where(col(Artifact.job_id).in_(job_ids), Artifact.kind == "evaluation")
        .order_by(col(Artifact.sequence))
    )
    return {artifact.job_id: artifact for artifact in session.exec(query)}
