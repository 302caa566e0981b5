"""Small image files."""

from pathlib import Path

from PIL import Image


def write_images(*paths: Path) -> None:
    """Write a grey image to each path."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (90, 120, 150)).save(path)
