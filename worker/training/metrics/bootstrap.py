"""Confidence intervals by a bootstrap over subjects. Compared systems share the draws.

A pair's score depends on both subjects, so subjects are drawn and an impostor pair is weighted by the product of its
subjects' counts (Owen, "The pigeonhole bootstrap", 2007; Bolle, Ratha and Pankanti, "Error analysis of pattern
recognition systems: the subsets bootstrap", 2004). Each draw selects its own thresholds. In 1:N searches the gallery
stays whole: a gallery of fewer subjects is easier and would raise every rate.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from worker.training.metrics.faces import Doubles, Integers
from worker.training.metrics.identification import Searches
from worker.training.metrics.impostor_weights import ImpostorWeights
from worker.training.metrics.open_set import Ranked
from worker.training.metrics.pairs import PairScores
from worker.training.metrics.verification import equal_error_rates, most_errors, roc_corners

# Shape suffixes: B draws, S subjects, N genuine pairs, K impostor pairs, Q searches.

DRAWS = 1000
LEVEL = 0.95

_MOST_GENUINE = 2**18
DRAWS_AT_ONCE, _WEIGHTS_AT_ONCE = 64, 2**22
"""In each thread; an array of weights of genuine pairs takes 32 MiB."""


@dataclass(frozen=True)
class Interval:
    """Interval that holds 95 % of the draws (percentile method: Efron and Tibshirani, 1993, chapter 13)."""

    low: float
    high: float


def draw_subjects(subjects: int, draws: int = DRAWS, seed: int = 0) -> Integers:
    """Draw S subjects with replacement, B times: counts [B, S]. Each row sums to S."""
    drawn_BS: Integers = (
        np.random.default_rng(seed).multinomial(subjects, np.full(subjects, 1 / subjects), size=draws).astype(np.int64)
    )
    return drawn_BS


def interval(rates_B: Doubles) -> Interval | None:
    """Return the interval of the finite rates [B]. None if fewer than half are finite."""
    known = rates_B[np.isfinite(rates_B)]
    if 2 * len(known) < len(rates_B) or not len(known):
        return None
    low, high = np.quantile(known, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(low), float(high))


@dataclass(frozen=True)
class VerificationDraws:
    """AUC, EER and TAR by FAR, [B] each. NaN in draws without genuine or without impostor pairs."""

    auc: Doubles
    eer: Doubles
    tar: dict[float, Doubles]


def draw_verification(scores: PairScores, drawn_BS: Integers, fars: tuple[float, ...]) -> VerificationDraws:
    """Return the rates of each draw, from the sampled impostors and at most 2^18 genuine pairs, evenly spaced by
    score. Runs on as many cores as PyTorch may use."""
    sample, every = scores.sample, max(1, -(-len(scores.genuine) // _MOST_GENUINE))
    genuine_N, subject_N = scores.genuine[::every], scores.genuine_subject[::every]
    above_N = np.searchsorted(-sample.scores_K, -genuine_N, side="left")
    at_or_above_N = np.searchsorted(-sample.scores_K, -genuine_N, side="right")
    impostors = ImpostorWeights(sample, above_N, at_or_above_N)

    def rates_of(drawn_BS: Integers) -> Doubles:
        """Return AUC, EER and TAR by FAR of some draws: [2 + FARs, B]."""
        weight_BN, (over_BN, at_or_over_BN, total_B) = drawn_BS[:, subject_N], impostors.of(drawn_BS)
        genuine_B = weight_BN.sum(1)
        known_B = (genuine_B > 0) & (total_B > 0)
        if not known_B.any():
            return np.full((2 + len(fars), len(drawn_BS)), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            auc_B = 1 - (weight_BN * (over_BN + at_or_over_BN)).sum(1) / 2 / genuine_B / total_B
            roc = roc_corners(genuine_N, weight_BN, over_BN, at_or_over_BN, total_B[:, None])
            rates = [auc_B, equal_error_rates(roc)]
            for far in fars:
                allowed_B = np.array([most_errors(far, total) for total in total_B.tolist()])
                rates.append((weight_BN * (at_or_over_BN <= allowed_B[:, None])).sum(1) / genuine_B)
        return np.where(known_B, rates, np.nan)

    at_once = int(np.clip(_WEIGHTS_AT_ONCE // max(1, len(genuine_N)), 1, DRAWS_AT_ONCE))
    some = [drawn_BS[start : start + at_once] for start in range(0, len(drawn_BS), at_once)]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        auc, eer, *tar = np.concatenate(list(pool.map(rates_of, some)), 1)
    return VerificationDraws(auc, eer, dict(zip(fars, tar, strict=True)))


def draw_rank_rate(searches: Searches, rank: int, drawn_BS: Integers) -> Doubles:
    """Return the rank-k rate [B] of each draw; NaN in draws without a mated search."""
    people = len(searches.subjects)
    searched_S: Doubles = np.bincount(searches.subject_Q, searches.mated_Q, minlength=people).astype(np.float64)
    credit_S: Doubles = np.bincount(searches.subject_Q, searches.credit(rank), minlength=people).astype(np.float64)
    drawn: Doubles = drawn_BS.astype(np.float64)
    return _ratio(drawn @ credit_S, drawn @ searched_S)


def draw_dir(ranked: Ranked, fpir: float, drawn_BS: Integers) -> Doubles:
    """Return DIR (detection and identification rate) [B] at FPIR <= `fpir`. Each draw selects its own threshold."""
    rates = np.full(len(drawn_BS), np.nan)
    for draw, drawn_S in enumerate(drawn_BS):
        strangers, weight = _counted(drawn_S[ranked.non_mated_subject]), drawn_S[ranked.subject]
        if strangers[-1] and weight.sum():
            accepted = strangers[ranked.rivals] <= most_errors(fpir, strangers[-1])
            rates[draw] = (weight * ranked.credit)[accepted].sum() / weight.sum()
    return rates


def _counted(weights: Integers) -> Integers:
    """Return the sums of the first 0, 1, ... weights: [len + 1]."""
    return np.concatenate([[0], np.cumsum(weights)])


def _ratio(above_B: Doubles, below_B: Doubles) -> Doubles:
    ratio_B: Doubles = np.divide(above_B, below_B, out=np.full(len(above_B), np.nan), where=below_B > 0)
    return ratio_B
