"""Jobs that have succeeded with an evaluation of known figures."""

from collections.abc import Sequence

from app.database import Database
from app.finetune.evaluation import (
    Change,
    Comparison,
    Estimate,
    EvaluatedOn,
    Evaluation,
    Identification,
    Interval,
    OperatingPoint,
    Outcome,
    PairedDraws,
    ScoreHistogram,
    Verification,
)
from app.finetune.events import Recognition
from app.jobs.states import JobStatus
from app.jobs.transitions import attempts, recording
from app.settings import Settings
from tests.support.evaluations import make_evaluation
from tests.support.job_files import JobFiles

PEOPLE = 8


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, interval=Interval(low=low, high=high))


BETTER = (estimate(0.944, 0.871, 1.0), estimate(0.161, 0.112, 0.278))
ONLY_JUST = (estimate(0.944, 0.871, 1.0), estimate(0.161, 0.012, 0.278))
EVEN = (estimate(0.857, 0.710, 0.998), estimate(0.073, -0.138, 0.216))
WORSE = (estimate(0.003, 0.0, 0.013), estimate(-0.780, -0.963, -0.617))


def evaluation(
    outcome: Outcome, achieved: Estimate, difference: Estimate, draws: Sequence[float] | None = None
) -> Evaluation:
    """`draws` are the rates of the same bootstrap draws in each evaluation."""
    change = Change(
        of="fine-tuning",
        outcome=outcome,
        sentence="Measured.",
        measure="TAR@FAR=1%",
        baseline=estimate(0.783, 0.622, 0.968),
        achieved=achieved,
        difference=difference,
    )
    return make_evaluation(
        verdict="Measured.",
        changes=[change],
        recommended_threshold=0.217,
        comparisons=[] if draws is None else [_comparison(achieved)],
        people=EvaluatedOn(directory="val", subjects=PEOPLE, vlr_images=80, hr_images=80, sizes=["12x12 (80)"]),
        resampler="Pillow",
        seconds=1.0,
        paired=None if draws is None else PairedDraws(people="the same", far=0.01, tar=list(draws)),
    )


def _comparison(tar: Estimate) -> Comparison:
    """The comparison in use, which has this TAR at FAR 1 %."""
    verification = Verification(
        genuine_pairs=900,
        paired_subjects=PEOPLE,
        impostor_pairs=9000,
        auc=estimate(0.99, 0.98, 1.0),
        eer=estimate(0.05, 0.04, 0.06),
        operating_points=[OperatingPoint(far=0.01, tar=tar, threshold=0.2)],
        best_accuracy=None,
        genuine_mean=0.5,
        impostor_mean=0.1,
        d_prime=3.0,
        sweep=[],
        roc=None,
        histogram=ScoreHistogram(genuine=[], impostor=[]),
    )
    identification = Identification(gallery_subjects=PEOPLE, closed_set=[], open_set=[])
    return Comparison(
        backbone="after", probes="bicubic", gallery="hr", verification=verification, identification=identification
    )


def succeeded_job(
    database: Database,
    settings: Settings,
    outcome: Outcome,
    figures: tuple[Estimate, Estimate],
    *,
    draws: Sequence[float] | None = None,
    **config: object,
) -> str:
    """Return the id of a fine-tuning that succeeded, with a checkpoint, an evaluation and a report."""
    job = JobFiles(database, settings.artifacts_dir, **config)
    job.checkpoint(3)
    folder = f"{job.id}/attempt-{job.claim.attempt}"
    content = evaluation(outcome, *figures, draws).model_dump_json().encode()
    files = {
        "evaluation": job.write(f"{folder}/evaluation.json", content),
        "report": job.write(f"{folder}/report.html", b"<!doctype html><title>Report</title>"),
    }
    found = Recognition(0.9888, 0.9, figures[0].value, None, 900, 9000)
    with database.writing() as session:
        recording.record_evaluation(session, job.claim, epoch=3, files=files)
        attempts.finish(
            session,
            job.claim,
            JobStatus.SUCCEEDED,
            verdict="Measured.",
            facts={"variant": "edgeface_xxs", "val_subjects_in_train": 0, "device": "cpu"},
            recognition_before=vars(Recognition(0.97, 0.8, 0.783, None, 900, 9000)),
            recognition_after=vars(found),
        )
    return job.id
