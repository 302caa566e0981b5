"""Writes a trainer's messages into rows. Each message is one transaction."""

from dataclasses import asdict, replace

from sqlmodel import Session

from app.artifacts import Artifacts
from app.cli.event_lines import event_line
from app.datasets.checks import record_check
from app.datasets.imports import record_import
from app.finetune import events
from app.finetune.checkpoint import relocated
from app.finetune.shown_paths import ShownPaths
from app.jobs.job_log import add_line
from app.jobs.states import JobStatus
from app.jobs.transitions import attempts, recording
from app.jobs.transitions.fence import Claim
from worker.messages import Logged, TrainerMessage

_AS_THEY_ARE = ShownPaths()


def record(
    session: Session,
    claim: Claim,
    message: TrainerMessage,
    artifacts: Artifacts,
    paths: ShownPaths = _AS_THEY_ARE,
) -> list[str]:
    """Write the message; its line in the log has paths as `paths` shows them.

    Returns the keys of files that it supersedes: delete them after the commit.

    Ignores `Stopped` and `Failed`: the attempt decides what becomes of the job. `StillPreparing` has no row of its own:
    that it is marked as recorded says when the trainer was heard.
    """
    if isinstance(message, Logged):
        add_line(session, claim.job_id, claim.attempt, message.level, message.text)
    elif (line := event_line(message)) is not None:
        level = "warning" if isinstance(message, events.Warned) else "info"
        add_line(session, claim.job_id, claim.attempt, level, paths.shown(line))
    match message:
        case events.Prepared():
            recording.record_running(session, claim, message)
        case events.Warned(warning):
            recording.record_warning(session, claim, warning)
        case events.Progressed():
            recording.record_progress(session, claim, message)
        case events.PhaseStarted():
            recording.record_phase(session, claim, message)
        case events.StageStarted():
            recording.record_event(session, claim, message, stage=message.stage, epoch=None, step=None)
        case events.DurationPredicted():
            recording.record_prediction(session, claim, message)
        case events.EpochMetrics():
            recording.record_epoch(session, claim, message)
        case events.RecognitionMeasured(when, recognition):
            columns = {f"recognition_{when}": asdict(recognition)}
            recording.record_event(session, claim, message, **columns)
        case events.EnlargementMeasured(by, recognition=recognition):
            column = {"bicubic": "recognition_before", "dsr": "recognition_after"}.get(by)
            columns = {} if column is None else {column: asdict(recognition)}
            recording.record_event(session, claim, message, **columns)
        case events.Checkpoint():
            recording.record_checkpoint(session, claim, message.relocated(artifacts.key_of))
        case events.StateSaved(file, best=best):
            file, best = relocated(file, artifacts.key_of), best and best.relocated(artifacts.key_of)
            return recording.record_state(session, claim, replace(message, file=file, best=best))
        case events.BatchSplit():
            recording.record_event(session, claim, message)
        case events.RolledBack():
            recording.record_event(session, claim, message)
        case events.StepsSkipped():
            recording.record_event(session, claim, message)
        case events.StepChosen():
            recording.record_event(session, claim, message)
        case events.StoppedEarly():
            recording.record_event(session, claim, message)
        case (
            events.EvaluationStarted()
            | events.DatasetCheckStarted()
            | events.DatasetImportStarted()
            | events.ModelExportStarted()
        ):
            recording.record_running(session, claim, message)
        case events.EvaluationWritten(evaluation):
            _record_evaluation(session, claim, message, 0, artifacts)
            for warning in evaluation.warnings:
                recording.record_warning(session, claim, warning)
            attempts.finish(session, claim, JobStatus.SUCCEEDED, verdict=evaluation.verdict)
        case events.DatasetChecked():
            attempts.finish(session, claim, JobStatus.SUCCEEDED)
            record_check(session, claim.job_id, message)
        case events.DatasetImported():
            attempts.finish(session, claim, JobStatus.SUCCEEDED)
            record_import(session, claim.job_id, message)
        case events.ModelExported():
            _record_export(session, claim, message, 0, artifacts)
            attempts.finish(session, claim, JobStatus.SUCCEEDED)
        case events.DryRunFinished():
            attempts.finish(session, claim, JobStatus.SUCCEEDED, measured=asdict(message))
        case events.Finished():
            if message.evaluated is not None:
                _record_evaluation(session, claim, message.evaluated, message.best_epoch, artifacts)
            if message.exported is not None:
                _record_export(session, claim, message.exported, message.best_epoch, artifacts)
            attempts.finish(
                session,
                claim,
                JobStatus.SUCCEEDED,
                verdict=message.verdict,
                recognition_before=asdict(message.before),
                recognition_after=asdict(message.after),
            )
    return []


def _record_export(
    session: Session, claim: Claim, exported: events.ModelExported, epoch: int, artifacts: Artifacts
) -> None:
    exported = replace(exported, file=relocated(exported.file, artifacts.key_of))
    recording.record_export(session, claim, exported, epoch=epoch)


def _record_evaluation(
    session: Session, claim: Claim, written: events.EvaluationWritten, epoch: int, artifacts: Artifacts
) -> None:
    files = {"evaluation": written.json, "report": written.report}
    by_key = {kind: relocated(file, artifacts.key_of) for kind, file in files.items()}
    recording.record_evaluation(session, claim, epoch=epoch, files=by_key)
