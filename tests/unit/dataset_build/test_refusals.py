"""A build makes nothing that a job refuses, and refuses before the folder appears."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from app.dataset_build import Rules, SplitBy, build_dataset, build_folds
from app.finetune.config import FinetuneConfig
from app.finetune.dataset import paired_hr, scan_dataset, scan_split
from app.finetune.dataset_errors import NothingToSelectBy
from app.finetune.errors import DataError, PhotoCopied
from app.finetune.images import refuse_unreadable
from app.finetune.leaks import AllowedLeaks, find_copies, images_of, read_prints, refuse_copies
from app.finetune.manifest import MANIFEST_NAME, read_manifest
from tests.support.image_reads import image_reads


def copy_to_all(faces: Path) -> None:
    """Each person has a photo of the next one."""
    folders = sorted(faces.iterdir())
    for folder, other in zip(folders, [*folders[1:], folders[0]], strict=True):
        shutil.copy(folder / "00.png", other / "copy.png")


def one_photo_each(faces: Path) -> None:
    for path in [*faces.glob("*/01.png"), *faces.glob("*/02.png")]:
        path.unlink()


def tiny(faces: Path) -> None:
    for path in sorted(faces.rglob("*.png")):
        with Image.open(path) as face:
            small = face.resize((18, 22))
        small.save(path)


def black(faces: Path) -> None:
    Image.new("RGB", (112, 112)).save(faces / "drawn001" / "00.png")


def black_everywhere(faces: Path) -> None:
    for path in faces.glob("*/00.png"):
        Image.new("RGB", (112, 112)).save(path)


def odd_names(faces: Path) -> None:
    for number, folder in enumerate(sorted(faces.iterdir())):
        for path in sorted(folder.iterdir()):
            path.rename(folder / f"{path.stem}{['_LR', ' HR', 'x4', '__', '.a'][number]}.png")
        folder.rename(faces / ["_", "a_b", "A B", "x4", "-lr"][number])


def damaged(faces: Path) -> None:
    for folder in sorted(faces.iterdir()):
        (folder / "01.png").write_bytes(b"damaged")


INPUTS: list[Callable[[Path], None]] = [
    copy_to_all,
    one_photo_each,
    tiny,
    black,
    black_everywhere,
    odd_names,
    damaged,
]


def check_as_jobs_do(dataset: Path) -> None:
    """Raise what POST /jobs and the preparation of a job with the default recipe would."""
    config = FinetuneConfig.model_validate({"dataset": "any", "recipe": "recommended"})
    scan = scan_dataset(dataset / "train_processed", dataset / "val_processed")
    assert config.needs_train_hr
    paired_hr(scan.train)
    parts = {"train": scan.train, "val": scan.val}
    refuse_unreadable(images_of(parts))
    prints, _ = read_prints(images_of(parts), threads=2)
    refuse_copies(find_copies(parts, prints, threads=2), AllowedLeaks(config.allowed_leaks))


@pytest.mark.parametrize("split", ["subjects", "images"])
@pytest.mark.parametrize("spoil", INPUTS)
def test_what_is_built_is_accepted(faces: Path, tmp_path: Path, spoil: Callable[[Path], None], split: SplitBy) -> None:
    spoil(faces)
    try:
        built = build_dataset(faces, tmp_path / "out", split=split)
    except DataError as error:
        assert str(tmp_path / "out") in error.message or str(faces) in error.message
        assert ".partial" not in error.message
        assert [path.name for path in tmp_path.iterdir()] == ["faces"]
    else:
        check_as_jobs_do(built.output)


def test_a_leak_stops_the_build_with_the_photos_unless_it_is_allowed(faces: Path, tmp_path: Path) -> None:
    shutil.copy(faces / "drawn000" / "00.png", faces / "drawn001" / "copy.png")
    with pytest.raises(PhotoCopied, match=r"built from .*drawn000/00\.png and .*drawn001/copy\.png"):
        build_dataset(faces, tmp_path / "out")
    with pytest.raises(PhotoCopied):
        build_folds(sixth(faces), tmp_path / "out", folds=3)
    (faces / "drawn005").rename(tmp_path / "away")
    assert not (tmp_path / "out").exists()
    rules = Rules(allowed_leaks=("drawn000=drawn001",))
    built = build_dataset(faces, tmp_path / "out", rules=rules)
    assert len(built.allowed) == 1


def sixth(faces: Path) -> Path:
    """With a sixth person, which folds need."""
    (faces / "drawn005").mkdir()
    for path in sorted((faces / "drawn002").iterdir()):
        with Image.open(path) as face:
            face.rotate(90).save(faces / "drawn005" / path.name)
    return faces


def test_val_with_one_photo_of_each_person_is_refused_with_the_folder_asked_for(faces: Path, tmp_path: Path) -> None:
    one_photo_each(faces)
    with pytest.raises(NothingToSelectBy) as raised:
        build_dataset(faces, tmp_path / "out")
    assert raised.value.message.startswith(f"{tmp_path / 'out' / 'val_processed'} ")


def test_images_without_contrast_are_warned_of(faces: Path, tmp_path: Path) -> None:
    black(faces)
    built = build_dataset(faces, tmp_path / "out")
    assert "images_constant" in {warning.code for warning in built.warnings}


def test_each_photo_is_opened_once(faces: Path, tmp_path: Path) -> None:
    with image_reads(tmp_path) as reads:
        build_dataset(faces, tmp_path / "out")
    assert reads.opens == dict.fromkeys(faces.rglob("*.png"), 1)


def test_the_manifest_has_the_digest_and_the_photo_of_each_image(faces: Path, tmp_path: Path) -> None:
    folds = build_folds(sixth(faces), tmp_path / "out", folds=3)
    for fold in folds:
        manifest = read_manifest(fold.output / MANIFEST_NAME)
        assert manifest is not None
        assert manifest.built is not None
        assert manifest.built.split == f"fold {fold.output.name[-1]} of 3"
        images = {path.relative_to(fold.output).as_posix(): path for path in fold.output.rglob("*.png")}
        assert {file.path: (file.size, file.sha256) for file in manifest.files} == {
            name: (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) for name, path in images.items()
        }
        assert {file.source for file in manifest.files} == {
            path.relative_to(faces).as_posix() for path in faces.rglob("*.png")
        }
        assert manifest.stale(fold.output, images.values()) == []
        split = scan_split(fold.output / "test_processed")
        assert len(split.hr_images) == 6
