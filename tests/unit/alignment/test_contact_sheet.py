from pathlib import Path

import numpy as np
from PIL import Image

from app.alignment.contact_sheet import write_contact_sheets


def test_many_faces_fill_several_pages(tmp_path: Path) -> None:
    face = tmp_path / "a_very_long_file_name_that_is_wider_than_its_face_0001.png"
    Image.new("RGB", (112, 112), "red").save(face)
    pages = write_contact_sheets([face] * 150, tmp_path / "sheets")
    assert [page.name for page in pages] == ["page_001.png", "page_002.png"]
    tiles = []
    for path in pages:
        with Image.open(path) as page:
            assert max(page.size) < 1500
            red = (np.asarray(page) == (255, 0, 0)).all(axis=2)
            tiles.append(red.sum() / 96**2)
    assert tiles == [144, 6]
