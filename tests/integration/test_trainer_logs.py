"""What a real trainer process logs is in the log of its job, without secrets and absolute paths."""

from collections.abc import Callable

import pytest

from app.database import Database
from app.jobs.job_log import last_lines
from app.jobs.states import JobStatus
from app.settings import Settings
from tests.integration.conftest import submit
from tests.integration.test_supervisor import database_url as database_url
from tests.integration.test_supervisor import settings as settings
from tests.integration.test_supervisor import supervise as supervise
from tests.integration.test_supervisor import wait_for_status
from tests.trainers import fixtures
from worker.messages import TrainerMain
from worker.supervisor import Supervisor


@pytest.mark.slow
def test_entries_and_a_traceback_of_a_trainer_are_kept_with_the_job(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.log_and_crash)
    wait_for_status(database, job_id, JobStatus.FAILED)
    with database.reading() as session:
        lines = [(line.attempt, line.level, line.text) for line in last_lines(session, job_id, 100)]
    assert (1, "info", "reading datasets/faces/train_processed of redis://:***@host") in lines
    (crash,) = [text for _, level, text in lines if level == "error"]
    assert crash.startswith("the training crashed\nTraceback")
    assert crash.endswith(f"ValueError: it broke in artifacts/{job_id}/attempt-1")
    assert str(settings.var_dir) not in str(lines)
    assert lines[-1][1:] == ("warning", next(text for _, _, text in lines if "failed after" in text))
