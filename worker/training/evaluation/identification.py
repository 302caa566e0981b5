"""1:N identification results of one comparison."""

from app.finetune.evaluation import DetectionPoint, Estimate, Identification, RankRates
from worker.training.evaluation.estimates import FEWEST_SUBJECTS, estimate, too_few
from worker.training.metrics.bootstrap import draw_dir, draw_rank_rate
from worker.training.metrics.faces import Integers
from worker.training.metrics.identification import Mates, Searches, rank_rate
from worker.training.metrics.open_set import Ranked, dir_at_fpir

FPIRS = (0.1, 0.01)

_HIGHEST_RANK = 20
_NOT_SEARCHED = "no searches: no probe has a mate in a gallery of two subjects or more"


def identification_of(
    searches: dict[Mates, Searches], ranked: dict[float, Ranked], drawn_BS: Integers
) -> Identification:
    """Build the results. `ranked` is by FPIR; `drawn_BS` [B, S] counts how often each draw contains each subject."""
    return Identification(
        gallery_subjects=searches["all"].gallery_subjects,
        closed_set=[_rank_rates(mates, found, drawn_BS) for mates, found in searches.items()],
        open_set=[_detection(found, fpir, drawn_BS) for fpir, found in ranked.items()],
    )


def _rank_rates(mates: Mates, searches: Searches, drawn_BS: Integers) -> RankRates:
    cmc = [rank_rate(searches, rank) for rank in range(1, min(_HIGHEST_RANK, searches.gallery_subjects) + 1)]
    return RankRates(
        mates=mates,
        searches=int(searches.mated_Q.sum()),
        rank1=_rank_rate(searches, 1, drawn_BS),
        rank5=_rank_rate(searches, 5, drawn_BS),
        rank10=_rank_rate(searches, 10, drawn_BS),
        cmc=[rate for rate in cmc if rate is not None],
    )


def _rank_rate(searches: Searches, rank: int, drawn_BS: Integers) -> Estimate:
    """Estimate the rank-k rate. It is refused if it is 1 by definition: all of 5 subjects are among the first 5."""
    rate, subjects = rank_rate(searches, rank), searches.gallery_subjects
    if rate is not None and subjects <= rank:
        return Estimate(refused=f"too few subjects: rank-{rank} is always 1 in a gallery of {subjects}")
    enough = searches.mated_subjects >= FEWEST_SUBJECTS
    return estimate(rate, draw_rank_rate(searches, rank, drawn_BS) if enough else None, _NOT_SEARCHED)


def _detection(ranked: Ranked, fpir: float, drawn_BS: Integers) -> DetectionPoint:
    found, enough = dir_at_fpir(ranked, fpir), ranked.mated_subjects >= FEWEST_SUBJECTS
    strangers = len(ranked.non_mated_scores)
    return DetectionPoint(
        fpir=fpir,
        enrolled="all" if ranked.galleries == 1 else "halves",
        non_mated_searches=strangers,
        dir=estimate(
            None if found is None else found.detected,
            draw_dir(ranked, fpir, drawn_BS) if found is not None and enough else None,
            too_few(strangers, "non-mated searches", fpir, "FPIR") if len(ranked.subject) else _NOT_SEARCHED,
        ),
        threshold=None if found is None else found.threshold,
    )
