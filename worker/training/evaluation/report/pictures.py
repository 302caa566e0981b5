"""Embeds faces as pictures into the page."""

import base64
import io

from PIL import Image


def data_uri(image: Image.Image) -> str:
    """Encode the image as PNG in a data URI."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
