"""Images that decode and show nothing are noticed; no real face is."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.finetune.dataset_check import read_facts
from app.finetune.images import decode_rgb
from app.finetune.pixel_problems import PixelProblem, pixel_problem, pixel_warnings
from tests.unit.images.support import SIZE, encoded, picture, tiff_of


def grey(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Image.Image:
    return Image.fromarray(pixels).convert("RGB")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGB", SIZE), "constant"),
        (Image.new("RGB", (1, 1), "white"), "constant"),
        (grey(picture() // 255), "constant"),
        (grey(picture() // 16), "without_contrast"),
        (grey(240 + picture() // 17), "without_contrast"),
        (grey(np.where(picture() > 100, 255, 0).astype(np.uint8)), "saturated"),
        (grey(np.maximum(picture().astype(int) * 5 - 1000, 0).clip(0, 255).astype(np.uint8)), "saturated"),
        (grey(picture()), None),
        (grey(picture() // 4), None),
    ],
)
def test_problems(image: Image.Image, expected: PixelProblem | None) -> None:
    assert pixel_problem(image) == expected


def test_pixels_as_version_1_read_them_would_have_been_noticed() -> None:
    deep = {
        "without_contrast": tiff_of((picture() / 255 * 4095).astype(np.uint16)),
        "constant": tiff_of((picture() / 255).astype(np.float32)),
    }
    for expected, content in deep.items():
        assert pixel_problem(decode_rgb(Path("a.tif"), content, reader=1)) == expected
        assert pixel_problem(decode_rgb(Path("a.tif"), content)) is None


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_any_image_can_be_judged(width: int, height: int, data: st.DataObject) -> None:
    pixels = data.draw(st.binary(min_size=3 * width * height, max_size=3 * width * height))
    assert pixel_problem(Image.frombytes("RGB", (width, height), pixels)) in (
        None,
        "constant",
        "without_contrast",
        "saturated",
    )


def test_images_are_looked_at_once_and_named_by_kind(tmp_path: Path) -> None:
    folder = tmp_path / "vlr_images"
    folder.mkdir()
    for name, level in {"black.png": 0, "white.png": 255}.items():
        (folder / name).write_bytes(encoded(Image.new("L", SIZE, level), "PNG"))
    (folder / "flat.png").write_bytes(encoded(grey(picture() // 16), "PNG"))
    (folder / "good.png").write_bytes(encoded(grey(picture()), "PNG"))
    (folder / "text.png").write_text("no image")
    facts, unreadable = read_facts(sorted(folder.iterdir()))
    problems = {path: its.problem for path, its in facts.items() if its.problem is not None}
    assert {path.name: problem for path, problem in problems.items()} == {
        "black.png": "constant",
        "flat.png": "without_contrast",
        "white.png": "constant",
    }
    assert [path.name for path in unreadable] == ["text.png"]
    warnings = {warning.code: warning.message for warning in pixel_warnings("train", problems, 5)}
    assert list(warnings) == ["images_constant", "images_without_contrast"]
    assert warnings["images_constant"].startswith("2 of 5 train images show one colour only")
    assert "(vlr_images/black.png, vlr_images/white.png)" in warnings["images_constant"]


def test_no_real_face_is_called_flat_or_saturated(shared_assets: Path) -> None:
    faces = sorted(path for path in (shared_assets / "faces").rglob("*") if path.suffix in (".png", ".pgm"))
    some = faces[::13]
    assert len(some) > 190
    noticed = []
    for path in some:
        with Image.open(path) as opened:
            face = opened.convert("RGB")
        sizes = [face, *(face.resize((side, side), Image.Resampling.BICUBIC) for side in (16, 8))]
        noticed += [path for image in sizes if pixel_problem(image)]
    assert noticed == []
