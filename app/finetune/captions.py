"""Captions under the faces of a contact sheet."""

from PIL import ImageDraw, ImageFont


def fit_caption(
    text: str, width: int, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    """Return the text, shortened in the middle if it is wider than `width` pixels."""
    shown, kept = text, len(text)
    while draw.textlength(shown, font) > width and kept > 2:
        kept -= 1
        shown = text[: kept // 2] + "…" + text[len(text) - (kept - kept // 2) :]
    return shown
