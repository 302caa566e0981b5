"""Faces to build datasets from."""

from pathlib import Path

import pytest

from app.drawn_faces import write_drawn_faces


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Three photos each of five people."""
    write_drawn_faces(tmp_path / "faces", subjects=5, images_per_subject=3, seed=1)
    return tmp_path / "faces"
