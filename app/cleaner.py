"""Deletes what is no longer needed: by the settings, and what killed processes left behind."""

import logging

from sqlmodel import col, delete

from app.database import Database, database_now
from app.deletion import Freed
from app.jobs.retention import SECONDS_A_DAY, Retention, clean_jobs, forget_dry_runs
from app.jobs.tables import WorkerSeen
from app.leftovers import remove_leftovers
from app.prepared_faces import clean_prepared
from app.settings import Settings

_log = logging.getLogger(__name__)

FORGET_WORKER_SECONDS = SECONDS_A_DAY


def clean(database: Database, settings: Settings) -> Freed:
    """Safe to call at any time, in several processes at once, and to be killed anywhere. Minutes where much is old."""
    retention = Retention.of(settings)
    freed = (
        clean_jobs(database, settings.artifacts_dir, retention)
        + remove_leftovers(database, settings.artifacts_dir)
        + clean_prepared(settings.prepared_dir, settings.keep_prepared_days * SECONDS_A_DAY)
    )
    forget_dry_runs(database, settings.artifacts_dir, retention)
    forget_gone_workers(database)
    if freed.files:
        _log.info("cleaned: %s", freed)
    return freed


def forget_gone_workers(database: Database) -> None:
    """Those not seen for a day: every start has an id of its own, so none of them comes back."""
    with database.writing() as session:
        session.execute(delete(WorkerSeen).where(col(WorkerSeen.seen_at) < database_now() - FORGET_WORKER_SECONDS))
