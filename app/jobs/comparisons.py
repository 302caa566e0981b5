"""Two jobs compared by their evaluations."""

from app.api_models.comparison import JobComparison
from app.finetune.evaluation import Evaluation
from app.finetune.paired_difference import outcome_of, paired_difference, tar_in_use
from app.jobs.comparison_errors import NotComparable


def compare_evaluations(job_id: str, evaluation: Evaluation, other: str, of_other: Evaluation) -> JobComparison:
    """Raises NotComparable where they are not of the same people, or an evaluation has no draws."""
    for each, its in ((job_id, evaluation), (other, of_other)):
        if its.paired is None:
            people = f"{its.people.subjects} subjects"
            raise NotComparable(f"that of job {each} has too few subjects ({people}) or pairs, or is of version 0.2")
    first, second = evaluation.paired, of_other.paired
    assert first is not None and second is not None  # noqa: S101 - for the type checker
    if first.people != second.people:
        raise NotComparable(
            f"they are of other people or photos ({evaluation.people.directory} and {of_other.people.directory})"
        )
    if first.far != second.far or len(first.tar) != len(second.tar):
        raise NotComparable("they are of two versions that measure differently")
    baseline, achieved = tar_in_use(evaluation, first.far), tar_in_use(of_other, first.far)
    difference = paired_difference(first, second, baseline, achieved)
    return JobComparison(
        job_id=job_id,
        other=other,
        measure=f"TAR@FAR={first.far:.0%}",
        of_job=baseline,
        of_other=achieved,
        difference=difference,
        outcome=outcome_of(difference),
        people=evaluation.people.subjects,
    )
