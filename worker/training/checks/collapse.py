"""Collapse: the backbone maps all faces to nearly one place, while the loss on train may still fall."""

from app.finetune.dataset import JobWarning
from worker.training.metrics import Separation

_GAP_LEFT = 0.5
_D_PRIME_LEFT = 0.7


def collapse_warning(before: Separation | None, now: Separation | None) -> JobWarning | None:
    """A warning where val's impostor pairs are more alike than `before` any training, the gap to the genuine ones is
    under half of what it was, and d' under 70 % of what it was: all three, since a backbone that merely turns changes
    one or two of them."""
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
