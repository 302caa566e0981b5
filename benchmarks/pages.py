"""Weight and first paint of the dashboard's pages in Chromium, with 10,000 jobs in the database:

    python -m benchmarks.pages --json var/pages.json

Each page is opened in a fresh browser profile, so that nothing is cached, on the loopback address.
"""

import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from app.database import Database
from app.jobs.search_text import search_text
from app.jobs.tables import Job
from app.jobs.transitions import submission
from benchmarks.api.jobs import CONFIG, running_job
from benchmarks.api.processes import HOST, server
from benchmarks.support import Figure, Outcome, Table, Target, argument_parser, describe_machine, report

JOBS, REPETITIONS = 10_000, 10
WEIGHT_KB, FIRST_PAINT_SECONDS = 150.0, 1.0
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

MEASURE = """() => {
  const files = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  return {
    bytes: files.reduce((sum, file) => sum + file.encodedBodySize, 0),
    paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
    answer: files[0].responseEnd - files[0].requestStart,
  };
}"""


@dataclass(frozen=True)
class Opened:
    """`kilobytes` of HTML, styles, scripts and icon as they are sent; seconds to the first contentful paint and of the
    page's own request."""

    kilobytes: float
    first_paint: float
    answer: float


def main() -> int:
    parser = argument_parser(__doc__ or "")
    arguments = parser.parse_args()
    machine = describe_machine(["fastapi", "jinja2", "playwright"])
    return report("pages", machine, measure(arguments), arguments)


def measure(arguments: Namespace) -> Outcome:
    """Open each page `REPETITIONS` times."""
    jobs, repetitions = (50, 2) if arguments.quick else (JOBS, REPETITIONS)
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder, _service(Path(folder), jobs) as (url, running, others):
        pages = {
            "jobs": "/",
            "a search": "/?q=drawn&sort=best",
            "a running job": f"/ui/jobs/{running}",
            "a comparison": f"/ui/compare?job={running}&job={others[0]}",
        }
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            found = {name: [_open(browser, url + path) for _ in range(repetitions)] for name, path in pages.items()}
            browser.close()
    rows = []
    for name, opened in found.items():
        weight, paint, answer = (
            Figure(tuple(getattr(each, field) for each in opened)) for field in ("kilobytes", "first_paint", "answer")
        )
        rows.append([name, weight.shown(), paint.shown(2), answer.shown(3)])
        outcome.figures[name] = {"kilobytes": weight, "first_paint_seconds": paint, "answer_seconds": answer}
        outcome.targets += [
            Target(f"{name}: kB", weight.median, at_most=WEIGHT_KB),
            Target(f"{name}: seconds to the first paint", paint.median, at_most=FIRST_PAINT_SECONDS),
        ]
    outcome.tables.append(
        Table(f"pages, {jobs:,} jobs", ["page", "kB sent", "first paint, s", "the page's own request, s"], rows)
    )
    return outcome


@contextmanager
def _service(folder: Path, jobs: int) -> Iterator[tuple[str, str, list[str]]]:
    """Run an API with so many jobs. Yields its address, the id of a running job and those of some others."""
    database = Database(f"sqlite:///{folder / 'edgeface.sqlite'}")
    database.migrate()
    with database.writing() as session:
        first = submission.submit(session, CONFIG, [])
        values = first.model_dump()
        config = CONFIG.model_dump(mode="json")
        for number in range(jobs):
            own = {"id": f"{number:024x}", "name": f"job {number}", "status": "succeeded", "idempotency_key": None}
            labels = {"search_text": search_text(f"job {number}", [], config)}
            session.add(Job(**(values | own | labels)))
    claim = running_job(database)
    database.close()
    with server("app.cli", "api", var_dir=folder, ready="/health/live") as api:
        yield f"http://{HOST}:{api.port}", claim.job_id, [f"{jobs - 1:024x}"]


def _open(browser: Browser, address: str) -> Opened:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(address)
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
    found = page.evaluate(MEASURE)
    context.close()
    return Opened(found["bytes"] / 1000, found["paint"] / 1000, found["answer"] / 1000)


if __name__ == "__main__":
    raise SystemExit(main())
