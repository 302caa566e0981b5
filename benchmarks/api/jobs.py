"""Writes the rows of a job as a real training does."""

from pathlib import Path
from typing import Any

from app.database import Database
from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.finetune.config import FinetuneConfig
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.events import EvaluationStarted, Progressed, StateSaved
from app.jobs.transitions import attempts, recording, submission
from app.jobs.transitions.fence import Claim

CONFIG = FinetuneConfig.model_validate({"dataset": "drawn"})
LEASE_SECONDS = 3600.0
EPOCHS_DONE = 12
STEPS_PER_EPOCH = 40


def running_job(database: Database) -> Claim:
    """Create a job after twelve epochs of stage 2, with a checkpoint and a state."""
    with database.writing() as session:
        job_id = submission.submit(session, CONFIG, []).id
        claim = attempts.claim(session, job_id, "benchmark", LEASE_SECONDS)
        assert claim is not None
        attempts.begin_attempt(session, claim, None)
        recording.record_running(session, claim, EvaluationStarted("cpu"))
    for stage, last in ((1, 5), (2, EPOCHS_DONE)):
        for epoch in range(1, last + 1):
            write_epoch(database, claim, stage, epoch)
    full, backbone = (
        WrittenFile(Path(f"{claim.job_id}/{kind}.pth"), 5_089_341, "5b" * 32) for kind in ("full", "backbone")
    )
    checkpoint = Checkpoint(epoch=EPOCHS_DONE, score=0.75, full=full, backbone=backbone)
    state = WrittenFile(Path(f"{claim.job_id}/state.pt"), 15_000_000, "ef" * 32)
    with database.writing() as session:
        recording.record_checkpoint(session, claim, checkpoint)
        recording.record_state(session, claim, StateSaved(state, 2, EPOCHS_DONE, 0, 680, 0.5, checkpoint))
    write_progress(database, claim, 1)
    return claim


def write_epoch(database: Database, claim: Claim, stage: int, epoch: int) -> None:
    """Write the event and the metrics of an epoch."""
    metrics: dict[str, Any] = {
        "stage": stage,
        "epoch": epoch,
        "epochs": 5 if stage == 1 else 20,
        "train_loss": 20.0 / epoch,
        "train_accuracy": 0.5,
        "val_auc": 0.75 + epoch / 1000,
        "val_genuine_similarity": 0.34303783682027947,
        "val_impostor_similarity": 0.01020975051354617,
        "val_d_prime": 3.786820737247357,
        "head_lr": 1e-4,
        "backbone_lr": 1e-4,
        "seconds": 4.8148621899995305,
        "images_per_second": 85.08127208002612,
        "best": True,
    }
    with database.writing() as session:
        recording.record_epoch(session, claim, EpochMetrics.model_validate(metrics))


def write_progress(database: Database, claim: Claim, step: int) -> None:
    """Write the progress of a step, which makes no event."""
    with database.writing() as session:
        recording.record_progress(
            session,
            claim,
            Progressed(
                progress=0.5 + step / 100_000,
                eta_seconds=60.0,
                stage=2,
                epoch=EPOCHS_DONE + 1,
                step=step % STEPS_PER_EPOCH,
                steps_done=680 + step,
            ),
        )
