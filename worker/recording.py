"""What a trainer tells, as rows. Each message is one transaction."""

from dataclasses import asdict
from typing import Any

from sqlmodel import Session

from app.artifacts import Artifacts
from app.finetune import events
from app.jobs.states import JobStatus
from app.jobs.transitions import attempts, recording
from app.jobs.transitions.fence import Claim
from worker.messages import TrainerMessage


def record(session: Session, claim: Claim, message: TrainerMessage, artifacts: Artifacts) -> list[str]:
    """Write the message. The keys of files that it supersedes: delete them after the commit.

    `Stopped` and `Failed` are not for the rows alone: the attempt decides what becomes of the job.
    """
    match message:
        case events.Prepared():
            recording.record_running(session, claim, asdict(message))
        case events.Warned(warning):
            recording.record_warning(session, claim, warning)
        case events.Progressed():
            recording.record_progress(session, claim, **asdict(message))
        case events.StageStarted():
            recording.record_event(session, claim, "stage", asdict(message), stage=message.stage, epoch=None, step=None)
        case events.DurationPredicted():
            recording.record_prediction(session, claim, **asdict(message))
        case events.EpochFinished() | events.DsrEpochFinished():
            recording.record_epoch(session, claim, asdict(message))
        case events.RecognitionMeasured(when, recognition):
            columns = {f"recognition_{when}": asdict(recognition)}
            recording.record_event(session, claim, "recognition", asdict(message), **columns)
        case events.EnlargementMeasured(by, recognition=recognition):
            column = {"bicubic": "recognition_before", "dsr": "recognition_after"}.get(by)
            columns = {} if column is None else {column: asdict(recognition)}
            recording.record_event(session, claim, "enlargement", asdict(message), **columns)
        case events.CheckpointWritten():
            recording.record_checkpoint(session, claim, _describe_checkpoint(message, artifacts))
        case events.StateSaved():
            return recording.record_state(session, claim, _describe_state(message, artifacts))
        case events.BatchSplit():
            recording.record_event(session, claim, "batch_split", asdict(message))
        case events.RolledBack():
            recording.record_event(session, claim, "rolled_back", asdict(message))
        case events.StoppedEarly():
            recording.record_event(session, claim, "stopped_early", asdict(message))
        case events.EvaluationStarted():
            recording.record_running(session, claim, asdict(message))
        case events.EvaluationWritten(evaluation):
            _record_evaluation(session, claim, message, 0, artifacts)
            for warning in evaluation.warnings:
                recording.record_warning(session, claim, warning)
            attempts.finish(session, claim, JobStatus.SUCCEEDED, verdict=evaluation.verdict)
        case events.DryRunFinished():
            attempts.finish(session, claim, JobStatus.SUCCEEDED, measured=asdict(message))
        case events.Finished():
            if message.evaluated is not None:
                _record_evaluation(session, claim, message.evaluated, message.best_epoch, artifacts)
            attempts.finish(
                session,
                claim,
                JobStatus.SUCCEEDED,
                verdict=message.verdict,
                recognition_before=asdict(message.before),
                recognition_after=asdict(message.after),
            )
    return []


def _record_evaluation(
    session: Session, claim: Claim, written: events.EvaluationWritten, epoch: int, artifacts: Artifacts
) -> None:
    files = {"evaluation": written.json, "report": written.report}
    described = {kind: _describe_file(file, artifacts) for kind, file in files.items()}
    recording.record_evaluation(session, claim, epoch=epoch, files=described)


def _describe_checkpoint(written: events.CheckpointWritten, artifacts: Artifacts) -> dict[str, Any]:
    described = {
        "epoch": written.epoch,
        "score": written.score,
        "full": _describe_file(written.full, artifacts),
    }
    if written.backbone is None:
        return described | {"stage": 0}
    return described | {"backbone": _describe_file(written.backbone, artifacts)}


def _describe_state(saved: events.StateSaved, artifacts: Artifacts) -> dict[str, Any]:
    return {
        "stage": saved.stage,
        "epoch": saved.epoch,
        "step": saved.step,
        "steps_done": saved.steps_done,
        "progress": saved.progress,
        "state": _describe_file(saved.file, artifacts),
        "checkpoint": None if saved.best is None else _describe_checkpoint(saved.best, artifacts),
    }


def _describe_file(file: events.WrittenFile, artifacts: Artifacts) -> dict[str, Any]:
    return {"key": artifacts.key_of(file.path), "size": file.size, "sha256": file.sha256}
