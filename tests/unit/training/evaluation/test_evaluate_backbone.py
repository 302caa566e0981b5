"""The evaluation of a backbone: which rows there are, what they say, and what is refused."""

import shutil
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.finetune.architectures import DsrLayout
from app.finetune.dataset import scan_split
from app.finetune.dataset_errors import FolderMissing, NothingToCompare
from app.finetune.errors import UnreadableImages
from app.finetune.evaluation import Change, Comparison, Evaluation
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.image_file import paths_of
from tests.unit.training.support import write_drawn_split, write_untrained
from worker.training.data.preprocess import (
    Enlarge,
    EnlargeByDsr,
    decode,
    enlarge_bicubic,
    enlarge_bilinear,
    enlarge_images,
)
from worker.training.evaluation.changes import change, recommended_threshold
from worker.training.evaluation.comparison import Compared, Row, compare
from worker.training.evaluation.evaluate_backbone import Evaluated, evaluate_backbone
from worker.training.metrics import FaceSet, pairs
from worker.training.models.dsr import DSR, load_dsr
from worker.training.models.edgeface import load_edgeface, new_edgeface
from worker.training.models.embedding import embed, face_set
from worker.training.runtime.control import Control, StopRequested
from worker.training.storage.paths import EvaluationFiles
from worker.training.validation.measure import measure

CPU = torch.device("cpu")


def config(**changes: object) -> EvaluationConfig:
    return EvaluationConfig.model_validate({"eval_dir": "val", "device": "cpu", "num_workers": 0, **changes})


def write_dsr(path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(DSR(DsrLayout(channels=4, blocks=1, factors=(2,), prelu_parameters=1)).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    write_drawn_split(folder / "val", range(6), range(3))
    write_untrained(folder / "before.pt")
    torch.save(new_edgeface("edgeface_xxs", seed=1).state_dict(), folder / "after.pt")
    wrapped = {"backbone_state_dict": new_edgeface("edgeface_xxs", seed=1).state_dict(), "epoch": 3, "val_acc": 0.5}
    torch.save(wrapped, folder / "edgeface_finetuned.pth")
    write_dsr(folder / "dsr.pth")
    return folder


@pytest.fixture(scope="module")
def evaluated(folder: Path) -> Evaluated:
    files = EvaluationFiles(folder / "val", folder / "after.pt", folder / "before.pt", folder / "dsr.pth")
    return evaluate_backbone(config(), files)


def rows(comparisons: Iterable[Comparison]) -> list[tuple[str, str, str]]:
    return [(each.backbone, each.probes, each.gallery) for each in comparisons]


def test_what_is_known_is_not_embedded_again_unless_the_files_are_others(folder: Path, evaluated: Evaluated) -> None:
    files = EvaluationFiles(folder / "val", folder / "after.pt", folder / "before.pt", folder / "dsr.pth")
    images = scan_split(folder / "val").hr_images
    pixels_u8 = torch.cat([each.pixels_u8 for each in enlarge_images(paths_of(images), enlarge_bicubic, threads=0)])
    of_before = face_set(embed(load_edgeface(folder / "before.pt", CPU)[0], pixels_u8, CPU), images)
    unlike = face_set(torch.from_numpy(of_before.embeddings).flip(0), images)

    def ceiling(known: FaceSet) -> Comparison:
        return evaluate_backbone(config(), files, known={("before", "hr"): known}).evaluation.comparisons[0]

    expected = evaluated.evaluation.comparisons[0]
    assert ceiling(of_before).verification.auc.value == pytest.approx(expected.verification.auc.value, abs=1e-6)
    assert ceiling(unlike) != expected
    assert ceiling(unlike.only(np.arange(len(images)) > 0)) == expected


def test_the_table_has_the_ceiling_and_every_way_to_feed_before_and_after(evaluated: Evaluated) -> None:
    of_one = [("hr", "hr"), ("direct", "hr"), ("bicubic", "hr"), ("dsr", "hr")]
    of_one += [("direct", "direct"), ("bicubic", "bicubic"), ("dsr", "dsr")]
    expected = [(backbone, *pair) for backbone in ("before", "after") for pair in of_one]
    assert rows(evaluated.evaluation.comparisons) == expected
    against_hr, within = evaluated.evaluation.comparisons[1], evaluated.evaluation.comparisons[4]
    assert (against_hr.verification.genuine_pairs, against_hr.verification.impostor_pairs) == (6 * 3 * 2, 18 * 15)
    assert (within.verification.genuine_pairs, within.verification.impostor_pairs) == (6 * 3, 18 * 15 // 2)


def test_without_anything_to_compare_with_there_is_one_backbone_and_no_dsr(folder: Path) -> None:
    found = evaluate_backbone(config(), EvaluationFiles(folder / "val", folder / "after.pt")).evaluation
    assert {each.backbone for each in found.comparisons} == {"given"}
    assert {each.probes for each in found.comparisons} == {"hr", "direct", "bicubic"}
    assert found.changes == []
    assert "TAR@FAR=1% of VLR probes against the HR gallery" in found.verdict
    assert found.enlargement == "bicubic"


def auc_of(found: Evaluation, probes: str) -> float | None:
    """Of the first backbone, against the HR gallery."""
    return next(
        each.verification.auc.value for each in found.comparisons if (each.probes, each.gallery) == (probes, "hr")
    )


def test_each_row_is_fed_as_it_says(folder: Path) -> None:
    files = EvaluationFiles(folder / "val", folder / "after.pt", dsr=folder / "dsr.pth")
    found = evaluate_backbone(config(), files).evaluation
    backbone, split = new_edgeface("edgeface_xxs", seed=1), scan_split(folder / "val")
    gallery = face_set(embed(backbone, read(paths_of(split.hr_images)), CPU), split.hr_images)
    by_dsr = EnlargeByDsr(load_dsr(folder / "dsr.pth"), folder / "dsr.pth", CPU)
    ways: dict[str, Enlarge] = {"direct": enlarge_bilinear, "bicubic": enlarge_bicubic, "dsr": by_dsr}
    for probes, enlarge in ways.items():
        e_ND = embed(backbone, enlarge(read(paths_of(split.vlr_images))), CPU)
        expected = measure(face_set(e_ND, split.vlr_images), gallery).recognition.auc
        assert auc_of(found, probes) == pytest.approx(expected, abs=1e-4)
    assert len({auc_of(found, probes) for probes in ways}) == 3
    assert found.in_use == "dsr"


def read(paths: Sequence[Path]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(decode(path).copy()).permute(2, 0, 1) for path in paths])


def test_tta_is_asked_for_by_the_config(folder: Path) -> None:
    files = EvaluationFiles(folder / "val", folder / "after.pt")
    with_, without = (evaluate_backbone(config(tta=tta), files).evaluation for tta in (True, False))
    assert (with_.tta, without.tta) == (True, False)
    assert auc_of(with_, "bicubic") != auc_of(without, "bicubic")


def test_a_finetuned_checkpoint_is_what_its_bare_backbone_is(folder: Path, evaluated: Evaluated) -> None:
    files = EvaluationFiles(folder / "val", folder / "edgeface_finetuned.pth", folder / "before.pt", folder / "dsr.pth")
    assert evaluate_backbone(config(), files).evaluation.comparisons == evaluated.evaluation.comparisons


def test_the_contract_goes_through_json(evaluated: Evaluated) -> None:
    text = evaluated.evaluation.model_dump_json()
    assert Evaluation.model_validate_json(text) == evaluated.evaluation


def test_the_counts_of_the_curves_are_those_of_the_pairs(evaluated: Evaluated) -> None:
    for each in evaluated.evaluation.comparisons:
        verification = each.verification
        assert sum(verification.histogram.genuine) == verification.genuine_pairs
        assert sum(verification.histogram.impostor) == verification.impostor_pairs
        assert len(verification.histogram.impostor) == 100
        assert verification.roc is not None
        assert all(a <= b for values in (verification.roc.far, verification.roc.tar) for a, b in pairwise(values))
        assert (verification.roc.far[-1], verification.roc.tar[-1]) == (1, 1)
        for rates in each.identification.closed_set:
            assert rates.rank1.value == rates.cmc[0]
            assert rates.cmc[-1] == 1.0, "rank 6 of 6"


def test_the_guides_measure_is_told_at_its_threshold_and_in_a_sweep(folder: Path) -> None:
    files = EvaluationFiles(folder / "val", folder / "after.pt")
    found = evaluate_backbone(config(threshold=0.123), files).evaluation
    sweep = found.comparisons[0].verification.sweep
    assert 0.123 in [point.threshold for point in sweep]
    assert len(sweep) > 20
    for lower, higher in pairwise(sweep):
        assert lower.far >= higher.far
        assert lower.tar >= higher.tar
        assert lower.identified is not None
        assert higher.identified is not None
        assert lower.identified >= higher.identified
        assert lower.accuracy == pytest.approx((lower.tar + 1 - lower.far) / 2)


def test_what_cannot_be_told_is_refused_in_words(evaluated: Evaluated) -> None:
    point = evaluated.evaluation.comparisons[1].tar_at(0.01)
    assert point.tar.value is None
    assert point.tar.refused == "too few pairs: 270 impostor pairs, and FAR 1% needs 1,000 (10 errors)"
    assert point.threshold is None
    codes = {warning.code for warning in evaluated.evaluation.warnings}
    assert {"few_subjects", "rates_refused"} <= codes


def test_the_faces_to_look_at_are_there(evaluated: Evaluated) -> None:
    shown = evaluated.faces
    assert [face.name for face in shown.people] == [f"{subject:03}_00.png" for subject in range(6)]
    assert shown.people[0].enlarged.keys() == {"direct", "bicubic", "dsr", "hr"}
    assert shown.people[0].vlr.size == (16, 16)
    assert shown.people[0].enlarged["dsr"].size == (112, 112)
    margins = [probe.own - probe.best_other for probe in (*reversed(shown.best), *shown.worst)]
    assert min(margins) == margins[len(shown.best)]
    assert max(margins) == margins[len(shown.best) - 1]
    assert all(not probe.face.name.startswith(probe.other) for probe in (*shown.best, *shown.worst))


def test_no_face_is_shown_larger_than_a_backbone_sees_it(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "val", tmp_path / "val")
    for path in tmp_path.glob("val/*/*.png"):
        with Image.open(path) as face:
            face.resize((300, 600)).save(path)
    shown = evaluate_backbone(config(), EvaluationFiles(tmp_path / "val", folder / "after.pt")).faces
    probes = [*shown.best, *shown.worst]
    people = [*shown.people, *(probe.face for probe in probes)]
    pictures = [probe.other_face for probe in probes]
    pictures += [picture for face in people for picture in (face.vlr, *face.enlarged.values())]
    assert {picture.size for picture in pictures} == {(56, 112), (112, 112)}


def test_no_face_is_compared_with_its_own_photo_whatever_the_suffixes(
    folder: Path, evaluated: Evaluated, tmp_path: Path
) -> None:
    shutil.copytree(folder / "val", tmp_path / "val")
    for path in (tmp_path / "val" / "hr_images").glob("*_02.png"):
        with Image.open(path) as face:
            face.save(path.with_suffix(".bmp"))
        path.unlink()
    files = EvaluationFiles(tmp_path / "val", folder / "after.pt", folder / "before.pt", folder / "dsr.pth")
    found = evaluate_backbone(config(), files)
    assert found.evaluation.comparisons == evaluated.evaluation.comparisons
    assert "hr_missing" not in {warning.code for warning in found.evaluation.warnings}
    assert all("hr" in probe.face.enlarged for probe in (*found.faces.best, *found.faces.worst))


def test_progress_rises_to_the_end_and_a_stop_is_obeyed(folder: Path) -> None:
    files, told = EvaluationFiles(folder / "val", folder / "after.pt"), list[float]()
    evaluate_backbone(config(), files, on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    control = Control()
    with pytest.raises(StopRequested):
        evaluate_backbone(config(), files, control, lambda _: control.stop.set())


def test_what_is_wrong_with_the_folder_is_named(tmp_path: Path) -> None:
    weights = write_untrained(tmp_path / "weights.pt")
    with pytest.raises(FolderMissing, match="nowhere"):
        evaluate_backbone(config(), EvaluationFiles(tmp_path / "nowhere", weights))
    write_drawn_split(tmp_path / "alone", range(1), range(3))
    with pytest.raises(NothingToCompare, match="alone"):
        evaluate_backbone(config(), EvaluationFiles(tmp_path / "alone", weights))
    write_drawn_split(tmp_path / "broken", range(2), range(2))
    (tmp_path / "broken" / "hr_images" / "001_01.png").write_bytes(b"no image")
    with pytest.raises(UnreadableImages, match=r"001_01\.png"):
        evaluate_backbone(config(), EvaluationFiles(tmp_path / "broken", weights))


def test_with_tta_a_face_and_its_mirror_image_are_one() -> None:
    backbone = new_edgeface("edgeface_xxs", seed=0)
    faces_u8 = torch.randint(256, (3, 3, 112, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    both = [embed(backbone, each, CPU, tta=True) for each in (faces_u8, faces_u8.flip(3))]
    torch.testing.assert_close(both[0], both[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both[0].norm(dim=1), torch.ones(3))
    assert not torch.allclose(both[0], embed(backbone, faces_u8, CPU), atol=1e-3)


def faces(noise: float, subjects: int, images: int, seed: int = 1) -> FaceSet:
    random = np.random.default_rng(0).normal(size=(subjects, 32))
    e_ND = np.repeat(random, images, axis=0)
    e_ND = e_ND + noise * np.random.default_rng(seed).normal(size=e_ND.shape)
    e_ND /= np.linalg.norm(e_ND, axis=1, keepdims=True)
    names = [f"{subject:02}_{image}" for subject in range(subjects) for image in range(images)]
    return FaceSet(e_ND.astype(np.float32), [name.split("_")[0] for name in names], names)


def compared(noise: float, subjects: int = 12, images: int = 10) -> Compared:
    probes, gallery = faces(noise, subjects, images), faces(0.3, subjects, images, seed=2)
    return compare(Row("given", "bicubic", "hr"), probes, gallery, 0.35)


def judged(before: Compared, after: Compared) -> Change:
    return change("fine-tuning", before, after, against="the weights before it")


@pytest.mark.parametrize(
    ("before", "after", "outcome", "said"),
    [
        (2.0, 1.0, "better", "makes recognition better than the weights before it"),
        (1.0, 2.0, "worse", "makes recognition WORSE than the weights before it"),
        (1.5, 1.5, "not distinguishable", "is not distinguishable from the weights before it"),
        (1.5, 1.495, "not distinguishable", "is not distinguishable from the weights before it"),
    ],
)
def test_a_change_is_judged_by_its_paired_interval(before: float, after: float, outcome: str, said: str) -> None:
    was, became = compared(before), compared(after)
    found = judged(was, became)
    assert (found.outcome, found.measure) == (outcome, "TAR@FAR=1%")
    assert said in found.sentence
    tars = [each.comparison.tar_at(0.01).tar for each in (was, became)]
    assert [found.baseline, found.achieved] == tars
    for tar in tars:
        assert tar.value is not None
        assert tar.interval is not None
        assert tar.interval.low <= tar.value <= tar.interval.high
        assert f"{tar.value:.3f} [{tar.interval.low:.3f}, {tar.interval.high:.3f}]" in found.sentence
    assert found.difference.value == pytest.approx((tars[1].value or 0) - (tars[0].value or 0))
    assert found.sentence.count(". ") == 0, "one sentence"


def test_what_little_data_cannot_show_is_not_claimed() -> None:
    few = judged(compared(2.0, 4), compared(0.1, 4))
    assert few.outcome == "too little data"
    assert few.sentence.startswith(
        "Too few subjects to measure the effect of the fine-tuning (4 subjects with genuine pairs, at least 5 needed)"
    )
    none = judged(compared(2.0, 3, 3), compared(0.1, 3, 3))
    assert none.outcome == "too little data"
    assert none.measure is None
    assert "Too few pairs to measure the effect" in none.sentence
    tenth = judged(compared(2.0, 5, 6), compared(0.5, 5, 6))
    assert tenth.measure == "TAR@FAR=10%"


def with_pairs(subjects: int, noise: float) -> Compared:
    """40 subjects, of whom these have two images and all others one."""
    probes, gallery = (
        each.only(np.array([int(name[:2]) < subjects or name.endswith("_0") for name in each.names]))
        for each in (faces(noise, 40, 2), faces(0.3, 40, 2, seed=2))
    )
    return compare(Row("given", "bicubic", "hr"), probes, gallery, 0.35)


@pytest.mark.parametrize(("subjects", "words"), [(1, "1 subject"), (4, "4 subjects")])
def test_people_without_a_genuine_pair_count_for_nothing(subjects: int, words: str) -> None:
    before, after = with_pairs(subjects, 2.0), with_pairs(subjects, 0.1)
    found = judged(before, after)
    assert found.outcome == "too little data"
    assert f"({words} with genuine pairs, at least 5 needed)" in found.sentence
    assert after.comparison.verification.paired_subjects == subjects
    assert after.comparison.verification.auc.interval is None
    for rates in after.comparison.identification.closed_set:
        assert rates.rank1.value is not None
        assert rates.rank1.interval is None


def test_people_with_a_genuine_pair_are_the_number_in_the_sentence() -> None:
    found = judged(with_pairs(6, 3.0), with_pairs(6, 0.1))
    assert "6 subjects with genuine pairs)" in found.sentence


def test_the_warning_counts_people_with_a_genuine_pair(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "val", tmp_path / "val")
    for path in (tmp_path / "val" / "vlr_images").glob("*_0[12].png"):
        path.unlink()
    for path in (tmp_path / "val" / "hr_images").glob("00[2-5]_0[12].png"):
        path.unlink()
    found = evaluate_backbone(config(), EvaluationFiles(tmp_path / "val", folder / "after.pt")).evaluation
    told = {warning.code: warning.message for warning in found.warnings}
    assert told["few_subjects"] == "only 2 subjects have genuine pairs: the rates have no intervals"


@pytest.mark.parametrize(("subjects", "refused"), [(5, [5, 10]), (6, [10]), (10, [10]), (11, [])])
def test_a_rank_that_everybody_reaches_is_refused(subjects: int, refused: list[int]) -> None:
    for rates in compared(1.5, subjects, 3).comparison.identification.closed_set:
        assert rates.rank1.value is not None
        for rank, rate in ((5, rates.rank5), (10, rates.rank10)):
            assert (rate.value is None) == (rank in refused)
            said = f"too few subjects: rank-{rank} is always 1 in a gallery of {subjects}"
            assert rate.refused == (said if rank in refused else None)
        assert len(rates.cmc) == subjects, "the curve goes to its end"


@pytest.mark.parametrize("threshold", [0.35, 0.1234567])
def test_the_sweep_is_exact_where_a_sample_of_the_impostors_is_not(
    threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "SAMPLED_IMPOSTORS", 500)
    probes, gallery = faces(1.0, 12, 10), faces(0.3, 12, 10, seed=2)
    found = compare(Row("given", "bicubic", "hr"), probes, gallery, threshold).comparison.verification
    scores, subjects = probes.embeddings @ gallery.embeddings.T, np.array(probes.subjects)
    impostors = scores[subjects[:, None] != subjects]
    assert threshold in [point.threshold for point in found.sweep]
    for point in found.sweep:
        far = (impostors >= np.float32(point.threshold)).mean()
        assert point.far == pytest.approx(far, abs=1e-12)
        assert point.accuracy == pytest.approx((point.tar + 1 - far) / 2, abs=1e-12)
    assert sum(found.histogram.impostor) == len(impostors)


def test_the_recommended_threshold_keeps_the_far() -> None:
    found = compared(1.5)
    threshold = recommended_threshold(found.comparison)
    exact = found.comparison.tar_at(0.01).threshold
    assert threshold is not None
    assert exact is not None
    assert exact <= threshold < exact + 0.001
    without_pairs = recommended_threshold(compared(1.5, 4, 4).comparison)
    best = compared(1.5, 4, 4).comparison.verification.best_accuracy
    assert best is not None
    assert without_pairs == pytest.approx(best.threshold, abs=0.001)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "published"), [(16, (0.9970, 0.938, 0.818, 0.950)), (12, (0.9674, 0.691, 0.426, 0.731))]
)
def test_the_bicubic_row_is_the_published_table(
    size: int, published: tuple[float, ...], shared_assets: Path, tmp_path: Path
) -> None:
    for kind in ("vlr_images", "hr_images"):
        (tmp_path / kind).mkdir()
        for path in (shared_assets / "faces" / "orl_aligned").glob("s*/*.png"):
            (tmp_path / kind / f"{path.parent.name}_{path.name}").symlink_to(path.resolve())
    files = EvaluationFiles(tmp_path, shared_assets / "weights" / "edgeface_xxs.pt")
    found = evaluate_backbone(config(vlr_size=size), files).evaluation
    (row,) = (each for each in found.comparisons if (each.probes, each.gallery) == ("bicubic", "hr"))
    rank1 = row.identification.closed_set[0].rank1
    rates = [row.verification.auc.value, row.tar_at(0.01).tar.value, row.tar_at(0.001).tar.value, rank1.value]
    assert rates == pytest.approx(published, abs=0.005)
