"""Which part each subject, or each image, of a dataset belongs to."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from app.dataset_build.errors import FEWEST_SUBJECTS
from app.dataset_build.names import Photo

Part = Literal["train", "val", "test"]


def split_subjects(
    subjects: Iterable[str], val_fraction: float, test_fraction: float, chance: random.Random
) -> dict[str, Part] | None:
    """Return the split of each subject, at least two per split. No test below six subjects; None below four."""
    names = sorted(subjects)
    if len(names) < 2 * FEWEST_SUBJECTS:
        return None
    chance.shuffle(names)
    in_test = 0
    if test_fraction and len(names) >= 3 * FEWEST_SUBJECTS:
        in_test = min(max(FEWEST_SUBJECTS, round(len(names) * test_fraction)), len(names) - 2 * FEWEST_SUBJECTS)
    in_val = min(max(FEWEST_SUBJECTS, round(len(names) * val_fraction)), len(names) - in_test - FEWEST_SUBJECTS)
    return {name: _part_at(place, in_val, in_test) for place, name in enumerate(names)}


def split_folds(
    subjects: Iterable[str], folds: int, val_fraction: float, chance: random.Random
) -> list[dict[str, Part]] | None:
    """Return the split of each subject for each fold: test rotates, and val follows it. None if a split would have
    fewer than two subjects."""
    names = sorted(subjects)
    chance.shuffle(names)
    splits: list[dict[str, Part]] = []
    for fold in range(folds):
        first, last = fold * len(names) // folds, (fold + 1) * len(names) // folds
        rest = [*names[last:], *names[:first]]
        in_val = min(max(FEWEST_SUBJECTS, round(len(names) * val_fraction)), len(rest) - FEWEST_SUBJECTS)
        if last - first < FEWEST_SUBJECTS or in_val < FEWEST_SUBJECTS:
            return None
        splits.append({name: _part_at(place, in_val, 0) for place, name in enumerate(rest)})
        splits[-1].update(dict.fromkeys(names[first:last], "test"))
    return splits


def split_images(
    photos: Sequence[Photo], val_fraction: float, test_fraction: float, chance: random.Random
) -> dict[Photo, Part]:
    """Return the split of each photo: some of each subject in each. One photo goes to train; of two, none to test."""
    by_subject: defaultdict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        by_subject[photo.label].append(photo)
    part_of: dict[Photo, Part] = {}
    for its in by_subject.values():
        in_val = min(max(1, round(len(its) * val_fraction)), len(its) - 1)
        in_test = min(max(1, round(len(its) * test_fraction)), len(its) - in_val - 1) if test_fraction else 0
        drawn = chance.sample(its, in_val + in_test)
        chosen = {photo: _part_at(place, in_val, in_test) for place, photo in enumerate(drawn)}
        part_of |= {photo: chosen.get(photo, "train") for photo in its}
    return part_of


def by_part(photos: Iterable[Photo], part_of: Callable[[Photo], Part]) -> dict[Part, list[Photo]]:
    """Return train, val and test in this order; test only if it has a photo."""
    parts: dict[Part, list[Photo]] = {"train": [], "val": [], "test": []}
    for photo in photos:
        parts[part_of(photo)].append(photo)
    return {name: part for name, part in parts.items() if part or name != "test"}


def _part_at(place: int, in_val: int, in_test: int) -> Part:
    if place < in_val:
        return "val"
    return "test" if place < in_val + in_test else "train"
