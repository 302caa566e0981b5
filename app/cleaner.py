"""Deletes expired files and rows by the settings, and leftovers of killed processes."""

import logging

from sqlmodel import col, delete

from app.access.audit import forget_old
from app.checked_weights.copies import clean_copies
from app.compiled_networks import clean_compiled
from app.database import Database, database_now
from app.datasets.manifests import clean_manifests
from app.deletion import Freed, count_of
from app.jobs.deletion import clean_deleted
from app.jobs.retention import SECONDS_A_DAY, Retention, clean_jobs, forget_dry_runs, forget_logs
from app.jobs.tables import WorkerSeen
from app.leftovers import remove_leftovers
from app.prepared_faces import clean_prepared
from app.settings import Settings
from app.uploads.cleaning import clean_uploads

_log = logging.getLogger(__name__)

FORGET_WORKER_SECONDS = SECONDS_A_DAY


def clean(database: Database, settings: Settings) -> Freed:
    """Clean up. Safe at any time, in several processes at once, and if killed. Takes minutes if there is much to do."""
    retention = Retention.of(settings)
    freed = (
        clean_jobs(database, settings.artifacts_dir, retention)
        + clean_deleted(database, settings.artifacts_dir)
        + remove_leftovers(database, settings.artifacts_dir)
        + clean_prepared(settings.prepared_dir, settings.keep_prepared_days * SECONDS_A_DAY)
        + clean_compiled(settings.compiled_dir, settings.keep_prepared_days * SECONDS_A_DAY)
        + clean_copies(settings.checked_weights_dir, settings.keep_prepared_days * SECONDS_A_DAY)
        + clean_manifests(database, settings.artifacts_dir, retention.states)
        + clean_uploads(database, settings.uploads_dir)
    )
    if lines := forget_logs(database, retention):
        _log.info("cleaned: %s of logs of jobs", count_of(lines, "line"))
    forget_dry_runs(database, settings.artifacts_dir, retention)
    forget_gone_workers(database)
    forget_old(database, settings.keep_audit_days)
    if freed.files:
        _log.info("cleaned: %s", freed)
    return freed


def forget_gone_workers(database: Database) -> None:
    """Delete workers that have not reported for a day. Each start has a new id, so none of them returns."""
    with database.writing() as session:
        session.execute(delete(WorkerSeen).where(col(WorkerSeen.seen_at) < database_now() - FORGET_WORKER_SECONDS))
