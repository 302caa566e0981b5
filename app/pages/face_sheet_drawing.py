"""Draws some faces of a dataset on one sheet, in a limited child."""

import base64
import io
from pathlib import Path

from PIL import Image

from app.finetune.config import FACE_SIZE
from app.finetune.errors import UnreadableImages
from app.finetune.images import read_rgb
from app.finetune.training_errors import TooLittleMemory
from app.finetune.user_files import confine_to
from app.isolated.task import Progress
from app.pages.face_sheet_task import Sheet, SheetRequest

_MOST_BYTES = 20_000_000
_BACKGROUND = (128, 128, 128)
_NEAREST, _BICUBIC = Image.Resampling.NEAREST, Image.Resampling.BICUBIC


def draw(request: SheetRequest, progress: Progress) -> Sheet:
    """Return the sheet. An image that cannot be read, or has more than 20 MB, leaves its place grey."""
    confine_to(request.roots)
    sheet = Image.new("RGB", (FACE_SIZE * max(1, len(request.pairs)), 3 * FACE_SIZE), _BACKGROUND)
    for column, pair in enumerate(request.pairs):
        vlr, hr = _read(pair.vlr), _read(pair.hr)
        for row, (face, resampling) in enumerate(((vlr, _NEAREST), (vlr, _BICUBIC), (hr, _BICUBIC))):
            if face is not None:
                tile = face.resize((FACE_SIZE, FACE_SIZE), resampling)
                sheet.paste(tile, (FACE_SIZE * column, FACE_SIZE * row))
        progress(column + 1, len(request.pairs))
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return Sheet(png=base64.b64encode(file.getvalue()).decode())


def _read(path: Path | None) -> Image.Image | None:
    try:
        if path is None or path.stat().st_size > _MOST_BYTES:
            return None
        return read_rgb(path)
    except (OSError, UnreadableImages, TooLittleMemory):
        return None
