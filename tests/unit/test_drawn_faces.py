"""Drawn faces: always the same, and a subject's images are more alike than those of two."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from app.drawn_faces import draw_face, write_drawn_faces
from app.settings import Settings
from tests.support.command_line import edgeface_finetune


def test_the_same_numbers_draw_the_same_face() -> None:
    assert draw_face(3, 4, seed=5).tobytes() == draw_face(3, 4, seed=5).tobytes()
    others = [draw_face(2, 4, seed=5), draw_face(3, 5, seed=5), draw_face(3, 4, seed=6)]
    assert all(other.tobytes() != draw_face(3, 4, seed=5).tobytes() for other in others)


def test_a_folder_per_subject(tmp_path: Path) -> None:
    write_drawn_faces(tmp_path, subjects=3, images_per_subject=2, seed=0)
    images = sorted(tmp_path.glob("*/*.png"))
    assert [path.parent.name for path in images] == sorted(2 * ["drawn000", "drawn001", "drawn002"])
    with Image.open(images[0]) as image:
        assert (image.mode, image.size) == ("RGB", (112, 112))


def test_subjects_can_be_told_apart() -> None:
    def features(subject: int, image: int) -> npt.NDArray[np.float64]:
        grey = np.asarray(draw_face(subject, image, size=32).convert("L"), np.float64)[4:28, 6:26]
        normalised: npt.NDArray[np.float64] = (grey - grey.mean()).ravel() / grey.std()
        return normalised

    gallery = np.stack([features(subject, 0) for subject in range(12)])
    probes = np.stack([features(subject, image) for subject in range(12) for image in (1, 2, 3)])
    recognised = (probes @ gallery.T).argmax(1) == np.repeat(np.arange(12), 3)
    assert recognised.mean() > 0.5, "chance is 0.08"


def test_the_command_draws_a_folder_per_subject_and_replaces_none(tmp_path: Path) -> None:
    settings, folder = Settings(var_dir=tmp_path / "var"), tmp_path / "faces"
    drawn = edgeface_finetune(settings, "dataset", "draw", str(folder), "--subjects", "2", "--images", "3")
    assert drawn.status == 0
    assert "6 drawn faces of 2 subjects" in drawn.output
    assert len(list(folder.glob("*/*.png"))) == 6
    again = edgeface_finetune(settings, "dataset", "draw", str(folder))
    assert again.status == 2
    assert "already exists" in again.errors
