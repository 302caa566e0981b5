"""Detects collapse: the backbone maps all faces to nearly one point, while the train loss may still fall."""

from app.finetune.dataset import JobWarning
from worker.training.metrics import Separation

_GAP_LEFT = 0.5
_D_PRIME_LEFT = 0.7


def collapse_warning(before: Separation | None, now: Separation | None) -> JobWarning | None:
    """Return a warning if val's impostor pairs are more similar than `before` the training, the gap to genuine pairs is
    below half and d' below 70 % of their former values. All three are required, since a mere rotation of the embeddings
    changes one or two of them."""
    if before is None or now is None or before.d_prime is None or now.d_prime is None or before.gap <= 0:
        return None
    collapses = (
        now.impostor > before.impostor
        and now.gap < _GAP_LEFT * before.gap
        and now.d_prime < _D_PRIME_LEFT * before.d_prime
    )
    if not collapses:
        return None
    return JobWarning(
        code="embedding_collapse",
        message=f"the embeddings of different val subjects are becoming alike: the mean similarity of impostor pairs "
        f"rose from {before.impostor:.3f} to {now.impostor:.3f}, that of genuine pairs went from {before.genuine:.3f} "
        f"to {now.genuine:.3f}, and d' fell from {before.d_prime:.2f} to {now.d_prime:.2f}; lower backbone_lr",
    )
