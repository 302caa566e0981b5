"""Names that are not UTF-8, as old archives have them, pass every door; what is written of them is UTF-8."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from app.alignment.contact_sheet import write_contact_sheets
from app.finetune.dataset import scan_split
from app.finetune.events import Finished, StateSaved, TrainingEvent, Warned
from app.finetune.job_warning import JobWarning
from app.finetune.leaks import AllowedLeaks
from app.finetune.subject_patterns import SubjectPattern
from app.main import create_app
from app.settings import Settings
from tests.support.datasets import write_dataset, write_edgeface
from tests.unit.training.support import run, tiny_config, write_training
from worker.training.checkpoints.resume_file import ResumePoints
from worker.training.storage.paths import TrainingFiles

LATIN_1 = os.fsdecode("caf\u00e9".encode("latin-1"))
SHOWN = "caf\\udce9"


def rename_images(folder: Path) -> None:
    """Subject 000 becomes one whose name is Latin-1."""
    for path in sorted(folder.rglob("000_*.png")):
        path.rename(path.with_name(path.name.replace("000", LATIN_1, 1)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingFiles, list[TrainingEvent]]:
    """A whole training in folders and on files with such names."""
    folder = tmp_path_factory.mktemp("names") / LATIN_1
    folder.mkdir()
    files = write_training(folder)
    rename_images(folder)
    return files, run(files, stage1_epochs=0, stage2_epochs=1)[1]


def test_report_evaluation_and_checkpoint_of_a_training_exist(
    trained: tuple[TrainingFiles, list[TrainingEvent]],
) -> None:
    _, events = trained
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.evaluated is not None
    evaluation = json.loads(finished.evaluated.json.path.read_bytes())
    assert evaluation["people"]["directory"] == f"{SHOWN}/val"
    report = finished.evaluated.report.path.read_text("utf-8")
    assert f"{SHOWN}_04.png" in report
    checkpoint = next(iter(finished.evaluated.report.path.parent.glob("best-epoch-*/edgeface_finetuned.pth")))
    assert SHOWN in torch.load(checkpoint, weights_only=True)["subject_to_id"]


def test_every_event_of_it_is_json(trained: tuple[TrainingFiles, list[TrainingEvent]]) -> None:
    files, events = trained
    for event in events:
        if isinstance(event, Warned):
            assert json.loads(event.warning.model_dump_json())["code"] == event.warning.code
    (state, *_) = [event for event in events if isinstance(event, StateSaved)]
    points = ResumePoints(files.output_dir)
    points.record(tiny_config(), state)
    found = points.read()
    assert found is not None
    assert found.points[0].file.path == state.file.path
    assert points.newest_whole(found).state == state.file.path


def test_a_warning_of_any_text_is_json() -> None:
    warning = JobWarning(code="names", message=f"look at {LATIN_1}")
    assert (
        TypeAdapter(JobWarning).dump_json(warning).decode()
        == f'{{"code":"names","message":"look at caf\\{SHOWN[3:]}"}}'
    )


def test_patterns_find_subjects_in_them(trained: tuple[TrainingFiles, list[TrainingEvent]]) -> None:
    files, _ = trained
    assert SHOWN in scan_split(files.train_dir, SubjectPattern("([^_]+)_.*")).subjects
    assert SHOWN in scan_split(files.train_dir).subjects


def test_an_allowed_leak_is_named_as_it_is_shown() -> None:
    allowed = AllowedLeaks([f"{SHOWN}=001"])
    assert allowed.people("001", LATIN_1)
    assert allowed.unused_warnings(people_compared=True) == []


def test_contact_sheets_show_them(trained: tuple[TrainingFiles, list[TrainingEvent]], tmp_path: Path) -> None:
    faces = sorted((trained[0].val_dir / "hr_images").iterdir())
    assert [page.name for page in write_contact_sheets(faces, tmp_path / "sheets")] == ["page_001.png"]


@pytest.fixture
def settings(var_dir: Path) -> Settings:
    settings = Settings(var_dir=var_dir)
    settings.make_directories()
    rename_images(write_dataset(settings.datasets_dir / LATIN_1))
    weights = write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    weights.rename(settings.weights_dir / f"{LATIN_1}.pt")
    return settings


def test_the_service_lists_and_finds_datasets_and_weights_by_the_names_it_shows(settings: Settings) -> None:
    with TestClient(create_app(settings)) as api:
        assert SHOWN in json.dumps(api.get("/datasets").json()).replace("\\\\", "\\")
        body = {"dataset": SHOWN, "edgeface": f"{SHOWN}.pt"}
        answer = api.post("/jobs", json=body)
        assert answer.status_code == 201, answer.text
        assert api.get(f"/jobs/{answer.json()['id']}").json()["config"]["dataset"] == SHOWN
        (hr, *_) = sorted((settings.datasets_dir / LATIN_1 / "train_processed" / "vlr_images").glob(f"{LATIN_1}*"))
        hr.write_bytes(b"no image")
        problem = api.post("/jobs", json=body)
        assert problem.status_code in (201, 422), problem.text


def command(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """In a process of its own, whose standard output refuses what is not UTF-8."""
    return subprocess.run(
        [sys.executable, "-m", "app.cli.service", *arguments],
        cwd=cwd,
        env={
            **os.environ,
            "PYTHONIOENCODING": "utf-8:strict",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **environment,
        },
        capture_output=True,
        check=False,
    )


def test_datasets_are_built_and_checked(tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    files = write_training(tmp_path / "drawn")
    for path in (*(files.train_dir / "hr_images").iterdir(), *(files.val_dir / "hr_images").iterdir()):
        subject = path.name[:3].replace("000", LATIN_1)
        (faces / subject).mkdir(parents=True, exist_ok=True)
        path.rename(faces / subject / f"{path.stem[4:]}-{LATIN_1}.png")
    output = tmp_path / LATIN_1
    built = command("dataset", "build", "faces", "--output", str(output), cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert SHOWN.encode() in built.stdout
    damaged = next(output.rglob("vlr_images/*.png"))
    damaged.write_bytes(b"no image")
    checked = command("dataset", "check", str(output), cwd=tmp_path)
    assert checked.returncode == 2 or checked.returncode == 1, checked.stderr
    assert SHOWN.encode() in checked.stdout + checked.stderr
    assert b"Traceback" not in checked.stderr


def test_a_folder_that_a_config_cannot_name_is_refused_in_words(tmp_path: Path) -> None:
    folder = tmp_path / LATIN_1
    folder.mkdir()
    files = replace(write_training(folder), output_dir=tmp_path / "output")
    names: dict[str, Any] = {"--train-dir": files.train_dir, "--val-dir": files.val_dir, "--edgeface": files.edgeface}
    arguments = [text for name, value in names.items() for text in (name, str(value))]
    ended = command("train", *arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert b"train_dir" in ended.stderr
    assert b"must be a name in UTF-8: rename the file or the folder" in ended.stderr
