"""The curves of a job by epoch, as curves.js draws them: both stages one after the other on one axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.api_models.job import JobView
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.job_kinds import DSR_TRAINING


@dataclass(frozen=True)
class Series:
    """A field of `EpochMetrics`, its label at the end of the line, and the number of its colour and dashes."""

    field: str
    label: str
    style: int


@dataclass(frozen=True)
class Chart:
    """A chart of one or two series. `term` is its hint in words.MEANINGS; `logarithmic` its vertical axis."""

    id: str
    title: str
    series: tuple[Series, ...]
    digits: int = 3
    term: str = ""
    unit: str = ""
    logarithmic: bool = False


_SCORE = Chart("score", "Score", (Series("val_auc", "score", 1),), digits=4, term="auc")
_CHARTS = (
    Chart("accuracy", "Val accuracy", (Series("val_accuracy", "accuracy", 1),)),
    Chart("loss", "Loss", (Series("train_loss", "train", 2), Series("val_loss", "val", 1)), digits=2),
    Chart("separation", "Separation d'", (Series("val_d_prime", "d'", 1),), digits=2, term="separation"),
    Chart("train-accuracy", "Train accuracy", (Series("train_accuracy", "accuracy", 2),)),
    Chart("psnr", "PSNR", (Series("val_psnr", "val", 1),), digits=2, unit="dB"),
    Chart("ssim", "SSIM", (Series("val_ssim", "val", 1),), digits=4),
    Chart("identity", "Identity", (Series("val_identity", "cosine", 1),)),
    Chart(
        "rates",
        "Learning rates",
        (Series("backbone_lr", "backbone", 1), Series("head_lr", "head", 2), Series("dsr_lr", "DSR", 3)),
        digits=6,
        logarithmic=True,
    ),
    Chart("speed", "Speed", (Series("images_per_second", "images/s", 1),), digits=0, unit="images/s"),
)


def charts_of(epochs: Sequence[EpochMetrics], *, trains: bool) -> list[Chart]:
    """Return the charts that have a value, the main one first. A job that trains begins with an empty one."""
    found = [each for each in (_SCORE, *_CHARTS) if _fields_with_values(each, epochs)]
    return found or ([_SCORE] if trains else [])


def curves_of(job: JobView, epochs: Sequence[EpochMetrics], charts: Sequence[Chart]) -> dict[str, Any]:
    """Return what curves.js needs, as JSON.

    `names` has the label of each place on the axis, `boundary` the number of epochs of stage 1, `planned` that of all
    planned epochs. `best` of a series is the index of the best epoch, which is ringed.
    """
    first = epochs[0].epochs if epochs and epochs[0].stage == 1 else _planned(job, "stage1_epochs")
    second = next((each.epochs for each in reversed(epochs) if each.stage != 1), None)
    planned = first + (second or _planned(job, "stage2_epochs") or _planned(job, "epochs"))
    places = [each.epoch + (first if each.stage == 2 else 0) for each in epochs]
    best = None if job.best is None else job.best.epoch + (first if job.best.stage == 2 else 0)
    before = job.recognition.before
    return {
        "places": places,
        "names": [_name(each) for each in epochs],
        "boundary": first,
        "planned": max([planned, *places]),
        "charts": [
            {
                "id": chart.id,
                "digits": chart.digits,
                "unit": chart.unit,
                "logarithmic": chart.logarithmic,
                "before": before.auc if chart is _SCORE and before is not None else None,
                "before_is": "bicubic" if job.kind == DSR_TRAINING else "before",
                "series": [
                    {
                        "label": each.label,
                        "style": each.style,
                        "values": [getattr(epoch, each.field) for epoch in epochs],
                        "best": places.index(best) if chart is charts[0] and best in places else None,
                    }
                    for each in _fields_with_values(chart, epochs)
                ],
            }
            for chart in charts
        ],
    }


def _planned(job: JobView, field: str) -> int:
    """Return a number of epochs of the config, 0 where it has no such field."""
    return int(getattr(job.config, field, 0))


def _fields_with_values(chart: Chart, epochs: Sequence[EpochMetrics]) -> list[Series]:
    return [each for each in chart.series if any(getattr(epoch, each.field) is not None for epoch in epochs)]


def _name(epoch: EpochMetrics) -> str:
    return f"epoch {epoch.epoch}" if epoch.stage == 0 else f"stage {epoch.stage}, epoch {epoch.epoch}"
