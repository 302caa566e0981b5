"""The page of all jobs, and what holds for every page."""

import re

import pytest
from sqlmodel import col, update

from app.access.scopes import Scope
from app.api_models.labels import JobChanges
from app.database import Database
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.transitions import wishes
from tests.integration.conftest import job_that_is
from tests.integration.pages.conftest import Visit
from tests.support.access import bearer, key_of

INLINE = re.compile(r"<style|<script(?![^>]* src=)| style=| on\w+=|javascript:")


def test_a_page_needs_nothing_inline_and_nothing_from_other_hosts(visit: Visit, database: Database) -> None:
    job_that_is(database, JobStatus.RUNNING)
    for address in ("/", "/ui/login?next=/x", "/?before=wrong"):
        answer = visit(address)
        if answer.status_code == 303:
            continue
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "script-src 'self'; " in policy
        assert not INLINE.findall(answer.text)
        assert not re.findall(r'(?:src|href|action)="(?:https?:)?//', answer.text)


def test_static_files_are_kept_for_a_year_under_the_hash_of_their_content(visit: Visit) -> None:
    addresses = re.findall(r'(?:src|href)="(/ui/static/[^"]*)"', visit("/").text)
    assert len(addresses) >= 5
    for address in addresses:
        answer = visit(address, **{"Accept-Encoding": "gzip"})
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.content == visit(address, **{"Accept-Encoding": "identity"}).content
        assert visit(address, **{"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert visit("/ui/static/face-00000000.css").status_code == 404
    assert visit("/ui/static/../render.py").status_code == 404


def test_the_first_job_is_explained_where_there_is_none(visit: Visit) -> None:
    text = visit("/").text
    assert "No jobs yet." in text
    assert "No worker is running." in text
    assert "make demo" in text


@pytest.mark.parametrize("status", JobStatus)
def test_each_status_has_an_icon_and_a_word(visit: Visit, database: Database, status: JobStatus) -> None:
    job_id = job_that_is(database, status)
    text = visit("/").text
    word = {"running": "Running"}.get(status, status.capitalize())
    assert re.search(rf'<span class="status" data-is="\w+"><svg.*?</svg>\s*{word}', text)
    assert job_id[-6:] in text
    tab = "active" if not status.terminal else status
    assert job_id in visit(f"/?tab={tab}").text
    assert job_id not in visit(f"/?tab={'failed' if status != 'failed' else 'succeeded'}").text


def test_what_people_wrote_is_text_and_no_html(visit: Visit, database: Database) -> None:
    job_id = job_that_is(database, JobStatus.QUEUED)
    with database.writing() as session:
        labels = {"name": "<script>alert(1)</script>", "tags": ["<b>bold"]}
        session.execute(update(Job).where(col(Job.id) == job_id).values(**labels))
    text = visit("/").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;b&gt;bold" in text
    assert not INLINE.findall(text)


def test_an_equal_page_is_answered_with_304(visit: Visit, database: Database) -> None:
    job_that_is(database, JobStatus.SUCCEEDED)
    first = visit("/")
    etag = first.headers["etag"]
    assert visit("/", **{"If-None-Match": etag}).status_code == 304
    job_that_is(database, JobStatus.SUCCEEDED)
    assert visit("/", **{"If-None-Match": etag}).status_code == 200


def test_older_jobs_are_a_page_further(visit: Visit, database: Database) -> None:
    ids = [job_that_is(database, JobStatus.QUEUED) for _ in range(27)]
    first = visit("/").text
    shown = re.findall(r'id="job-(\w+)"', first)
    assert shown == sorted(ids, reverse=True)[:25]
    (older,) = re.findall(r'href="([^"]*before=[^"]*)"', first)
    second = visit(older.replace("&amp;", "&")).text
    assert re.findall(r'id="job-(\w+)"', second) == sorted(ids, reverse=True)[25:]


def test_jobs_are_found_by_name_tag_kind_and_id(visit: Visit, database: Database) -> None:
    first, second, third = (job_that_is(database, JobStatus.SUCCEEDED) for _ in range(3))
    with database.writing() as session:
        wishes.change_labels(session, first, JobChanges(name="Blue night", tags=["keep"]))
        session.execute(update(Job).where(col(Job.id) == third).values(kind="evaluation"))
    assert shown(visit("/").text) == [third, second, first]
    for query in ("q=blue", "tag=keep", f"q={first[-6:]}", "q=night&tag=keep&kind=finetuning"):
        page = visit(f"/?{query}").text
        assert shown(page) == [first], query
        assert '<span class="count">1</span>' in page
    assert shown(visit("/?kind=evaluation").text) == [third]
    assert "No job matches." in visit("/?q=green").text
    assert 'href="/?tag=keep"' in visit("/").text


def shown(page: str) -> list[str]:
    return re.findall(r'id="job-(\w+)"', page)


def test_a_reader_sees_what_is_shared_and_nothing_to_change(visit: Visit, database: Database) -> None:
    private, shared = (job_that_is(database, JobStatus.SUCCEEDED) for _ in range(2))
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == private).values(shared=False))
        session.execute(update(Job).where(col(Job.id) == shared).values(shared=True))
    text = visit("/", **bearer(key_of(database, "reader", Scope.READ))).text
    assert shared in text
    assert private not in text
    assert "New job" not in text


@pytest.mark.parametrize("address", ["/?sort=oldest", "/?before=!", "/?q=" + "x" * 201])
def test_a_wrong_address_is_explained_on_a_page(visit: Visit, address: str) -> None:
    answer = visit(address)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
    assert "All jobs" in answer.text
