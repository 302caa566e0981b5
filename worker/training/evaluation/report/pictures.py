"""Embeds faces as pictures into the page."""

import base64
import io

from PIL import Image

from app.finetune.plain_image import plain


def data_uri(image: Image.Image) -> str:
    """Encode the pixels of the image as PNG in a data URI."""
    buffer = io.BytesIO()
    plain(image.convert("RGB")).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
