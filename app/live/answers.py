"""The responses of `GET /jobs/{id}`, encoded."""

from collections.abc import Hashable
from dataclasses import dataclass

from cachetools import LRUCache

from app.access.callers import SERVICE, Caller
from app.database import Database
from app.jobs import queries
from app.jobs.errors import JobNotFound
from app.jobs.states import JobStatus
from app.jobs.views import view_job
from app.live.shared_read import SharedRead

JOBS_KEPT = 256
"""Jobs whose last answer is kept: those requested most recently."""


class JobAnswers:
    """The JSON of jobs, kept until anything is committed to the database, whoever does it."""

    def __init__(self, database: Database, worker_seen_seconds: float) -> None:
        self._database = database
        self._worker_seen_seconds = worker_seen_seconds
        self._answers: LRUCache[str, _Answer] = LRUCache(JOBS_KEPT)

    async def get(self, job_id: str, caller: Caller = SERVICE) -> bytes:
        """The JobView as JSON, with all that was committed before this was called. Raises JobNotFound, also where the
        caller may not see the job."""
        answer = await self._get(job_id)
        if not caller.may_see(answer.owner, answer.shared):
            raise JobNotFound(job_id)
        return answer.json

    async def _get(self, job_id: str) -> "_Json":
        answer = self._answers.get(job_id)
        if answer is None:
            answer = self._answers[job_id] = _Answer(self._database, job_id, self._worker_seen_seconds)
        if answer.kept is not None and answer.kept[0] == self._database.version.read_at_once():
            return answer.kept[1]
        return await answer.read.get()


@dataclass(frozen=True)
class _Json:
    """An answer for all readers who may see it."""

    json: bytes
    owner: str
    shared: bool


class _Answer:
    """The last answer about one job."""

    def __init__(self, database: Database, job_id: str, worker_seen_seconds: float) -> None:
        self._database = database
        self._job_id = job_id
        self._worker_seen_seconds = worker_seen_seconds
        self.kept: tuple[Hashable, _Json] | None = None
        self.read = SharedRead(self._look)

    def _look(self) -> "_Json":
        # The version first: what is committed between the two is in this answer, and makes the next one anew.
        version = self._database.version.read()
        if self.kept is not None and self.kept[0] == version:
            return self.kept[1]
        with self._database.reading() as session:
            view = view_job(session, queries.get(session, self._job_id), self._worker_seen_seconds)
        answer = _Json(view.model_dump_json().encode(), view.owner, view.shared)
        # What a queued job waits for changes with the clock, without a commit.
        self.kept = None if view.status is JobStatus.QUEUED else (version, answer)
        return answer
