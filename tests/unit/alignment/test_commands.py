"""`dataset build --align` and `dataset check`, as a person types them."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from app.alignment.errors import AlignExtraMissing, NothingAligned
from app.cli.service import edgeface_finetune
from app.finetune.manifest import read_manifest

WITHOUT_THE_EXTRA = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ai_edge_litert":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from app.cli.service import main
main()
"""


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(edgeface_finetune, ["dataset", *map(str, words)])


def without_the_extra(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_THE_EXTRA, "dataset", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_what_was_aligned_and_what_was_left_out_is_told(photos: Path, tmp_path: Path) -> None:
    Image.new("RGB", (90, 90), "gray").save(photos / "s01" / "blank.png")
    told = run("build", photos, "--align", "--output", tmp_path / "out")
    assert told.exit_code == 0
    assert "aligned 12 of 13 photos; the faces are" in told.output
    assert "1 image skipped: 1 without a face\n  s01/blank.png: no face is found\n" in told.output
    assert f"to look at: {tmp_path}/out/contact_sheets/page_001.png" in told.output
    assert "of 6 subjects" not in told.output
    assert "VLR 16 px" in told.output


def test_photos_left_out_are_told_even_where_none_is_left(tmp_path: Path) -> None:
    (tmp_path / "photos" / "a").mkdir(parents=True)
    Image.new("RGB", (90, 90), "gray").save(tmp_path / "photos" / "a" / "blank.png")
    told = run("build", tmp_path / "photos", "--align", "--output", tmp_path / "out")
    assert isinstance(told.exception, NothingAligned)
    assert "  a/blank.png: no face is found\n" in told.output


def test_the_check_tells_raw_faces_from_aligned_ones(photos: Path, tmp_path: Path) -> None:
    assert run("build", photos, "--output", tmp_path / "raw").exit_code == 0
    assert run("build", photos, "--align", "--output", tmp_path / "aligned").exit_code == 0
    raw, aligned = run("check", tmp_path / "raw"), run("check", tmp_path / "aligned")
    assert (raw.exit_code, aligned.exit_code) == (0, 0)
    assert "px off: build with --align" in raw.output
    assert "furthest off: " in raw.output
    assert "alignment: 12 HR faces are 0." in aligned.output
    assert "which gains more than any fine-tuning" in raw.output
    assert "build with --align" not in aligned.output


def test_the_largest_face_needs_aligning(photos: Path) -> None:
    told = run("build", photos, "--largest-face")
    assert told.exit_code == 2
    assert "--largest-face needs --align" in told.output


def test_without_the_extra_the_build_says_what_to_install(photos: Path, tmp_path: Path) -> None:
    ended = without_the_extra("build", photos, "--align", "--output", tmp_path / "out")
    assert ended.returncode == 2
    assert "align_extra_missing" in ended.stderr
    assert "pip install .[align]" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_build_measures_the_faces_and_keeps_it_in_the_manifest(photos: Path, tmp_path: Path) -> None:
    raw, aligned = (
        run("build", photos, *options, "--output", tmp_path / name)
        for name, options in (("raw", []), ("aligned", ["--align"]))
    )
    assert "px off: build with --align" in raw.output
    assert "furthest off: s" in raw.output
    assert "alignment: 12 HR faces are 0." in aligned.output
    for name, misaligned in (("raw", True), ("aligned", False)):
        manifest = read_manifest(tmp_path / name / "dataset.json")
        assert manifest is not None
        assert manifest.alignment is not None
        assert (manifest.alignment.measured, manifest.alignment.misaligned) == (12, misaligned)


def test_without_the_extra_a_build_without_aligning_says_that_it_does_not_measure(photos: Path, tmp_path: Path) -> None:
    ended = without_the_extra("build", photos, "--output", tmp_path / "raw")
    assert ended.returncode == 0, ended.stderr
    assert "alignment: not measured: face detection needs the package ai_edge_litert" in ended.stdout
    assert "pip install .[align]" in ended.stdout


def test_without_the_extra_the_check_says_that_it_does_not_measure(photos: Path, tmp_path: Path) -> None:
    assert run("build", photos, "--output", tmp_path / "raw").exit_code == 0
    ended = without_the_extra("check", tmp_path / "raw")
    assert ended.returncode == 0, ended.stderr
    assert "alignment: not measured: face detection needs the package ai_edge_litert" in ended.stdout


def test_the_error_names_the_missing_package() -> None:
    assert "ai_edge_litert" in AlignExtraMissing("ai_edge_litert").message


@pytest.mark.parametrize("module", ["app.alignment.errors", "app.alignment.installed", "app.cli.alignment"])
def test_the_command_line_loads_without_the_extra(module: str) -> None:
    script = f"import sys, {module}\nassert 'ai_edge_litert' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
