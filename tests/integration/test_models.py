"""Models tried on photos: the real process that reads them, real faces and real weights."""

import io
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from httpx2 import Response
from PIL import Image

from app.access.scopes import Scope
from app.database import Database
from app.finetune.evaluation import (
    Comparison,
    Estimate,
    EvaluatedOn,
    Evaluation,
    Identification,
    OperatingPoint,
    Origin,
    ScoreHistogram,
    SweepPoint,
    UsedFile,
    Verification,
)
from app.jobs.states import JobStatus
from app.jobs.transitions import recording
from app.main import create_app
from app.settings import Settings
from tests.support.access import SITE, bearer, key_of
from tests.support.evaluations import make_evaluation
from tests.support.exported_models import export_weights
from tests.support.job_files import JobFiles
from worker.training.data.preprocess import enlarge_bicubic
from worker.training.models.edgeface import load_edgeface
from worker.training.models.embedding import embed

pytestmark = pytest.mark.slow
GIVEN, TUNED = "edgeface_xxs.pt", "edgeface_xs.pt"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, shared_assets: Path, sqlite_template: Path) -> Settings:
    """A service's folder with the official XXS and XS and the ONNX files of both. Tests copy it."""
    folder = tmp_path_factory.mktemp("exported") / "var"
    folder.mkdir()
    shutil.copyfile(sqlite_template, folder / "edgeface.sqlite")
    settings = Settings(var_dir=folder)
    settings.make_directories()
    database = Database(settings.database_url)
    for name in (GIVEN, TUNED):
        shutil.copyfile(shared_assets / "weights" / name, settings.weights_dir / name)
        export_weights(database, settings, name, settings.weights_dir / name)
    database.close()
    return settings


@pytest.fixture
def settings(exported: Settings, tmp_path: Path) -> Settings:
    shutil.copytree(exported.var_dir, tmp_path / "var")
    return Settings(var_dir=tmp_path / "var")


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database_url)
    yield database
    database.close()


@pytest.fixture(scope="module")
def faces(shared_assets: Path) -> Path:
    return shared_assets / "faces"


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def compare(api: TestClient, model: str, probe: bytes, *gallery: tuple[str, bytes], **form: str) -> Response:
    files: list[Any] = [("probe", ("probe.png", probe)), *(("gallery", photo) for photo in gallery)]
    return api.post(f"/models/{model}/comparisons", files=files, data=form)


def by_pytorch(weights: Path, *images: Image.Image) -> torch.Tensor:
    backbone, _ = load_edgeface(weights)
    pixels = [torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None] for image in images]
    return embed(backbone, torch.cat([enlarge_bicubic(each) for each in pixels]), torch.device("cpu"))


def evaluation(weights: dict[str, str], before: float, after: float) -> Evaluation:
    """With thresholds at a FAR of 1%."""
    nothing = Estimate()

    def of(backbone: Any, threshold: float) -> Comparison:
        point = SweepPoint(threshold=threshold, far=0.0098, tar=0.7, accuracy=0.8, identified=None)
        verification = Verification(
            genuine_pairs=100,
            paired_subjects=10,
            impostor_pairs=2000,
            auc=nothing,
            eer=nothing,
            operating_points=[OperatingPoint(far=0.01, tar=nothing, threshold=threshold - 0.0004)],
            best_accuracy=None,
            genuine_mean=None,
            impostor_mean=None,
            d_prime=None,
            sweep=[point],
            roc=None,
            histogram=ScoreHistogram(genuine=[], impostor=[]),
        )
        nobody = Identification(gallery_subjects=0, closed_set=[], open_set=[])
        return Comparison(
            backbone=backbone, probes="bicubic", gallery="hr", verification=verification, identification=nobody
        )

    return make_evaluation(
        verdict="better",
        recommended_threshold=after,
        comparisons=[of("before", before), of("after", after)],
        people=EvaluatedOn(directory="orl12/val", subjects=10, vlr_images=1, hr_images=1, sizes=["12x12 (1)"]),
        variant="edgeface_xs",
        resampler="bicubic",
        origin=Origin(
            job=None,
            created_at="2026-11-30T00:00:00+00:00",
            version="0.2.0",
            config={},
            changed={},
            weights={role: UsedFile(name=role, sha256=sha256) for role, sha256 in weights.items()},
        ),
    )


def write_other_weights(settings: Settings) -> None:
    """`other.pt`, of which there is no ONNX file."""
    content = torch.load(settings.weights_dir / GIVEN, weights_only=True)
    content["model.head.fc.bias"] += 0.1
    torch.save(content, settings.weights_dir / "other.pt")


def tuned_job(database: Database, settings: Settings, *, before: float, after: float) -> JobFiles:
    """A succeeded job that made XS of XXS, as it were, and an evaluation of both."""
    job = JobFiles(database, settings.artifacts_dir)
    _, backbone = job.checkpoint(1, backbone_bytes=(settings.weights_dir / TUNED).read_bytes())
    digests = {"edgeface": JobFiles.sha256(backbone), "before": JobFiles.sha256(settings.weights_dir / GIVEN)}
    folder = f"{job.id}/attempt-{job.claim.attempt}"
    json = evaluation(digests, before, after).model_dump_json().encode()
    files = {"evaluation": job.write(f"{folder}/evaluation.json", json)}
    with database.writing() as session:
        recording.record_evaluation(session, job.claim, epoch=1, files=files)
    job.end(JobStatus.SUCCEEDED)
    return job


def test_similarities_are_those_of_pytorch(api: TestClient, faces: Path, settings: Settings) -> None:
    one, same, other = (faces / "orl_aligned" / name for name in ("s01/01.png", "s01/02.png", "s02/01.png"))
    crop = Image.open(one).resize((16, 16), Image.Resampling.BICUBIC)
    gallery = [("people/s02.png", other.read_bytes()), ("people/s01.png", same.read_bytes())]
    answer = compare(api, GIVEN, png(crop), *gallery, align="false")
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    expected = by_pytorch(settings.weights_dir / GIVEN, crop, Image.open(same), Image.open(other))
    cosines = (expected[1:] @ expected[0]).tolist()
    assert [match["photo"]["name"] for match in shown["matches"]] == ["s01", "s02"]
    found = [match["after"]["similarity"] for match in shown["matches"]]
    assert found == pytest.approx(cosines, abs=1e-4)
    assert (shown["probe"]["used"], shown["matches"][0]["photo"]["used"]) == ("enlarged", "as_given")
    assert shown["before"] is None
    assert {match["after"]["answer"] for match in shown["matches"]} == {"unknown"}


def test_a_job_is_compared_with_its_start_at_the_thresholds_of_both(
    api: TestClient, database: Database, settings: Settings, faces: Path
) -> None:
    one, same = ((faces / "orl_aligned" / "s01" / name) for name in ("01.png", "02.png"))
    images = Image.open(one), Image.open(same)
    before, after = (
        float(pair[0] @ pair[1])
        for pair in (by_pytorch(settings.weights_dir / name, *images) for name in (GIVEN, TUNED))
    )
    job = tuned_job(database, settings, before=round(before + 0.1, 3), after=round(after - 0.01, 3))
    answer = compare(api, f"job:{job.id}", one.read_bytes(), ("b.png", same.read_bytes()), align="false")
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    (match,) = shown["matches"]
    assert match["after"]["similarity"] == pytest.approx(after, abs=1e-4)
    assert match["before"]["similarity"] == pytest.approx(before, abs=1e-4)
    assert (match["after"]["answer"], match["before"]["answer"]) == ("too_close", "not")
    assert (shown["before"], shown["threshold"]["far"], shown["threshold"]["dataset"]) == (GIVEN, 0.0098, "orl12/val")
    assert shown["threshold_before"]["value"] == pytest.approx(round(before + 0.1, 3))
    assert shown["sentence"].startswith("Too close to say. Similarity ")
    # The weights alone have the thresholds of the job's evaluation too.
    given = compare(api, GIVEN, one.read_bytes(), ("b.png", same.read_bytes()), align="false").json()
    assert given["threshold"]["value"] == shown["threshold_before"]["value"]


def test_the_face_of_a_photo_is_found_and_aligned(api: TestClient, faces: Path) -> None:
    photo = (faces / "orl" / "s1" / "1.pgm").read_bytes()
    aligned = Image.open(faces / "orl_aligned" / "s01" / "01.png")
    shown = compare(api, GIVEN, photo, ("b.png", png(aligned))).json()
    assert shown["probe"]["used"] == "aligned"
    assert shown["matches"][0]["after"]["similarity"] > 0.95
    embedded = api.post(f"/models/{GIVEN}/embeddings", files=[("photo", ("a.pgm", photo))]).json()
    (vector,) = (each["embedding"] for each in embedded["embeddings"])
    assert len(vector) == 512
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


HOSTILE = {
    "empty": b"",
    "no image": b"hello",
    "half": png(Image.new("RGB", (64, 64)))[:60],
    "bomb": png(Image.new("1", (30_000, 2_000))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_photo_is_named_and_refused(api: TestClient, name: str) -> None:
    answer = compare(api, GIVEN, png(Image.new("RGB", (16, 16))), (f"{name}.png", HOSTILE[name]))
    assert (answer.status_code, answer.json()["code"]) == (422, "photo_unreadable"), answer.text
    assert answer.json()["detail"].startswith(f"{name}: ")


def test_photos_without_a_face_and_other_forms_are_refused(api: TestClient) -> None:
    grey = png(Image.new("RGB", (200, 200), "grey"))
    assert compare(api, GIVEN, grey, ("b.png", grey)).json()["code"] == "face_not_found"
    assert api.post(f"/models/{GIVEN}/comparisons", json={}).json()["code"] == "photos_invalid"
    assert compare(api, GIVEN, grey).json()["detail"].startswith("gallery: 0 photos")
    assert compare(api, GIVEN, grey, ("b.png", grey), align="perhaps").json()["code"] == "photos_invalid"
    assert compare(api, "none.pt", grey, ("b.png", grey)).status_code == 404
    assert compare(api, "job:0123", grey, ("b.png", grey)).json()["code"] == "model_not_found"
    large = compare(api, GIVEN, bytes(21_000_000), ("b.png", grey))
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")


def test_fifty_at_once_are_answered_or_sent_away(api: TestClient, faces: Path) -> None:
    face = (faces / "orl_aligned" / "s01" / "01.png").read_bytes()

    def ask(_: int) -> Response:
        return compare(api, GIVEN, face, ("b.png", face), align="false")

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ask, range(50)))
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert sum(answer.status_code == 200 for answer in answers) > 10
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)


def test_a_missing_file_is_made_by_one_job_for_who_may_submit(
    api: TestClient, database: Database, settings: Settings, faces: Path
) -> None:
    write_other_weights(settings)
    face = (faces / "orl_aligned" / "s01" / "01.png").read_bytes()
    first, second = (compare(api, "other.pt", face, ("b.png", face)) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.headers["location"] == second.headers["location"]
    job = api.get(first.headers["location"]).json()
    assert (job["kind"], job["config"]) == ("model_export", {"edgeface": "other.pt"})

    key = key_of(database, "reader", Scope.READ)
    api.headers.update(bearer(key) | SITE)
    refused = compare(api, "other.pt", face, ("b.png", face))
    assert (refused.status_code, refused.json()["code"]) == (409, "export_missing")
    assert compare(api, GIVEN, face, ("b.png", face), align="false").status_code == 200


def test_the_list_has_weights_and_results_with_their_lineage(
    api: TestClient, database: Database, settings: Settings
) -> None:
    job = tuned_job(database, settings, before=0.2, after=0.2)
    models = {model["id"]: model for model in api.get("/models").json()["models"]}
    assert list(models) == [TUNED, GIVEN, f"job:{job.id}"]
    result = models[f"job:{job.id}"]
    assert (result["made_from"], result["dataset"], result["kind"]) == (GIVEN, "faces", "job")
    assert (models[GIVEN]["exported"], result["exported"]) == (True, False)
    page = api.get("/models", params={"limit": 1, "cursor": job.id}).json()
    assert page == {"models": [], "next_cursor": None}
