"""Face recognition in numbers: pure functions on embeddings and scores.

The field's terms: a genuine pair shows one subject, an impostor pair two; FAR is the share of impostor pairs accepted,
TAR the share of genuine pairs accepted; a mated search is of somebody who is in the gallery; rank-1 is the share of
mated searches whose best match is their own subject.
"""

from worker.training.metrics.faces import FaceSet
from worker.training.metrics.identification import rank1
from worker.training.metrics.moments import Separation
from worker.training.metrics.pairs import PairScores, score_pairs
from worker.training.metrics.verification import accepted_at_far, separation, tar_at_far, verification_auc

__all__ = [
    "FaceSet",
    "PairScores",
    "Separation",
    "accepted_at_far",
    "rank1",
    "score_pairs",
    "separation",
    "tar_at_far",
    "verification_auc",
]
