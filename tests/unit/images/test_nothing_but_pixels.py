"""What the service keeps or shows of an image is its pixels: no position, serial number, profile or text."""

import base64
import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from app.alignment.contact_sheet import write_contact_sheets
from app.dataset_build import build_dataset
from app.dataset_import.making import make_dataset
from app.dataset_import.task import ImportRequest
from app.drawn_faces import write_drawn_faces
from app.finetune.dataset_import_config import DatasetImportConfig
from app.finetune.images import read_rgb
from worker.training.checks.label_sheet import _draw_page, _Tile
from worker.training.evaluation.report.pictures import data_uri
from worker.training.evaluation.shown_faces import _small

TOLD = "SERIAL-4711"
XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><s>{TOLD}</s></x:xmpmeta>'.encode()


def telling(path: Path, format_: str) -> Path:
    """Rewrite the image with all that a camera and an editor add to its pixels."""
    exif = Image.Exif()
    exif[0x010F], exif[0xA431] = "Camera & Sons", TOLD
    exif.get_ifd(0x8825)[2] = (51.0, 30.0, 0.0)
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    path.unlink()
    path = path.with_suffix(f".{format_.lower()}")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if format_ == "PNG":
        text = PngInfo()
        text.add_text("Author", TOLD)
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        text.add_text("Compressed", TOLD, zip=True)
        image.save(path, exif=exif, icc_profile=profile, pnginfo=text, dpi=(300, 300))
    elif format_ == "JPEG":
        image.save(path, exif=exif, icc_profile=profile, xmp=XMP, comment=TOLD.encode(), quality=95)
    else:
        image.save(path, exif=exif, icc_profile=profile, xmp=XMP, lossless=True)
    return path


def built(photos: Path, folder: Path) -> Iterator[bytes]:
    build_dataset(photos, folder / "made", test_fraction=0)
    yield from (path.read_bytes() for path in (folder / "made").rglob("*.png"))


def imported(photos: Path, folder: Path) -> Iterator[bytes]:
    """A dataset, whose images are kept as they are."""
    build_dataset(photos, folder / "given", test_fraction=0)
    for number, path in enumerate(sorted((folder / "given").rglob("*.png"))):
        telling(path, ("PNG", "JPEG", "WEBP")[number % 3])
    (folder / "given" / "dataset.json").unlink()
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for path in sorted((folder / "given").rglob("*.*")):
            archive.write(path, path.relative_to(folder / "given"))
    (folder / "work").mkdir()
    options = DatasetImportConfig.model_validate({"name": "office", "upload": "0" * 24}).options
    umask = os.umask(0o077)
    make_dataset(
        ImportRequest(
            path=folder / "faces.zip",
            folder=folder / "work",
            archive_name="faces.zip",
            options=options,
            most_bytes=10**9,
        ),
        lambda _, __: None,
    )
    os.umask(umask)
    yield from (path.read_bytes() for path in (folder / "work" / "dataset").rglob("*.png"))


def on_contact_sheets(photos: Path, folder: Path) -> Iterator[bytes]:
    yield from (path.read_bytes() for path in write_contact_sheets(files(photos), folder / "sheets"))


def on_label_sheets(photos: Path, _: Path) -> Iterator[bytes]:
    paths = {path.stem: path for path in files(photos)}
    page = io.BytesIO()
    _draw_page([[_Tile(name, (name,)) for name in paths]], paths, read_rgb).save(page, "PNG")
    yield page.getvalue()


def in_reports(photos: Path, _: Path) -> Iterator[bytes]:
    for path in files(photos):
        yield base64.b64decode(data_uri(_small(read_rgb(path))).partition(",")[2])


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def chunks(png: bytes) -> set[bytes]:
    file, found = io.BytesIO(png[8:]), set()
    while head := file.read(8):
        length, kind = struct.unpack(">I4s", head)
        found.add(kind)
        file.seek(length + 4, io.SEEK_CUR)
    return found


@pytest.mark.parametrize("write", [built, imported, on_contact_sheets, on_label_sheets, in_reports])
def test_what_is_kept_or_shown_of_an_image_is_its_pixels(
    write: Callable[[Path, Path], Iterator[bytes]], tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    write_drawn_faces(photos, subjects=6, images_per_subject=2, seed=0)
    for number, path in enumerate(files(photos)):
        told = telling(path, ("PNG", "JPEG", "WEBP")[number % 3])
        assert TOLD.encode() in told.read_bytes()
    written = list(write(photos, tmp_path))
    assert written != []
    assert {kind for png in written for kind in chunks(png)} == {b"IHDR", b"IDAT", b"IEND"}
