"""Real photos of ORL, found and aligned."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.alignment.distance import measure_distances
from app.alignment.errors import NothingAligned
from app.alignment.finder import FaceFinder
from app.alignment.photos import AlignmentReport, PhotoAligner
from app.alignment.taken_face import TakenFace
from app.alignment.template import Array
from app.dataset_build import Rules, build_dataset
from app.dataset_build.errors import ImagesSkipped, SubjectsLost, TooFewToSplit
from app.finetune.images import read_rgb
from app.finetune.subject_patterns import SubjectPattern

WITHOUT_LOST = Rules(allow_lost_subjects=True)


def landmarks(path: Path) -> Array:
    (face,) = FaceFinder().find(read_rgb(path))
    return face.landmarks_52


def pixels(path: Path) -> Array:
    """The middle of a face, without what lies beside it."""
    return np.asarray(read_rgb(path)).astype(float)[20:100, 20:92]


def hr_images(dataset: Path) -> list[Path]:
    return sorted(dataset.rglob("hr_images/*.png"))


def report_of(dataset: Path) -> AlignmentReport:
    return AlignmentReport.model_validate_json((dataset / "alignment.json").read_text())


def side_by_side(one: Path, other: Path, output: Path) -> None:
    left, right = read_rgb(one), read_rgb(other)
    both = Image.new("RGB", (left.width + right.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    both.save(output)


def write_noise(output: Path) -> None:
    Image.fromarray(np.random.default_rng(7).integers(0, 256, (150, 120, 3), dtype=np.uint8)).save(output)


def test_raw_photos_become_the_faces_that_were_aligned_before(
    photos: Path, shared_assets: Path, tmp_path: Path
) -> None:
    build_dataset(photos, tmp_path / "out", face_source=PhotoAligner(photos))
    images = hr_images(tmp_path / "out")
    assert len(images) == 12
    grey_levels_apart = []
    for image in images:
        subject, number = image.stem.split("_")
        known = shared_assets / "faces" / "orl_aligned" / subject / f"{number}.png"
        apart = np.sqrt(((landmarks(image) - landmarks(known)) ** 2).sum(axis=1).mean())
        assert apart < 1.5, image.name
        grey_levels_apart.append(np.abs(pixels(image) - pixels(known)).mean())
    assert np.mean(grey_levels_apart) < 6, grey_levels_apart


def test_vlr_images_are_made_of_the_aligned_faces(photos: Path, tmp_path: Path) -> None:
    build_dataset(photos, tmp_path / "out", face_source=PhotoAligner(photos), vlr_size=16)
    for hr in hr_images(tmp_path / "out"):
        with Image.open(hr) as face, Image.open(hr.parents[1] / "vlr_images" / hr.name) as vlr:
            reduced = face.resize((16, 16), Image.Resampling.BICUBIC)
            assert np.array_equal(np.asarray(vlr), np.asarray(reduced))


def test_raw_photos_are_far_from_the_template_and_come_within_a_pixel(photos: Path, tmp_path: Path) -> None:
    build_dataset(photos, tmp_path / "centres")
    build_dataset(photos, tmp_path / "aligned", face_source=PhotoAligner(photos))
    before, after = (measure_distances(hr_images(tmp_path / name)) for name in ("centres", "aligned"))
    assert before.median > 4
    assert before.misaligned
    assert after.off[0][0] < 1
    assert not after.misaligned
    assert before.of == before.measured == after.measured == 12


def test_faces_aligned_already_stay_within_a_pixel(photos: Path, shared_assets: Path, tmp_path: Path) -> None:
    for photo in photos.glob("*/*.pgm"):
        aligned = shared_assets / "faces" / "orl_aligned" / photo.parent.name / f"{photo.stem}.png"
        photo.with_suffix(".png").write_bytes(aligned.read_bytes())
        photo.unlink()
    build_dataset(photos, tmp_path / "out", face_source=PhotoAligner(photos))
    for image in hr_images(tmp_path / "out"):
        subject, number = image.stem.split("_")
        moves = landmarks(image) - landmarks(photos / subject / f"{number}.png")
        assert np.sqrt((moves**2).sum(axis=1).mean()) < 1, image.name


def test_photos_without_a_face_or_with_several_are_left_out_and_listed(photos: Path, tmp_path: Path) -> None:
    write_noise(photos / "s01" / "noise.png")
    side_by_side(photos / "s04" / "02.pgm", photos / "s10" / "02.pgm", photos / "s04" / "two.png")
    (photos / "s99").mkdir()
    write_noise(photos / "s99" / "only.png")
    with pytest.raises(SubjectsLost, match=r"1 of 7 subjects .* s99 \(1 without a face\)"):
        build_dataset(photos, tmp_path / "out", face_source=PhotoAligner(photos))
    built = build_dataset(photos, tmp_path / "out", face_source=PhotoAligner(photos), rules=WITHOUT_LOST)
    assert {each.path: each.detail for each in built.skipped} == {
        "s01/noise.png": "no face is found",
        "s99/only.png": "no face is found",
        "s04/two.png": "2 faces are found; --largest-face uses the largest",
    }
    report = report_of(tmp_path / "out")
    assert report.no_face == ["s01/noise.png", "s99/only.png"]
    assert report.several_faces == ["s04/two.png"]
    assert report.subjects_left_out == ["s99"]
    assert (report.aligned, len(report.photos)) == (12, 15)
    assert {photo.photo: photo.faces for photo in report.photos}["s04/two.png"] == 2
    assert not [image for image in hr_images(tmp_path / "out") if image.stem in ("s01_noise", "s04_two", "s99_only")]


def test_who_is_left_out_is_read_by_the_pattern(photos: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat" / "session1"
    flat.mkdir(parents=True)
    for photo in photos.glob("s*/*.pgm"):
        photo.rename(flat / f"{photo.parent.name}_{photo.name}")
    write_noise(flat / "s99_1.png")
    rules = Rules(SubjectPattern("lfw"), allow_lost_subjects=True)
    build_dataset(tmp_path / "flat", tmp_path / "out", face_source=PhotoAligner(tmp_path / "flat"), rules=rules)
    assert report_of(tmp_path / "out").subjects_left_out == ["s99"]


def test_the_largest_of_several_faces_is_taken_when_asked_for(photos: Path, tmp_path: Path) -> None:
    """On a wide photo: the person of the folder in front, another one smaller behind."""
    front, behind = read_rgb(photos / "s04" / "02.pgm"), read_rgb(photos / "s10" / "02.pgm")
    scene = Image.new("RGB", (300, 224))
    scene.paste(behind, (0, 60))
    scene.paste(front.resize((184, 224), Image.Resampling.BICUBIC), (110, 0))
    scene.save(photos / "s04" / "two.png")
    build_dataset(photos, tmp_path / "out", face_source=PhotoAligner(photos, largest_face=True))
    report = report_of(tmp_path / "out")
    assert (report.aligned, report.several_faces, report.largest_face) == (13, [], True)
    named = {image.stem: image for image in hr_images(tmp_path / "out")}.__getitem__
    taken, alone = landmarks(named("s04_two")), landmarks(named("s04_02"))
    assert np.sqrt(((taken - alone) ** 2).sum(axis=1).mean()) < 1.5
    same, other = (np.abs(pixels(named("s04_two")) - pixels(named(name))).mean() for name in ("s04_02", "s10_02"))
    assert same < 10 < other


@pytest.mark.parametrize("tiny", [True, False])
def test_faces_of_tiny_photos_and_far_away_ones_are_found(photos: Path, tmp_path: Path, tiny: bool) -> None:
    """Photos of 25x30 px, whose small faces are named; photos forty times as wide as a picture of a face."""
    for photo in photos.glob("*/*.pgm"):
        face = read_rgb(photo)
        if tiny:
            scene = face.resize((25, 30), Image.Resampling.BICUBIC)
        else:
            scene = Image.new("RGB", (2400, 1800), "gray")
            scene.paste(face.resize((60, 73), Image.Resampling.BICUBIC), (1500, 1100))
        photo.unlink()
        scene.save(photo.with_suffix(".png"))
    build_dataset(photos, tmp_path / "out", face_source=PhotoAligner(photos))
    report = report_of(tmp_path / "out")
    assert report.aligned == 12
    assert len(report.small_faces) == (12 if tiny else 0)
    if not tiny:
        assert measure_distances(hr_images(tmp_path / "out")).off[0][0] < 1.5


def test_nothing_is_built_where_no_photo_shows_one_face(tmp_path: Path) -> None:
    for subject in ("a", "b"):
        (tmp_path / "photos" / subject).mkdir(parents=True)
        write_noise(tmp_path / "photos" / subject / "1.png")
    aligner = PhotoAligner(tmp_path / "photos")
    with pytest.raises(NothingAligned, match="2 without a face"):
        build_dataset(tmp_path / "photos", tmp_path / "out", face_source=aligner)
    assert aligner.report.no_face == ["a/1.png", "b/1.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_people_without_a_face_do_not_count_when_the_dataset_is_split(photos: Path, tmp_path: Path) -> None:
    for photo in list(photos.glob("s[0-2]*/*.pgm"))[:-2]:
        write_noise(photo.with_suffix(".png"))
        photo.unlink()
    with pytest.raises(TooFewToSplit):
        build_dataset(photos, tmp_path / "out", face_source=PhotoAligner(photos), rules=WITHOUT_LOST)


def test_unreadable_photos_are_named_before_anything_is_written(photos: Path, tmp_path: Path) -> None:
    for name in ("02.pgm", "09.pgm"):
        (photos / "s10" / name).write_bytes(b"P5 92 112 255 too short")
    with pytest.raises(ImagesSkipped, match=r"2 images .*s10/02\.pgm.*s10/09\.pgm"):
        build_dataset(photos, tmp_path / "out", face_source=PhotoAligner(photos), rules=Rules(strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_every_aligned_face_is_on_the_contact_sheet(photos: Path, tmp_path: Path) -> None:
    aligner = PhotoAligner(photos)
    build_dataset(photos, tmp_path / "out", face_source=aligner)
    assert aligner.contact_sheets == (Path("contact_sheets/page_001.png"),)
    with Image.open(tmp_path / "out" / aligner.contact_sheets[0]) as page:
        for index, image in enumerate(hr_images(tmp_path / "out")):
            assert image.name
            tile = np.asarray(page.crop((6 + index * 102, 6, 102 + index * 102, 102))).astype(float)
            by_name = sorted(hr_images(tmp_path / "out"), key=lambda path: path.name)
            face = np.asarray(read_rgb(by_name[index]).resize((96, 96), Image.Resampling.BICUBIC)).astype(float)
            assert np.array_equal(tile, face)
        names = np.asarray(page.convert("L"))[102:116]
        assert all((names[:, 6 + index * 102 : 102 + index * 102] < 128).any() for index in range(12))


def test_an_image_without_a_face_is_told_when_distances_are_measured(photos: Path, tmp_path: Path) -> None:
    build_dataset(photos, tmp_path / "out", face_source=PhotoAligner(photos))
    images = hr_images(tmp_path / "out")
    write_noise(images[3])
    found = measure_distances(images)
    assert found.without_face == (images[3],)
    assert len(found.off) == 11


def test_the_size_of_a_face_is_its_own_in_the_photo(photos: Path, tmp_path: Path) -> None:
    """Of 25x30 px photos, not of the 112 px that they are enlarged to; and a photo twice as large has it twice."""
    sides = []
    for scale in (1, 2):
        photo = read_rgb(photos / "s04" / "02.pgm")
        taken = PhotoAligner(photos).face("any", photo.resize((photo.width * scale, photo.height * scale)), "anyone")
        assert isinstance(taken, TakenFace)
        sides.append(taken.side)
    assert sides[1] / sides[0] == pytest.approx(2, rel=0.05)
    for path in photos.glob("*/*.pgm"):
        read_rgb(path).resize((25, 30), Image.Resampling.BICUBIC).save(path.with_suffix(".png"))
        path.unlink()
    built = build_dataset(photos, tmp_path / "out", face_source=PhotoAligner(photos))
    assert "hr_images_small" in {warning.code for warning in built.warnings}
