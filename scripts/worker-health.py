"""The health check of the worker's image: exit status 0 if the worker on this host has reported lately."""

import socket
import sys

from sqlalchemy import func, select
from sqlmodel import col

from app.database import Database, database_now
from app.jobs.tables import WorkerSeen
from app.settings import Settings

settings = Settings()
with Database(settings.database_url).reading() as session:
    last_seen = func.max(WorkerSeen.seen_at)
    query = select(database_now() - last_seen).where(col(WorkerSeen.hostname) == socket.gethostname())
    seconds = session.execute(query).scalar_one_or_none()
sys.exit(seconds is None or seconds > settings.worker_seen_seconds)
