"""How long POST /jobs takes on a dataset of 20,000 images: the first time, and once its record is there."""

import http.client
import json
import math
import time
from pathlib import Path

from app.drawn_faces import draw_face
from app.finetune.dataset import HR_FOLDER, VLR_FOLDER
from app.finetune.dataset_folders import TRAIN_FOLDER, VAL_FOLDER
from app.settings import Settings
from benchmarks.api.processes import HOST, Server, server
from benchmarks.support import Figure, Outcome, Table, Target
from tests.support.datasets import write_edgeface

IMAGES = 20_000
IMAGES_OF_A_SUBJECT = 10
WANTED_MILLISECONDS = 100.0
_DRAWN = 100
"""Drawn faces: the service opens none of them, so that they may repeat under other names."""


def measure(folder: Path, *, quick: bool) -> Outcome:
    requests, images = (20, 2_000) if quick else (200, IMAGES)
    settings = Settings(var_dir=folder)
    settings.make_directories()
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    dataset = settings.datasets_dir / "drawn"
    subjects = write_dataset(dataset, images)
    with server("app.cli", "api", var_dir=folder, ready="/health/live") as api:
        first = _post(api, "/jobs?dry_run=true")
        timed = {
            path: [_post(api, path) for _ in range(requests)]
            for path in ("/jobs?dry_run=true", "/jobs", "/evaluations", "/dsr-trainings")
        }
    return _outcome(images, subjects, first, timed)


def write_dataset(dataset: Path, images: int) -> int:
    """Write train and val with so many VLR and HR images together. Return the number of subjects."""
    faces = [draw_face(number, 0) for number in range(_DRAWN)]
    subjects = images // (2 * IMAGES_OF_A_SUBJECT)
    for kind, size in ((VLR_FOLDER, 16), (HR_FOLDER, 112)):
        path = dataset / "face.png"
        for part in (TRAIN_FOLDER, VAL_FOLDER):
            (dataset / part / kind).mkdir(parents=True)
        contents = []
        for face in faces:
            face.resize((size, size)).save(path)
            contents.append(path.read_bytes())
        path.unlink()
        for subject in range(subjects):
            part = VAL_FOLDER if subject % 5 == 0 else TRAIN_FOLDER
            for image in range(IMAGES_OF_A_SUBJECT):
                name = f"{subject:05}_{image:02}.png"
                (dataset / part / kind / name).write_bytes(contents[(subject + 7 * image) % _DRAWN])
    return subjects


def _post(api: Server, path: str) -> float:
    """Milliseconds."""
    connection = http.client.HTTPConnection(HOST, api.port, timeout=120)
    body = json.dumps({"dataset": "drawn"})
    started = time.perf_counter()
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    seconds = time.perf_counter() - started
    assert answer.status in (200, 201), content
    return 1e3 * seconds


def _outcome(images: int, subjects: int, first: float, timed: dict[str, list[float]]) -> Outcome:
    rows = [["POST /jobs?dry_run=true, never registered", f"{first:.0f}", ""]]
    outcome = Outcome(figures={"first_post_milliseconds": first})
    for path, milliseconds in timed.items():
        ordered = sorted(milliseconds)
        p50, p95 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
        rows.append([f"POST {path}, registered", f"{p50:.1f}", f"{p95:.1f}"])
        outcome.targets.append(Target(f"POST {path}: p95, ms", p95, at_most=WANTED_MILLISECONDS))
        outcome.figures[f"post_milliseconds {path}"] = Figure(tuple(milliseconds))
    title = f"Submissions on {images} images of {subjects} subjects, {len(next(iter(timed.values())))} requests each"
    outcome.tables.append(Table(title, ["", "p50 ms", "p95 ms"], rows))
    return outcome
