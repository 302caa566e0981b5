"""What a build reads, and that nothing below the folder of photos gets lost in silence."""

import io
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from app.dataset_build import BuiltDataset, Listener, Rules, build_dataset
from app.dataset_build.errors import ImagesSkipped, SubjectsLost
from app.dataset_build.names import label_subjects
from app.dataset_build.photos import find_photos
from app.dataset_build.skipped import Skipped, summary
from app.drawn_faces import write_drawn_faces
from app.finetune.manifest import MANIFEST_NAME, DatasetManifest, read_manifest
from app.finetune.subject_patterns import SubjectPattern


def manifest_of(built: BuiltDataset) -> DatasetManifest:
    manifest = read_manifest(built.output / MANIFEST_NAME)
    assert manifest is not None
    return manifest


def sources_of(built: BuiltDataset) -> dict[str, str]:
    """The file name of each photo's HR image."""
    files = manifest_of(built).files
    return {str(file.source): Path(file.path).name for file in files if "/hr_images/" in file.path}


def codes(built: BuiltDataset) -> set[str]:
    return {warning.code for warning in built.warnings}


def convert(path: Path, suffix: str) -> Path:
    """Save the image in the format of another suffix and remove it."""
    target = path.with_suffix(suffix)
    with Image.open(path) as image:
        image.save(target, "JPEG" if suffix == ".jfif" else None)
    path.unlink()
    return target


@pytest.mark.parametrize("suffix", [".jfif", ".gif", ".jp2", ".avif", ".webp", ".bmp", ".tiff", ".ppm", ".JPEG"])
def test_a_subject_with_images_of_any_format_is_built(faces: Path, tmp_path: Path, suffix: str) -> None:
    for path in sorted((faces / "drawn001").iterdir()):
        convert(path, suffix)
    built = build_dataset(faces, tmp_path / "out")
    assert sum(part.images for part in built.parts) == 15
    assert built.skipped == ()


def test_of_several_frames_the_first_is_built_and_counted(faces: Path, tmp_path: Path) -> None:
    first, second, *_ = sorted((faces / "drawn001").iterdir())
    with Image.open(first) as one, Image.open(second) as other:
        one.save(faces / "drawn001" / "moving.gif", save_all=True, append_images=[other.copy()])
    first.unlink()
    built = build_dataset(faces, tmp_path / "out")
    [warning] = [each for each in built.warnings if each.code == "first_frame_used"]
    assert "1 file has several images" in warning.message
    assert "drawn001/moving.gif" in warning.message


def test_nested_folders_belong_to_their_subject(faces: Path, tmp_path: Path) -> None:
    for folder in sorted(faces.iterdir())[:2]:
        (folder / "video" / "1").mkdir(parents=True)
        for path in sorted(folder.glob("*.png"))[1:]:
            path.rename(folder / "video" / "1" / path.name)
    built = build_dataset(faces, tmp_path / "out")
    sources = sources_of(built)
    assert len(sources) == 15
    assert sources["drawn000/video/1/01.png"] == "drawn000_video-1-01.png"
    assert {name.split("_")[0] for name in sources.values()} == {f"drawn00{number}" for number in range(5)}


def test_names_of_one_file_are_made_distinct_and_said(faces: Path, tmp_path: Path) -> None:
    folder = faces / "drawn001"
    first, second, third = sorted(folder.iterdir())
    convert(second.rename(folder / f"{first.stem}.bmp"), ".jpg")
    (folder / "video").mkdir()
    third.rename(folder / "video" / "1.png")
    shutil.copy(faces / "drawn002" / first.name, folder / "video-1.png")
    built = build_dataset(faces, tmp_path / "out", rules=Rules(allowed_leaks=("*",)))
    sources = sources_of(built)
    assert len(set(sources.values())) == len(sources) == 16
    assert (sources[f"drawn001/{first.stem}.png"], sources[f"drawn001/{first.stem}.jpg"]) == (
        f"drawn001_{first.stem}-png.png",
        f"drawn001_{first.stem}-jpg.png",
    )
    assert {"names_made_distinct"} <= codes(built)


def test_subjects_that_would_have_one_name_stay_apart_and_are_named(faces: Path, tmp_path: Path) -> None:
    for number, name in enumerate(["a_b", "a-b", "A B"]):
        (faces / f"drawn00{number}").rename(faces / name)
    built = build_dataset(faces, tmp_path / "out")
    assert len({name.split("_")[0] for name in sources_of(built).values()}) == 5
    [warning] = [each for each in built.warnings if each.code == "subjects_named_alike"]
    assert "'a_b' as a-b-3" in warning.message


def test_one_name_in_two_forms_of_unicode_is_one_subject(faces: Path, tmp_path: Path) -> None:
    (faces / "drawn000").rename(faces / unicodedata.normalize("NFC", "José"))
    (faces / unicodedata.normalize("NFD", "José")).mkdir()
    more = sorted((faces / "drawn001").iterdir())[:1]
    for path in more:
        shutil.move(path, faces / unicodedata.normalize("NFD", "José") / path.name)
    built = build_dataset(faces, tmp_path / "out")
    names = [name for name in sources_of(built).values() if name.startswith("José_")]
    assert len(names) == len(set(names)) == 4
    assert all(unicodedata.is_normalized("NFC", name) for name in names)


def test_everything_ignored_is_named_with_its_reason(faces: Path, tmp_path: Path) -> None:
    for name in (
        "drawn000/._00.png",
        ".DS_Store",
        ".git/objects/a.png",
        ".git/HEAD",
        "__MACOSX/drawn000/._00.png",
        "drawn001/Thumbs.db",
        "drawn001/00.png:Zone.Identifier",
        "drawn002/notes.txt",
        "drawn002/more.TXT",
        "drawn002/README",
        "stray.png",
    ):
        (faces / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(faces / "drawn003" / "00.png", faces / name)
    (faces / "empty").mkdir()
    (faces / "drawn004" / "again").symlink_to(faces)
    os.mkfifo(faces / "drawn004" / "pipe.png")
    (faces / "drawn004" / "gone.png").symlink_to(tmp_path / "gone.png")
    built = build_dataset(faces, tmp_path / "out")
    assert {each.path: (each.reason, each.files) for each in built.skipped} == {
        "drawn000/._00.png": ("hidden", 1),
        ".DS_Store": ("hidden", 1),
        ".git/": ("hidden", 2),
        "__MACOSX/": ("system_file", 1),
        "drawn001/Thumbs.db": ("system_file", 1),
        "drawn001/00.png:Zone.Identifier": ("system_file", 1),
        "drawn002/notes.txt": ("not_an_image", 1),
        "drawn002/more.TXT": ("not_an_image", 1),
        "drawn002/README": ("not_an_image", 1),
        "stray.png": ("no_subject", 1),
        "empty/": ("empty_folder", 0),
        "drawn004/again": ("link_loop", 1),
        "drawn004/pipe.png": ("not_a_file", 1),
        "drawn004/gone.png": ("unreadable", 1),
    }
    assert {each.path: each.reason for each in manifest_of(built).skipped} == {
        each.path: each.reason for each in built.skipped
    }
    files, images = summary(built.skipped)
    assert files.startswith("12 files ignored: 4 hidden, 3 of an operating system, 2 .txt, ")
    assert images == "2 images skipped: 1 unreadable, 1 without a subject"


def test_a_damaged_file_is_skipped_named_and_refused_only_by_strict(faces: Path, tmp_path: Path) -> None:
    damaged = faces / "drawn003" / "00.png"
    damaged.write_bytes(damaged.read_bytes()[:300])
    heard: list[Skipped] = []
    built = build_dataset(faces, tmp_path / "out", listener=Listener(skipped=heard.extend))
    assert [(each.path, each.reason) for each in heard] == [("drawn003/00.png", "unreadable")]
    assert sum(part.images for part in built.parts) == 14
    with pytest.raises(ImagesSkipped, match=r"drawn003/00\.png"):
        build_dataset(faces, tmp_path / "strict", rules=Rules(strict=True))
    assert not (tmp_path / "strict").exists()


@pytest.mark.parametrize("ruin", ["unreadable", "not images", "too small"])
def test_a_subject_that_loses_all_its_images_stops_the_build_unless_allowed(
    faces: Path, tmp_path: Path, ruin: str
) -> None:
    for path in sorted((faces / "drawn003").iterdir()):
        if ruin == "unreadable":
            path.write_bytes(b"\xff\xd8\xff no JPEG")
        elif ruin == "not images":
            path.rename(path.with_suffix(".raw"))
        else:
            Image.new("RGB", (18, 22), "red").save(path)
    with pytest.raises(SubjectsLost, match=r"1 of 5 subjects .* drawn003 \(3 "):
        build_dataset(faces, tmp_path / "out", rules=Rules(min_size=20))
    assert not (tmp_path / "out").exists()
    built = build_dataset(faces, tmp_path / "out", rules=Rules(min_size=20, allow_lost_subjects=True))
    assert sum(part.subjects for part in built.parts) == 4


def test_small_photos_are_counted_and_left_out_below_the_least_size(faces: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(faces.glob("*/00.png"))):
        with Image.open(path) as face:
            small = face.resize((18 + 10 * number, 30 + 10 * number))
        small.save(path)
    built = build_dataset(faces, tmp_path / "out")
    [warning] = [each for each in built.warnings if each.code == "hr_images_small"]
    assert warning.message.startswith("5 of 15 faces measure less than 112 px")
    assert "drawn000/00.png 18 px, drawn001/00.png 28 px" in warning.message
    built = build_dataset(faces, tmp_path / "larger", rules=Rules(min_size=48))
    assert {each.path: each.detail for each in built.skipped} == {
        "drawn000/00.png": "18 px of 48",
        "drawn001/00.png": "28 px of 48",
        "drawn002/00.png": "38 px of 48",
    }
    options = manifest_of(built).built
    assert options is not None
    assert options.min_size == 48


def test_a_photo_at_several_resolutions_is_said(faces: Path, tmp_path: Path) -> None:
    face = faces / "drawn002" / "00.png"
    with Image.open(face) as image:
        image.resize((30, 30)).save(face.with_name("00_LR.png"))
    face.rename(face.with_name("00_HR.png"))
    assert "photos_at_several_resolutions" in codes(build_dataset(faces, tmp_path / "out"))


@pytest.mark.parametrize(
    ("pattern", "names", "subjects"),
    [
        ("lfw", ["Aaron_A_{}", "Aaron_B_{}", "Bo_Lee_{}", "Cy_{}"], {"Aaron-A", "Aaron-B", "Bo-Lee", "Cy"}),
        ("scface", ["001_cam1_{}", "002_cam1_{}", "003_cam2_{}", "004_cam2_{}"], {"001", "002", "003", "004"}),
        (
            "multipie",
            ["007_01_01_051_{:02}", "008_01_01_051_{:02}", "009_01_01_051_{:02}", "010_01_02_051_{:02}"],
            {"007", "008", "009", "010"},
        ),
        ("guide", ["a_{}", "b_{}", "c_{}", "d_{}"], {"a", "b", "c", "d"}),
        (r"(?:set\d)-(\w)-\d+", ["set1-a-{}", "set2-b-{}", "set1-c-{}", "set1-d-{}"], {"a", "b", "c", "d"}),
    ],
)
def test_flat_folders_are_built_by_a_pattern(
    tmp_path: Path, pattern: str, names: list[str], subjects: set[str]
) -> None:
    write_drawn_faces(tmp_path / "drawn", subjects=4, images_per_subject=2, seed=1)
    flat = tmp_path / "flat"
    flat.mkdir()
    for folder, name in zip(sorted((tmp_path / "drawn").iterdir()), names, strict=True):
        for number, path in enumerate(sorted(folder.iterdir())):
            path.rename(flat / f"{name.format(number)}.png")
    built = build_dataset(flat, tmp_path / "out", rules=Rules(SubjectPattern(pattern)))
    assert {name.split("_")[0] for name in sources_of(built).values()} == subjects
    assert sum(part.images for part in built.parts) == 8
    assert {part.subjects for part in built.parts} == {2}


NAMES = st.text(st.sampled_from("aAbé _-./\u0301") | st.characters(codec="utf-8", exclude_characters="/\0"), max_size=6)
SUFFIXES = st.sampled_from([".png", ".PNG", ".jpg", ".gif", ".txt", "", ".jfif"])


def content(suffix: str, whole: bool, shade: int) -> bytes:
    file = io.BytesIO()
    image = Image.radial_gradient("L").resize((24, 24)).point(lambda value: (value * (shade + 1)) % 256)
    image.convert("RGB").save(file, {".jpg": "JPEG", ".jfif": "JPEG", ".gif": "GIF"}.get(suffix, "PNG"))
    return file.getvalue() if whole else file.getvalue()[:40]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), SUFFIXES, st.booleans()), min_size=1, max_size=12))
def test_every_file_is_built_or_named(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[list[str], str, bool]]
) -> None:
    faces = tmp_path_factory.mktemp("any") / "faces"
    for subject in ("p1", "p2", "p3", "p4"):
        for number in range(2):
            path = faces / subject / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content(".png", True, number))
    for number, (parts, suffix, whole) in enumerate(files):
        path = faces.joinpath(
            *(part.replace("/", "") or "x" for part in parts[:-1]), f"{parts[-1].replace('/', '')}{suffix}"
        )
        if path.name in ("", ".", "..") or {".", ".."} & set(path.parts):
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_dir():
                path.write_bytes(content(suffix.lower(), whole, number))
        except OSError:  # a file has the name of its folder
            continue
    rules = Rules(allow_lost_subjects=True, allowed_leaks=("*",))
    built = build_dataset(faces, faces.with_name("out"), split="images", rules=rules)
    below = {path.relative_to(faces).as_posix() for path in faces.rglob("*") if path.is_file()}
    sources = sources_of(built)
    named = {each.path for each in built.skipped if not each.path.endswith("/")}
    folders = tuple(each.path for each in built.skipped if each.path.endswith("/"))
    assert not sources.keys() & named
    assert {path for path in below if not path.startswith(folders or ("/",))} == sources.keys() | named
    assert len({name.casefold() for name in sources.values()}) == len(sources)
    assert {path.name for path in built.output.rglob("hr_images/*")} == set(sources.values())
    subjects = find_photos(faces, SubjectPattern("folder"))
    by_label = {photo.label: photo.subject for photo in subjects.photos}
    assert len(by_label) == len({photo.subject for photo in subjects.photos})


@given(st.lists(st.text(st.sampled_from("aA_ -.1é"), min_size=1, max_size=5)))
def test_no_two_subjects_get_one_name_and_none_has_an_underscore(subjects: list[str]) -> None:
    labels = label_subjects(subjects)
    assert len({label.casefold() for label in labels.values()}) == len(labels) == len(set(subjects))
    assert not any("_" in label or "/" in label or label.startswith(".") for label in labels.values())
