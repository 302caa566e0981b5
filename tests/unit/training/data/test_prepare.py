"""Which images go through which enlargement, and that none goes twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from app.finetune.architectures import DsrLayout
from app.finetune.dataset import scan_dataset
from app.finetune.errors import ChangedWhileRead, UnreadableImages
from app.finetune.events import Report, TrainingEvent, Warned
from tests.support.image_reads import ImageReads, image_reads
from tests.unit.training.support import tiny_config, write_training
from worker.training.data.prepare import prepare
from worker.training.data.preprocess import Enlarge, Faces, enlarge_bicubic, enlarge_by_dsr, enlarge_images
from worker.training.data.val_faces import ValFaces
from worker.training.models.dsr import DSR, load_dsr
from worker.training.runtime.control import Control
from worker.training.runtime.progress import Progress
from worker.training.storage.digests import digest_inputs
from worker.training.storage.paths import TrainingFiles

CPU = torch.device("cpu")


def write_dsr(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    torch.save(DSR(DsrLayout(channels=4, blocks=1, factors=(7,), prelu_parameters=1)).state_dict(), path)
    return path


def prepared(
    files: TrainingFiles, report: Report = lambda _: None, progress: Progress | None = None, **changes: object
) -> tuple[Faces, ValFaces]:
    scan, control = scan_dataset(files.train_dir, files.val_dir), Control()
    inputs = digest_inputs(files, scan, 2, control)
    by_dsr = enlarge_by_dsr(load_dsr(files.dsr), files.dsr, CPU) if files.dsr else None
    progress = progress or Progress(1.0, lambda _: None)
    train, _, val = prepare(tiny_config(**changes), scan, inputs, by_dsr, files.prepared_dir, report, progress, control)
    return train, val


def kept(files: TrainingFiles) -> set[str]:
    return {path.name for path in files.prepared_dir.iterdir()}


@pytest.fixture
def files(tmp_path: Path) -> TrainingFiles:
    return write_training(tmp_path)


@pytest.fixture
def reads(files: TrainingFiles) -> Iterator[ImageReads]:
    with image_reads(files.train_dir.parent) as reads:
        yield reads


def test_dsr_enlarges_vlr_images_and_leaves_the_hr_gallery_alone(files: TrainingFiles, tmp_path: Path) -> None:
    files = replace(files, dsr=write_dsr(tmp_path / "dsr.pth"))
    train, val = prepared(files)

    def enlarged(paths: tuple[Path, ...], enlarge: Enlarge) -> torch.Tensor:
        return torch.cat([faces.pixels_u8 for faces in enlarge_images(paths, enlarge, threads=0)])

    scan = scan_dataset(files.train_dir, files.val_dir)
    by_dsr = enlarge_by_dsr(load_dsr(tmp_path / "dsr.pth"), tmp_path / "dsr.pth", CPU)
    assert torch.equal(train.pixels_u8, enlarged(scan.train.vlr_images, by_dsr))
    assert torch.equal(val.probes_u8_PCHW, enlarged(scan.val.vlr_images, by_dsr))
    assert torch.equal(val.gallery_u8_GCHW, enlarged(scan.val.hr_images, enlarge_bicubic))
    assert val.labels().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_was_prepared_is_not_decoded_again_and_warned_of_all_the_same(
    files: TrainingFiles, reads: ImageReads
) -> None:
    first, again = list[TrainingEvent](), list[TrainingEvent]()
    progress = [Progress(1.0, lambda _: None) for _ in range(2)]
    made = prepared(files, first.append, progress[0], vlr_size=12)
    assert len(reads.decodes) == 32
    reads.clear()
    found = prepared(files, again.append, progress[1], vlr_size=12)
    assert not reads.decodes
    assert torch.equal(found[0].pixels_u8, made[0].pixels_u8)
    assert torch.equal(found[1].probes_u8_PCHW, made[1].probes_u8_PCHW)
    assert torch.equal(found[1].gallery_u8_GCHW, made[1].gallery_u8_GCHW)
    assert first == again
    assert "vlr_resampled" in {event.warning.code for event in again if isinstance(event, Warned)}
    assert progress[0].work_done == pytest.approx(progress[1].work_done)


def test_only_what_changed_is_prepared_anew(files: TrainingFiles, tmp_path: Path, reads: ImageReads) -> None:
    prepared(files)
    names = kept(files)
    assert len(names) == 6
    for change in ("vlr_size", "dsr", "another dsr"):
        reads.clear()
        if change == "vlr_size":
            prepared(files, vlr_size=8)
        else:
            prepared(replace(files, dsr=write_dsr(tmp_path / "dsr.pth", seed=len(change))))
        assert len(kept(files) - names) == 4, f"{change}: both sets of VLR images, not the gallery"
        assert not any("hr_images" in path.parts for path in reads.decodes)
        names = kept(files)
    image = sorted((files.train_dir / "vlr_images").iterdir())[0]
    for name, what in (("000_000.png", "a name"), ("000_99.png", "their order")):
        image = image.rename(image.with_name(name))
        prepared(files)
        assert len(kept(files) - names) == 2, f"train's VLR images, since {what} changed"
        names = kept(files)


def test_an_image_that_cannot_be_read_is_named_before_any_is_enlarged(
    files: TrainingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.training.data.prepare.enlarge_images", lambda *_, **__: pytest.fail("too early"))
    bad = [sorted((folder / "vlr_images").iterdir())[1] for folder in (files.train_dir, files.val_dir)]
    bad[0].write_bytes(b"no image")
    bad[1].unlink()
    bad[1].mkdir()  # cannot even be read for its digest
    with pytest.raises(UnreadableImages) as error:
        prepared(files)
    assert str(bad[1]) in error.value.message
    bad[1].rmdir()
    with pytest.raises(UnreadableImages, match=bad[0].name):
        prepared(files)


def test_images_that_change_while_they_are_prepared_are_kept_under_no_name(files: TrainingFiles) -> None:
    image = sorted((files.train_dir / "vlr_images").iterdir())[0]

    def change_it(event: TrainingEvent) -> None:
        if isinstance(event, Warned):  # told after the digests were made, before any image is decoded
            Image.new("RGB", (16, 16), "red").save(image)

    with pytest.raises(ChangedWhileRead, match="vlr_images changed"):
        prepared(files, change_it)
    assert kept(files) == set()
