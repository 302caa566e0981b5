"""Draws the README's picture: `python -m scripts.readme_picture`, which writes docs/pictures/small_faces.png.

The face is drawn (app/drawn_faces.py) and reduced by Pillow's bicubic filter. The rates and their intervals are read
from the first table of docs/notebook/recognition.md.
"""

import re
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from app.drawn_faces import draw_face

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "small_faces.png"
FIGURES = ROOT / "docs" / "notebook" / "recognition.md"

SUBJECT, IMAGE, SEED = 14, 1, 42
SIZES = (112, 24, 16, 12, 8)
WIDTH, HEIGHT = 1600, 800
MARGIN, TILE, GAP = 60, 256, 50
FACES_TOP, BARS_TOP, BARS_HEIGHT, BAR = 100, 464, 210, 84
INK, FAINT, BEFORE, AFTER, PAPER = "#1f2328", "#59636e", "#b6bec8", "#0b7a75", "#ffffff"


class Rate(NamedTuple):
    """A true accept rate with its 95 % interval, all in [0, 1]."""

    value: float
    low: float
    high: float


def read_rates(row: str) -> dict[int, Rate]:
    """Return TAR@FAR=0.1% on ORL by size in pixels from the row of that name. HR against HR is 1.000 in every row."""
    table = FIGURES.read_text().split("## Results")[1]
    header = next(line for line in table.splitlines() if "ORL 12 px" in line).split("|")
    cells = next(line for line in table.splitlines() if line.startswith(f"| {row} |")).split("|")
    rates = {112: Rate(1, 1, 1)}
    for name, cell in zip(header, cells, strict=True):
        if size := re.fullmatch(r" ORL (\d+) px ", name):
            rates[int(size[1])] = Rate(*(float(number) for number in re.findall(r"\d\.\d+", cell)))
    return rates


def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def paint() -> Image.Image:
    picture = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    before, after = read_rates("bicubic"), read_rates("recommended")
    draw.text((MARGIN, 34), "A drawn face, 112 to 8 pixels wide", INK, font(36))
    face = draw_face(SUBJECT, IMAGE, seed=SEED)
    for place, size in enumerate(SIZES):
        left = MARGIN + place * (TILE + GAP)
        small = face.resize((size, size), Image.Resampling.BICUBIC)
        picture.paste(small.resize((TILE, TILE), Image.Resampling.NEAREST), (left, FACES_TOP))
        draw.text((left + TILE / 2, FACES_TOP + TILE + 14), f"{size} px", FAINT, font(30), anchor="ma")
        for column, (rate, colour) in enumerate([(before[size], BEFORE), (after[size], AFTER)]):
            paint_bar(draw, left + TILE / 2 + (column - 1) * (BAR + 14) + 7, rate, colour)
    bottom = BARS_TOP + BARS_HEIGHT
    draw.line([(MARGIN, bottom), (WIDTH - MARGIN, bottom)], FAINT, 2)
    x = paint_key(draw, MARGIN, bottom + 26, BEFORE, "EdgeFace as published")
    paint_key(draw, x + 40, bottom + 26, AFTER, "fine-tuned here, recipe “recommended”, one model for all sizes")
    note = "Genuine pairs accepted at one false accept in 1,000. Lines: 95 % intervals."
    draw.text((MARGIN, bottom + 78), f"{note} People of ORL outside the training set.", FAINT, font(26))
    return picture


def paint_bar(draw: ImageDraw.ImageDraw, left: float, rate: Rate, colour: str) -> None:
    """A bar, the line of its interval, and its value. `left` is in pixels."""
    bottom = BARS_TOP + BARS_HEIGHT
    top = bottom - rate.value * BARS_HEIGHT
    draw.rectangle([left, top, left + BAR, bottom], colour)
    middle = left + BAR / 2
    draw.line([(middle, bottom - rate.high * BARS_HEIGHT), (middle, bottom - rate.low * BARS_HEIGHT)], INK, 3)
    highest = bottom - max(rate.high, rate.value) * BARS_HEIGHT
    draw.text((middle, highest - 6), f"{rate.value:.2f}", INK, font(28), anchor="md")


def paint_key(draw: ImageDraw.ImageDraw, left: float, top: float, colour: str, text: str) -> float:
    """An entry of the legend. Returns where it ends."""
    draw.rectangle([left, top + 4, left + 26, top + 30], colour)
    draw.text((left + 38, top), text, INK, font(28))
    return left + 38 + draw.textlength(text, font(28))


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    paint().quantize(128).save(PICTURE, optimize=True)
    print(PICTURE.relative_to(ROOT), PICTURE.stat().st_size, "bytes")
