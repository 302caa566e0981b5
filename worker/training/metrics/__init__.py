"""Face recognition metrics: pure functions of embeddings and scores.

Terms: a genuine pair shows one subject, an impostor pair two. FAR (false accept rate) is the share of impostor pairs
accepted, TAR (true accept rate) the share of genuine pairs accepted. The gallery holds the enrolled images, probes are
compared with it. A search is mated if its subject is in the gallery. Rank-1 is the share of mated searches whose best
match is their own subject.
"""

from worker.training.metrics.faces import FaceSet
from worker.training.metrics.identification import rank1
from worker.training.metrics.moments import Separation
from worker.training.metrics.pairs import PairCounts, PairScores, count_pairs, score_pairs
from worker.training.metrics.verification import accepted_at_far, separation, tar_at_far, verification_auc

__all__ = [
    "FaceSet",
    "PairCounts",
    "PairScores",
    "Separation",
    "accepted_at_far",
    "count_pairs",
    "rank1",
    "score_pairs",
    "separation",
    "tar_at_far",
    "verification_auc",
]
