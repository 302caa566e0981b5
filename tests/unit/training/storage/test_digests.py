"""The digest of a folder's images: equal to that of older versions for flat folders, another for a moved image."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.finetune.errors import InputsChanged
from app.finetune.events import StateSaved, Stopped, TrainingEvent
from app.finetune.part_reading import PartReading
from app.finetune.subject_patterns import SubjectPattern
from tests.unit.training.support import tiny_config, write_training
from worker.training.finetune import finetune
from worker.training.runtime.control import Control
from worker.training.storage.digests import digest_of_images
from worker.training.storage.paths import ResumeFrom, TrainingFiles

NAMES = st.text("ab_-. é\udc80", min_size=1, max_size=8).map(lambda name: f"{name}.png")


@given(
    st.sampled_from(["data/train/vlr_images", "/v/hr_images", "elsewhere", "."]),
    st.lists(st.tuples(NAMES, st.binary(min_size=32, max_size=32))),
    st.sampled_from([1, 2]),
)
def test_flat_folders_have_the_digest_of_older_versions(
    folder: str, files: list[tuple[str, bytes]], reader: int
) -> None:
    paths, sha256s = [Path(folder) / name for name, _ in files], [sha256 for _, sha256 in files]
    lines = [f"{name}\0{sha256.hex()}\n" for name, sha256 in files]
    text = "".join([*([] if reader == 1 else [f"reader {reader}\n"]), *lines])
    expected = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    assert digest_of_images(paths, sha256s, reader) == expected


@pytest.mark.parametrize("kind", ["vlr_images", "hr_images"])
def test_a_moved_image_changes_the_digest_and_a_moved_dataset_does_not(kind: str) -> None:
    here, moved, there = (Path(path) / "1.png" for path in (f"/a/{kind}/Ann", f"/a/{kind}/Bo", f"/b/c/{kind}/Ann"))
    first, second, third = (digest_of_images([path], [bytes(32)]) for path in (here, moved, there))
    assert first != second
    assert first == third


def in_folders(files: TrainingFiles) -> TrainingFiles:
    """The dataset with a folder for each person."""
    for part in (files.train_dir, files.val_dir):
        for path in sorted(part.glob("*/*.png")):
            folder = path.parent / path.name[:3]
            folder.mkdir(exist_ok=True)
            path.rename(folder / path.name)
    reading = PartReading(SubjectPattern("folder"))
    return replace(files, train_reading=reading, val_reading=reading)


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_resumed_training_refuses_an_image_that_moved_to_another_person(part: str, tmp_path: Path) -> None:
    files = in_folders(write_training(tmp_path))
    events: list[TrainingEvent] = []
    control = Control(save_every_seconds=0)

    def report(event: TrainingEvent) -> None:
        events.append(event)
        if isinstance(event, StateSaved):
            control.stop.set()

    assert isinstance(finetune(tiny_config(), files, report, control), Stopped)
    saved = next(event for event in events if isinstance(event, StateSaved))
    for kind in ("vlr_images", "hr_images"):
        last = sorted((tmp_path / part / kind / "000").iterdir())[-1]
        last.rename(tmp_path / part / kind / "001" / last.name)  # The order of the images stays.
    resumed = replace(files, output_dir=tmp_path / "resumed", resume=ResumeFrom(saved.file.path, None))
    with pytest.raises(InputsChanged, match=f"{part}'s VLR images"):
        finetune(tiny_config(), resumed, lambda _: None)
