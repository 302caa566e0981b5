"""The page of one job, in every state and of every kind."""

import html
import json
import re

import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, update

from app.access.scopes import Scope
from app.api_models.labels import JobChanges
from app.database import Database
from app.finetune.epoch_metrics import EpochFinished
from app.finetune.evaluation import Estimate, Outcome
from app.finetune.events import PhaseStarted, Progressed, RecognitionMeasured
from app.finetune.job_kinds import KINDS
from app.finetune.phases import PHASES
from app.jobs.job_log import add_line
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.transitions import attempts, recording, wishes
from app.pages import words
from app.settings import Settings
from tests.integration.conftest import LOST, job_that_is, running
from tests.integration.pages.conftest import Visit
from tests.integration.pages.measured import BETTER, EVEN, ONLY_JUST, WORSE, evaluation, succeeded_job
from tests.integration.pages.test_jobs_page import INLINE
from tests.support.access import bearer, key_of

SENTENCES = {
    JobStatus.QUEUED: "Waiting for a worker, but none has ever reported: start one with edgeface-finetune worker.",
    JobStatus.PREPARING: "Starting, measuring the pace.",
    JobStatus.RUNNING: "Starting, measuring the pace.",
    JobStatus.CANCELLING: "Cancelling: its worker ends the training.",
    JobStatus.PAUSING: "Pausing: its worker saves the state.",
    JobStatus.PAUSED: "Paused.",
    JobStatus.SUCCEEDED: "Better.",
    JobStatus.FAILED: "The training process was killed.",
    JobStatus.CANCELLED: "Cancelled.",
}
BUTTONS = {
    JobStatus.QUEUED: {"pause", "cancel"},
    JobStatus.PREPARING: {"pause", "cancel"},
    JobStatus.RUNNING: {"pause", "cancel"},
    JobStatus.CANCELLING: set(),
    JobStatus.PAUSING: {"cancel"},
    JobStatus.PAUSED: {"resume", "cancel"},
    JobStatus.SUCCEEDED: set(),
    JobStatus.FAILED: {"retry"},
    JobStatus.CANCELLED: {"retry"},
}


def sentence(page: str) -> str:
    found = re.search(r'id="now"[^>]*><strong>(.*?)</strong>', page)
    return html.unescape(found[1]) if found else ""


def buttons(page: str) -> set[str]:
    return set(re.findall(r'hx-post="/jobs/\w+/(\w+)"', page))


@pytest.mark.parametrize("status", JobStatus)
def test_each_state_has_its_sentence_and_its_buttons(visit: Visit, database: Database, status: JobStatus) -> None:
    page = visit(f"/ui/jobs/{job_that_is(database, status)}").text
    assert sentence(page) == SENTENCES[status]
    assert buttons(page) == BUTTONS[status]
    assert not INLINE.findall(page)


@pytest.mark.parametrize(
    ("outcome", "figures", "chip", "first", "then"),
    [
        ("better", BETTER, "Better", "Recognition got better on people it never saw.", "0.161 more of true pairs"),
        ("better", ONLY_JUST, "Better", "Recognition got better on people it never saw.", "Only just: "),
        (
            "not distinguishable",
            EVEN,
            "Cannot tell",
            "Nobody can tell whether recognition changed.",
            "[\N{MINUS SIGN}0.138, +0.216]",
        ),
        ("worse", WORSE, "Worse", "Recognition got worse on people it never saw.", "0.780 fewer of true pairs"),
    ],
)
def test_a_result_is_a_verdict_with_its_figures(
    visit: Visit,
    database: Database,
    settings: Settings,
    outcome: Outcome,
    figures: tuple[Estimate, Estimate],
    chip: str,
    first: str,
    then: str,
) -> None:
    job_id = succeeded_job(database, settings, outcome, figures)
    page = visit(f"/ui/jobs/{job_id}").text
    assert sentence(page) == first
    assert then in html.unescape(page)
    assert f"</svg>{chip}</span>" in page
    assert '<span class="was">0.783</span>' in page
    assert f"<span>{figures[0].value:.3f}</span>" in page
    assert f'href="/jobs/{job_id}/checkpoint" download' in page
    assert re.search(rf'<iframe class="report" src="/jobs/{job_id}/report" [^>]*sandbox', page)
    assert "torch.load(&#34;edgeface_finetuned.pth&#34;, weights_only=True)" in page
    listed = visit("/").text
    assert f"</svg>{chip}</span>" in listed
    assert f'<span class="is">{figures[0].value:.3f}</span>' in listed


def test_a_training_shows_where_it_is_and_its_curves(visit: Visit, database: Database) -> None:
    claim = running(database)
    with database.writing() as session:
        recording.record_phase(session, claim, PhaseStarted("measuring"))
        before = evaluation("better", *BETTER)
        assert before
        recording.record_phase(session, claim, PhaseStarted("stage_1"))
        for epoch in (1, 2):
            recording.record_epoch(session, claim, finished(1, epoch, 5, 0.97))
        recording.record_phase(session, claim, PhaseStarted("stage_2"))
        recording.record_epoch(session, claim, finished(2, 1, 20, 0.985, best=True))
        recording.record_progress(session, claim, Progressed(0.4, 47.0, 2, 2, phase="stage_2"))
    page = visit(f"/ui/jobs/{claim.job_id}").text
    assert sentence(page) == "Training, stage 2 of 2, epoch 2 of 20, about 50 seconds left."
    assert "So far it scores 0.9850" in page
    assert re.findall(r'data-is="now".*?</li>', page)[0].count("epoch 2 of 20") == 1
    curves = json.loads(html.unescape(re.findall(r'data-curves="([^"]*)"', page)[0]))
    assert curves["places"] == [1, 2, 6]
    assert (curves["boundary"], curves["planned"]) == (5, 25)
    score = curves["charts"][0]["series"][0]
    assert (score["values"], score["best"]) == ([0.97, 0.97, 0.985], 2)


def finished(stage: int, epoch: int, epochs: int, score: float, *, best: bool = False) -> EpochFinished:
    return EpochFinished.model_validate(
        {
            "stage": stage,
            "epoch": epoch,
            "epochs": epochs,
            "train_loss": 3.0,
            "train_accuracy": 0.5,
            "val_auc": score,
            "head_lr": 1e-3,
            "seconds": 1.0,
            "images_per_second": 90.0,
            "best": best,
        }
    )


def test_every_kind_and_phase_has_words() -> None:
    assert set(words.KINDS) == set(KINDS)
    assert set(words.PHASES) == set(PHASES)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED])
def test_a_job_of_any_kind_has_a_page(visit: Visit, database: Database, kind: object, status: JobStatus) -> None:
    configs = {
        "dataset_import": {"name": "office", "upload": "0" * 24},
        "model_export": {"edgeface": "edgeface_xxs.pt"},
    }
    name = getattr(kind, "name")  # noqa: B009 - of a parameter
    job_id = job_that_is(database, status)
    with database.writing() as session:
        values = {"kind": KINDS[name].stored, "config": configs.get(name, {"dataset": "faces"})}
        session.execute(update(Job).where(col(Job.id) == job_id).values(**values))
    answer = visit(f"/ui/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    assert sentence(answer.text)
    assert "Config" in answer.text


def test_the_phase_in_which_a_job_stopped_is_not_done(visit: Visit, database: Database) -> None:
    claim = running(database)
    with database.writing() as session:
        for phase in (PhaseStarted("checking"), PhaseStarted("preparing"), PhaseStarted("stage_1")):
            recording.record_phase(session, claim, phase)
        attempts.finish(session, claim, JobStatus.FAILED, LOST)
    page = visit(f"/ui/jobs/{claim.job_id}").text
    states = re.findall(r'<li class="phase" data-is="(\w+)"', page)
    assert states == ["done", "done", "done", "next", "next", "next"]


def test_the_verdict_on_a_dsr_network_is_said_before_its_figures(visit: Visit, database: Database) -> None:
    job_id = job_that_is(database, JobStatus.SUCCEEDED)
    verdict = (
        "At 12 px direct feed 0.607, bicubic enlargement 0.758, this DSR 0.765 (TAR@FAR=1%): the DSR is not "
        "distinguishable from bicubic enlargement (difference +0.007 [-0.203, +0.140])."
    )
    with database.writing() as session:
        values = {"kind": "dsr_training", "config": {"dataset": "faces"}, "verdict": verdict}
        session.execute(update(Job).where(col(Job.id) == job_id).values(**values))
    page = visit(f"/ui/jobs/{job_id}").text
    assert sentence(page) == "The DSR is not distinguishable from bicubic enlargement."
    assert "this DSR 0.765 (TAR@FAR=1%). Difference +0.007 [-0.203, +0.140]." in html.unescape(page)


def test_the_log_and_what_its_owner_wrote_are_on_the_page(visit: Visit, database: Database) -> None:
    job_id = job_that_is(database, JobStatus.RUNNING)
    with database.writing() as session:
        add_line(session, job_id, 1, "info", "reading <300> images")
        add_line(session, job_id, 1, "error", "out of memory")
        wishes.change_labels(session, job_id, JobChanges(name="night", notes="first line\nsecond line"))
    page = visit(f"/ui/jobs/{job_id}").text
    assert "reading &lt;300&gt; images" in page
    assert "<b>error: out of memory</b>" in page
    assert '<p class="soft written">first line\nsecond line</p>' in page
    assert 'value="night"' in page


def test_what_differs_from_the_recipe_is_marked(visit: Visit, database: Database, settings: Settings) -> None:
    job_id = succeeded_job(database, settings, "better", BETTER, backbone_lr=1e-4, stage2_epochs=15)
    page = visit(f"/ui/jobs/{job_id}").text
    assert "2 fields changed" in page
    assert '<dt><code>backbone_lr</code></dt><dd><span class="quiet">5e-6 →</span> <strong>1e-4</strong></dd>' in page


def test_a_reader_gets_no_buttons_and_no_page_of_a_private_job(
    visit: Visit, api: TestClient, database: Database
) -> None:
    job_id = job_that_is(database, JobStatus.RUNNING)
    reader = bearer(key_of(database, "reader", Scope.READ))
    for shared, status in ((False, 404), (True, 200)):
        with database.writing() as session:
            session.execute(update(Job).where(col(Job.id) == job_id).values(shared=shared))
        answer = visit(f"/ui/jobs/{job_id}", **reader)
        assert answer.status_code == status
        assert "hx-post" not in answer.text
    submitter = bearer(key_of(database, "other", Scope.SUBMIT))
    assert not buttons(visit(f"/ui/jobs/{job_id}", **submitter).text)
    assert api.get(f"/ui/jobs/{'0' * 24}", headers=reader).json()["code"] == "job_not_found"


def test_a_recognition_before_the_training_is_the_dashed_line(visit: Visit, database: Database) -> None:
    from app.finetune.events import Recognition

    claim = running(database)
    measured = RecognitionMeasured("before", Recognition(0.9888, 0.9, 0.783, None, 900, 9000))
    with database.writing() as session:
        columns = {"recognition_before": vars(measured.recognition)}
        recording.record_event(session, claim, measured, **columns)
    page = visit(f"/ui/jobs/{claim.job_id}").text
    curves = json.loads(html.unescape(re.findall(r'data-curves="([^"]*)"', page)[0]))
    assert curves["charts"][0]["before"] == 0.9888
    assert "before: TAR at FAR 1% 0.783, AUC 0.9888" in page
