"""Wrong names and two people under one name: how many are found, and how many images and subjects are named wrongly.

`python -m benchmarks.judging.labels --json FILE`. Each set as it is, with 5 % and 20 % wrong names, with pairs of
people under one name, and on a wide canvas like photos that nobody cropped.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch

from app.finetune.label_judgement import LabelJudgement
from benchmarks.judging.embedded import HR, UNCROPPED, EmbeddedFaces
from benchmarks.support import Outcome, Table, argument_parser, describe_machine, report
from worker.training.checks.labels import judge_labels
from worker.training.metrics import FaceSet

_SETS = ("orl_aligned", "orl", "yale_aligned", "lfw_aligned")
_COLUMNS = ("faces", "labels", "AUC", "d'", "AUC left", "d' left", "images named", "precision", "recall")
_PEOPLE = ("subjects named", "precision", "recall", "warnings")


def main() -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--embeddings", type=Path, metavar="FOLDER", help="kept embeddings (default: next to --json)")
    parser.add_argument("--weights", default="edgeface_xxs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    assets = Path(os.environ.get("EDGEFACE_TEST_ASSETS", "../shared"))
    folder = arguments.embeddings or arguments.json.with_name(f"{arguments.json.stem}-embeddings")
    embedded = EmbeddedFaces(assets, folder, arguments.weights)
    rows = []
    for name in _SETS[: 1 if arguments.quick else None]:
        faces = embedded.of(name, HR)
        nobody: set[str] = set()
        rows.append(_row(name, "clean", faces, nobody, nobody))
        for share in (0.05, 0.2):
            mixed, wrong = mislabel(faces, share)
            rows.append(_row(name, f"{share:.0%} wrong", mixed, wrong, nobody))
        merged = merge_pairs(faces)
        rows.append(_row(name, "pairs merged", merged, nobody, set(merged.subjects)))
        if name != "orl":
            rows.append(_row(name, "clean, uncropped", embedded.of(name, UNCROPPED), nobody, nobody))
    table = Table("What is named", (*_COLUMNS, *_PEOPLE), rows)
    figures = {"rows": [dict(zip(table.columns, row, strict=False)) for row in rows]}
    return report("labels", describe_machine(("torch", "timm", "numpy")), Outcome([table], figures=figures), arguments)


def mislabel(faces: FaceSet, share: float, seed: int = 0) -> tuple[FaceSet, set[str]]:
    """Give a random share of the images another subject's name. Return the faces and the names of these images."""
    rng = np.random.default_rng(seed)
    subjects, everybody = list(faces.subjects), sorted(set(faces.subjects))
    wrong = rng.permutation(len(subjects))[: round(share * len(subjects))].tolist()
    for place in wrong:
        others = [subject for subject in everybody if subject != faces.subjects[place]]
        subjects[place] = others[int(rng.integers(len(others)))]
    return FaceSet(faces.embeddings, subjects, faces.names), {faces.names[place] for place in wrong}


def merge_pairs(faces: FaceSet) -> FaceSet:
    """Give each two subjects the name of the first; with an odd number the last is left out."""
    everybody = sorted(set(faces.subjects))
    everybody = everybody[: len(everybody) // 2 * 2]
    merged = {subject: everybody[place // 2 * 2] for place, subject in enumerate(everybody)}
    kept = faces.only(np.array([subject in merged for subject in faces.subjects], np.bool_))
    return FaceSet(kept.embeddings, [merged[subject] for subject in kept.subjects], kept.names)


def _row(name: str, labels: str, faces: FaceSet, wrong: set[str], of_two: set[str]) -> list[str]:
    judged = judge_labels(faces)
    images, subjects = {each.image for each in judged.mislabelled}, {each.subject for each in judged.two_people}
    told = [f"{value:.3f}" for value in (judged.auc or 0, judged.d_prime or 0, judged.auc_left or 0)]
    return [
        name,
        labels,
        *told,
        f"{judged.d_prime_left or 0:.3f}",
        *_precision_and_recall(judged.mislabelled_images, images, wrong),
        *_precision_and_recall(judged.subjects_of_two_people, subjects, of_two),
        _codes(judged),
    ]


def _precision_and_recall(count: int, named: set[str], right: set[str]) -> tuple[str, str, str]:
    found = len(named & right)
    return (
        str(count),
        f"{found / len(named):.3f}" if named else "-",
        f"{found / len(right):.3f}" if right else "-",
    )


def _codes(judged: LabelJudgement) -> str:
    return ", ".join(warning.code for warning in judged.warnings()) or "-"


if __name__ == "__main__":
    sys.exit(main())
