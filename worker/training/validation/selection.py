"""The best epoch, by validation."""

from dataclasses import dataclass
from typing import Any

from app.finetune.dataset import Selection
from worker.training.metrics import Separation


@dataclass(frozen=True)
class Validated:
    """`loss` and `accuracy` (0..1) are over the probes of known subjects, without margin and label smoothing; None
    where no subject is known. `auc` and `tar_at_far_1_percent` as in Recognition; `separation` None without pairs."""

    loss: float | None
    accuracy: float | None
    auc: float | None
    separation: Separation | None = None
    tar_at_far_1_percent: float | None = None


@dataclass
class Best:
    """The best validation so far, and how many have passed since it.

    By accuracy, and among equal accuracies (val sets are small) by lower loss; or by AUC. A later epoch has to be
    strictly better; with `keeps_last` each is better than those before. Epochs are compared by `rank`; `epoch` is 0
    before the first validation.
    """

    selection: Selection
    keeps_last: bool = False
    rank: tuple[float, float] | None = None
    epoch: int = 0
    validations_since: int = 0

    @property
    def criterion(self) -> Selection:
        """What chooses the epoch."""
        return "last_epoch" if self.keeps_last else self.selection

    def offer(self, epoch: int, validated: Validated) -> bool:
        """Whether this epoch is the new best."""
        rank = (self.score(validated), 0.0 if validated.loss is None else -validated.loss)
        if self.selection == "verification_auc":
            rank = (rank[0], 0.0)
        if self.keeps_last:
            rank = (float(epoch), 0.0)
        if self.rank is not None and rank <= self.rank:
            self.validations_since += 1
            return False
        self.rank, self.epoch, self.validations_since = rank, epoch, 0
        return True

    def saved(self) -> dict[str, Any]:
        """The fields that a saved state has."""
        return {"rank": self.rank, "epoch": self.epoch, "validations_since": self.validations_since}

    def score(self, validated: Validated) -> float:
        """The figure that epochs are selected by, in 0..1."""
        score = validated.auc if self.selection == "verification_auc" else validated.accuracy
        assert score is not None, f"scan_dataset chose {self.selection} for a val that has none"  # noqa: S101
        return score
