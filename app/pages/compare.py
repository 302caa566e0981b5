"""The page that compares jobs: their curves, recognition with intervals, and the fields in which they differ."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session

from app.api_models.comparison import JobComparison
from app.api_models.job import JobView
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.errors import ConfigError
from app.finetune.evaluation import Change
from app.guard.gate import CallerDep
from app.jobs import listing, queries
from app.jobs.comparison_errors import NotComparable
from app.jobs.comparisons import compare_evaluations
from app.jobs.tables import Artifact
from app.jobs.views import view_epoch, view_job
from app.pages import words
from app.pages.compare_words import ranked, sentence
from app.pages.config_rows import differing
from app.pages.forest import Row, difference_forests, forests
from app.pages.formats import config_value, duration, rate, short_id, signed, signed_interval
from app.pages.job_rows import dataset_of, title_of
from app.pages.layout import look_at_layout
from app.pages.render import PageRoute, render_page
from app.pages.results import read_evaluation, read_result
from app.routes.dependencies import ReadingSessionDep, Service, ServiceDep

MOST_JOBS = 8

router = APIRouter(include_in_schema=False, route_class=PageRoute)

JobIds = Annotated[list[str], Query(alias="job", max_length=MOST_JOBS)]


@dataclass(frozen=True)
class Compared:
    """One of the jobs that are compared. `style` is the number of its colour and dashes."""

    job: JobView
    title: str
    style: int
    dataset: str
    epochs: list[EpochMetrics]
    change: Change | None
    evaluation: Artifact | None

    @property
    def rate(self) -> float | None:
        """The share of true pairs that it accepts after the training."""
        return None if self.change is None else self.change.achieved.value


@dataclass(frozen=True)
class TableRow:
    """A row of the table. `best` is the index of the best job, None where no order is meant."""

    name: str
    values: list[str]
    is_field: bool = False
    best: int | None = None


@router.get("/ui/compare")
def show_comparison(
    request: Request, session: ReadingSessionDep, service: ServiceDep, caller: CallerDep, jobs: JobIds
) -> Response:
    """Show two to eight jobs side by side."""
    compared = _compared(session, service, jobs)
    changes = [(each, each.change) for each in compared if each.change is not None]
    before = next((change.baseline for _, change in changes if change.baseline.value is not None), None)
    rows = [Row("Before", 0, before)] if before is not None else []
    rows += [Row(_short(each.title), each.style, change.achieved) for each, change in changes]
    differences = [Row(_short(each.title), each.style, change.difference) for each, change in changes]
    return render_page(
        request,
        "compare.html.jinja",
        look_at_layout(session, service, caller, request),
        jobs=compared,
        datasets=sorted({each.dataset for each in compared}),
        now=sentence(compared, _lead(service, compared)),
        curves=json.dumps(_curves(compared), separators=(",", ":")),
        rates=forests(rows, label_width=112) if rows else None,
        differences=difference_forests(differences, label_width=112) if differences else None,
        table=_table(compared),
        verdicts=words.VERDICTS,
        query=request.url.query,
    )


@router.get("/ui/compare.csv")
def download_comparison(session: ReadingSessionDep, service: ServiceDep, jobs: JobIds) -> Response:
    """Return the table of the comparison as CSV, a column for each job."""
    compared = _compared(session, service, jobs)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["", *(_plain(each.title) for each in compared)])
    writer.writerow(["id", *(each.job.id for each in compared)])
    writer.writerow(["verdict", *(_verdict(each) for each in compared)])
    writer.writerows([row.name, *map(_plain, row.values)] for row in _table(compared))
    headers = {"Content-Disposition": 'attachment; filename="comparison.csv"'}
    return Response(text.getvalue(), media_type="text/csv", headers=headers)


def _compared(session: Session, service: Service, ids: Sequence[str]) -> list[Compared]:
    wanted = list(dict.fromkeys(ids))
    if len(wanted) < 2:
        raise ConfigError("a comparison needs two jobs or more", "choose them in the list of jobs")
    files = listing.evaluations_of(session, wanted)
    found = []
    for style, job_id in enumerate(wanted, 1):
        row = queries.get(session, job_id)
        result = read_result(service.artifacts, files.get(job_id))
        found.append(
            Compared(
                job=view_job(session, row, service.settings.worker_seen_seconds),
                title=title_of(row),
                style=style,
                dataset=dataset_of(row.config),
                epochs=[view_epoch(metric) for metric in queries.metrics(session, row)],
                change=None if result is None else result.change,
                evaluation=files.get(job_id),
            )
        )
    titles = [each.title for each in found]
    if len(set(titles)) == len(titles):
        return found
    return [Compared(**{**vars(each), "title": f"{each.title} {short_id(each.job.id)}"}) for each in found]


def _lead(service: Service, compared: Sequence[Compared]) -> JobComparison | None:
    """Compare the best job with the second best, by the paired difference on the people of both."""
    best = ranked(compared)[:2]
    if len(best) < 2:
        return None
    first, second = (read_evaluation(service.artifacts, each.evaluation) for each in best)
    if first is None or second is None:
        return None
    try:
        return compare_evaluations(best[1].job.id, second, best[0].job.id, first)
    except NotComparable:
        return None


def _curves(compared: Sequence[Compared]) -> dict[str, Any]:
    """Return the scores of stage 2 as curves.js draws them. A curve that falls far below the others leaves the axis."""
    scores = [{each.epoch: each.val_auc for each in job.epochs if each.stage == 2} for job in compared]
    places = sorted({epoch for found in scores for epoch in found})
    before = next((found.auc for job in compared if (found := job.job.recognition.before) is not None), None)
    planned = [epoch.epochs for job in compared for epoch in job.epochs if epoch.stage == 2]
    series = [
        {
            "label": _short(job.title),
            "style": job.style,
            "values": [found.get(place) for place in places],
            "best": places.index(job.job.best.epoch) if job.job.best and job.job.best.epoch in places else None,
        }
        for job, found in zip(compared, scores, strict=True)
    ]
    return {
        "places": places,
        "names": [f"epoch {place}" for place in places],
        "boundary": 0,
        "planned": max(planned, default=1),
        "charts": [
            {
                "id": "score",
                "digits": 4,
                "unit": "",
                "logarithmic": False,
                "before": before,
                "floor": _floor(scores, before),
                "series": series,
            }
        ],
    }


def _floor(scores: Sequence[dict[int, float | None]], before: float | None) -> float | None:
    """Return the lowest score that the axis shows: that of the jobs which stay near the score before."""
    lows = [min(values) for found in scores if (values := [each for each in found.values() if each is not None])]
    near = [low for low in lows if before is None or low > before - 0.1]
    return min(near) if near and len(near) < len(lows) else None


def _table(compared: Sequence[Compared]) -> list[TableRow]:
    rates = [each.rate for each in compared]
    measured = [value for value in rates if value is not None]
    best = rates.index(max(measured)) if measured else None
    fields = differing([each.job.config for each in compared])
    rows = [
        TableRow("TAR at FAR 1%", ["not measured" if value is None else rate(value) for value in rates], best=best),
        TableRow("Difference to before", [_difference(each.change) for each in compared]),
        *(
            TableRow(name, [config_value(value) for value in values], is_field=True)
            for name, values in fields.items()
            if name not in ("train_dir", "val_dir")
        ),
        TableRow("Best epoch", [_best_epoch(each.job) for each in compared]),
        TableRow("Took", [duration(each.job.actual.seconds) if each.job.actual else "" for each in compared]),
        TableRow("Warnings", [_warnings(each.job) for each in compared]),
    ]
    return [row for row in rows if len(set(row.values)) > 1 or row.name == "Difference to before"]


def _difference(change: Change | None) -> str:
    if change is None or change.difference.value is None:
        return "not measured"
    found = change.difference.interval
    return signed(change.difference.value) + ("" if found is None else f" {signed_interval(found)}")


def _best_epoch(job: JobView) -> str:
    return "none" if job.best is None else f"{job.best.epoch} of {job.best.epochs}"


def _warnings(job: JobView) -> str:
    """The warnings by their codes, without the one that every job has whose best epoch val chose."""
    codes = dict.fromkeys(each.code for each in job.warnings if each.code != "val_chose_the_epoch")
    return ", ".join(code.replace("_", " ") for code in codes) or "none"


def _verdict(each: Compared) -> str:
    return "not measured" if each.change is None else words.VERDICTS[each.change.outcome][1]


def _short(title: str) -> str:
    return title if len(title) <= 16 else f"{title[:8]}…{title[-7:]}"


def _plain(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") and not text[1:2].isdigit() else text
