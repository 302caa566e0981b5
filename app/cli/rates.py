"""The headline rate of a job in a few characters."""

from app.api_models.metrics import RecognitionChange
from app.finetune.events import Recognition

TAR = "TAR@FAR=1%"


def rate_change(recognition: RecognitionChange) -> str:
    """Return the rate before and after, as in `TAR@FAR=1% 0.464 → 0.826`, or the AUC where val has too few pairs for
    it. Empty where nothing is measured."""
    before, after = recognition.before, recognition.after
    measured = [each for each in (before, after) if each is not None]
    if all(each.tar_at_far_1_percent is not None for each in measured):
        return _change(TAR, [_tar(each) for each in measured])
    return _change("AUC", [each.auc for each in measured])


def _tar(recognition: Recognition) -> float | None:
    return recognition.tar_at_far_1_percent


def _change(name: str, rates: list[float | None]) -> str:
    known = [f"{rate:.3f}" for rate in rates if rate is not None]
    return f"{name} {' → '.join(known)}" if known else ""
