"""What stops a training before it begins: copies, and people under two names."""

import shutil
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.dataset_build import build_dataset
from app.finetune.dataset import scan_dataset
from app.finetune.errors import PersonUnderTwoNames, PhotoCopied
from app.finetune.events import Prepared, StageStarted, TrainingEvent, Warned
from app.finetune.leaks import AllowedLeaks
from tests.support.image_files import image_files
from tests.unit.training.support import run, tiny_config, write_training
from worker.training.checks.leaks import JudgedPeople, check_people, judge_people
from worker.training.checks.same_identity import find_same_people, gather_people
from worker.training.data.prepare import FacesByPath
from worker.training.data.preprocess import Faces, enlarge_bicubic, enlarge_images
from worker.training.data.val_faces import ValFaces
from worker.training.finetune import finetune
from worker.training.metrics import FaceSet
from worker.training.models.edgeface import load_edgeface
from worker.training.models.embedding import embed, face_set
from worker.training.runtime.control import Control, StopRequested
from worker.training.runtime.cpu_parallel import SINGLE_THREAD
from worker.training.storage.paths import TrainingFiles
from worker.training.validation.validate import ValEmbeddings


def codes(events: list[TrainingEvent]) -> list[str]:
    return [event.warning.code for event in events if isinstance(event, Warned)]


def test_a_photo_in_train_and_val_ends_the_job_before_anything_is_prepared(tmp_path: Path) -> None:
    files = write_training(tmp_path)
    with Image.open(files.train_dir / "hr_images" / "002_01.png") as face:
        face.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(files.val_dir / "hr_images" / "002_09.png", quality=70)
    shutil.copy(files.train_dir / "vlr_images" / "003_00.png", files.val_dir / "vlr_images" / "001_09.png")
    events: list[TrainingEvent] = []
    with pytest.raises(PhotoCopied, match=r"train 002_01.png and val 002_09.png") as refused:
        finetune(tiny_config(), files, events.append)
    assert "train 003_00.png and val 001_09.png" in refused.value.message
    assert not [event for event in events if isinstance(event, Prepared)]
    _, events = run(files, allowed_leaks=["002_09", "001=003", "nobody"], stage1_epochs=0, stage2_epochs=1)
    assert "allowed_leaks_unused" in codes(events)


def test_a_backbone_that_tells_nobody_apart_accuses_nobody(tmp_path: Path) -> None:
    _, events = run(write_training(tmp_path), stage1_epochs=0, stage2_epochs=1)
    assert "names_not_compared" in codes(events)


@pytest.fixture(scope="module")
def backbone(shared_assets: Path) -> torch.nn.Module:
    return load_edgeface(shared_assets / "weights" / "edgeface_xxs.pt", torch.device("cpu"))[0]


def embedded(backbone: torch.nn.Module, faces: Path, folder: Path) -> FaceSet:
    paths = sorted(build_dataset(faces, folder, test_fraction=0).output.rglob("hr_images/*.png"))
    chunks = enlarge_images(paths, enlarge_bicubic, threads=2)
    e_ND = torch.cat([embed(backbone, each.pixels_u8, torch.device("cpu")) for each in chunks])
    return face_set(e_ND, image_files(paths))


@pytest.mark.parametrize(
    ("folder", "stopped", "found"), [("orl", 0.8, 0.9), ("orl_aligned", 0.95, 0.95), ("yale_aligned", 0.95, 0.95)]
)
def test_real_people_are_told_apart_and_one_person_under_two_names_is_found(
    shared_assets: Path, backbone: torch.nn.Module, tmp_path: Path, folder: str, stopped: float, found: float
) -> None:
    faces = embedded(backbone, shared_assets / "faces" / folder, tmp_path / "out")
    assert judge_people(faces, AllowedLeaks([])) == JudgedPeople([], [])
    subjects = np.asarray(faces.subjects)
    people = sorted(set(faces.subjects))
    caught = noticed = 0
    for person in people:
        places = np.flatnonzero(subjects == person)[::2].tolist()
        names = [f"{subject}-again" if place in places else subject for place, subject in enumerate(faces.subjects)]
        judged = judge_people(renamed(faces, names), AllowedLeaks([]))
        assert all(each.startswith(f"{person} and {person}-again ") for each in judged.refused)
        caught += bool(judged.refused)
        noticed += bool(judged.refused or judged.warnings)
    assert caught / len(people) >= stopped
    assert noticed / len(people) >= found


def renamed(faces: FaceSet, subjects: list[str]) -> FaceSet:
    return FaceSet(faces.embeddings, subjects, faces.names)


def test_people_with_mixed_up_images_have_nobody_accused(
    shared_assets: Path, backbone: torch.nn.Module, tmp_path: Path
) -> None:
    """Four subjects of ten people's first images each are as alike to everybody as to themselves."""
    faces = embedded(backbone, shared_assets / "faces" / "orl_aligned", tmp_path / "out")
    people = sorted(set(faces.subjects))
    subjects = list(faces.subjects)
    for number, person in enumerate(people):
        subjects[faces.subjects.index(person)] = f"mixed{number // 10}"
    assert judge_people(renamed(faces, subjects), AllowedLeaks([])) == JudgedPeople([], [])
    twice = [f"{each}-again" if each == people[20] and n % 2 else each for n, each in enumerate(subjects)]
    [refused] = judge_people(renamed(faces, twice), AllowedLeaks([])).refused
    assert refused.startswith(f"{people[20]} and {people[20]}-again ")


def test_few_people_who_all_have_two_names_are_found(
    shared_assets: Path, backbone: torch.nn.Module, tmp_path: Path
) -> None:
    """So many pairs of one person must not hide each other."""
    for number in range(10, 14):
        (tmp_path / "faces" / f"s{number}").parent.mkdir(exist_ok=True)
        (tmp_path / "faces" / f"s{number}").symlink_to(shared_assets / "faces/orl_aligned" / f"s{number}")
    faces = embedded(backbone, tmp_path / "faces", tmp_path / "out")
    subjects = [f"{each}-again" if n % 2 else each for n, each in enumerate(faces.subjects)]
    refused = judge_people(renamed(faces, subjects), AllowedLeaks([])).refused
    assert sorted(each.split(" (")[0] for each in refused) == [f"s{n} and s{n}-again" for n in range(10, 14)]


def test_many_people_are_compared_in_bounded_memory() -> None:
    e_ND = np.random.default_rng(0).normal(size=(12_000, 8)).astype(np.float32)
    e_ND /= np.linalg.norm(e_ND, axis=1, keepdims=True)
    people = gather_people(FaceSet(e_ND, [f"{n // 2}" for n in range(len(e_ND))], [f"{n}" for n in range(len(e_ND))]))
    assert people
    blocks: list[None] = []
    tracemalloc.start()
    for _ in find_same_people(people, lambda: blocks.append(None)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 250e6
    assert len(blocks) > 3


def test_a_stop_is_obeyed_while_faces_without_hr_images_are_embedded(tmp_path: Path) -> None:
    for part, images in (("train", 10), ("val", 2)):
        (tmp_path / part / "vlr_images").mkdir(parents=True)
        for subject in range(40):
            for image in range(images):
                Image.new("RGB", (12, 12), (6 * subject, image, 0)).save(
                    tmp_path / part / "vlr_images" / f"{subject:02}_{image}.png"
                )
    (tmp_path / "val" / "hr_images").mkdir()
    for path in sorted((tmp_path / "val" / "vlr_images").iterdir()):
        shutil.copy(path, tmp_path / "val" / "hr_images" / path.name)
    scan = scan_dataset(tmp_path / "train", tmp_path / "val")
    faces_u8_NCHW = torch.zeros(len(scan.train.vlr_images), 3, 112, 112, dtype=torch.uint8)
    control = Control()
    backbone = torch.nn.Sequential(torch.nn.AvgPool2d(28), torch.nn.Flatten())
    seen: list[int] = []

    def stop(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        seen.append(len(inputs[0]))
        control.stop.set()

    backbone.register_forward_pre_hook(stop)
    e_MD = torch.zeros(80, 48)
    val = ValEmbeddings(
        ValFaces(faces_u8_NCHW[:80], scan.val.vlr_images, faces_u8_NCHW[:80], scan.val.hr_images, scan.subject_to_id),
        e_MD,
        e_MD,
    )
    with pytest.raises(StopRequested):
        next(
            check_people(
                scan,
                Faces(faces_u8_NCHW, Counter({(12, 12): len(faces_u8_NCHW)})),
                FacesByPath(),
                val,
                backbone,
                torch.device("cpu"),
                AllowedLeaks([]),
                control,
                SINGLE_THREAD,
            )
        )
    assert sum(seen) <= 256


def test_a_person_under_two_names_ends_the_job_unless_allowed(shared_assets: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    for number in range(10, 16):
        person = sorted((shared_assets / "faces/orl_aligned" / f"s{number}").iterdir())
        (faces / f"s{number}").mkdir(parents=True)
        for path in person[:4]:
            (faces / f"s{number}" / path.name).symlink_to(path)
    (faces / "zz").mkdir()
    for path in sorted((shared_assets / "faces/orl_aligned/s12").iterdir())[6:]:
        (faces / "zz" / path.name).symlink_to(path)
    built = build_dataset(faces, tmp_path / "built", test_fraction=0).output
    files = TrainingFiles(
        built / "train_processed",
        built / "val_processed",
        shared_assets / "weights" / "edgeface_xxs.pt",
        None,
        tmp_path / "output",
        tmp_path / "prepared",
    )
    with pytest.raises(PersonUnderTwoNames, match=r"s12 and zz \(such as s12_01 and zz_07; mean similarity 0\."):
        run(files)
    run(replace(files, output_dir=tmp_path / "allowed"), allowed_leaks=["zz=s12"], stage1_epochs=0, stage2_epochs=1)


def test_two_people_under_one_name_are_warned_of_before_the_training(shared_assets: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    for number in range(10, 22):
        subject = faces / f"pair{number // 2}"
        subject.mkdir(parents=True, exist_ok=True)
        for path in sorted((shared_assets / "faces/orl_aligned" / f"s{number}").iterdir())[:4]:
            (subject / f"{number}-{path.name}").symlink_to(path)
    built = build_dataset(faces, tmp_path / "built", test_fraction=0).output
    files = TrainingFiles(
        built / "train_processed",
        built / "val_processed",
        shared_assets / "weights" / "edgeface_xxs.pt",
        None,
        tmp_path / "output",
        tmp_path / "prepared",
    )
    _, events = run(files, stage1_epochs=0, stage2_epochs=1)
    started = next(place for place, event in enumerate(events) if isinstance(event, StageStarted))
    [warning] = [
        event.warning
        for event in events[:started]
        if isinstance(event, Warned) and event.warning.code == "likely_two_people"
    ]
    assert "6 of 6 subjects" in warning.message
