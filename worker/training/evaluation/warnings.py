"""Warnings about the limits of an evaluation."""

from collections import Counter
from collections.abc import Iterator

from app.finetune.dataset import JobWarning, Split
from app.finetune.dataset_warnings import split_warnings
from app.finetune.evaluation import Comparison
from app.finetune.size_warnings import size_warnings
from worker.training.evaluation.estimates import FEW_SUBJECTS, FEWEST_SUBJECTS


def evaluation_warnings(
    split: Split,
    sizes: Counter[tuple[int, int]],
    vlr_size: int | None,
    in_use: Comparison,
) -> Iterator[JobWarning]:
    """Yield warnings about the dataset, the number of subjects, and refused rates."""
    yield from split_warnings(split, "evaluation")
    yield from size_warnings("evaluation", sizes, vlr_size)
    subjects = in_use.verification.paired_subjects
    if subjects < FEW_SUBJECTS:
        limit = "the rates have no intervals" if subjects < FEWEST_SUBJECTS else "the intervals are likely too narrow"
        verb = "has" if subjects == 1 else "have"
        message = f"only {subjects} subject{'s' if subjects != 1 else ''} {verb} genuine pairs: {limit}"
        yield JobWarning(code="few_subjects", message=message)
    refused = [point.tar.refused for point in in_use.verification.operating_points if point.tar.refused]
    refused += [point.dir.refused for point in in_use.identification.open_set if point.dir.refused]
    if refused:
        yield JobWarning(code="rates_refused", message="; ".join(refused))
