"""Detects overfitting: the train loss falls while the recognition of val's people gets worse."""

from collections.abc import Sequence

from app.finetune.dataset import JobWarning
from app.finetune.events import EpochFinished

_AUC_LOST = 0.005
_EPOCHS_AFTER = 2


def overfitting_warning(epochs: Sequence[EpochFinished]) -> JobWarning | None:
    """Return a warning if the last validation of stage 2 has an AUC at least 0.005 below the best one, two or more
    epochs earlier, and a lower train loss."""
    validated = [(epoch.val_auc, epoch) for epoch in epochs if epoch.stage == 2 and epoch.val_auc is not None]
    if not validated:
        return None
    best_auc, best = max(validated, key=lambda each: each[0])
    last_auc, last = validated[-1]
    overfits = best_auc - last_auc >= _AUC_LOST and last.train_loss < best.train_loss
    if not overfits or last.epoch - best.epoch < _EPOCHS_AFTER:
        return None
    return JobWarning(
        code="overfitting",
        message=f"overfitting: from epoch {best.epoch} to epoch {last.epoch} of stage 2 the train loss fell from "
        f"{best.train_loss:.3f} to {last.train_loss:.3f}, while val's verification AUC fell from {best_auc:.4f} to "
        f"{last_auc:.4f}; give more subjects, or lower backbone_lr or stage2_epochs",
    )
