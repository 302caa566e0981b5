"""1:N identification of one comparison, as the contract tells it."""

from app.finetune.evaluation import DetectionPoint, Identification, RankRates
from worker.training.evaluation.estimates import estimate, too_few
from worker.training.metrics.bootstrap import draw_dir, draw_rank_rate
from worker.training.metrics.faces import Integers
from worker.training.metrics.identification import Mates, Searches, rank_rate
from worker.training.metrics.open_set import Ranked, dir_at_fpir

FPIRS = (0.1, 0.01)

_HIGHEST_RANK = 20
_NOT_SEARCHED = "no probe has a mate in a gallery of two subjects or more"


def identification_of(searches: dict[Mates, Searches], ranked: Ranked, drawn_BS: Integers | None) -> Identification:
    """`drawn_BS` is None with too few subjects for intervals."""
    return Identification(
        gallery_subjects=searches["all"].gallery_subjects,
        closed_set=[_rank_rates(mates, found, drawn_BS) for mates, found in searches.items()],
        non_mated_searches=len(ranked.non_mated_scores),
        open_set=[_detection(ranked, fpir, drawn_BS) for fpir in FPIRS],
    )


def _rank_rates(mates: Mates, searches: Searches, drawn_BS: Integers | None) -> RankRates:
    cmc = [rank_rate(searches, rank) for rank in range(1, min(_HIGHEST_RANK, searches.gallery_subjects) + 1)]
    rank1, rank5, rank10 = (
        estimate(
            rank_rate(searches, rank),
            None if drawn_BS is None else draw_rank_rate(searches, rank, drawn_BS),
            _NOT_SEARCHED,
        )
        for rank in (1, 5, 10)
    )
    return RankRates(
        mates=mates,
        searches=int(searches.mated_Q.sum()),
        rank1=rank1,
        rank5=rank5,
        rank10=rank10,
        cmc=[rate for rate in cmc if rate is not None],
    )


def _detection(ranked: Ranked, fpir: float, drawn_BS: Integers | None) -> DetectionPoint:
    found = dir_at_fpir(ranked, fpir)
    strangers = len(ranked.non_mated_scores)
    return DetectionPoint(
        fpir=fpir,
        dir=estimate(
            None if found is None else found.detected,
            None if drawn_BS is None or found is None else draw_dir(ranked, fpir, drawn_BS),
            too_few(strangers, "non-mated searches", fpir, "FPIR") if len(ranked.subject) else _NOT_SEARCHED,
        ),
        threshold=None if found is None else found.threshold,
    )
