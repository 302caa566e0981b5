"""Weights with their ONNX files, as jobs leave them: made in this process, since a trainer takes seconds to start."""

from pathlib import Path

from app.artifacts import Artifacts
from app.checked_weights.check import check_weights
from app.database import Database
from app.finetune.events import ModelExportStarted
from app.finetune.job_kinds import MODEL_EXPORT
from app.finetune.model_export_config import ModelExportConfig
from app.jobs.transitions import attempts, recording, submission
from app.settings import Settings
from worker.model_export.files import ModelExportFiles
from worker.model_export.run import export_model
from worker.recording import record


def export_weights(database: Database, settings: Settings, name: str, path: Path) -> str:
    """A succeeded job that exported the weights called `name`, in the file `path`. Returns its id."""
    config = ModelExportConfig(edgeface=name)
    with database.writing() as session:
        job_id = submission.submit(session, config, [], kind=MODEL_EXPORT).id
        claim = attempts.claim(session, job_id, "worker-1", 60.0)
        assert claim is not None
    artifacts = Artifacts(settings.artifacts_dir)
    folder = artifacts.attempt_directory(job_id, claim.attempt)
    exported = export_model(config, ModelExportFiles(path, folder, job_id), lambda _: None)
    sha256 = check_weights(path, "EdgeFace").sha256
    with database.writing() as session:
        recording.record_running(session, claim, ModelExportStarted(sha256, "edgeface_xxs"))
        record(session, claim, exported, artifacts)
    return job_id
