"""One row of the table: one kind of probes against one gallery, by every protocol."""

from dataclasses import dataclass

from app.finetune.evaluation import Backbone, Comparison, Images
from worker.training.evaluation.estimates import FEWEST_SUBJECTS
from worker.training.evaluation.identification import FPIRS, identification_of
from worker.training.evaluation.verification import FARS, counted_at, verification_of
from worker.training.metrics import FaceSet, score_pairs
from worker.training.metrics.bootstrap import VerificationDraws, draw_subjects, draw_verification
from worker.training.metrics.identification import Mates, Searches, search
from worker.training.metrics.open_set import open_set

_MATES: tuple[Mates, ...] = ("one", "all")


@dataclass(frozen=True)
class Row:
    """Backbone, probes and gallery of a comparison."""

    backbone: Backbone
    probes: Images
    gallery: Images


@dataclass(frozen=True)
class Compared:
    """Results of a row, with the bootstrap draws, for differences to another row, and the searches with all mates.
    `draws` is None if too few subjects have genuine pairs."""

    row: Row
    comparison: Comparison
    draws: VerificationDraws | None
    searches: Searches


def compare(row: Row, probes: FaceSet, gallery: FaceSet, threshold: float) -> Compared:
    """Compare by every protocol. `threshold` is for the guide's accuracy. If probes and gallery are the same images,
    each two make one pair."""
    within = row.probes == row.gallery
    scores = score_pairs(probes, None if within else gallery, counted_at(threshold))
    drawn_BS = draw_subjects(len(scores.subjects))
    enough = scores.paired_subjects >= FEWEST_SUBJECTS
    draws = draw_verification(scores, drawn_BS, FARS) if enough else None
    searches = {mates: search(probes, gallery, mates) for mates in _MATES}
    comparison = Comparison(
        backbone=row.backbone,
        probes=row.probes,
        gallery=row.gallery,
        verification=verification_of(scores, searches["all"], draws, threshold),
        identification=identification_of(searches, open_set(probes, gallery, FPIRS), drawn_BS),
    )
    return Compared(row, comparison, draws, searches["all"])
