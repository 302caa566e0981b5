"""Pixels that show nothing are warned of; faces of an older image reader serve the trainings that it began alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from app.finetune.dataset import scan_dataset
from app.finetune.events import StateSaved, Stopped, TrainingEvent, Warned
from app.finetune.image_file import paths_of
from app.finetune.images import READER_VERSION
from app.finetune.weights_errors import WeightsUnreadable
from tests.support.image_reads import ImageReads, image_reads
from tests.unit.training.support import tiny_config, write_training
from worker.training.data.face_cache import PreparedFaces, prepared_key
from worker.training.data.prepare import prepare, read_dataset
from worker.training.data.preprocess import Faces
from worker.training.finetune import finetune
from worker.training.runtime.control import Control
from worker.training.runtime.progress import Progress
from worker.training.storage.digests import digest_of_images, sha256_of
from worker.training.storage.paths import ResumeFrom, TrainingFiles


def write_as_12_bits(path: Path) -> None:
    """The image of a 12-bit camera in a 16-bit file, which version 1 reads as black."""
    with Image.open(path) as image:
        grey = np.asarray(ImageOps.autocontrast(image.convert("L"))).astype(np.uint16)
    Image.fromarray(grey * 16 + 15).save(path)


@pytest.fixture
def files(tmp_path: Path) -> TrainingFiles:
    """A dataset whose train VLR images are of 12 bits."""
    files = write_training(tmp_path)
    for path in (files.train_dir / "vlr_images").iterdir():
        write_as_12_bits(path)
    return files


@pytest.fixture
def reads(files: TrainingFiles) -> Iterator[ImageReads]:
    with image_reads(files.train_dir.parent) as reads:
        yield reads


def prepared(files: TrainingFiles, reader: int = READER_VERSION) -> tuple[Faces, list[TrainingEvent]]:
    """Train's faces, and the events."""
    events: list[TrainingEvent] = []
    scan = scan_dataset(files.train_dir, files.val_dir)
    progress = Progress(lambda _: None)
    dataset = read_dataset(tiny_config(), files, scan, None, Control(), progress, with_prints=True, reader=reader)
    train, *_ = prepare(tiny_config(), scan, dataset, events.append, progress)
    return train, events


def warned(events: list[TrainingEvent]) -> dict[str, str]:
    return {event.warning.code: event.warning.message for event in events if isinstance(event, Warned)}


def digest_by(reader: int, folder: Path) -> str:
    paths = sorted(folder.iterdir())
    return digest_of_images(paths, [bytes.fromhex(sha256_of(path, Control())) for path in paths], reader)


def test_images_that_show_nothing_are_warned_of_whether_decoded_or_prepared_before(
    files: TrainingFiles, reads: ImageReads
) -> None:
    reads.clear()
    hr = sorted((files.train_dir / "hr_images").iterdir())
    Image.new("RGB", (112, 112)).save(hr[0])
    Image.new("L", (112, 112), 255).save(hr[1])
    val_vlr = sorted((files.val_dir / "vlr_images").iterdir())[0]
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16) // 16).save(val_vlr)
    for _ in range(2):
        found = warned(prepared(files)[1])
        assert found["images_constant"] == (
            "2 of 32 train images show one colour only, as an empty or black image does "
            f"(hr_images/{hr[0].name}, hr_images/{hr[1].name})"
        )
        assert found["images_without_contrast"].startswith("1 of 16 val images spans less than 32")
    assert max(reads.decodes.values()) == 1


def test_ordinary_faces_are_warned_of_by_nothing(files: TrainingFiles) -> None:
    assert warned(prepared(files)[1]) == {}


def test_black_faces_that_version_1_prepared_are_not_used_again(files: TrainingFiles) -> None:
    black, events = prepared(files, reader=1)
    assert int(black.pixels_u8.max()) < 32
    assert warned(events)["images_without_contrast"].startswith("16 of 32 train images")
    bright, events = prepared(files)
    assert int(bright.pixels_u8.max()) > 150
    assert "images_without_contrast" not in warned(events)


def test_faces_that_version_1_prepared_are_used_by_what_it_began(files: TrainingFiles) -> None:
    scan = scan_dataset(files.train_dir, files.val_dir)
    count = len(scan.train.vlr_images)
    marked = Faces(torch.full((count, 3, 112, 112), 77, dtype=torch.uint8), prepared(files)[0].sizes)
    # As version 0.2 named them: by the digest of names and contents alone.
    key = prepared_key(digest_by(1, files.train_dir / "vlr_images"))
    PreparedFaces(files.prepared_dir, Control()).make(key, count, lambda: [marked])
    assert torch.equal(prepared(files, reader=1)[0].pixels_u8, marked.pixels_u8)
    assert int(prepared(files)[0].pixels_u8.max()) > 150


def saved_by_version_1(files: TrainingFiles, tmp_path: Path) -> TrainingFiles:
    """A state of a training of version 0.2 before its first step, and the files to resume it."""
    events: list[TrainingEvent] = []
    control = Control(save_every_seconds=0)

    def report(event: TrainingEvent) -> None:
        events.append(event)
        if isinstance(event, StateSaved):
            control.stop.set()

    assert isinstance(finetune(tiny_config(), files, report, control), Stopped)
    (first, *_) = [event for event in events if isinstance(event, StateSaved)]
    content = torch.load(first.file.path, weights_only=True)
    assert content["inputs"].pop("reader") == READER_VERSION
    for name in ("train_vlr", "val_vlr", "val_hr"):
        split, kind = name.split("_")
        content["inputs"][name] = digest_by(
            1, {"train": files.train_dir, "val": files.val_dir}[split] / f"{kind}_images"
        )
    path = tmp_path / "state-of-version-1.pth"
    torch.save(content, path)
    return replace(files, output_dir=tmp_path / "resumed", resume=ResumeFrom(path, None))


def test_a_training_that_version_1_began_goes_on_with_its_pixels_and_says_so(
    files: TrainingFiles, tmp_path: Path
) -> None:
    resumed = saved_by_version_1(files, tmp_path)
    events: list[TrainingEvent] = []
    finetune(tiny_config(), resumed, events.append)
    assert "goes on with the pixels" in warned(events)["images_read_as_before"]
    vlr = paths_of(scan_dataset(files.train_dir, files.val_dir).train.vlr_images)
    key = prepared_key(digest_by(1, files.train_dir / "vlr_images"))
    faces = PreparedFaces(files.prepared_dir, Control()).find(key, len(vlr))
    assert faces is not None
    assert int(faces.pixels_u8.max()) < 32
    later = [event for event in events if isinstance(event, StateSaved)][-1]
    assert torch.load(later.file.path, weights_only=True)["inputs"]["reader"] == 1


def test_a_state_of_a_newer_version_is_refused_in_words(files: TrainingFiles, tmp_path: Path) -> None:
    resumed = saved_by_version_1(files, tmp_path)
    assert resumed.resume is not None
    content = torch.load(resumed.resume.state, weights_only=True)
    content["inputs"]["reader"] = READER_VERSION + 1
    torch.save(content, resumed.resume.state)
    with pytest.raises(WeightsUnreadable, match="a newer version of edgeface-finetune saved it"):
        finetune(tiny_config(), resumed, lambda _: None)
