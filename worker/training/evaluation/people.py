"""Description of the subjects and images of an evaluation."""

from collections import Counter

from app.finetune.dataset import Split, subject_of
from app.finetune.evaluation import EvaluatedOn


def people_of(split: Split, vlr_sizes: Counter[tuple[int, int]]) -> EvaluatedOn:
    return EvaluatedOn(
        directory=split.directory.name if split.directory.parent.name == "" else "/".join(split.directory.parts[-2:]),
        subjects=len({subject_of(path.name) for path in (*split.vlr_images, *split.hr_images)}),
        vlr_images=len(split.vlr_images),
        hr_images=len(split.hr_images),
        sizes=[f"{width}x{height} ({count})" for (width, height), count in vlr_sizes.most_common(5)],
    )
