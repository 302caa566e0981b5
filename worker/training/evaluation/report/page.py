"""Renders the page from its template."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from app.finetune.evaluation import NO_PAIRS, Comparison, Estimate, Evaluation
from app.finetune.events import EpochFinished
from worker.training.evaluation.changes import with_interval
from worker.training.evaluation.estimates import percent
from worker.training.evaluation.report.charts import charts
from worker.training.evaluation.report.pictures import data_uri
from worker.training.evaluation.report.training_curves import training_curves
from worker.training.evaluation.shown_faces import ShownFaces
from worker.training.evaluation.wording import BACKBONES, IMAGES, WEIGHTS, guides_accuracy


def render_report(evaluation: Evaluation, faces: ShownFaces, epochs: Sequence[EpochFinished] = ()) -> str:
    """Render the page. `epochs` are those of the evaluated training, if any."""
    environment = Environment(
        loader=PackageLoader("worker.training.evaluation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": _shown, "percent": percent, "picture": data_uri}
    used = evaluation.in_use
    last = evaluation.comparisons[-1].backbone
    in_use = next(
        each for each in evaluation.comparisons if (each.backbone, each.probes, each.gallery) == (last, used, "hr")
    )
    return environment.get_template("report.html.jinja").render(
        evaluation=evaluation,
        faces=faces,
        charts=[Markup(chart) for chart in charts(evaluation)],  # noqa: S704 - escaped where it is drawn
        training=[Markup(chart) for chart in training_curves(epochs)],  # noqa: S704 - likewise
        in_use=in_use,
        used=used,
        enlargements=[images for images in ("direct", "bicubic", "dsr") if images in faces.people[0].enlarged],
        origin=evaluation.origin,
        weights=WEIGHTS,
        no_pairs=NO_PAIRS,
        backbones=BACKBONES,
        images=IMAGES,
        guides=lambda comparison: _guides(comparison, evaluation.threshold),
    )


def _shown(estimate: Estimate) -> str:
    return with_interval(estimate)


def _guides(comparison: Comparison, threshold: float) -> str:
    accuracy = guides_accuracy(comparison, threshold)
    return NO_PAIRS if accuracy is None else f"{accuracy:.3f}"
