"""How much the sampled impostor pairs above each genuine score weigh when subjects are drawn with replacement.

1,000 draws of 2^20 impostor pairs are a billion products of two counts. The counts are small integers, so the products
are computed in bytes, one pair in many draws at a time, and added in any order.
"""

from typing import NamedTuple

import numpy as np

from worker.training.metrics.faces import Integers
from worker.training.metrics.impostor_sample import ImpostorSample

# Shape suffixes: B draws, S subjects, N genuine pairs, K impostor pairs, R pairs with padding, J bounds in 0..K.

_BLOCK = 16
"""Pairs whose weights are added in the smallest integers that hold the sum."""

_PAIRS_AT_ONCE = 256 * _BLOCK  # in 64 draws 256 KiB, which a core's cache holds


class Weights(NamedTuple):
    """Weights [B, N] of the impostor pairs above, and at or above, each genuine pair, and [B] of all of them."""

    above_BN: Integers
    at_or_above_BN: Integers
    all_B: Integers


class ImpostorWeights:
    """The weights of a sample. `above_N` and `at_or_above_N` count its pairs above, and at or above, each genuine
    pair."""

    def __init__(self, sample: ImpostorSample, above_N: Integers, at_or_above_N: Integers) -> None:
        pairs = len(sample.scores_K)
        bounds_J = np.unique(np.concatenate([[0], above_N, at_or_above_N, [pairs]]))
        self._above_N, self._at_or_above_N = (np.searchsorted(bounds_J, each) for each in (above_N, at_or_above_N))
        # The pairs between two bounds are padded to whole blocks with pairs of a subject that is never drawn.
        lengths = np.diff(bounds_J)
        self._blocks_before_J = np.concatenate([[0], np.cumsum(-(-lengths // _BLOCK))])
        places_K = np.arange(pairs) + np.repeat(self._blocks_before_J[:-1] * _BLOCK - bounds_J[:-1], lengths)
        self._first_R, self._second_R = np.full((2, self._blocks_before_J[-1] * _BLOCK), -1)
        self._first_R[places_K], self._second_R[places_K] = sample.probe_subject_K, sample.gallery_subject_K

    def of(self, drawn_BS: Integers) -> Weights:
        """Return the weights in each draw. `drawn_BS` counts how often it contains each subject; the weight of a pair
        is the product of its subjects' counts."""
        sums = self._sums_of_blocks(drawn_BS)
        before_BJ = np.cumsum(sums, 1, out=sums)[:, self._blocks_before_J].astype(np.int64)
        return Weights(before_BJ[:, self._above_N], before_BJ[:, self._at_or_above_N], before_BJ[:, -1])

    def _sums_of_blocks(self, drawn_BS: Integers) -> np.ndarray[tuple[int, int], np.dtype[np.unsignedinteger]]:
        """Return 0 and the sum of each block's weights [B, 1 + blocks], as integers that hold the sum of all."""
        most = int(drawn_BS.max()) ** 2
        draws, subjects = drawn_BS.shape
        drawn_SB = np.zeros((subjects + 1, draws), np.min_scalar_type(most))
        drawn_SB[:-1] = drawn_BS.T
        sums = np.zeros((draws, 1 + len(self._first_R) // _BLOCK), np.min_scalar_type(len(self._first_R) * most))
        of_block = np.min_scalar_type(_BLOCK * most)
        for start in range(0, len(self._first_R), _PAIRS_AT_ONCE):
            some = slice(start, start + _PAIRS_AT_ONCE)
            weights_RB = drawn_SB[self._first_R[some]]
            weights_RB *= drawn_SB[self._second_R[some]]
            blocks = slice(1 + start // _BLOCK, 1 + (start + len(weights_RB)) // _BLOCK)
            sums[:, blocks] = weights_RB.reshape(-1, _BLOCK, draws).sum(1, dtype=of_block).T
        return sums
