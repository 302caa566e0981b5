"""The manifest of a dataset: what is written is read, and images that changed since are found."""

import os
from pathlib import Path

import pytest

from app.finetune.dataset_folders import dataset_of
from app.finetune.job_warning import JobWarning
from app.finetune.manifest import (
    MANIFEST_NAME,
    BuildOptions,
    DatasetManifest,
    ManifestFile,
    built_pattern,
    differing,
    manifest_path,
    read_manifest,
    write_manifest,
)
from app.finetune.subject_patterns import GUIDE


def _file(folder: Path, image: Path, *, with_time: bool) -> ManifestFile:
    stat = image.stat()
    return ManifestFile(
        path=manifest_path(image, folder),
        size=stat.st_size,
        sha256=image.name,
        mtime_ns=stat.st_mtime_ns if with_time else None,
    )


def _images(folder: Path) -> list[Path]:
    images = [folder / "train_processed/vlr_images" / f"s{n}.png" for n in range(3)]
    images[0].parent.mkdir(parents=True)
    for image in images:
        image.write_bytes(b"image")
        os.utime(image, ns=(10**18, 10**18))
    return images


def test_what_is_written_is_read(tmp_path: Path) -> None:
    manifest = DatasetManifest(
        subject_pattern="lfw",
        built=BuildOptions(source="faces", vlr_size=16, split="subjects", seed=42, version="0.3.0"),
        problems=[JobWarning(code="small", message="3 photos are small")],
        files=[ManifestFile(path="a/ü.png", size=3, sha256="ab", width=4, height=5)],
    )
    write_manifest(tmp_path / MANIFEST_NAME, manifest)
    assert read_manifest(tmp_path / MANIFEST_NAME) == manifest
    assert built_pattern(tmp_path / "train_processed").text == "lfw"


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"files": 3}', '{"format_version": 99, "files": []}', '{"subject_pattern": "x", "files": []}'],
)
def test_a_manifest_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST_NAME).write_text(content)
    assert built_pattern(tmp_path / "val_processed") == GUIDE


def test_fields_of_later_versions_are_ignored(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).write_text('{"files": [{"path": "a", "size": 1, "sha256": "b", "new": 1}], "new": []}')
    read = read_manifest(tmp_path / MANIFEST_NAME)
    assert read is not None
    assert [file.path for file in read.files] == ["a"]


def test_the_digest_is_that_of_the_images(tmp_path: Path) -> None:
    files = [_file(tmp_path, image, with_time=True) for image in _images(tmp_path)]
    manifest = DatasetManifest(files=files)
    without_times = [file.model_copy(update={"mtime_ns": None}) for file in reversed(files)]
    assert DatasetManifest(files=without_times).digest == manifest.digest
    assert DatasetManifest(files=files[1:]).digest != manifest.digest
    assert manifest.of_part("train_processed") == {f"vlr_images/s{n}.png": f"s{n}.png" for n in range(3)}
    assert manifest.of_part("val_processed") == {}
    assert len(manifest.of_part(".")) == 3


@pytest.mark.parametrize("with_time", [True, False])
def test_changed_images_are_stale(tmp_path: Path, with_time: bool) -> None:
    first, second, third = images = _images(tmp_path)
    manifest = DatasetManifest(files=[_file(tmp_path, image, with_time=with_time) for image in images])
    write_manifest(tmp_path / MANIFEST_NAME, manifest)
    assert manifest.stale(tmp_path, images) == []

    first.write_bytes(b"longer image")
    os.utime(first, ns=(10**18, 10**18))
    later = (tmp_path / MANIFEST_NAME).stat().st_mtime_ns + 10**9
    os.utime(second, ns=(later, later))
    added = third.with_name("s9.png")
    added.write_bytes(b"image")
    os.utime(added, ns=(10**18, 10**18))
    third.unlink()
    names = [Path(path).name for path in manifest.stale(tmp_path, [first, second, added])]
    assert names == ["s0.png", "s1.png", "s2.png", "s9.png"]


def test_differing_digests_are_named() -> None:
    assert differing({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"}) == ["b", "d"]


def test_a_directory_belongs_to_a_dataset() -> None:
    assert dataset_of(Path("orl/train_processed")) == (Path("orl"), "train_processed")
    assert dataset_of(Path("faces/mine")) == (Path("faces/mine"), ".")
    assert dataset_of(Path("train_processed")) == (Path("train_processed"), ".")
