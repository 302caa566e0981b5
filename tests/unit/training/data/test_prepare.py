"""Which images go through which enlargement, and that none goes twice."""

from collections import Counter
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
from app.finetune.image_file import ImageFile, paths_of
from tests.support.image_reads import ImageReads, image_reads
from tests.unit.training.support import tiny_config, write_training
from worker.training.data.prepare import ReadDataset, prepare, read_dataset
from worker.training.data.preprocess import Enlarge, EnlargeByDsr, Faces, enlarge_bicubic, enlarge_images
from worker.training.data.val_faces import ValFaces
from worker.training.models.dsr import DSR, load_dsr
from worker.training.runtime.control import Control
from worker.training.runtime.progress import Progress
from worker.training.runtime.time_left import PhaseCost
from worker.training.storage.paths import TrainingFiles

CPU = torch.device("cpu")


def write_dsr(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    torch.save(DSR(DsrLayout(channels=4, blocks=1, factors=(7,), prelu_parameters=1)).state_dict(), path)
    return path


def read(files: TrainingFiles, by_dsr: Enlarge | None = None, **changes: object) -> ReadDataset:
    scan = scan_dataset(files.train_dir, files.val_dir)
    if files.dsr and by_dsr is None:
        by_dsr = EnlargeByDsr(load_dsr(files.dsr), files.dsr, CPU)
    progress = Progress(lambda _: None)
    return read_dataset(tiny_config(**changes), files, scan, by_dsr, Control(), progress, with_prints=True)


def prepared(
    files: TrainingFiles,
    report: Report = lambda _: None,
    progress: Progress | None = None,
    by_dsr: Enlarge | None = None,
    **changes: object,
) -> tuple[Faces, ValFaces]:
    scan, progress = scan_dataset(files.train_dir, files.val_dir), progress or Progress(lambda _: None)
    dataset = read(files, by_dsr, **changes)
    train, _, val, _ = prepare(tiny_config(**changes), scan, dataset, report, progress)
    return train, val


def progress_of_preparing() -> Progress:
    progress = Progress(lambda _: None)
    progress.plan({"preparing": PhaseCost(work=1000.0, seconds=1.0)})
    progress.start("preparing")
    return progress


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

    def enlarged(images: tuple[ImageFile, ...], enlarge: Enlarge) -> torch.Tensor:
        return torch.cat([faces.pixels_u8 for faces in enlarge_images(paths_of(images), enlarge, threads=0)])

    scan = scan_dataset(files.train_dir, files.val_dir)
    by_dsr = EnlargeByDsr(load_dsr(tmp_path / "dsr.pth"), tmp_path / "dsr.pth", CPU)
    assert torch.equal(train.pixels_u8, enlarged(scan.train.vlr_images, by_dsr))
    assert torch.equal(val.probes_u8_PCHW, enlarged(scan.val.vlr_images, by_dsr))
    assert torch.equal(val.gallery_u8_GCHW, enlarged(scan.val.hr_images, enlarge_bicubic))
    assert val.labels().tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_was_prepared_is_not_decoded_again_and_warned_of_all_the_same(
    files: TrainingFiles, reads: ImageReads
) -> None:
    first, again = list[TrainingEvent](), list[TrainingEvent]()
    progress = [progress_of_preparing() for _ in range(2)]
    made = prepared(files, first.append, progress[0], vlr_size=12)
    assert len(reads.decodes) == 48
    reads.clear()
    found = prepared(files, again.append, progress[1], vlr_size=12)
    assert not reads.decodes
    assert torch.equal(found[0].pixels_u8, made[0].pixels_u8)
    assert torch.equal(found[1].probes_u8_PCHW, made[1].probes_u8_PCHW)
    assert torch.equal(found[1].gallery_u8_GCHW, made[1].gallery_u8_GCHW)
    assert first == again
    assert "vlr_resampled" in {event.warning.code for event in again if isinstance(event, Warned)}
    assert 0 < progress[0].done == pytest.approx(progress[1].done)


def test_only_what_changed_is_prepared_anew(files: TrainingFiles, tmp_path: Path, reads: ImageReads) -> None:
    prepared(files)
    names = kept(files)
    assert len(names) == 10, "arrays and sidecars of three kinds of images, and the prints of four"
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
        assert len(kept(files) - names) == 3, f"train's VLR images, since {what} changed"
        names = kept(files)


def test_an_image_that_cannot_be_read_is_named_before_any_is_enlarged(files: TrainingFiles, tmp_path: Path) -> None:
    files = replace(files, dsr=write_dsr(tmp_path / "dsr.pth"))
    bad = [sorted((folder / "vlr_images").iterdir())[1] for folder in (files.train_dir, files.val_dir)]
    bad[0].write_bytes(b"no image")
    bad[1].unlink()
    bad[1].symlink_to("nowhere")  # cannot even be opened

    def too_early(_: torch.Tensor) -> torch.Tensor:
        pytest.fail("too early")

    with pytest.raises(UnreadableImages) as error:
        prepared(files, by_dsr=too_early)
    assert str(bad[1]) in error.value.message
    bad[1].unlink()
    with pytest.raises(UnreadableImages, match=bad[0].name):
        prepared(files, by_dsr=too_early)


def damage(files: TrainingFiles) -> None:
    """Change a pixel in every array of prepared faces."""
    for path in files.prepared_dir.glob("*.npy"):
        with path.open("r+b") as file:
            file.seek(-1, 2)
            last = file.read(1)
            file.seek(-1, 2)
            file.write(bytes([last[0] ^ 1]))


def test_images_whose_prepared_faces_are_damaged_are_read_a_second_time(
    files: TrainingFiles, reads: ImageReads
) -> None:
    train, val = prepared(files)
    train_u8, gallery_u8 = train.pixels_u8.clone(), val.gallery_u8_GCHW.clone()
    damage(files)
    reads.clear()
    train, val = prepared(files)
    assert torch.equal(train.pixels_u8, train_u8)
    assert torch.equal(val.gallery_u8_GCHW, gallery_u8)
    used = [path for path in reads.opens if "val" in path.parts or "vlr_images" in path.parts]
    assert {(reads.opens[path], reads.decodes[path]) for path in used} == {(2, 1)}


def test_images_that_change_before_they_are_read_a_second_time_are_kept_under_no_name(files: TrainingFiles) -> None:
    prepared(files)
    damage(files)
    before = kept(files)
    image = sorted((files.train_dir / "vlr_images").iterdir())[0]

    scan, dataset = scan_dataset(files.train_dir, files.val_dir), read(files)
    Image.new("RGB", (16, 16), "red").save(image)
    with pytest.raises(ChangedWhileRead, match="vlr_images changed"):
        prepare(tiny_config(), scan, dataset, lambda _: None, Progress(lambda _: None))
    assert kept(files) == before


@pytest.mark.parametrize("with_dsr", [False, True])
@pytest.mark.parametrize("vlr_size", [None, 12, 100])
def test_images_of_mixed_sizes_give_the_faces_that_enlarging_each_file_gives(
    files: TrainingFiles, tmp_path: Path, with_dsr: bool, vlr_size: int | None
) -> None:
    for number, path in enumerate(sorted((files.train_dir / "vlr_images").iterdir())):
        with Image.open(path) as image:
            image.resize((10 + 40 * (number % 4), 12 + 30 * (number % 3)), Image.Resampling.BICUBIC).save(path)
    enlarge: Enlarge = enlarge_bicubic
    if with_dsr:
        files = replace(files, dsr=write_dsr(tmp_path / "dsr.pth"))
        enlarge = EnlargeByDsr(load_dsr(tmp_path / "dsr.pth"), tmp_path / "dsr.pth", CPU)
    paths = paths_of(scan_dataset(files.train_dir, files.val_dir).train.vlr_images)
    expected = list(enlarge_images(paths, enlarge, threads=2, vlr_size=vlr_size))
    for _ in ("made", "found"):
        train, _ = prepared(files, vlr_size=vlr_size)
        assert torch.equal(train.pixels_u8, torch.cat([faces.pixels_u8 for faces in expected]))
        assert train.sizes == sum((faces.sizes for faces in expected), Counter())


def test_an_image_that_replaced_another_is_decoded_and_no_print_of_the_old_one_is_used(
    files: TrainingFiles, reads: ImageReads
) -> None:
    first = read(files)
    prepared(files)
    old, other = sorted((files.train_dir / "hr_images").iterdir())[:2]
    old.write_bytes(other.read_bytes())
    reads.clear()
    again = read(files)
    assert again.prints[old] == again.prints[other] == first.prints[other] != first.prints[old]
    assert {path: print_ for path, print_ in again.prints.items() if path != old} == {
        path: print_ for path, print_ in first.prints.items() if path != old
    }
    assert set(reads.decodes) == {other}, "the content of both"


def test_damaged_prints_are_made_again(files: TrainingFiles) -> None:
    first = read(files)
    for path in files.prepared_dir.glob("*.prints"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert read(files).prints == first.prints
