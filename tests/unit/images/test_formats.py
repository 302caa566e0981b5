"""Every format of the table is read, whatever the file is called; no other format is opened."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.finetune.errors import UnreadableImages
from app.finetune.image_formats import IMAGE_FORMATS, IMAGE_SUFFIXES
from app.finetune.images import count_frames, decode_rgb, read_rgb
from tests.unit.images.support import SIZE, colour_picture, encoded, files_of_each_format, picture


@pytest.mark.parametrize("name", files_of_each_format())
def test_each_format_is_read(name: str, tmp_path: Path) -> None:
    content, within = files_of_each_format()[name]
    (tmp_path / name).write_bytes(content)
    assert Path(name).suffix in IMAGE_SUFFIXES
    difference = np.asarray(read_rgb(tmp_path / name)).astype(int) - colour_picture()
    assert np.abs(difference).max() <= within
    assert count_frames(content) == 1


def test_every_format_of_the_table_is_among_those() -> None:
    of_files = {Path(name).suffix for name in files_of_each_format()}
    assert [each.name for each in IMAGE_FORMATS if not of_files & set(each.suffixes)] == []


def test_the_suffixes_that_people_bring_are_images() -> None:
    brought = "png jpg jpeg jfif jpe jp2 j2k webp bmp tif tiff pgm ppm pbm pnm gif avif heic heif"
    assert {f".{suffix}" for suffix in brought.split()} <= IMAGE_SUFFIXES


@pytest.mark.parametrize("name", files_of_each_format())
def test_the_content_counts_and_not_the_suffix(name: str) -> None:
    content, _ = files_of_each_format()[name]
    assert decode_rgb(Path("photo.png"), content).tobytes() == decode_rgb(Path("photo.jpg"), content).tobytes()


@pytest.mark.parametrize("format_", ["PNG", "GIF", "TIFF", "WEBP", "AVIF"])
def test_the_first_of_several_frames_is_read_and_all_are_counted(format_: str) -> None:
    first = Image.fromarray(picture() // 64 * 64)
    others = [Image.new("L", SIZE, level) for level in (40, 200)]
    options = {"lossless": True} if format_ == "WEBP" else {}
    content = encoded(first, format_, save_all=True, append_images=others, **options)
    assert count_frames(content) == 3
    pixels = np.asarray(decode_rgb(Path("a.gif"), content)).astype(int)
    assert np.abs(pixels - np.asarray(first)[:, :, None]).max() <= (24 if format_ == "AVIF" else 0)


def test_the_second_picture_of_a_phones_jpeg_is_no_frame() -> None:
    image = Image.fromarray(colour_picture())
    content = encoded(image, "MPO", save_all=True, append_images=[image.resize((12, 10))])
    assert count_frames(content) == 1
    assert decode_rgb(Path("phone.jpg"), content).size == SIZE


def test_damaged_content_counts_as_one_frame() -> None:
    content = encoded(Image.fromarray(picture()), "TIFF", save_all=True, append_images=[Image.new("L", SIZE)])
    assert [count_frames(content[:length]) for length in (0, 3, 8, 40)] == [1, 1, 1, 1]


def test_an_eps_that_is_called_png_starts_no_ghostscript() -> None:
    content = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with Image.open(io.BytesIO(content)) as opened:
        assert opened.format == "EPS"
    with pytest.raises(UnreadableImages, match="not an image of a format that is read: PNG, JPEG, JPEG 2000, WebP"):
        decode_rgb(Path("drawing.png"), content)


@pytest.mark.parametrize("format_", ["ICO", "TGA", "PCX", "SGI", "PDF", "DDS"])
def test_formats_outside_the_table_are_refused_by_name(format_: str) -> None:
    with pytest.raises(UnreadableImages, match=r"face\.png \(not an image of a format that is read"):
        decode_rgb(Path("face.png"), encoded(Image.fromarray(colour_picture()), format_))


def test_a_tiff_of_a_kind_that_is_not_read_says_so() -> None:
    content = bytearray(encoded(Image.fromarray(picture().astype(np.float32)), "TIFF"))
    place = content.index(b"\x02\x01\x03\x00\x01\x00\x00\x00\x20\x00")
    content[place + 8] = 64
    with pytest.raises(UnreadableImages, match="not a TIFF image that can be read: unknown pixel mode"):
        decode_rgb(Path("a.tif"), bytes(content))


def test_without_its_extra_a_heic_says_which_to_install(tmp_path: Path) -> None:
    file = tmp_path / "phone.heic"
    file.write_bytes(files_of_each_format()["a.heic"][0])
    script = (
        "import sys\n"
        "sys.modules['pillow_heif'] = None\n"  # as if it were not installed
        "from pathlib import Path\n"
        "from app.finetune.images import find_unreadable\n"
        "print(*find_unreadable([Path(sys.argv[1])]).values())\n"
    )
    answer = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=False)
    assert answer.stdout == "a HEIC image, which needs the extra `heic`: pip install .[heic]\n", answer.stderr


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UnreadableImages, match=r"folder\.png"):
        read_rgb(tmp_path / "folder.png")
    with pytest.raises(UnreadableImages, match=r"gone\.png"):
        read_rgb(tmp_path / "gone.png")


@pytest.mark.parametrize(("content", "said"), [(b"", "the file has 0 bytes"), (bytes(500), "all its bytes are 0")])
def test_an_empty_file_is_called_empty(content: bytes, said: str) -> None:
    with pytest.raises(UnreadableImages, match=rf"face\.png \(empty: {said}"):
        decode_rgb(Path("face.png"), content)
