"""The page that compares jobs, and its CSV."""

import csv
import html
import io
import re

import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, update

from app.database import Database
from app.jobs.tables import Job
from app.pages.formats import MINUS
from app.settings import Settings
from tests.integration.pages.conftest import Visit
from tests.integration.pages.measured import BETTER, EVEN, WORSE, succeeded_job
from tests.integration.pages.test_jobs_page import INLINE


def compared(database: Database, settings: Settings) -> tuple[str, list[str]]:
    """The query of a comparison of three jobs, and their ids."""
    ids = [
        succeeded_job(database, settings, "better", BETTER, backbone_lr=1e-4),
        succeeded_job(database, settings, "not distinguishable", EVEN, backbone_lr=3e-5),
        succeeded_job(database, settings, "worse", WORSE, backbone_lr=3e-3),
    ]
    with database.writing() as session:
        for job_id, name in zip(ids, ("=first", "second", "third"), strict=True):
            session.execute(update(Job).where(col(Job.id) == job_id).values(name=name))
    return "&".join(f"job={job_id}" for job_id in ids), ids


def test_the_best_is_named_and_how_sure_that_is(visit: Visit, database: Database, settings: Settings) -> None:
    query, ids = compared(database, settings)
    page = html.unescape(visit(f"/ui/compare?{query}").text)
    assert "=first is the best, and the only one better than before." in page
    assert "Its lead over second may be chance: their intervals overlap." in page
    assert re.search(r'<td class="best">0.944 .*?best</span></td><td>0.857</td><td>0.003</td>', page)
    assert all(f'href="/ui/jobs/{job_id}"' in page for job_id in ids)
    assert not INLINE.findall(page)


@pytest.mark.parametrize(
    ("lead", "words"),
    [
        (0.05, "Its lead over worse is no chance: +0.087 [+0.050, +0.050] on the same 8 people."),
        (None, "Its lead over worse may be chance: +0.087 [-0.100, +0.100] on the same 8 people."),
    ],
)
def test_jobs_measured_on_the_same_people_are_told_apart_by_their_paired_difference(
    visit: Visit, database: Database, settings: Settings, lead: float | None, words: str
) -> None:
    draws = [0.8 + (number % 2) / 10 for number in range(1000)]
    of_best = [each + lead for each in draws] if lead is not None else [1.7 - each for each in draws]
    ids = [
        succeeded_job(database, settings, "better", BETTER, draws=of_best),
        succeeded_job(database, settings, "not distinguishable", EVEN, draws=draws),
    ]
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == ids[1]).values(name="worse"))
    page = html.unescape(visit(f"/ui/compare?job={ids[0]}&job={ids[1]}").text)
    assert words in page.replace(MINUS, "-")


def test_only_the_fields_that_differ_are_shown(visit: Visit, database: Database, settings: Settings) -> None:
    query, _ = compared(database, settings)
    page = visit(f"/ui/compare?{query}").text
    assert "<code>backbone_lr</code></th><td>1e-4</td><td>3e-5</td><td>3e-3</td>" in page
    assert "<code>head_lr</code>" not in page


def test_the_table_is_csv_in_which_a_name_is_no_formula(
    api: TestClient, database: Database, settings: Settings
) -> None:
    query, ids = compared(database, settings)
    answer = api.get(f"/ui/compare.csv?{query}")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[:3] == [
        ["", "'=first", "second", "third"],
        ["id", *ids],
        ["verdict", "Better", "Cannot tell", "Worse"],
    ]
    assert ["TAR at FAR 1%", "0.944", "0.857", "0.003"] in rows


def test_one_job_is_no_comparison(visit: Visit, database: Database, settings: Settings) -> None:
    _, ids = compared(database, settings)
    answer = visit(f"/ui/compare?job={ids[0]}&job={ids[0]}")
    assert answer.status_code == 422
    assert "A comparison needs two jobs or more." in answer.text
    assert visit(f"/ui/compare?job={ids[0]}&job={'0' * 24}").status_code == 404
