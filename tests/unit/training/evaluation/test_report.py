"""The table, the page and the command that write what was evaluated."""

import hashlib
import json
import re
from datetime import datetime, timedelta
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from app.cli.event_lines import recognition_line
from app.finetune.errors import ConfigError, EdgefaceError
from app.finetune.evaluation import IMPOSTOR_PAIRS_NEEDED, Evaluation
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.events import EpochFinished, Recognition
from tests.unit.training.support import write_drawn_split, write_untrained
from worker.cli.evaluate import evaluate
from worker.training.evaluation.evaluate_backbone import Evaluated, evaluate_backbone
from worker.training.evaluation.report import render_report
from worker.training.evaluation.report.svg import Axis, Line, line_chart, round_ticks
from worker.training.evaluation.report.training_curves import training_curves
from worker.training.evaluation.table import render_table
from worker.training.evaluation.verification import FARS
from worker.training.metrics.verification import pairs_needed
from worker.training.storage.paths import EvaluationFiles


class Page(HTMLParser):
    """What a browser would fetch, what it would run, and whether all tags close."""

    _VOID = frozenset({"meta", "img", "br", "line", "path", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_drawn_split(folder / "people" / "val_processed", range(8), range(5))
    write_untrained(folder / "weights.pt")
    return folder


@pytest.fixture(scope="module")
def evaluated(folder: Path) -> Evaluated:
    config = EvaluationConfig(eval_dir="val", device="cpu", num_workers=0)
    files = EvaluationFiles(folder / "people" / "val_processed", folder / "weights.pt", folder / "weights.pt")
    return evaluate_backbone(config, files)


def epoch(stage: int, number: int, *, validated: bool) -> EpochFinished:
    val = 0.9 if validated else None
    return EpochFinished(
        stage=1 if stage == 1 else 2,
        epoch=number,
        epochs=3,
        train_loss=30.0 / number,
        train_accuracy=0.5,
        val_loss=None,
        val_accuracy=None,
        val_auc=val,
        head_lr=1e-3,
        backbone_lr=None,
        seconds=1.0,
        images_per_second=100.0,
        best=validated,
    )


def test_the_page_needs_nothing_but_itself(evaluated: Evaluated) -> None:
    text = render_report(evaluated.evaluation, evaluated.faces)
    page = Page(text)
    assert page.open == []
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    without_pictures = re.sub(r"data:image/png;base64,[\w+/=]+", "", text)
    assert re.findall(r"(?:https?:)?//\w", without_pictures) == []
    assert "url(" not in text


def test_the_page_tells_the_verdict_every_row_and_every_curve(evaluated: Evaluated) -> None:
    text = render_report(evaluated.evaluation, evaluated.faces)
    for change in evaluated.evaluation.changes:
        assert change.sentence in text
        assert f"{change.of}: {change.outcome}" in text
    for title in ("ROC", "DET", "CMC", "Scores: VLR bicubic, before", "Scores: VLR bicubic, after"):
        assert f"<figcaption>{title}" in text
    assert text.count("<td>before</td>") == text.count("<td>after</td>") == 5
    for warning in evaluated.evaluation.warnings:
        assert warning.message in text
    assert "Recognised worst" in text
    assert "The training" not in text


def test_the_page_says_who_the_strangers_were(evaluated: Evaluated, folder: Path, tmp_path: Path) -> None:
    halves = "DIR at FPIR 10% and 1%: one half of the subjects is enrolled"
    assert halves in render_report(evaluated.evaluation, evaluated.faces)
    write_drawn_split(tmp_path / "val", range(24), range(5))
    for subject in range(4, 24):
        for path in (tmp_path / "val" / "hr_images").glob(f"{subject:03}_*"):
            path.unlink()
    config = EvaluationConfig(eval_dir="val", device="cpu", num_workers=0)
    found = evaluate_backbone(config, EvaluationFiles(tmp_path / "val", folder / "weights.pt"))
    text = render_report(found.evaluation, found.faces)
    assert "DIR at FPIR 10%: all gallery subjects are enrolled" in text
    assert "DIR at FPIR 1%: one half of the subjects is enrolled" in text


def test_the_page_shows_both_stages_of_a_training(evaluated: Evaluated) -> None:
    epochs = [epoch(1, 1, validated=False), epoch(2, 1, validated=True), epoch(2, 2, validated=False)]
    text = render_report(evaluated.evaluation, evaluated.faces, epochs)
    assert "<figcaption>Loss" in text
    assert "<figcaption>Verification AUC on val" in text
    assert "stage 2</text>" in text
    assert "Separation on val" not in text, "no epoch has it"


def test_a_flawless_recogniser_has_a_page_too(evaluated: Evaluated) -> None:
    flawless = [
        each.model_copy(
            update={
                "identification": each.identification.model_copy(
                    update={
                        "closed_set": [
                            rates.model_copy(update={"cmc": [1.0, 1.0]}) for rates in each.identification.closed_set
                        ]
                    }
                )
            }
        )
        for each in evaluated.evaluation.comparisons
    ]
    text = render_report(evaluated.evaluation.model_copy(update={"comparisons": flawless}), evaluated.faces)
    assert "<figcaption>CMC" in text


def test_the_page_highlights_the_threshold_that_it_recommends(evaluated: Evaluated) -> None:
    evaluation = evaluated.evaluation
    recommended = evaluation.recommended_threshold
    assert recommended is not None
    assert recommended != evaluation.threshold == 0.35
    assert evaluation.verdict.endswith(f"Use threshold {recommended:.3f}.")
    text = render_report(evaluation, evaluated.faces)
    sweep = text[text.index('<table class="sweep">') :]
    highlighted = re.findall(r'<tr class="used"><td>([^<]*)</td>', sweep)
    assert highlighted == [f"recommended: {recommended:g}"]
    assert "<td>the guide's fixed threshold: 0.35</td>" in sweep
    assert f"<b>{recommended:.3f}</b><span>recommended threshold" in text


def test_a_swept_threshold_has_the_rates_of_its_pairs(evaluated: Evaluated) -> None:
    in_use = next(
        each
        for each in evaluated.evaluation.comparisons
        if (each.backbone, each.probes, each.gallery) == ("after", evaluated.evaluation.in_use, "hr")
    )
    found = in_use.verification
    (point,) = (each for each in found.sweep if each.threshold == evaluated.evaluation.recommended_threshold)
    at_far = in_use.tar_at(0.01)
    assert point.far <= 0.01
    assert at_far.tar.value is not None
    assert point.tar <= at_far.tar.value, "it is rounded up"


def test_what_cannot_be_measured_has_one_word_everywhere(evaluated: Evaluated) -> None:
    page, table = render_report(evaluated.evaluation, evaluated.faces), render_table(evaluated.evaluation)
    for text in (page, table, evaluated.evaluation.verdict):
        assert not re.search(r"\bn/a\b|>refused<|  refused  ", text)
    unresolved = evaluated.evaluation.comparisons[0].tar_at(0.0001).tar
    assert unresolved.in_a_word == "too few pairs"
    assert re.match(r"too few pairs: [\d,]+ impostor pairs, and FAR 0.01% needs 100,000", unresolved.refused or "")
    assert '<td class="refused" title="too few pairs: ' in page
    assert unresolved.refused is not None
    assert unresolved.refused in page
    of_training = Recognition(0.9, None, None, None, genuine_pairs=40, impostor_pairs=900)
    assert recognition_line(of_training) == (
        "rank-1 no pairs, TAR@FAR=1% too few pairs (900 of 1,000), TAR@FAR=0.1% too few pairs (900 of 10,000), "
        "AUC 0.9000"
    )
    assert {far: pairs_needed(far) for far in FARS} == IMPOSTOR_PAIRS_NEEDED


def test_evaluation_and_page_name_what_they_were_made_from(evaluated: Evaluated, folder: Path) -> None:
    origin = evaluated.evaluation.origin
    assert origin is not None
    sha256 = hashlib.sha256((folder / "weights.pt").read_bytes()).hexdigest()
    assert {role: file.sha256 for role, file in origin.weights.items()} == {"edgeface": sha256, "before": sha256}
    assert (origin.job, origin.version) == (None, version("edgeface-finetune"))
    assert datetime.fromisoformat(origin.created_at).utcoffset() == timedelta(0)
    assert origin.config["eval_dir"] == "val"
    assert origin.changed == {"device": "cpu", "num_workers": 0}
    text = render_report(evaluated.evaluation, evaluated.faces)
    for named in (sha256, origin.version, origin.created_at[:10], "eval_dir val", "num_workers 0"):
        assert named in text
    without = evaluated.evaluation.model_copy(update={"origin": None})
    assert sha256 not in render_report(without, evaluated.faces), "an evaluation of version 0.2 has a page too"


def test_odd_names_do_no_harm(evaluated: Evaluated) -> None:
    people = evaluated.evaluation.people.model_copy(update={"directory": "<script>alert(1)</script>"})
    odd = evaluated.evaluation.model_copy(update={"people": people})
    assert "<script>" not in render_report(odd, evaluated.faces)


def test_the_table_has_a_line_for_each_row_and_ends_with_the_verdict(evaluated: Evaluated) -> None:
    lines = render_table(evaluated.evaluation).splitlines()
    assert [line.split()[0] for line in lines[3:13]] == ["before"] * 5 + ["after"] * 5
    assert "too few pairs" in lines[3]
    assert "too few searches" in lines[3]
    assert lines[-1] == evaluated.evaluation.verdict
    assert len({line.index("HR") for line in lines[3:4]}) == 1


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


def test_the_command_writes_json_and_report(folder: Path, tmp_path: Path) -> None:
    done = invoke(
        *("--dataset", folder / "people", "--edgeface", folder / "weights.pt", "--device", "cpu", "--tta"),
        *("--json", tmp_path / "new" / "found.json", "--report", tmp_path / "report.html"),
    )
    assert done.exit_code == 0, done.output
    found = Evaluation.model_validate_json((tmp_path / "new" / "found.json").read_text())
    assert found.tta
    assert found.verdict in done.output
    assert "VLR bicubic" in done.output
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "new" / "found.json").read_text())["format_version"] == 1


def test_help_has_every_field() -> None:
    shown = invoke("--help").output
    for name in EvaluationConfig.model_fields:
        assert f"--{name.replace('_', '-')}" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--eval-dir", "a", "--threshold", "7"], 'threshold: must be at most 1, not "7"'),
        (["--eval-dir", "a", "--vlr-size", "2"], "vlr_size: "),
        ([], "eval_dir missing"),
    ],
)
def test_a_wrong_value_is_named_by_its_field(arguments: list[str], said: str) -> None:
    error = invoke(*arguments).exception
    assert isinstance(error, ConfigError)
    assert said in error.message
    assert "evaluate --help" in error.hint


def test_errors_of_the_evaluation_come_through(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"no weights")
    error = invoke("--dataset", folder / "people", "--edgeface", tmp_path / "weights.pt").exception
    assert isinstance(error, EdgefaceError)
    assert error.code == "weights_unreadable"


@given(st.floats(-100, 100), st.floats(1e-6, 1e4))
def test_ticks_are_few_and_inside(low: float, width: float) -> None:
    ticks = round_ticks(low, low + width)
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in ticks)


def test_no_two_ticks_of_a_curve_read_alike() -> None:
    """Though all that was measured is nearly the same."""
    epochs = [
        epoch(2, number, validated=True).model_copy(update={"val_auc": auc})
        for number, auc in ((1, 0.99893), (2, 0.99901))
    ]
    (chart,) = (chart for chart in training_curves(epochs) if "val AUC" in chart)
    texts = [text for text in re.findall(r">([0-9.]+)</text>", chart) if text.startswith("0.99")]
    assert len(texts) == len(set(texts)) >= 2


@given(st.lists(st.floats(0, 1), max_size=5), st.booleans())
def test_whatever_is_drawn_stays_inside_the_frame(values: list[float], log: bool) -> None:
    axis = Axis("x", 1e-4, 1, [], log=log)
    chart = line_chart("t", axis, axis, [Line("n", "#000", values, values, step=True, filled=True, dots=True)])
    for path in re.findall(r' d="([^"]+)" fill="none"', chart):
        numbers = [float(number) for number in re.findall(r"[\d.]+", path)]
        assert all(0 <= number <= 480 for number in numbers)


def test_a_bin_of_the_histogram_is_drawn_where_its_scores_are() -> None:
    axis = Axis("x", 0, 1, [])
    chart = line_chart("t", axis, axis, [Line("n", "#000", [0.0, 0.5, 1.0], [1.0, 0.25, 0.0], step=True)])
    (path,) = re.findall(r' d="([^"]+)" fill="none"', chart)
    left, middle, right = (float(number) for number in re.findall(r"[MH]([\d.]+)", path))
    assert middle == pytest.approx((left + right) / 2)
    heights = [float(number) for number in re.findall(r"(?: |V)([\d.]+)", path)]
    assert heights[0] < heights[1] < heights[2], "the first bin is the highest: it starts at the left edge"
