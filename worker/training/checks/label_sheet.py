"""Sheets to look at: images that a LabelJudgement names beside typical images of the subjects concerned."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from app.finetune.captions import fit_caption
from app.finetune.counted import counted
from app.finetune.image_file import ImageFile
from app.finetune.images import read_rgb
from app.finetune.label_judgement import LabelJudgement

ROWS = 12
"""Rows of a page."""

_SHOWN_OF_GROUP = 3
_TILE, _LABEL, _GAP = 112, 28, 8
_COLUMNS = 2 * _SHOWN_OF_GROUP
_WIDTH = _GAP + _COLUMNS * (_TILE + _GAP)
_ROW = _TILE + _LABEL + _GAP


class _Tile(NamedTuple):
    """An image by its name, or an empty place, and up to two lines below it."""

    image: str | None
    lines: tuple[str, ...]


def write_label_sheets(
    judgement: LabelJudgement,
    images: Sequence[ImageFile],
    folder: Path,
    read: Callable[[Path], Image.Image] = read_rgb,
    pages: int = 10,
) -> list[Path]:
    """Write `folder/labels_001.png` and so on, 12 rows a page, at most `pages`, and return their paths: none where the
    judgement names nothing.

    A row shows a likely mislabelled image, a typical image of its own subject and one of the subject it looks like; or
    up to three images of each group of a subject that is likely two people. `images` are the images that were judged.
    Raises UnreadableImages and OSError.
    """
    paths = {image.photo: image.path for image in images}
    rows = list(_rows(judgement))[: pages * ROWS]
    written: list[Path] = []
    for start in range(0, len(rows), ROWS):
        folder.mkdir(parents=True, exist_ok=True)
        written.append(folder / f"labels_{len(written) + 1:03d}.png")
        _draw_page(rows[start : start + ROWS], paths, read).save(written[-1])
    return written


def _rows(judgement: LabelJudgement) -> Iterator[list[_Tile]]:
    for two in judgement.two_people:
        first, second = (_group(two.subject, names) for names in (two.first, two.second))
        yield [*first, *[_Tile(None, ())] * (_SHOWN_OF_GROUP - len(first)), *second]
    for wrong in judgement.mislabelled:
        own, nearest = f"{wrong.similarity_to_own:.2f}", f"{wrong.similarity_to_nearest:.2f}"
        yield [
            _Tile(wrong.image, (wrong.image, f"named {wrong.subject}")),
            _Tile(wrong.example_of_own, (wrong.example_of_own, f"{wrong.subject}: {own}")),
            _Tile(wrong.example_of_nearest, (wrong.example_of_nearest, f"{wrong.nearest}: {nearest}")),
        ]


def _group(subject: str, names: Sequence[str]) -> list[_Tile]:
    count = f"{subject}, {counted(len(names), 'image')}"
    return [_Tile(name, (name, count if place == 0 else "")) for place, name in enumerate(names[:_SHOWN_OF_GROUP])]


def _draw_page(
    rows: Sequence[Sequence[_Tile]], paths: Mapping[str, Path], read: Callable[[Path], Image.Image]
) -> Image.Image:
    page = Image.new("RGB", (_WIDTH, _GAP + len(rows) * _ROW), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=10)
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            left, upper = _GAP + column * (_TILE + _GAP), _GAP + row * _ROW
            if tile.image is not None and tile.image in paths:
                face = read(paths[tile.image]).convert("RGB").resize((_TILE, _TILE), Image.Resampling.BICUBIC)
                page.paste(face, (left, upper))
            for line, text in enumerate(tile.lines):
                draw.text(
                    (left, upper + _TILE + line * _LABEL // 2), fit_caption(text, _TILE, draw, font), "black", font
                )
    return page
