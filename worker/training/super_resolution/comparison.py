"""Verdict on a DSR network, compared with direct feed and bicubic enlargement on val."""

from collections.abc import Callable, Mapping

from app.finetune.evaluation import Change, Images
from worker.training.evaluation.changes import change
from worker.training.evaluation.comparison import Compared, Row, compare
from worker.training.super_resolution.val_faces import Enlarged

_GUIDES_THRESHOLD = 0.35
_IN_WORDS: dict[Images, str] = {"direct": "direct feed", "bicubic": "bicubic enlargement", "dsr": "this DSR"}


def verdict_of(enlarged: Mapping[Images, Enlarged], before_each: Callable[[], None] = lambda: None) -> str:
    """Return a sentence for each VLR size. `enlarged` has `direct`, `bicubic` and `dsr` of the same faces.
    `before_each` is called before each comparison and may raise."""
    return " ".join(_sentence(size, enlarged, before_each) for size in enlarged["dsr"].e_ND)


def _sentence(size: int, enlarged: Mapping[Images, Enlarged], before_each: Callable[[], None]) -> str:
    compared: dict[Images, Compared] = {}
    for name, each in enlarged.items():
        before_each()
        compared[name] = compare(Row("given", name, "hr"), each.probes(size), each.val.gallery, _GUIDES_THRESHOLD)
    plain: Images = max(("direct", "bicubic"), key=lambda name: _auc(compared[name]))
    found = change("DSR", compared[plain], compared["dsr"], against=_IN_WORDS[plain])
    if found.measure is None:
        return f"At {size} px: {found.sentence}"
    far = 0.01 if found.measure.endswith("=1%") else 0.1
    rates = {name: each.comparison.tar_at(far).tar.value for name, each in compared.items()}
    shown = ", ".join(f"{_IN_WORDS[name]} {rates[name]:.3f}" for name in rates)
    return f"At {size} px {shown} ({found.measure}): {_outcome(found, _IN_WORDS[plain])}."


def _outcome(found: Change, against: str) -> str:
    interval = found.difference.interval
    if interval is None or found.difference.value is None:
        return "too few subjects to measure the effect of the DSR"
    claim = {
        "better": f"the DSR makes recognition better than {against}",
        "worse": f"the DSR makes recognition WORSE than {against}",
    }.get(found.outcome, f"the DSR is not distinguishable from {against}")
    return f"{claim} (difference {found.difference.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}])"


def _auc(compared: Compared) -> float:
    return compared.comparison.verification.auc.value or 0.0
