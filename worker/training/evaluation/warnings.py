"""What limits an evaluation, said plainly."""

from collections import Counter
from collections.abc import Iterator

from app.finetune.dataset import JobWarning, Split, split_warnings
from app.finetune.evaluation import Comparison, EvaluatedOn
from worker.training.evaluation.estimates import FEW_SUBJECTS, FEWEST_SUBJECTS
from worker.training.pixels import size_warnings


def evaluation_warnings(
    split: Split,
    sizes: Counter[tuple[int, int]],
    vlr_size: int | None,
    people: EvaluatedOn,
    in_use: Comparison,
) -> Iterator[JobWarning]:
    """Of the dataset, of how many people it has, and of rates that are refused."""
    yield from split_warnings(split, "evaluation")
    yield from size_warnings("evaluation", sizes, vlr_size)
    if people.subjects < FEW_SUBJECTS:
        told = "no interval is told" if people.subjects < FEWEST_SUBJECTS else "the intervals are likely too narrow"
        yield JobWarning(code="few_subjects", message=f"only {people.subjects} subjects: {told}")
    refused = [point.tar.refused for point in in_use.verification.operating_points if point.tar.refused]
    refused += [point.dir.refused for point in in_use.identification.open_set if point.dir.refused]
    if refused:
        yield JobWarning(code="rates_refused", message="; ".join(refused))
