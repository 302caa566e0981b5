"""Description of the subjects and images of an evaluation."""

from collections import Counter

from app.finetune.dataset import Split
from app.finetune.errors import printable
from app.finetune.evaluation import EvaluatedOn


def people_of(split: Split, vlr_sizes: Counter[tuple[int, int]]) -> EvaluatedOn:
    directory = split.directory
    return EvaluatedOn(
        directory=printable(directory.name if directory.parent.name == "" else "/".join(directory.parts[-2:])),
        subjects=len({image.subject for image in split.images}),
        vlr_images=len(split.vlr_images),
        hr_images=len(split.hr_images),
        sizes=[f"{width}x{height} ({count})" for (width, height), count in vlr_sizes.most_common(5)],
    )
