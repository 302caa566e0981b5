import shutil
from pathlib import Path

import pytest


@pytest.fixture
def photos(shared_assets: Path, tmp_path: Path) -> Path:
    """Two photos each of six people of ORL, as published: not aligned."""
    for subject in (1, 4, 10, 17, 22, 31):
        folder = tmp_path / "photos" / f"s{subject:02d}"
        folder.mkdir(parents=True)
        for image in (2, 9):
            shutil.copy(shared_assets / "faces" / "orl" / f"s{subject}" / f"{image}.pgm", folder / f"{image:02d}.pgm")
    return tmp_path / "photos"
