"""Contact sheets: pages of faces with their names."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from app.finetune.captions import fit_caption
from app.finetune.errors import printable
from app.finetune.images import read_rgb

COLUMNS, ROWS = 12, 12
_TILE = 96
_LABEL = 14
_GAP = 6
_WIDTH = _GAP + COLUMNS * (_TILE + _GAP)
_ROW = _TILE + _LABEL + _GAP


def write_contact_sheets(faces: Sequence[Path], folder: Path) -> list[Path]:
    """Write `folder/page_001.png` and so on: 12 x 12 faces per page, in the given order, each above its file name."""
    folder.mkdir(parents=True)
    font = ImageFont.load_default(size=10)
    pages: list[Path] = []
    for first in range(0, len(faces), COLUMNS * ROWS):
        on_page = faces[first : first + COLUMNS * ROWS]
        rows = -(-len(on_page) // COLUMNS)
        page = Image.new("RGB", (_WIDTH, _GAP + rows * _ROW), "white")
        draw = ImageDraw.Draw(page)
        for index, face in enumerate(on_page):
            left = _GAP + index % COLUMNS * (_TILE + _GAP)
            upper = _GAP + index // COLUMNS * _ROW
            page.paste(read_rgb(face).resize((_TILE, _TILE), Image.Resampling.BICUBIC), (left, upper))
            draw.text((left, upper + _TILE), fit_caption(printable(face.stem), _TILE, draw, font), "black", font)
        pages.append(folder / f"page_{len(pages) + 1:03d}.png")
        page.save(pages[-1])
    return pages
