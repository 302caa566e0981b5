"""The commands against a running API, as people type them."""

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from click.testing import CliRunner, Result
from fastapi import FastAPI
from sqlmodel import col, update

from app.api_models.job import JobView
from app.cli.service import edgeface_finetune
from app.client import ApiError, Client
from app.client.urls import full_url
from app.database import Database
from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.finetune.errors import ConfigError
from app.finetune.evaluation import Change, Estimate, Evaluation, Interval
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.transitions import attempts, recording
from app.jobs.transitions.fence import Claim
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import claim_next
from tests.support.command_line import edgeface_finetune as edgeface_finetune_in_process
from tests.support.datasets import write_dataset, write_edgeface
from tests.support.evaluations import make_evaluation
from tests.support.job_files import JobFiles
from tests.support.servers import free_port

Command = Callable[..., Result]


@pytest.fixture
def settings(var_dir: Path) -> Settings:
    settings = Settings(var_dir=var_dir, port=free_port())
    settings.make_directories()
    write_dataset(settings.datasets_dir / "faces")
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    return settings


@pytest.fixture
def application(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def client(application: FastAPI, settings: Settings) -> Iterator[Client]:
    server = uvicorn.Server(uvicorn.Config(application, port=settings.port, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with Client(f"127.0.0.1:{settings.port}") as client:
            client.caller()
            yield client
    finally:
        application.state.service.stopping.set()
        server.should_exit = True
        thread.join()


@pytest.fixture
def command(client: Client, settings: Settings) -> Command:  # noqa: ARG001 - its API listens
    def call(*arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(edgeface_finetune, [*arguments, "--url", f"127.0.0.1:{settings.port}"], input=stdin)

    return call


def said(result: Result) -> str:
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.strip()


def test_a_job_is_submitted_without_a_file(command: Command, client: Client) -> None:
    fields = ("--set", "dataset=faces", "--set", "backbone_lr=1e-4", "--set", "allowed_leaks=1=2,3=4")
    job = client.get(said(command("submit", *fields, "--name", "first try", "--tag", "a", "--tag", "b")))
    config = job.config.model_dump()
    assert (config["dataset"], config["backbone_lr"], config["allowed_leaks"]) == ("faces", 1e-4, ("1=2", "3=4"))
    assert (job.name, job.tags) == ("first try", ["a", "b"])


def test_a_config_is_json_or_yaml_and_set_wins(command: Command, client: Client, tmp_path: Path) -> None:
    yaml, other = "dataset: faces\nbackbone_lr: 1e-4 # raised\nseed: 7\n", tmp_path / "config.json"
    (tmp_path / "config.yaml").write_text(yaml)
    other.write_text(json.dumps({"dataset": "faces", "backbone_lr": 1e-4, "seed": 7}))
    of_file = said(command("submit", str(tmp_path / "config.yaml"), "--set", "seed=8"))
    of_input = said(command("submit", "-", "--set", "seed=8", stdin=yaml))
    of_json = said(command("submit", str(other), "--set", "seed=8"))
    first, *others = [client.get(job).config for job in (of_file, of_input, of_json)]
    assert others == [first, first]
    assert (first.model_dump()["backbone_lr"], first.model_dump()["seed"]) == (1e-4, 8)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("dataset: [faces\nseed: 1\n", "config.yaml is not YAML: line 2, column 5: expected ',' or ']', but got ':'"),
        ("- faces\n", "config.yaml: it must have fields with their values, not a list"),
        ("\x00", "config.yaml is not YAML: unacceptable character"),
    ],
)
def test_broken_yaml_is_named_by_line_and_column(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    refused = CliRunner().invoke(edgeface_finetune, ["submit", str(path)]).exception
    assert isinstance(refused, ConfigError)
    assert complaint in refused.message
    assert "dataset: orl16" in refused.hint


def test_a_submission_that_says_too_little_or_something_wrong_says_what_to_do(command: Command) -> None:
    assert "--set dataset=orl16" in command("submit").output
    unfinished = command("submit", "--set", "dataset").exception
    assert isinstance(unfinished, ConfigError)
    assert "--set backbone_lr=1e-4" in unfinished.hint
    unknown = command("submit", "--set", "dataset=faces", "--set", "bakbone_lr=1e-4").exception
    assert isinstance(unknown, ApiError)
    assert unknown.problem.detail == "bakbone_lr: there is no such field; did you mean backbone_lr?"


def test_a_job_is_named_by_a_part_of_its_id_that_no_other_has(command: Command, client: Client) -> None:
    first, second = (client.submit({"dataset": "faces", "seed": seed}).id for seed in (1, 2))
    evaluation = client.evaluate({"dataset": "faces"}).id
    common = len(next(head for length in range(24, 0, -1) if second.startswith(head := first[:length])))
    assert said(command("status", first[: common + 1])).startswith(first)
    assert said(command("status", first[-6:].upper())).startswith(first)
    assert said(command("status", "last")).startswith(evaluation)
    ambiguous = command("cancel", first[:common])
    assert ambiguous.exit_code == 2
    assert all(job in ambiguous.output for job in (first, second))
    absent = command("cancel", "ffff")
    assert absent.exit_code == 2
    assert "no job has an id that begins with 'ffff'" in absent.output
    refused = command("submit", "--set", "dataset=faces", "--set", f"edgeface=job:{first[-6:]}").exception
    assert isinstance(refused, ApiError)
    assert first in refused.problem.detail
    assert client.get(first).status == client.get(second).status == "queued"


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("lab:8000", "http://lab:8000"),
        ("lab", "http://lab"),
        ("lab:443", "https://lab:443"),
        ("https://lab/edgeface/", "https://lab/edgeface"),
        (" http://lab:8000/ ", "http://lab:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_address_needs_no_scheme(address: str, url: str) -> None:
    assert full_url(address) == url


@pytest.mark.parametrize("address", ["", "http://", "ftp://lab", "lab:port", "lab:99999", "the lab"])
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    done = CliRunner().invoke(edgeface_finetune, ["jobs", f"--url={address}"], env={"EDGEFACE_URL": None})
    assert done.exit_code == 2
    assert "http://lab:8000" in done.output


def test_a_service_that_does_not_answer_is_named_with_the_next_step(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cli.connecting.PATIENCE_SECONDS", 0.0)
    ended = edgeface_finetune_in_process(settings, "jobs", "--url", f"127.0.0.1:{settings.port}")
    (sentence,) = ended.errors.splitlines()
    assert ended.status == 1
    assert sentence == (
        f"error: the service at http://127.0.0.1:{settings.port} does not answer (Connection refused): start it there "
        "with edgeface-finetune serve, or name another with --url or EDGEFACE_URL"
    )


def test_the_list_has_all_kinds_with_what_tells_jobs_apart(
    command: Command, client: Client, application: FastAPI
) -> None:
    assert "submit" in command("jobs").stderr
    first = client.submit({"dataset": "faces", "recipe": "recommended"}, name="night", tags=["orl"]).id
    second = client.evaluate({"dataset": "faces"}, priority=2).id
    rates = {"auc": 0.9, "rank1": None, "tar_at_far_01_percent": None, "genuine_pairs": 1, "impostor_pairs": 2000}
    before, after = ({**rates, "tar_at_far_1_percent": tar} for tar in (0.4641, 0.8262))
    found = {"recognition_before": before, "recognition_after": after, "verdict": "it is better"}
    database: Database = application.state.service.database
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == first).values(**found))
    header, *rows = said(command("jobs")).splitlines()
    assert header.split()[:2] == ["ID", "SUBMITTED"]
    assert [row.split()[0] for row in rows] == [second, first]
    assert "evaluation" in rows[0]
    assert "priority 2" in rows[0]
    for text in ("finetuning", "queued", "TAR@FAR=1% 0.464 → 0.826", "recommended", "night #orl", "faces/train"):
        assert text in rows[1]
        assert header.index("BEFORE") == rows[1].index("TAR@")
    assert [job["id"] for job in json.loads(said(command("jobs", "--json", "--limit", "1")))] == [second]
    assert said(command("status", first)).splitlines()[-2:] == ["it is better", "TAR@FAR=1% 0.464 → 0.826"]


def test_watch_ends_with_the_verdict_and_the_rate(command: Command, client: Client, application: FastAPI) -> None:
    job = client.submit({"dataset": "faces"}).id
    client.cancel(job)
    rates = {"rank1": None, "tar_at_far_1_percent": None, "tar_at_far_01_percent": None}
    before, after = ({**rates, "auc": auc, "genuine_pairs": 1, "impostor_pairs": 9} for auc in (0.7, 0.75))
    found = {"recognition_before": before, "recognition_after": after, "verdict": "too little data"}
    database: Database = application.state.service.database
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == job).values(**found))
    watched = command("watch", job)
    assert watched.exit_code == 1
    assert watched.stdout.splitlines()[-3:] == ["cancelled", "too little data", "AUC 0.700 → 0.750"]


def test_tags_name_and_notes_are_changed(command: Command, client: Client) -> None:
    job = client.submit({"dataset": "faces"}, tags=["a"]).id
    assert said(command("tag", "last", "b", "a", "c")) == f"{job} #a #b #c"
    assert said(command("tag", "last", "b", "--remove", "--name", "night run", "--notes", "warm")) == "night run #a #c"
    assert client.get(job).notes == "warm"
    assert "--name" in command("tag", "last").output


@pytest.fixture
def evaluated(client: Client, application: FastAPI, settings: Settings) -> list[str]:  # noqa: ARG001 - its API listens
    """Two fine-tunings with an evaluation each, and one without."""
    database: Database = application.state.service.database
    jobs = [JobFiles(database, settings.artifacts_dir, seed=seed, backbone_lr=1e-4) for seed in (1, 2, 3)]
    for job, tar in zip(jobs, (0.5, 0.75), strict=False):
        found = evaluation_of(tar).model_dump_json().encode()
        file: WrittenFile = job.write(f"{job.id}/attempt-1/evaluation.json", found)
        report = job.write(f"{job.id}/attempt-1/report.html", b"<!doctype html>")
        with database.writing() as session:
            recording.record_evaluation(session, job.claim, epoch=1, files={"evaluation": file, "report": report})
        job.end(JobStatus.SUCCEEDED)
    return [job.id for job in jobs]


def evaluation_of(tar: float) -> Evaluation:
    return make_evaluation(
        verdict="better",
        changes=[
            Change(
                of="fine-tuning",
                outcome="better",
                sentence="better",
                measure="TAR@FAR=1%",
                baseline=Estimate(value=0.25),
                achieved=Estimate(value=tar, interval=Interval(low=tar - 0.1, high=tar + 0.1)),
                difference=Estimate(value=tar - 0.25),
            )
        ],
    )


def test_jobs_are_compared_by_recognition_and_what_differs_in_their_configs(
    command: Command, evaluated: list[str]
) -> None:
    lines = said(command("compare", *(job[-6:] for job in evaluated))).splitlines()
    assert lines[0].split() == [job[-6:] for job in evaluated]
    assert [line.split("  ")[0] for line in lines if "0.750 [0.650, 0.850]*" in line] == ["TAR@FAR=1% after"]
    assert ["seed", "1", "2", "3"] in [line.split() for line in lines]
    assert not any("backbone_lr" in line for line in lines), "it is the same in all of them"
    rows = list(csv.DictReader(io.StringIO(said(command("compare", "--csv", *evaluated)))))
    assert [row["id"] for row in rows] == evaluated
    assert [row["TAR@FAR=1% after"] for row in rows] == ["0.5000", "0.7500", ""]
    assert [row["seed"] for row in rows] == ["1", "2", "3"]
    assert command("compare", evaluated[0], evaluated[0]).exit_code == 2


def test_the_list_is_filtered_by_tag_and_text(command: Command, client: Client) -> None:
    first = client.submit({"dataset": "faces"}, name="night run", tags=["orl"]).id
    client.submit({"dataset": "faces"}, tags=["yale"])
    for filter_ in (("--tag", "orl"), ("--search", "NIGHT"), ("--search", first[-6:]), ("--sort", "best", "--tag=orl")):
        _, *rows = said(command("jobs", *filter_)).splitlines()
        assert [row.split()[0] for row in rows] == [first]


def test_a_job_is_deleted_once_it_has_ended_and_a_person_agrees(command: Command, client: Client) -> None:
    job = client.submit({"dataset": "faces"}, name="night run").id
    early = command("delete", "last", "--yes").exception
    assert isinstance(early, ApiError)
    client.cancel(job)
    asked = command("delete", job, stdin="n\n")
    assert asked.exit_code == 1
    assert f"delete {job} night run (cancelled, 0 files, 0.0 MB)?" in asked.stderr
    assert client.get(job).terminal
    assert said(command("delete", job[-6:], "--yes")) == f"deleted {job} night run"
    with pytest.raises(ApiError):
        client.get(job)


def test_a_sweep_is_submitted_and_ends_with_one_table(
    command: Command, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = ("--set", "dataset=faces", "--sweep", "backbone_lr=1e-5,1e-4", "--sweep", "seed=1,2")
    assert said(command("submit", *fields, "--name", "rates")) == "rates"
    jobs = client.list().jobs
    assert sorted((job.config.model_dump()["backbone_lr"], job.config.model_dump()["seed"]) for job in jobs) == [
        (1e-5, 1),
        (1e-5, 2),
        (1e-4, 1),
        (1e-4, 2),
    ]
    where, header, *rows = said(command("sweep", "rates")).splitlines()
    assert where == "rates: 4 queued"
    assert header.split()[:3] == ["backbone_lr", "JOBS", "VAL"]
    assert sorted(row.split()[:2] for row in rows) == [["0.0001", "2"], ["1e-05", "2"]]
    monkeypatch.setattr("app.cli.sweeps.time.sleep", lambda _: [client.cancel(job.id) for job in jobs])
    assert said(command("sweep", "rates", "--watch")).startswith("rates: 4 cancelled")
    twice = command("submit", *fields, "--sweep", "seed=3").exception
    assert isinstance(twice, ConfigError)
    assert "--sweep seed=VALUE,VALUE" in twice.hint


@pytest.fixture
def scores(application: FastAPI, client: Client, settings: Settings) -> Iterator[list[float]]:  # noqa: ARG001
    """A worker that gives the jobs these scores, in turn; a job without one fails."""
    database: Database = application.state.service.database
    left: list[float] = []
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.02):
            if (claimed := claim_next(database, "worker-1")) is not None:
                end_with(database, claimed, left.pop(0) if left else None)

    thread = threading.Thread(target=work)
    thread.start()
    yield left
    ended.set()
    thread.join()


def end_with(database: Database, claimed: Claim, score: float | None) -> None:
    full, backbone = (WrittenFile(Path(f"{claimed.job_id}/{name}.pth"), 1, "ab" * 32) for name in ("full", "backbone"))
    with database.writing() as session:
        attempts.begin_attempt(session, claimed, None)
        if score is not None:
            checkpoint = Checkpoint(epoch=1, score=score, full=full, backbone=backbone)
            recording.record_checkpoint(session, claimed, checkpoint)
        attempts.finish(session, claimed, JobStatus.FAILED if score is None else JobStatus.SUCCEEDED)


def test_a_search_by_optuna_continues_and_lists_the_best_first(
    command: Command, client: Client, scores: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    fields = ("--set", "dataset=faces", "--sweep", "backbone_lr=1e-6..1e-3", "--sweep", "keep=best,last")
    assert "--name" in command("submit", *fields, "--optuna", "2").output
    wrong = command("submit", *fields, "--sweep", "seed=9..1", "--optuna", "2", "--name", "night").exception
    assert isinstance(wrong, ConfigError)
    assert "seed=9..1 is no range of numbers" in wrong.message
    scores += [0.5, 0.75]
    *_, first, second = said(command("submit", *fields, "--optuna", "2", "--name", "night")).splitlines()
    assert (first.split()[:2], second.split()[:2]) == (["0.7500", "night-1"], ["0.5000", "night-0"])
    jobs = client.list(text="night").jobs
    assert {job.name for job in jobs} == {"night-0", "night-1"}
    assert all(1e-6 <= job.config.model_dump()["backbone_lr"] <= 1e-3 for job in jobs)
    assert said(command("sweep", "night")).startswith("night: 2 succeeded")
    again = said(command("submit", *fields, "--optuna", "3", "--name", "night"))
    assert again.startswith("trial 2: ")
    assert "failed without a score" in again
    assert again.endswith("1 trial without a score")
    assert len(client.list(text="night").jobs) == 3


def test_a_search_that_was_interrupted_waits_for_its_job_and_submits_no_second(
    client: Client, scores: list[float], tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    from app.cli.optuna_search import Search, run_search

    class Interrupted(Exception):
        pass

    class Impatient(Client):
        def get(self, job_id: str) -> JobView:
            raise Interrupted(job_id)

    search, lines = Search("night", {"dataset": "faces"}, ["backbone_lr=1e-6..1e-3"]), list[str]()
    scores += [0.5]
    with Impatient(str(client._connection._http.base_url)) as impatient, pytest.raises(Interrupted) as left:
        run_search(impatient, search, tmp_path, 1, lines.append)
    run_search(client, search, tmp_path, 1, lines.append)
    assert lines[0].endswith(f"val score 0.5000 (job {left.value})")
    assert len(client.list().jobs) == 1
