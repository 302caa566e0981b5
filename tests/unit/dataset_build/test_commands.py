"""`dataset build` and `dataset check` as a person types them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from app.cli.dataset import dataset
from app.dataset_build import build_dataset
from app.finetune.errors import DataError, EdgefaceError, PhotoCopied
from app.inputs.errors import DatasetNotFound
from app.jobs.errors import InputError


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(dataset, [str(word) for word in words])


def as_json(result: Result) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The datasets root, and an empty current directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("EDGEFACE_VAR_DIR", str(tmp_path / "var"))
    return tmp_path / "var" / "datasets"


def test_a_build_names_what_it_leaves_out(faces: Path, tmp_path: Path) -> None:
    (faces / "drawn003" / "00.png").write_bytes(b"damaged")
    (faces / "drawn003" / "notes.txt").touch()
    (faces / "drawn003" / "._01.png").touch()
    told = run("build", faces, "--output", tmp_path / "out")
    assert told.exit_code == 0
    assert "2 files ignored: 1 hidden, 1 .txt\n" in told.output
    assert "1 image skipped: 1 unreadable\n  drawn003/00.png: not an image" in told.output
    strict = run("build", faces, "--output", tmp_path / "strict", "--strict")
    assert strict.exit_code != 0
    assert "1 image skipped: 1 unreadable\n" in strict.output
    assert not (tmp_path / "strict").exists()


def test_the_options_of_a_build_reach_it(faces: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted(faces.rglob("*.png")):
        path.rename(flat / f"{path.parent.name}_A_{path.stem}.png")
    with Image.open(flat / "drawn000_A_00.png") as face:
        face.resize((20, 20)).save(flat / "drawn000_A_00.png")
    shutil.copy(flat / "drawn001_A_01.png", flat / "drawn002_A_09.png")
    for number in range(3):
        (flat / f"drawn004_A_0{number}.png").write_bytes(b"lost")
    options: list[str | Path] = ["build", flat, "--subject-pattern", "lfw", "--min-size", "30", "--allow-lost-subjects"]
    refused = run(*options, "--output", tmp_path / "out")
    assert isinstance(refused.exception, PhotoCopied)
    assert "leak: train drawn" in refused.output or "leak: val drawn" in refused.output
    told = run(*options, "--output", tmp_path / "out", "--allow-leak", "drawn001-A=drawn002-A")
    assert told.exit_code == 0, told.output
    assert "4 images skipped: 3 unreadable, 1 too small\n" in told.output
    assert "leak allowed: " in told.output


def test_a_check_takes_a_folder_or_a_name_in_the_root(faces: Path, datasets: Path) -> None:
    build_dataset(faces, datasets / "set" / "drawn")
    by_name, by_path = run("check", "set/drawn"), run("check", datasets / "set" / "drawn")
    assert by_name.exit_code == by_path.exit_code == 0
    assert by_name.output == by_path.output
    Path("set/drawn").mkdir(parents=True)
    assert run("check", "set/drawn").output == by_name.output, "a folder of photos of this name is no dataset"
    unknown = run("check", "drown")
    assert isinstance(unknown.exception, DatasetNotFound)
    assert f"dataset: there is no folder 'drown' in {datasets} (it has set/drawn)" in unknown.exception.message
    outside = run("check", "../elsewhere")
    assert isinstance(outside.exception, InputError)


def test_a_check_prints_json(faces: Path, datasets: Path) -> None:
    built = build_dataset(faces, datasets / "drawn").output
    whole = as_json(run("check", "drawn", "--json"))
    assert (whole["trainable"], whole["refused"], whole["leaks"]) == (True, [], [])
    assert whole["parts"]["val"] == {"vlr_images": 6, "hr_images": 6, "subjects": 2}
    assert whole["alignment"]["images"] == 15
    leaked = sorted((built / "train_processed" / "hr_images").iterdir())[0]
    other = sorted((built / "val_processed" / "hr_images").iterdir())[0]
    shutil.copy(leaked, other)
    (other.parents[1] / "vlr_images" / other.name).write_bytes(b"damaged")
    refused = run("check", "drawn", "--json")
    assert refused.exit_code == 2
    found = as_json(refused)
    assert {each["code"] for each in found["refused"]} == {"image_unreadable", "photo_copied"}
    assert len(found["leaks"]) == len(found["unreadable"]) == 1
    shutil.rmtree(built / "val_processed")
    gone = run("check", "drawn", "--json")
    assert gone.exit_code == 2
    assert [each["code"] for each in as_json(gone)["refused"]] == ["dataset_folder_missing"]


def test_a_check_reads_subjects_by_a_pattern_and_warns_as_a_job_does(faces: Path, datasets: Path) -> None:
    built = build_dataset(faces, datasets / "drawn").output
    for kind in ("vlr_images", "hr_images"):
        for part in ("train_processed", "val_processed", "test_processed"):
            for path in sorted((built / part / kind).glob("*.png")):
                subject, _, rest = path.name.partition("_")
                path.rename(path.with_name(f"same_{subject}_{rest}"))
    hr = sorted((built / "train_processed" / "hr_images").iterdir())
    Image.new("RGB", (40, 60), "red").save(hr[0])
    assert isinstance(run("check", "drawn").exception, DataError)
    told = run("check", "drawn", "--subject-pattern", r"same_([^_]+)_.*")
    assert told.exit_code == 0
    assert "train: 9 VLR and 9 HR images of 3 subjects" in told.output
    assert "1 of 9 train HR images is not square and is stretched" in told.output
    assert "1 of 9 train HR images is smaller than 112 px" in told.output
    assert "images shows one colour" in told.output
    hr[1].unlink()
    assert (
        "the recipe `recommended` refuses train"
        in run("check", "drawn", "--subject-pattern", r"same_([^_]+)_.*").output
    )
    wrong = run("check", "drawn", "--subject-pattern", "(")
    assert isinstance(wrong.exception, EdgefaceError)


def test_a_check_warns_of_photos_that_are_compared_with_themselves(faces: Path, datasets: Path) -> None:
    built = build_dataset(faces, datasets / "drawn").output
    assert "compared with itself" not in run("check", "drawn").output
    for path in sorted((built / "val_processed" / "hr_images").iterdir()):
        subject, _, rest = path.name.partition("_")
        path.rename(path.with_name(f"{subject}_mugshot{rest}"))
    assert "6 val VLR images show the photo of an HR image with another name" in run("check", "drawn").output
